"""A U-Net training step against what a user would write instead: images per second, and the share of the peak.

    pip install -e '.[bench]' && python benchmarks/training.py [--quick] [--only peers busy]

Every row trains the same network (augkit's U-Net) on the same drawn phantoms with the same batch, loss and optimiser,
flips and rotations on, loading and augmentation included. ``plain`` is a loop in float32 over a DataLoader with two
workers that augments with albumentations; ``monai`` is the loop of MONAI's tutorials: CacheDataset, dictionary
transforms, its DataLoader. Rounds are interleaved; values are medians. The peak is that of a product of two matrices in
the precision that augkit chose, measured between the rounds.

That is the part ``peers``. On a CPU there is ``busy``: augkit alone with one thread and with two, calm and beside a
busy program; two should have 1.6 times the rate of one when calm, and 0.8 times beside a busy program.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

import beside
from augkit import Format, ImageSet, Workspace
from augkit.contracts.components import SilentLog
from augkit.running.machine.allocator import keep_freed_memory
from augkit.training import seeded
from augkit.training.precision import choose_device, choose_precision, reproducible
from augkit_classical.geometry import Geometry
from augkit_phantom import Phantom
from augkit_unet.network import UnetNetwork
from augkit_unet.segmenter import Unet
from augkit_unet.training import UnetLearner, operations
from peers import absent, tell

Step = Callable[[], object]
Maker = Callable[[ImageSet, int, int, str], Step]
PLANNED = 6300
"""Steps of the paper's U-Net."""


def by_augkit(samples: ImageSet, width: int, batch: int, device: str, planned: int = 1) -> Step:
    """Return augkit's step, in a training of so many planned steps; what is long enough is compiled."""
    options = Unet(width=width, batch_size=batch, steps=planned)
    learner = UnetLearner(
        options, samples, Geometry(flip="both", padding="reflect"), Workspace(Path(), 0, device, SilentLog())
    )
    numbers = iter(range(10**6))

    def step() -> object:
        with reproducible():
            return learner.step(next(numbers))

    return step


def descend(width: int, batches: Iterator[tuple[Tensor, Tensor]], device: str) -> Step:
    """Return the step of a usual loop."""
    with seeded(0):
        network = UnetNetwork(width, Format()).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def step() -> object:
        images, masks = next(batches)
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(network(images.to(device)), masks.to(device))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.item()

    return step


class Pairs(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Images and masks in memory, augmented one by one."""

    def __init__(self, samples: ImageSet) -> None:
        import albumentations

        self.images, self.masks = np.asarray(samples.images), np.asarray(samples.masks).astype(np.uint8)
        rotate = albumentations.Rotate(limit=180, p=1.0)
        self.transform = albumentations.Compose(
            [albumentations.HorizontalFlip(), albumentations.VerticalFlip(), rotate]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        changed = self.transform(image=self.images[i], mask=self.masks[i])
        image = torch.from_numpy(changed["image"]).permute(2, 0, 1).float() / 255
        return image, torch.from_numpy(changed["mask"])[None].float()


def endless(loader: Any, unpack: Callable[[Any], tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches for ever."""
    while True:
        for batch in loader:
            yield unpack(batch)


def by_plain_loop(samples: ImageSet, width: int, batch: int, device: str) -> Step:
    """Return the step of a plain PyTorch loop in float32."""
    loader = torch.utils.data.DataLoader(
        Pairs(samples), batch, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True
    )
    return descend(width, endless(loader, lambda pair: (pair[0], pair[1])), device)


def by_monai(samples: ImageSet, width: int, batch: int, device: str) -> Step:
    """Return the step of the loop in MONAI's tutorials."""
    from monai.data import CacheDataset, DataLoader
    from monai.transforms import Compose, RandFlipd, RandRotated, ScaleIntensityRanged

    keys = ("image", "mask")
    items = [
        {
            "image": torch.from_numpy(np.array(image.transpose(2, 0, 1))).float(),
            "mask": torch.from_numpy(mask[None] * 1.0),
        }
        for image, mask in zip(np.asarray(samples.images), np.asarray(samples.masks), strict=True)
    ]
    transform = Compose(
        [
            ScaleIntensityRanged("image", 0, 255, 0, 1),
            RandFlipd(keys, prob=0.5, spatial_axis=0),
            RandFlipd(keys, prob=0.5, spatial_axis=1),
            RandRotated(keys, range_x=np.pi, prob=1.0, mode=("bilinear", "nearest"), padding_mode="reflection"),
        ]
    )
    dataset = CacheDataset(items, transform, progress=False)
    loader = DataLoader(dataset, batch_size=batch, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True)
    return descend(width, endless(loader, lambda pair: (pair["image"].float(), pair["mask"].float())), device)


def finished(device: str) -> None:
    """Wait for the device."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def rate(step: Step, images: int, device: str, seconds: float) -> float:
    """Return images per second over at least `seconds`."""
    finished(device)
    began, steps = time.perf_counter(), 0
    while steps == 0 or time.perf_counter() - began < seconds:
        step()
        steps += 1
    finished(device)
    return steps * images / (time.perf_counter() - began)


def peak(device: str) -> float:
    """Return multiplications and additions per second of a matrix product in the chosen precision."""
    side = 8192 if device.startswith("cuda") else 1536
    kind = torch.bfloat16 if choose_precision(device) == "bfloat16" else torch.float32
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(side, side, generator=generator).to(device, kind) for _ in range(2))
    return rate(lambda: torch.mm(a, b), 2 * side**3, device, 0.3)


PEERS = {"plain": "albumentations", "monai": "monai.transforms"}
"""The module that is needed for each."""


def measure(
    width: int, size: int, batch: int, device: str, quick: bool, missing: Mapping[str, str]
) -> dict[str, float]:
    """Return images per second of every maker whose modules are not missing, and augkit's share of the peak."""
    rounds, seconds, planned = (3, 1.0, 1) if quick else (5, 4.0, PLANNED)
    makers: dict[str, Maker] = {
        "augkit": partial(by_augkit, planned=planned),
        "plain": by_plain_loop,
        "monai": by_monai,
    }
    samples = Phantom(train=4 * batch, test=1, size=size).load().train
    steps = {name: make(samples, width, batch, device) for name, make in makers.items() if name not in missing}
    for step in steps.values():
        step()
    found: dict[str, list[float]] = {name: [] for name in steps}
    share = []
    for _ in range(rounds):
        for name, step in steps.items():
            found[name].append(rate(step, batch, device, seconds))
        share.append(found["augkit"][-1] * operations(width, Format(), (size, size)) / peak(device))
    return {name: statistics.median(values) for name, values in found.items()} | {"share": statistics.median(share)}


def rows(device: str, quick: bool, missing: Mapping[str, str]) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the rows of the table."""
    on_gpu = device.startswith("cuda")
    for width, size in ((16, 64), (64, 128)) if quick else ((w, s) for s in (64, 128) for w in (16, 32, 64)):
        batch = 32 if on_gpu else 16 if size == 64 else 8
        if quick and not on_gpu and width == 64:
            batch = 4
        yield f"width {width}, {size} px", measure(width, size, batch, device, quick, missing)


def measure_beside(quick: bool) -> tuple[dict[str, float], dict[str, float]]:
    """Return what two threads have of the rate of one, calm and beside a busy program, and every rate."""
    ratios: dict[str, float] = {}
    values: dict[str, float] = {}
    beside.tell_head("images/s")
    for width, size, batch in ((16, 64, 16),) if quick else ((16, 64, 16), (32, 128, 8)):
        step = by_augkit(Phantom(train=4 * batch, test=1, size=size).load().train, width, batch, "cpu")
        step()
        found = beside.rates(lambda _: rate(step, batch, "cpu", 1.0 if quick else 4.0), 3 if quick else 5)  # noqa: B023
        title = f"width {width}, {size} px"
        beside.tell(title, found)
        values |= {f"{title}, {name}": value for name, value in found.items()}
        ratios |= {f"{title}, 2 threads by 1, {how}": gain for how, gain in beside.gains(found).items()}
    return ratios, values


PARTS = ("peers", "busy")


def main() -> None:
    """Measure, print a table, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rows, three short rounds, nothing is compiled")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="which parts")
    arguments = parser.parse_args()
    keep_freed_memory()  # as in every run; it serves the peers of this process, too
    device = choose_device("auto")
    ratios: dict[str, float] = {}
    values: dict[str, float] = {}
    missing = absent(PEERS)
    if "peers" in arguments.only:
        tell(missing)
        print(f"{'row':<22}{'augkit':>10}{'plain':>10}{'monai':>10}{'ratio':>8}{'of peak':>9}   images/s")
    for name, row in rows(device, arguments.quick, missing) if "peers" in arguments.only else ():
        peers = [row[peer] for peer in PEERS if peer in row]
        if peers:
            ratios[name] = row["augkit"] / max(peers)
        values |= {f"{name} {key}": value for key, value in row.items()}
        speeds = "".join(f"{row[who]:>10.1f}" if who in row else f"{'-':>10}" for who in ("augkit", *PEERS))
        ratio = f"{ratios[name]:>8.2f}" if peers else f"{'-':>8}"
        print(f"{name:<22}{speeds}{ratio}{row['share']:>9.0%}", flush=True)
    if "busy" in arguments.only and device == "cpu":
        gains, rates = measure_beside(arguments.quick)
        ratios, values = ratios | gains, values | rates
    gpu = torch.cuda.get_device_name(device) if device.startswith("cuda") else "none"
    record = {
        "benchmark": "training",
        "ratios": {name: round(value, 2) for name, value in ratios.items()},
        "values": {name: round(value, 4) for name, value in values.items()},
        "machine": {
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "processor": platform.machine(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "precision": choose_precision(device),
            "gpu": gpu,
        },
        "versions": {
            name: version(name)
            for name in ("augkit", "torch", *(PEERS[peer].partition(".")[0] for peer in PEERS if peer not in missing))
        },
        "missing": missing,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()

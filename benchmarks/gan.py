"""Mask2Lesion's training step and synthesis against a plain twin: images per second.

    python benchmarks/gan.py [--quick]

The twin is what one would copy from a tutorial: the same networks out of torch's own layers, float32, eager, the
default Adam, a discriminator pass for real and one for fake pairs, and a DataLoader with two workers that resizes,
crops and flips with Pillow. Parameter counts are asserted to be equal. Augkit and twin take turns in one run; figures
are medians over rounds. `benchmarks/gpu.py` has the same twin on a GPU.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from augkit import Draws, ImageSet, Workspace
from augkit.contracts.components import SilentLog
from augkit.training import computes_in_bfloat16
from augkit_mask2lesion.generator import Mask2Lesion
from augkit_mask2lesion.learner import PixToPix
from augkit_mask2lesion.painter import Painter
from augkit_phantom import Phantom

SIZE = 128
LARGE = 143
IMAGES = 64
Step = Callable[[], None]


# The twin


class Block(nn.Module):
    """One level of the U-Net: down, whatever is inside, up, and the skip connection."""

    def __init__(self, channels: int, width: int, inner: nn.Module | None, dropout: bool) -> None:
        super().__init__()
        down: list[nn.Module] = [nn.LeakyReLU(0.2), nn.Conv2d(channels, width, 4, 2, 1)]
        if inner is not None:
            down += [nn.InstanceNorm2d(width), inner]
        up_from = width if inner is None else 2 * width
        up: list[nn.Module] = [nn.ReLU(), nn.ConvTranspose2d(up_from, channels, 4, 2, 1), nn.InstanceNorm2d(channels)]
        self.layers = nn.Sequential(*down, *up, *([nn.Dropout(0.5)] if dropout else []))

    def forward(self, x: Tensor) -> Tensor:
        """Return the input and what became of it, (N, 2 * channels, H, W)."""
        return torch.cat([x, self.layers(x)], dim=1)


def twin_generator(width: int) -> nn.Module:
    """Return pix2pix's U-Net for 128 pixels with one mask channel and dropout in the three innermost blocks."""
    block = Block(8 * width, 8 * width, None, dropout=True)
    block = Block(8 * width, 8 * width, block, dropout=True)
    block = Block(8 * width, 8 * width, block, dropout=True)
    for channels, inner_width in ((4 * width, 8 * width), (2 * width, 4 * width), (width, 2 * width)):
        block = Block(channels, inner_width, block, dropout=False)
    last = nn.ConvTranspose2d(2 * width, 3, 4, 2, 1)
    return nn.Sequential(nn.Conv2d(1, width, 4, 2, 1), block, nn.ReLU(), last, nn.Tanh())


def twin_discriminator(width: int) -> nn.Module:
    """Return the 70 pixel PatchGAN on four channels."""
    layers: list[nn.Module] = [nn.Conv2d(4, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    for inputs, outputs, stride in ((1, 2, 2), (2, 4, 2), (4, 8, 1)):
        layers += [nn.Conv2d(inputs * width, outputs * width, 4, stride, 1)]
        layers += [nn.InstanceNorm2d(outputs * width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """Images and masks, enlarged, cropped and flipped one at a time."""

    def __init__(self, samples: ImageSet) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Return image (3, H, W) and mask (1, H, W) in -1..1."""
        i = number % len(self.samples)
        image = Image.fromarray(self.samples.images[i]).resize((LARGE, LARGE), Image.Resampling.BICUBIC)
        mask = Image.fromarray(self.samples.masks[i]).resize((LARGE, LARGE), Image.Resampling.NEAREST)
        x, y = (int(v) for v in torch.randint(0, LARGE - SIZE + 1, (2,)))
        image, mask = (pair.crop((x, y, x + SIZE, y + SIZE)) for pair in (image, mask))
        if torch.rand(()) < 0.5:
            image, mask = (pair.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for pair in (image, mask))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1
        return pixels, torch.from_numpy(np.array(mask))[None].float() * 2 - 1


class Twin:
    """The tutorial's training loop."""

    def __init__(self, samples: ImageSet, width: int, batch: int, device: str) -> None:
        self.generator = twin_generator(width).to(device)
        self.discriminator = twin_discriminator(width).to(device)
        self.device = device
        self.batches: Iterator[Any] = iter(DataLoader(Pairs(samples), batch_size=batch, num_workers=2))
        self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), lr=2e-4, betas=(0.5, 0.999))

    def step(self) -> None:
        """Update D, then G."""
        images, masks = (part.to(self.device) for part in next(self.batches))
        fakes = self.generator(masks)
        self.discriminator.requires_grad_(True)
        self.d_optimizer.zero_grad()
        on_fake = self.discriminator(torch.cat([masks, fakes.detach()], dim=1))
        on_real = self.discriminator(torch.cat([masks, images], dim=1))
        loss = 0.5 * (adversarial(on_fake, False) + adversarial(on_real, True))
        loss.backward()  # type: ignore[no-untyped-call]
        self.d_optimizer.step()
        self.discriminator.requires_grad_(False)
        self.g_optimizer.zero_grad()
        on_fake = self.discriminator(torch.cat([masks, fakes], dim=1))
        loss = adversarial(on_fake, True) + 100 * l1_loss(fakes, images)
        loss.backward()  # type: ignore[no-untyped-call]
        self.g_optimizer.step()
        loss.item()  # what a tutorial prints

    @torch.no_grad()
    def paint(self, masks: Tensor) -> Tensor:
        """Return images with dropout on, as pix2pix synthesises."""
        painted: Tensor = self.generator(masks.to(self.device)).cpu()
        return painted


def adversarial(logits: Tensor, real: bool) -> Tensor:
    """Return the cross-entropy to all real or all fake."""
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


# Measuring


@dataclass(frozen=True)
class Case:
    """One row: what is measured, at which width and batch, and how many calls make a round."""

    what: str
    width: int
    batch: int
    calls: int


def cases(quick: bool) -> list[Case]:
    """Return the rows; the quick ones are fewer and shorter."""
    if quick:
        return [Case("train", 16, 8, 4), Case("synthesis", 16, 8, 8)]
    return [
        Case("train", 64, 8, 2),
        Case("train", 16, 8, 10),
        Case("synthesis", 64, 8, 6),
        Case("synthesis", 16, 8, 40),
    ]


def contestants(case: Case, samples: ImageSet, device: str, folder: Path) -> tuple[Step, Step, float]:
    """Return one call of augkit, one of the twin, and the floating-point operations of augkit's call."""
    options = Mask2Lesion(width=case.width, norm="instance", batch_size=case.batch, epochs=10_000)
    learner = PixToPix(options, samples, Workspace(folder, 0, device, SilentLog()))
    twin = Twin(samples, case.width, case.batch, device)
    assert count(learner.generator) == count(twin.generator)
    assert count(learner.discriminator) == count(twin.discriminator)
    numbers = iter(range(10**9))
    if case.what == "train":
        with FlopCounterMode(display=False) as counter:
            learner.step(next(numbers))
        return lambda: void(learner.step(next(numbers))), twin.step, counter.get_total_flops()
    masks = np.resize(samples.masks, (4 * case.batch, SIZE, SIZE))
    paint = Painter(*learner.trained(samples), samples.format, options.mask_resample, options.out_resize, device)
    tensors = torch.from_numpy(masks)[:, None].float() * 2 - 1
    with FlopCounterMode(display=False) as counter:
        paint(masks, Draws.of(0, "benchmark", np.arange(len(masks))))

    def twin_paints() -> None:
        for part in torch.split(tensors, case.batch):
            ((twin.paint(part) + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()

    return lambda: void(paint(masks, Draws.of(0, "b", np.arange(len(masks))))), twin_paints, counter.get_total_flops()


def count(network: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def void(result: object) -> None:
    """Drop a result."""


def seconds_per_call(call: Step, calls: int) -> float:
    """Return the mean time of some calls."""
    began = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - began) / calls


def peak_flops(device: str) -> float:
    """Return the operations per second of a large matrix product in the precision augkit trains in, best of ten."""
    side = 2048
    a = torch.ones(side, side, dtype=precision(device), device=device)
    a @ a
    return 2 * side**3 / min(seconds_per_call(lambda: void(a @ a), 1) for _ in range(10))


def precision(device: str) -> torch.dtype:
    """Return what augkit's forward passes compute in on this machine."""
    return torch.bfloat16 if computes_in_bfloat16(device) else torch.float32


def main() -> None:
    """Measure, print a table, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    device = "cpu"
    samples = Phantom(train=IMAGES, test=1, size=SIZE).load().train
    peak = peak_flops(device)
    rows: dict[str, dict[str, float]] = {}
    for case in cases(quick):
        with tempfile.TemporaryDirectory() as folder:
            augkit, twin, operations = contestants(case, samples, device, Path(folder))
            times: list[list[float]] = [[], []]
            for warm_up in (True, *[False] * (3 if quick else 7)):
                for call, kept in zip((augkit, twin), times, strict=True):
                    seconds = seconds_per_call(call, case.calls)
                    kept += [] if warm_up else [seconds]
            ours, theirs = (statistics.median(kept) for kept in times)
            images = case.batch * (1 if case.what == "train" else 4)
            ratio = statistics.median(b / a for a, b in zip(*times, strict=True))
            rows[f"{case.what}, width {case.width}, batch {case.batch}"] = {
                "augkit": images / ours,
                "plain": images / theirs,
                "ratio": ratio,
                "of_peak": operations / ours / peak,
            }
    print(
        f"images/s at {SIZE} x {SIZE} on {device}, {torch.get_num_threads()} threads; "
        f"{str(precision(device)).removeprefix('torch.')} matrix product {peak / 1e9:.0f} GFLOP/s"
    )
    print(f"{'':<44}{'augkit':>10}{'plain':>10}{'ratio':>8}{'of peak':>9}")
    for name, row in rows.items():
        print(f"{name:<44}" + "".join(f"{row[k]:{w}.2f}" for k, w in zip(row, (10, 10, 8, 9), strict=False)))
    record = {
        "benchmark": "gan",
        "ratios": {name: round(row["ratio"], 3) for name, row in rows.items() if "ratio" in row},
        "values": {name: {key: round(value, 4) for key, value in row.items()} for name, row in rows.items()},
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.machine(),
            "device": device,
            "precision": str(precision(device)).removeprefix("torch."),
        },
        "versions": {name: version(name) for name in ("augkit", "torch", "numpy", "pillow")},
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()

"""Classical augmentation against what a user would take instead: pairs per second and core.

    pip install -e '.[bench]' && python benchmarks/augmentation.py [--quick] [--only peers busy checks]

Same work for everyone: drawn phantoms in memory as uint8 (128x128 images and masks) become a collated batch of 64
pairs, images float32 (64, 3, 128, 128) in 0..1 and masks float32 (64, 1, 128, 128). Rows: both flips; flips + affine
(any rotation, scale 0.8 to 1.2, shear 5 degrees, shift 10 %); affine + colour (0.2 each, hue 7 degrees); affine +
colour + elastic; paste: an object of another pair, turned by any angle, scaled 0.8 to 1.25 and cut by its mask. There
augkit also softens the outline, fits the colours to the ground and looks for a place, and pastes nothing where none
fits; Albumentations has Affine for the other pair and OverlayElements, Kornia RandomAffine and RandomTransplantation,
which leaves the object where it was; the others have nothing like it. "one core": one process, one thread each. "all
cores": torch threads for augkit, kornia, TorchIO, MONAI and batchgeneratorsv2, and for Albumentations a DataLoader with
one worker per core, OpenCV's threads off, as it recommends. Medians of interleaved rounds. Last, the share that affine
and colour have of a U-Net's training step of batch 32 and width 16. `benchmarks/gpu.py` has both on a GPU.

Parts: ``peers`` is all of that. ``busy``: augkit alone with one thread and with two, calm and beside a busy program;
two should have 1.6 times the rate of one when calm, and 0.8 times beside a busy program. ``checks``: what holding every
batch to its contract adds to that U-Net's step, with and without interleaved; at most 0.5 %.
"""

import argparse
import importlib
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import beside
from augkit import ImageSet, Workspace
from augkit.contracts.components import Augment, SilentLog
from augkit.data.draws import TensorDraws
from augkit.running.machine.allocator import keep_freed_memory
from augkit.training import Batches
from augkit.training.pipeline import EVERY, Checked, Pipeline
from augkit.training.precision import reproducible
from augkit_classical.colour import Colour
from augkit_classical.elastic import Elastic
from augkit_classical.geometry import Geometry
from augkit_classical.paste import Paste
from augkit_phantom import Phantom
from augkit_unet.segmenter import Unet
from augkit_unet.training import UnetLearner
from peers import absent, tell

ROWS = ("flips", "affine", "affine + colour", "affine + colour + elastic", "paste")
PASTE = ROWS.index("paste")
PEERS = {
    "albumentations": "albumentations",
    "kornia": "kornia.augmentation",
    "monai": "monai.transforms",
    "torchio": "torchio",
    "batchgeneratorsv2": "batchgeneratorsv2.transforms.spatial.spatial",
}
"""The module that is needed of each."""
PASTERS = ("albumentations", "kornia")
"""Those who have something like `paste`."""
PARTS = ("peers", "busy", "checks")
BATCH = 64
Pair = tuple[Tensor, Tensor]
Maker = Callable[[int], Pair]
"""Makes batch `number`."""
Images = NDArray[np.uint8]


def augkit(row: int, samples: ImageSet, device: str = "cpu", size: int = BATCH) -> Maker:
    """Take batches as the U-Net's training does."""
    augment = pipeline(row)
    batches = Batches(samples, size, 0, device)

    def make(number: int) -> Pair:
        return batches.at(number).augmented(augment)[:2]

    return make


def pipeline(row: int) -> Augment:
    """Return augkit's transforms of a row."""
    return Pipeline(pipeline_parts(row))


def pipeline_parts(row: int) -> list[tuple[str, Augment]]:
    """Return the names and transforms of a row."""
    if row == PASTE:
        return [("paste", Paste(count=1, hide=1, probability=1))]
    affine = Geometry(rotate=180, scale=(0.8, 1.2), shear=5, translate=0.1, padding="reflect")
    steps: list[tuple[str, Augment]] = [
        ("geometry", affine if row else Geometry(rotate=0)),
        ("colour", Colour(hue=7)),
        ("elastic", Elastic(spacing=0.15, padding="reflect")),
    ]
    return steps[: max(row, 1)]


def collated(one: Callable[[Images, Images], Pair], samples: ImageSet) -> Maker:
    """Return a maker that transforms the pairs of a batch one by one and stacks them."""
    images, masks = np.array(samples.images), np.array(samples.masks).astype(np.uint8)

    def make(number: int) -> Pair:
        where = [(number * BATCH + i) % len(images) for i in range(BATCH)]
        pairs = [one(images[i], masks[i]) for i in where]
        return torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])

    return make


def as_tensors(image: Images, mask: Images) -> Pair:
    """Return float32 (3, H, W) in 0..1 and (1, H, W)."""
    pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return pixels.float().div_(255), torch.from_numpy(mask)[None].float()


class AlbumentationsPairs(torch.utils.data.Dataset[Pair]):
    """What Albumentations' documentation builds: a map-style data set with a pipeline."""

    def __init__(self, row: int, samples: ImageSet, rounds: int) -> None:
        import albumentations as A
        import cv2

        cv2.setNumThreads(0)
        border = cv2.BORDER_REFLECT
        affine = A.Affine(
            rotate=(-180, 180), scale=(0.8, 1.2), shear=(-5, 5), translate_percent=(-0.1, 0.1), border_mode=border, p=1
        )
        change = (0.8, 1.2)
        colour = A.ColorJitter(brightness=change, contrast=change, saturation=change, hue=(-0.02, 0.02), p=1)
        elastic = A.ElasticTransform(alpha=30, sigma=6, border_mode=border, p=1)
        self.pipeline = A.Compose([A.HorizontalFlip(), A.VerticalFlip(), *(affine, colour, elastic)[:row]])
        self.images, self.masks = np.array(samples.images), np.array(samples.masks).astype(np.uint8)
        self.rounds = rounds

    def __len__(self) -> int:
        return self.rounds * len(self.images)

    def __getitem__(self, index: int) -> Pair:
        index %= len(self.images)
        return self.transform(self.images[index], self.masks[index])

    def transform(self, image: Images, mask: Images) -> Pair:
        """Return one augmented pair as tensors."""
        done = self.pipeline(image=image, mask=mask)
        return as_tensors(done["image"], done["mask"])


class AlbumentationsPastes(AlbumentationsPairs):
    """The same for pasting: the other pair is turned and cropped to its object, which is laid over the pair."""

    def __init__(self, row: int, samples: ImageSet, rounds: int) -> None:
        import albumentations as A
        import cv2

        super().__init__(0, samples, rounds)
        turn = A.Affine(rotate=(-180, 180), scale=(0.8, 1.25), border_mode=cv2.BORDER_REPLICATE, p=1)
        self.turn = A.Compose([turn])
        self.pipeline = A.Compose([A.OverlayElements(p=1)])
        self.chance = np.random.default_rng(0)

    def transform(self, image: Images, mask: Images) -> Pair:
        """Return a pair with the object of another one as tensors."""
        import cv2

        other = self.chance.integers(len(self.images))
        turned = self.turn(image=self.images[other], mask=self.masks[other])
        x, y, width, height = cv2.boundingRect(turned["mask"])
        box = slice(y, y + height), slice(x, x + width)
        overlay = {"image": turned["image"][box], "mask": turned["mask"][box], "mask_id": 1}
        done = self.pipeline(image=image, mask=mask, overlay_metadata=overlay)
        return as_tensors(done["image"], done["mask"])


def albumentations_pairs(row: int, samples: ImageSet, rounds: int) -> AlbumentationsPairs:
    """Return the data set of a row."""
    return (AlbumentationsPastes if row == PASTE else AlbumentationsPairs)(row, samples, rounds)


def albumentations(row: int, samples: ImageSet) -> Maker:
    """Transform pair by pair in this process."""
    return collated(albumentations_pairs(row, samples, 1).transform, samples)


def albumentations_loader(row: int, samples: ImageSet, workers: int) -> Maker:
    """Transform pair by pair in the workers of a DataLoader."""
    pairs = albumentations_pairs(row, samples, 10_000)
    loader = torch.utils.data.DataLoader(pairs, BATCH, num_workers=workers, persistent_workers=True)
    batches: list[Iterator[Any]] = []

    def make(number: int) -> Pair:
        if not batches:
            batches.append(iter(loader))
        images, masks = next(batches[0])
        return images, masks

    return make


def kornia(row: int, samples: ImageSet) -> Maker:
    """Transform the whole batch with Kornia."""
    import kornia.augmentation as K

    affine = K.RandomAffine(180, (0.1, 0.1), (0.8, 1.2), (-5, 5, -5, 5), padding_mode="reflection", p=1)
    colour = K.ColorJiggle(0.2, 0.2, 0.2, 0.02, p=1)
    elastic = K.RandomElasticTransform((31, 31), (6, 6), padding_mode="reflection", p=1)
    chain = [K.RandomHorizontalFlip(), K.RandomVerticalFlip(), *(affine, colour, elastic)[:row]]
    if row == PASTE:
        turn = K.RandomAffine(180, scale=(0.8, 1.25), padding_mode="border", p=1)
        chain = [turn, K.RandomTransplantation(excluded_labels=[0], p=1)]
    pipeline = K.AugmentationSequential(*chain, data_keys=["input", "mask"])
    batches = Batches(samples, BATCH, 0, "cpu")

    def make(number: int) -> Pair:
        batch = batches.at(number)
        # Transplantation takes masks without an axis of classes, and gives them back with one.
        images, masks = pipeline(batch.images, batch.masks[:, 0] if row == PASTE else batch.masks)
        return images, masks

    return make


def monai(row: int, samples: ImageSet) -> Maker:
    """Transform pair by pair with MONAI's dictionary transforms."""
    M: Any = importlib.import_module("monai.transforms")  # noqa: N806
    both = ["image", "mask"]
    affine = M.RandAffined(
        both, (128, 128), 1, rotate_range=np.pi, scale_range=(-0.2, 0.2), shear_range=(0.09, 0.09),
        translate_range=(12.8, 12.8),
        mode=("bilinear", "nearest"), padding_mode="reflection",
    )  # fmt: skip
    colour = [M.RandScaleIntensityd("image", 0.2, 1), M.RandAdjustContrastd("image", 1, (0.8, 1.2))]
    elastic = M.Rand2DElasticd(
        both, (19, 19), (1, 2), (128, 128), 1, mode=("bilinear", "nearest"), padding_mode="reflection"
    )
    flips = [M.RandFlipd(both, 0.5, 0), M.RandFlipd(both, 0.5, 1)]
    pipeline = M.Compose([*flips, *(step for steps in ([affine], colour, [elastic])[:row] for step in steps)])

    def one(image: Images, mask: Images) -> Pair:
        pixels, labels = as_tensors(image, mask)
        done = pipeline({"image": pixels, "mask": labels})
        return done["image"].as_tensor(), done["mask"].as_tensor()

    return collated(one, samples)


def torchio(row: int, samples: ImageSet) -> Maker:
    """Transform pair by pair with TorchIO, images as volumes one voxel deep; its colour changes are gamma only."""
    T: Any = importlib.import_module("torchio")  # noqa: N806
    flips = T.RandomFlip(axes=(0, 1), flip_probability=0.5)
    affine = T.RandomAffine((0.8, 1.2, 0.8, 1.2, 1, 1), (0, 0, 0, 0, -180, 180), (-13, 13, -13, 13, 0, 0))
    elastic = T.RandomElasticDeformation((9, 9, 5), (4, 4, 0), 2)
    pipeline = T.Compose([flips, *(affine, T.RandomGamma((-0.2, 0.2)), elastic)[:row]])

    def one(image: Images, mask: Images) -> Pair:
        pixels, labels = as_tensors(image, mask)
        subject = T.Subject(i=T.ScalarImage(tensor=pixels[..., None]), m=T.LabelMap(tensor=labels[..., None]))
        done = pipeline(subject)
        return done["i"].data[..., 0], done["m"].data[..., 0]

    return collated(one, samples)


def batchgeneratorsv2(row: int, samples: ImageSet) -> Maker:
    """Transform pair by pair with what nnU-Net uses; elastic deformation is part of its spatial transform."""
    from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
    from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

    spatial = SpatialTransform(
        (128, 128), 0, False, p_elastic_deform=float(row > 2), elastic_deform_magnitude=(0, 0.05), p_rotation=1,
        rotation=(-np.pi, np.pi), p_scaling=1, scaling=(0.8, 1.2), bg_style_seg_sampling=False,
    )  # fmt: skip
    colour = [
        MultiplicativeBrightnessTransform(BGContrast((0.8, 1.2)), synchronize_channels=True, p_per_channel=1),
        ContrastTransform(BGContrast((0.8, 1.2)), True, synchronize_channels=True, p_per_channel=1),
    ]
    chain = [MirrorTransform((0, 1)), *([spatial] if row else []), *(colour if row > 1 else [])]
    pipeline = ComposeTransforms(chain)

    def one(image: Images, mask: Images) -> Pair:
        pixels, labels = as_tensors(image, mask)
        done = pipeline(image=pixels, segmentation=labels.to(torch.int16))
        return done["image"], done["segmentation"].float()

    return collated(one, samples)


MAKERS: Mapping[str, Callable[[int, ImageSet], Maker]] = {
    "augkit": augkit,
    "albumentations": albumentations,
    "kornia": kornia,
    "monai": monai,
    "torchio": torchio,
    "batchgeneratorsv2": batchgeneratorsv2,
}


def makers(row: int, samples: ImageSet, cores: int, missing: Mapping[str, str]) -> dict[str, Maker]:
    """Return who takes part in a row: augkit, and the peers that are not missing and have something like it."""
    found = {
        name: make(row, samples)
        for name, make in MAKERS.items()
        if name == "augkit" or (name not in missing and (row != PASTE or name in PASTERS))
    }
    if cores > 1 and "albumentations" in found:
        del found["albumentations"]
        found["albumentations"] = albumentations_loader(row, samples, cores)  # last: its workers go on for a while
    return found


def rate(make: Maker, first: int, seconds: float) -> float:
    """Return pairs per second over whole batches that take `seconds` or more."""
    began, number = time.perf_counter(), first
    while time.perf_counter() - began < seconds or number == first:
        images, masks = make(number)
        assert images.shape == (BATCH, 3, 128, 128), images.shape
        assert masks.shape == (BATCH, 1, 128, 128), masks.shape
        number += 1
    return BATCH * (number - first) / (time.perf_counter() - began)


def interleaved(found: Mapping[str, Maker], rounds: int, seconds: float, cores: int) -> dict[str, float]:
    """Return everyone's median rate over rounds in which all take their turn."""
    times: dict[str, list[float]] = {name: [] for name in found}
    for number in range(rounds):
        for name, make in found.items():
            loads = cores > 1 and name == "albumentations"
            for waiting in range(2 * cores * loads):  # what the workers made while others were measured
                make(waiting)
            times[name].append(rate(make, number, seconds))
            if loads:  # the workers fill their queue again, which must not slow the next one
                time.sleep(2 * cores * BATCH / times[name][-1] + 0.2)
    return {name: statistics.median(rates) for name, rates in times.items()}


def measure(
    samples: ImageSet, rounds: int, seconds: float, missing: Mapping[str, str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return ratios of speed to the best peer, and every value."""
    ratios: dict[str, float] = {}
    values: dict[str, float] = {}
    tell(missing)
    print(f"{'row':<42}" + "".join(f"{name:>19}" for name in MAKERS))
    for cores in sorted({1, os.cpu_count() or 1}):
        torch.set_num_threads(cores)
        for row, title in enumerate(ROWS):
            found = makers(row, samples, cores, missing)
            for make in found.values():
                make(0)
            speed = interleaved(found, rounds, seconds, cores)
            where = f"{title}, {cores} core{'s' * (cores > 1)}"
            print(
                f"{where:<42}"
                + "".join(f"{speed[name]:>12.0f} /s    " if name in speed else f"{'-':>19}" for name in MAKERS),
                flush=True,
            )
            values |= {f"{where} {name}": round(value) for name, value in speed.items()}
            peers = [value for name, value in speed.items() if name != "augkit"]
            if peers:
                ratios[where] = round(speed["augkit"] / max(peers), 2)
    values |= share_pasted(samples) | share_of_step(samples)
    return ratios, values


def share_pasted(samples: ImageSet) -> dict[str, float]:
    """Return how many pairs of augkit's row of pasting got an object, in percent; those of its peers all do."""
    batch = Batches(samples, len(samples), 0, "cpu").at(0)
    masks = batch.augmented(pipeline(PASTE)).masks
    share = 100 * float((masks != batch.masks).flatten(1).any(1).float().mean())
    print(f"{'paste, pairs that got an object':<60}{share:.0f} %")
    return {"paste, pairs that got an object, %": round(share)}


def share_of_step(samples: ImageSet) -> dict[str, float]:
    """Return how much of a U-Net's training step is affine + colour, in percent."""
    spent: list[float] = []
    chain = pipeline(2)

    def timed(images: Tensor, masks: Tensor, draws: TensorDraws) -> Pair:
        began = time.perf_counter()
        pair = chain(images, masks, draws)
        spent.append(time.perf_counter() - began)
        return pair

    width, device = 16, "cpu"
    options = Unet(width=width, batch_size=32, steps=1)
    learner = UnetLearner(options, samples, timed, Workspace(Path(), 0, device, SilentLog()))
    steps = []
    for number in range(15):
        began = time.perf_counter()
        with reproducible():
            learner.step(number)
        steps.append(time.perf_counter() - began)
    share = 100 * statistics.median(spent[5:]) / statistics.median(steps[5:])
    where = f"affine + colour, share of a step of width {width}, {device}"
    print(f"{where:<60}{share:.1f} %")
    return {f"{where}, %": round(share, 2)}


def measure_beside(samples: ImageSet, rounds: int, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """Return what two threads have of the rate of one, calm and beside a busy program, and every rate."""
    ratios: dict[str, float] = {}
    values: dict[str, float] = {}
    beside.tell_head("pairs/s")
    for row, title in enumerate(ROWS):
        make = augkit(row, samples)
        make(0)
        found = beside.rates(lambda number, make=make: rate(make, number, seconds), rounds)  # type: ignore[misc]
        beside.tell(title, found)
        values |= {f"{title}, {name}": round(value) for name, value in found.items()}
        ratios |= {f"{title}, 2 threads by 1, {how}": round(gain, 2) for how, gain in beside.gains(found).items()}
    return ratios, values


def cost_of_checks(samples: ImageSet, rounds: int) -> dict[str, float]:
    """Return what holding every batch to its contract adds to a U-Net's step of batch 32 and width 16, in percent.

    Affine + colour with and without checks take turns on the same batches, in one process; what the checks add is
    compared with whole steps, whose own times differ by more. Of the full checks, which the first batch and every 256th
    gets, a step bears its share.
    """
    parts = pipeline_parts(2)
    plain, checked = Pipeline(parts), Pipeline([(name, Checked(name, one)) for name, one in parts])
    options = Unet(width=16, batch_size=32, steps=1)
    learner = UnetLearner(options, samples, plain, Workspace(Path(), 0, "cpu", SilentLog()))
    steps = [seconds_of(lambda number=number: learner.step(number)) for number in range(2 + rounds // 10)][2:]  # type: ignore[misc]
    step = statistics.median(steps)
    batch = Batches(samples, 32, 0, "cpu").at(0)
    full = seconds_of(lambda: batch.augmented(checked))
    more: list[float] = []
    for number in range(min(rounds, EVERY - 2)):
        ways = [plain, checked] if number % 2 else [checked, plain]
        times = {way is checked: seconds_of(lambda way=way: batch.augmented(way)) for way in ways}  # type: ignore[misc]
        more.append(times[True] - times[False])
    every, now_and_then = 100 * statistics.median(more) / step, 100 * full / EVERY / step
    print(f"{'checks of every batch, share of a step':<60}{every:.2f} %, and {now_and_then:.2f} % for the full ones")
    return {"checks, share of a step, %": round(every, 3), "full checks, share of a step, %": round(now_and_then, 3)}


def seconds_of(call: Callable[[], object]) -> float:
    """Return what a call takes, computed as in training."""
    began = time.perf_counter()
    with reproducible():
        call()
    return time.perf_counter() - began


def main() -> None:
    """Measure, print a table, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three short rounds instead of seven longer ones")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="which parts")
    chosen = parser.parse_args()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # what peers say about their own dependencies
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    keep_freed_memory()  # as in every run; it serves the peers of this process, too
    samples = Phantom(train=256, test=1, size=128).load().train
    missing = absent(PEERS)
    rounds, seconds = (3, 0.25) if chosen.quick else (7, 1.0)
    ratios: dict[str, float] = {}
    values: dict[str, float] = {}
    if "peers" in chosen.only:
        ratios, values = measure(samples, rounds, seconds, missing)
    if "busy" in chosen.only:
        gains, rates = measure_beside(samples, rounds, seconds)
        ratios, values = ratios | gains, values | rates
    if "checks" in chosen.only:
        values |= cost_of_checks(samples, 60 if chosen.quick else 200)
    record = {
        "benchmark": "augmentation",
        "ratios": ratios,
        "values": values,
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "system": platform.system()},
        "versions": {name: version(name) for name in ("augkit", "torch", *PEERS) if name not in missing},
        "missing": missing,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()

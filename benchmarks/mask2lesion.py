"""Mask2Lesion on real images: does it paint lesions, and do they lie where the mask says?

    AUGKIT_DATA=... python benchmarks/mask2lesion.py [--size 64] [--width 16] [--out runs] [--figure FILE.png] [--quick]

Trains the generator on the 2,000 training images of ISIC 2017 and a U-Net on the same real images alone, then paints
the masks of the 150 validation images, which neither has seen. Three tables in one:

* distance to the real image of the same mask: L1 (0..1), SSIM (Wang et al. 2004, 7x7 window), PSNR in dB, beside the
  trivial rival: the mean training image inside lesions, pasted inside the mask, and the mean outside around it;
* mask adherence: Dice between the mask an image was painted from and what the U-Net segments in it, beside the same
  predictions against other images' masks (every mask moved on by one) and the U-Net's Dice on the real images;
* synthesis speed. One training per row: nothing here compares generators.

Both trainings are artifacts of the folder `--out`: an interrupted run continues and a second one only measures.
"""

import argparse
import json
import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from augkit import Draws, ImageSet
from augkit.contracts.components import Synthesizer
from augkit.contracts.registry import load_registry
from augkit.data.arrays import Images, Masks
from augkit.data.draws import sample_keys
from augkit.data.stored import read_image_set
from augkit.figures import TRUTH, Row, Tile, gallery, mask_picture
from augkit.metrics import confusion, scores
from augkit.planning.components import check_recipes
from augkit.planning.plan import make_plan
from augkit.planning.recipe import load_recipes
from augkit.planning.tasks import Arm, Synthesise, TrainSegmenter
from augkit.running.audience import Audience
from augkit.running.engine import Engine
from augkit.store import Digests, Store, read_json, write_bytes

RECIPES = Path(__file__).parent.parent / "recipes" / "isic2017"
SHOWN = 8
ROUNDS = 3
Values = NDArray[np.float64]


def plan_arm(name: str, options: argparse.Namespace) -> Arm:
    """Return the arm of one shipped recipe, reduced to the size and budget asked for."""
    changes = [f"dataset.isic.size={options.size}"]
    changes.append(f"segmenter.unet={{width: {options.width}, steps: {options.steps}, {options.unet}}}")
    if name != "noaug":
        budget = f"width: {options.width}, epochs: {options.epochs}, decay_epochs: {options.epochs}"
        changes.append(f"synthesize.0.generator.mask2lesion={{{budget}, {options.gan}}}")
    checked = check_recipes(load_recipes([RECIPES / f"{name}.yaml"], changes), load_registry())
    return make_plan(checked, None, Digests(options.out)).arms[0]


def trivial_rival(train: ImageSet, masks: Masks) -> Images:
    """Return the mean training image inside lesions where a mask is, the mean outside elsewhere, uint8 (N, H, W, 3).

    A pixel that no training lesion covers takes the mean colour of all lesion pixels.
    """
    images = train.images.astype(np.float64)
    inside = _pixel_means(images, train.masks)
    outside = _pixel_means(images, ~train.masks)
    painted: Images = np.where(masks[..., None], inside, outside).round().astype(np.uint8)
    return painted


def _pixel_means(images: Values, where: Masks) -> Values:
    counts = where.sum(axis=0)[..., None]
    sums = (images * where[..., None]).sum(axis=0)
    overall = sums.sum(axis=(0, 1)) / counts.sum()
    means: Values = np.where(counts > 0, sums / np.maximum(counts, 1), overall)
    return means


def distances(painted: Images, real: Images) -> dict[str, float]:
    """Return means over images: L1 in 0..1, SSIM, PSNR in dB."""
    a, b = painted.astype(np.float64) / 255, real.astype(np.float64) / 255
    squares = ((a - b) ** 2).mean(axis=(1, 2, 3))
    pairs = zip(painted, real, strict=True)
    similar = [structural_similarity(x, y, channel_axis=2) for x, y in pairs]  # type: ignore[no-untyped-call]
    return {
        "L1": float(np.abs(a - b).mean()),
        "SSIM": float(np.mean(similar)),
        "PSNR": float((-10 * np.log10(squares)).mean()),
    }


def mean_dice(predicted: Masks, truth: Masks) -> float:
    """Return the mean Dice over images."""
    return float(scores(confusion(predicted, truth))["dice"].mean())


def images_per_second(paint: Synthesizer, masks: Masks, draws: Draws[NDArray[Any]]) -> float:
    """Return the median synthesis speed of several rounds."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        paint(masks, draws)
        seconds.append(time.perf_counter() - began)
    return len(masks) / statistics.median(seconds)


def figure(train: ImageSet, of_train: Images, held_out: ImageSet, of_held_out: Images, rival: Images) -> bytes:
    """Return the PNG: masks, real images and painted ones, evenly chosen by index, for training and held-out masks."""

    def rows(samples: ImageSet, painted: Images, note: str) -> list[Row]:
        masks = samples.masks
        return [
            Row(f"{note} masks", tuple(Tile(mask_picture(mask)) for mask in masks)),
            Row(
                "real", tuple(Tile(image, ((mask, TRUTH),)) for image, mask in zip(samples.images, masks, strict=True))
            ),
            Row("painted", tuple(Tile(image) for image in painted)),
        ]

    rival_row = Row("mean images", tuple(Tile(image) for image in rival))
    return gallery([*rows(train, of_train, "training"), *rows(held_out, of_held_out, "held-out"), rival_row])


def evenly(total: int) -> NDArray[np.int64]:
    """Return `SHOWN` indices spread over a set, so that nobody chose them."""
    return np.linspace(0, total - 1, SHOWN).astype(np.int64)


def options() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=30, help="at the full learning rate, and as many while it falls")
    parser.add_argument("--steps", type=int, default=2000, help="of the U-Net")
    parser.add_argument("--gan", default="norm: instance, adversarial: lsgan, batch_size: 8, learning_rate: 4e-4")
    parser.add_argument("--unet", default="batch_size: 16, optimizer: adamw, learning_rate: 1e-3, schedule: cosine")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--quick", action="store_true", help="one epoch: about the harness, not the generator")
    given = parser.parse_args()
    if given.quick:
        given.epochs, given.steps = 1, 60
    return given


def main() -> None:
    """Train what is missing, measure, print a table, then one JSON line."""
    given = options()
    with Audience(load_registry().choose_observers(["progress"], "benchmark")) as audience:
        report(given, Engine(Store(given.out), given.device, audience.tell))


def report(given: argparse.Namespace, engine: Engine) -> None:
    """Build what is missing, measure, print."""
    arm, plain = plan_arm("mask2lesionaug", given), plan_arm("noaug", given)
    dataset, folder = engine.artifact(arm.dataset), engine.artifact(arm.generators[0])
    train, held_out = read_image_set(dataset / "train"), read_image_set(dataset / "test")
    painting, training = arm.syntheses[0].task, plain.segmenter.task
    assert isinstance(painting, Synthesise)
    assert isinstance(training, TrainSegmenter)
    paint = painting.generator.open(folder, engine.device)
    predict = training.segmenter.open(engine.artifact(plain.segmenter), engine.device)

    def paint_set(samples: ImageSet) -> Images:
        return paint(samples.masks, Draws.of(painting.seed, "benchmark", sample_keys(samples.ids)))

    def segment(images: Images) -> Masks:
        found: Masks = predict(images)[:, 0] > 0.5
        return found

    painted, rival = paint_set(held_out), trivial_rival(train, held_out.masks)
    values: dict[str, dict[str, float]] = {}
    for name, images in {"mask2lesion": painted, "mean images": rival, "real": held_out.images}.items():
        found = segment(images)
        values[name] = {} if name == "real" else distances(images, held_out.images)
        values[name]["adherence"] = mean_dice(found, held_out.masks)
        values[name]["shuffled"] = mean_dice(found, np.roll(held_out.masks, 1, axis=0))
    speed = images_per_second(paint, train.masks, Draws.of(0, "speed", np.arange(len(train))))
    if given.figure:
        some, others = train.take(evenly(len(train))), evenly(len(held_out))
        picture = figure(some, paint_set(some), held_out.take(others), painted[others], rival[others])
        write_bytes(given.figure, picture)

    print(f"{len(held_out)} held-out masks, {given.size} x {given.size} pixels, width {given.width}")
    columns = ("L1", "SSIM", "PSNR", "adherence", "shuffled")
    print(f"{'':<14}" + "".join(f"{name:>12}" for name in columns))
    for name, row in values.items():
        print(f"{name:<14}" + "".join(f"{row[c]:12.4f}" if c in row else f"{'':>12}" for c in columns))
    print(f"synthesis {speed:.0f} images/s on {engine.device}")
    for sentence in read_json(folder / "health.json")["sentences"]:
        print(sentence)
    record = {
        "benchmark": "mask2lesion",
        "ratios": {"L1": round(values["mean images"]["L1"] / values["mask2lesion"]["L1"], 3)},
        "values": {name: {k: round(v, 4) for k, v in row.items()} for name, row in values.items()}
        | {"synthesis": {"images_per_s": round(speed, 1)}},
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "device": engine.device},
        "versions": {name: version(name) for name in ("augkit", "torch", "numpy", "scikit-image")},
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()

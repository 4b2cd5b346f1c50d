"""Generators side by side: what training costs, how fast they paint, and whether they follow the mask and vary.

    python benchmarks/generators.py [--quick] [--phantom] [--only NAME,...] [--images 600] [--gallery FOLDER]

ISIC 2017 from ``$AUGKIT_DATA`` (``--phantom`` for the drawn data). Every generator learns from the training images and
paints test masks that it has not seen: `mask2lesion`, the paper's but for size, norm and loss, and `flow` for the given
numbers of steps, `flow-distilled` as many, and as many again for its student, which is half as wide again,
`mask2lesion-spade` as the shipped recipe for these data has it, `recipes/allaug.yaml` or
`recipes/isic2017-64/allaug.yaml`. Quality is what `augkit.quality.judge` says. The row ``real`` holds what the test
images get by the same measures: ceiling or floor.

    adherence   Dice of the mask and what a U-Net trained on real images finds; ``shuffled``: with another image's mask
    contrast    of masks that cover more than 40 % of the frame, each painted under eight keys: the median distance, in
                grey levels, of the mean colours in the bands on either side of the mask's border
    bare        share of these images that show skin inside the mask: so says a linear rule, of mean and spread of each
                channel, that tells the insides of the training images' masks from what lies around them
    kid         kernel distance to the training images in the features it is named after, and its standard error
    diversity   how far images of one mask are apart in these features, as a share of how far training images are
    greys       the same in grey levels, root mean square
    colours     spread over images of the mean colour, as a share of that of the test images
    grid        energy where upsampling leaves traces, beside real images: about 1, and visible above 2
    suspicious  share of images nearer to a training image, in pixels or in features, than 99 % of test images, and by
                a larger factor than to the nearest test image

Where `texture` is among them, below the table stands how fast it paints at 128x128, on phantoms, in a single thread: by
the clock on the wall, and by the processor's, which other programs on the machine slow down less. It should be at least
200 images/s.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import binary_dilation

from augkit import Draws, Generator, ImageSet, Splits, Synthesizer, Workspace, load_recipe
from augkit.contracts.components import SilentLog
from augkit.data.arrays import Images, Masks
from augkit.data.encoding import encode_png
from augkit.quality.features import NAME
from augkit.quality.judge import Material, judge
from augkit.store import write_bytes
from augkit_flow.generator import DistilledFlow, Flow
from augkit_isic import Isic
from augkit_mask2lesion.generator import Mask2Lesion
from augkit_mask2lesion.presets import Spade
from augkit_phantom import Phantom
from augkit_texture.generator import Texture
from augkit_unet.segmenter import Unet

NAMES = "mask2lesion", "mask2lesion-spade", "texture", "flow", "flow-distilled"
SHOWN = 10
SEED = 0
ROUNDS = 3
SPEED_IMAGES = 256
LARGE = 0.4
LARGE_KEYS = 8
BAND = 1 / 10
ENOUGH = 32

Segment = Callable[[Images], Masks]


@dataclass(frozen=True)
class Budget:
    """What a run may cost. images: painted by each; steps: of training; size: side in pixels; width: of networks.

    spade: `mask2lesion-spade` as a recipe has it.
    """

    spade: Spade
    size: int
    width: int
    images: int
    gan_steps: int
    flow_steps: int
    segmenter_steps: int


def generators(budget: Budget, training_images: int) -> Mapping[str, Generator]:
    """Return the generators to compare, trained within the budget."""
    batch = 4
    epochs = max(2, round(budget.gan_steps * batch / training_images))
    gan = Mask2Lesion(
        width=budget.width,
        norm="instance",
        adversarial="lsgan",
        epochs=epochs - epochs // 2,
        decay_epochs=epochs // 2,
        batch_size=batch,
        sample_every=0,
    )
    flow = Flow(width=budget.width, steps=budget.flow_steps, batch_size=8, ema=0.995)
    few = DistilledFlow(
        width=budget.width,
        steps=budget.flow_steps,
        batch_size=8,
        ema=0.995,
        student_width=budget.width * 3 // 2,
        student_steps=budget.flow_steps,
    )
    return dict(zip(NAMES, (gan, budget.spade, Texture(), flow, few), strict=True))


def shipped(recipe: str) -> Spade:
    """Return the generator of a shipped recipe, without pictures along the way."""
    (source,) = load_recipe(recipe).recipes[0].sources
    generator = source.generator.instance
    assert isinstance(generator, Spade)
    return replace(generator, sample_every=0)


def measures(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the columns of a record of `augkit.quality.judge.judge`."""
    follows, kid, varies = record["adherence"], record[f"kid_{NAME}"], record["diversity"]
    return {
        "adherence": follows["dice"],
        "shuffled": follows["shuffled_masks"],
        f"kid_{NAME}": kid["value"],
        "error": kid["error"],
        "diversity": varies["share_of_real"],
        "greys": varies["pixels"],
        "grid": record["grid"]["value"],
        "suspicious": record["memorisation"]["suspicious_share"],
    }


def measures_of_real(record: Mapping[str, Any]) -> dict[str, float]:
    """Return what the held-out images get, which stands in every record."""
    follows, kid = record["adherence"], record[f"kid_{NAME}"]
    return {
        "adherence": follows["held_out"],
        f"kid_{NAME}": kid["held_out"],
        "error": kid["held_out_error"],
        "grid": record["grid"]["held_out"],
        "suspicious": record["memorisation"]["held_out_share"],
    }


def large(splits: Splits, paint: Synthesizer | None) -> dict[str, float]:
    """Return how large lesions are painted, or without `paint` what real ones are; nothing where there are none."""
    chosen = np.flatnonzero(np.asarray(splits.test.masks).mean((1, 2)) > LARGE)
    if not len(chosen):
        return {}
    masks, images = np.asarray(splits.test.masks)[chosen], np.asarray(splits.test.images)[chosen]
    if paint is not None:
        masks = np.repeat(masks, LARGE_KEYS, axis=0)
        images = paint(masks, Draws.of(SEED, "large", np.arange(len(masks))))
    return {"contrast": contrast(images, masks), "bare": bare(splits.train, images, masks)}


def contrast(images: Images, masks: Masks) -> float:
    """Return the median distance of mean colours on either side of a mask's border, where there are enough pixels."""
    reach = round(masks.shape[1] * BAND)
    found = []
    for image, mask in zip(images, masks, strict=True):
        inside, outside = (
            mask & binary_dilation(~mask, iterations=reach),
            ~mask & binary_dilation(mask, iterations=reach),
        )
        if min(inside.sum(), outside.sum()) >= ENOUGH:
            found.append(np.linalg.norm(image[inside].mean(0) - image[outside].mean(0)))
    return float(np.median(found))


def bare(train: ImageSet, images: Images, masks: Masks) -> float:
    """Return the share of images whose inside looks more like what lies around training masks than like theirs."""
    lesions, skin = (
        looks(np.asarray(train.images), part) for part in (np.asarray(train.masks), ~np.asarray(train.masks))
    )
    sides = np.repeat([1.0, -1.0], [len(lesions), len(skin)])
    rule = np.linalg.lstsq(np.concatenate([lesions, skin]), sides)[0]
    return float((looks(images, masks) @ rule < 0).mean())


def looks(images: Images, masks: Masks) -> Any:
    """Return float64 (n, 7): mean and spread of each channel where masks are, and 1; empty masks are left out."""
    each = (image[mask] for image, mask in zip(images, masks, strict=True) if mask.any())
    return np.array([[*pixels.mean(0), *pixels.std(0), 1] for pixels in each])


def real_segmenter(splits: Splits, budget: Budget, folder: Path) -> Segment:
    """Return a U-Net trained on real images only."""
    unet = Unet(width=16, steps=budget.segmenter_steps, batch_size=16, optimizer="adamw", learning_rate=1e-3)
    empty = ImageSet.empty(splits.train.size)
    unet.fit(splits.train, empty, lambda images, masks, draws: (images, masks), space(folder))
    predict = unet.open(folder, "cpu")
    return lambda images: predict(images)[:, 0] > 0.5


def space(folder: Path) -> Workspace:
    """Return a workspace in a new folder."""
    folder.mkdir(parents=True)
    return Workspace(folder, SEED, "cpu", SilentLog())


def spread(images: Images) -> float:
    """Return the standard deviation over images of the mean of each channel, averaged over channels."""
    return float(np.asarray(images).mean(axis=(1, 2)).std(axis=0).mean())


def compare(
    splits: Splits, budget: Budget, folder: Path, only: Sequence[str], gallery: Path | None
) -> dict[str, dict[str, float]]:
    """Return row -> column -> value, for the generators named in `only`."""
    index = np.arange(budget.images) % len(splits.test)
    masks, groups = np.asarray(splits.test.masks)[index], tuple(splits.test.groups[i] for i in index)
    segment = real_segmenter(splits, budget, folder / "unet")
    rows: dict[str, dict[str, float]] = {"real": {}}
    every = generators(budget, len(splits.train))
    for name in only:
        generator = every[name]
        began = time.perf_counter()
        generator.fit(splits.train, space(folder / name))
        trained = time.perf_counter()
        paint = generator.open(folder / name, "cpu")
        ready, clock = time.perf_counter(), time.process_time()
        images = paint(masks, Draws.of(SEED, "synthesis", np.arange(len(masks))))
        painted = time.perf_counter()
        cost = {
            "training s": trained - began,
            "images/s": len(masks) / (painted - ready),
            "images/processor s": len(masks) / (time.process_time() - clock),
        }
        ids, origins = tuple(f"{name}-{i}" for i in range(len(masks))), (name,) * len(masks)
        synthetic = ImageSet(ids, images, masks, groups, origins)
        record = judge(Material(splits.train, splits.test, synthetic, segment, paint, SEED)).record
        rows["real"] = measures_of_real(record) | large(splits, None)
        colours = {"colours": spread(images) / spread(splits.test.images)}
        rows[name] = {**cost, **measures(record), **colours, **large(splits, paint)}
        if gallery is not None:
            write_bytes(gallery / f"generators-{name}.png", encode_png(picture(splits.test, paint)))
    return rows


def texture_speed(folder: Path) -> dict[str, float]:
    """Return images/s of `texture` at 128x128 by both clocks, medians of rounds."""
    splits = Phantom(train=100, test=50, size=128).load()
    masks = np.asarray(splits.test.masks)[np.arange(SPEED_IMAGES) % len(splits.test)]
    draws = Draws.of(SEED, "synthesis", np.arange(SPEED_IMAGES))
    Texture().fit(splits.train, space(folder))
    paint = Texture().open(folder, "cpu")
    rounds = []
    for _ in range(ROUNDS + 1):
        clocks = time.perf_counter(), time.process_time()
        paint(masks, draws)
        rounds.append((time.perf_counter() - clocks[0], time.process_time() - clocks[1]))
    wall, processor = np.median(rounds[1:], axis=0)  # the first one fills caches
    return {"images/s at 128": SPEED_IMAGES / wall, "images/processor s at 128": SPEED_IMAGES / processor}


def picture(test: ImageSet, paint: Synthesizer) -> Images:
    """Return a gallery: masks, real images, and a row of painted images for each of four keys."""
    shown = test.take(np.linspace(0, len(test) - 1, SHOWN).astype(np.int64))
    masks = np.asarray(shown.masks)
    above = [np.repeat(masks[..., None].astype(np.uint8) * np.uint8(255), 3, axis=3), np.asarray(shown.images)]
    painted = [paint(masks, Draws.of(SEED, f"gallery {key}", np.arange(SHOWN))) for key in range(4)]
    return np.concatenate([np.concatenate(list(row), axis=1) for row in [*above, *painted]])


def show(rows: Mapping[str, Mapping[str, float]]) -> None:
    """Print the table."""
    names = (
        "training s",
        "images/s",
        "images/processor s",
        "adherence",
        "contrast",
        "bare",
        "shuffled",
        f"kid_{NAME}",
        "error",
        "diversity",
        "greys",
        "colours",
        "grid",
        "suspicious",
    )
    columns = {name: max(12, len(name) + 2) for name in names}
    print(f"{'':<20}" + "".join(f"{name:>{width}}" for name, width in columns.items()))
    for name, row in rows.items():
        cells = (
            f"{row[column]:>{width}.3g}" if column in row else f"{'':>{width}}" for column, width in columns.items()
        )
        print(f"{name:<20}" + "".join(cells))


def listed(text: str) -> list[str]:
    """Return the names of generators in a list with commas."""
    found = text.split(",")
    if unknown := sorted(set(found) - set(NAMES)):
        raise argparse.ArgumentTypeError(f"found {', '.join(unknown)}; allowed: {', '.join(NAMES)}")
    return found


def main() -> None:
    """Measure, print a table, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small phantoms and few steps: about the harness only")
    parser.add_argument("--phantom", action="store_true", help="drawn data instead of ISIC 2017")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--gan-steps", type=int, default=10_000)
    parser.add_argument("--flow-steps", type=int, default=10_000)
    parser.add_argument("--segmenter-steps", type=int, default=3000)
    parser.add_argument("--only", type=listed, default=list(NAMES), help="names with commas; all without")
    parser.add_argument("--gallery", type=Path, help="folder for a PNG of each generator")
    chosen = parser.parse_args()
    phantom = chosen.phantom or chosen.quick
    spade = shipped("allaug" if phantom else "isic2017-64/allaug")
    budget = Budget(
        spade,
        chosen.size,
        chosen.width,
        chosen.images,
        chosen.gan_steps,
        chosen.flow_steps,
        chosen.segmenter_steps,
    )
    if chosen.quick:
        spade = replace(spade, width=8, epochs=2, decay_epochs=2)
        budget = Budget(spade, size=32, width=8, images=60, gan_steps=100, flow_steps=100, segmenter_steps=100)
        torch.set_num_threads(1)  # for networks this small a second one gains nothing, and costs much on a busy machine
    data = Phantom(train=200, test=60, size=budget.size) if phantom else Isic(size=budget.size, resize="area")
    splits = data.load()
    with tempfile.TemporaryDirectory() as folder:
        rows = compare(splits, budget, Path(folder), chosen.only, chosen.gallery)
        speed = texture_speed(Path(folder) / "speed") if "texture" in rows else {}
    show(rows)
    if speed:
        print(", ".join(f"texture {name}: {value:.0f}" for name, value in speed.items()))
        rows["texture"] |= speed
    record = {
        "benchmark": "generators",
        "ratios": {
            f"{name} speed over mask2lesion": round(rows[name]["images/s"] / rows["mask2lesion"]["images/s"], 2)
            for name in chosen.only
            if name != "mask2lesion" and "mask2lesion" in rows
        },
        "values": {f"{name} {column}": round(v, 4) for name, row in rows.items() for column, v in row.items()},
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "system": platform.system()},
        "versions": {name: version(name) for name in ("augkit", "torch", "numpy", "scipy")},
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()

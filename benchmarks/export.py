"""Writing a synthetic set: images and masks a second, beside Pillow writing the same files with two threads.

    python benchmarks/export.py [--quick]

Exports images of 128 x 128 pixels (enlarged phantoms with film grain) as PNG and lossless WebP with all that an export
has (manifest, card, hashes, flush), and lets Pillow write images and masks at its fastest lossless settings.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augkit import ImageSet, Splits
from augkit.export import write_export
from augkit.export_files import Export, ImageFormat, Source
from augkit_phantom import Phantom

QUALITY = {
    "features": "handcrafted",
    "compared": 0,
    "adherence": dict.fromkeys(("dice", "error", "percentile_5", "shuffled_masks", "held_out", "held_out_error"), 0.0),
    "diversity": dict.fromkeys(("handcrafted", "real_handcrafted", "pixels"), 0.0),
    "memorisation": dict.fromkeys(
        (
            "copying_z_pixels", "copying_z_handcrafted", "median_pixels", "held_out_median_pixels", "suspicious_share",
            "held_out_share", "nearest_is_own_image_share", "nearest_is_own_image_chance", "drawn_from_training_masks",
        ),
        0.0,
    ),
}  # fmt: skip


def example(count: int) -> Export:
    """Return an export of `count` images that compress about as well as photographs do."""
    real = Phantom(train=40, test=2, size=128).load()
    rows = np.arange(count) % len(real.train)
    grain = np.random.Generator(np.random.Philox(1)).integers(-3, 4, (count, 128, 128, 3))
    images = np.clip(real.train.images[rows] + grain, 0, 255).astype(np.uint8)
    ids = tuple(f"gan-training-0-{i:06d}" for i in range(count))
    samples = ImageSet(ids, images, real.train.masks[rows], ids, ("gan/training",) * count)
    columns: dict[str, list[float] | list[str] | list[bool]] = {
        "adherence": [0.5] * count,
        "nearest_real": ["a"] * count,
        "suspicious": [False] * count,
    }
    columns |= {"nearest_real_pixels": [1.0] * count, "nearest_real_handcrafted": [1.0] * count}
    hashes = {"generator": "0" * 64, "synthesis": "0" * 64}
    source = Source(samples, [{}] * count, np.arange(count), QUALITY, columns, hashes)
    return Export("bench", "name: bench\n", 0, (source,), Splits(real.train, ImageSet.empty((128, 128)), real.test))


def with_augkit(export: Export, image_format: ImageFormat, target: Path) -> None:
    """Write an export."""
    write_export(export, target, "folder", image_format)


def with_pillow(export: Export, image_format: ImageFormat, target: Path) -> None:
    """Write the same images and masks with Pillow and two threads."""
    samples = export.sources[0].samples
    png = image_format == "png"
    options: dict[str, Any] = {"compress_level": 1} if png else {"lossless": True, "method": 0, "quality": 0}
    for name in ("images", "masks"):
        (target / name).mkdir(parents=True)

    def write(i: int) -> None:
        name = samples.ids[i]
        Image.fromarray(samples.images[i]).save(target / "images" / f"{name}.{image_format}", **options)
        mask = samples.masks[i].astype(np.uint8) * np.uint8(255)
        Image.fromarray(mask).save(target / "masks" / f"{name}.png", compress_level=1)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(len(samples))))
    os.sync()


def per_second(work: Callable[[Path], object], count: int, folder: str) -> float:
    """Return images a second of one run into a fresh folder."""
    target = Path(tempfile.mkdtemp(dir=folder)) / "out"
    began = time.perf_counter()
    work(target)
    return count / (time.perf_counter() - began)


def main() -> None:
    """Measure, print a table, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    count, rounds = (1000, 3) if quick else (4000, 5)
    export = example(count)
    formats: tuple[ImageFormat, ...] = ("png", "webp")
    values: dict[str, float] = {}
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for form in formats:
            ours, theirs = [], []
            for _ in range(rounds):
                ours.append(per_second(partial(with_augkit, export, form), count, folder))
                theirs.append(per_second(partial(with_pillow, export, form), count, folder))
            values[f"{form}_augkit_per_s"] = statistics.median(ours)
            values[f"{form}_pillow_per_s"] = statistics.median(theirs)
            ratios[form] = round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 2)
            print(f"{form:<6} augkit {statistics.median(ours):8.0f}/s   Pillow {statistics.median(theirs):8.0f}/s"
                  f"   ratio {ratios[form]:5.2f}")  # fmt: skip
    record = {
        "benchmark": "export",
        "ratios": ratios,
        "values": {name: round(value, 1) for name, value in values.items()},
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "system": platform.system()},
        "versions": {name: version(name) for name in ("augkit", "pillow", "numpy")},
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()

"""Writing a synthetic set: images and masks a second, beside Pillow writing the same files with two threads.

    python benchmarks/export.py [--quick] [--folder FOLDER]

Exports images of 128 x 128 pixels (enlarged phantoms with film grain) as PNG and lossless WebP with all that an export
has (manifest, card, hashes, flush), and lets Pillow write images and masks at its fastest lossless settings.

ext4 makes new files up to thirty times as slowly in a place where many were deleted within half a minute, as in a
temporary folder while tests run; FOLDER is another place to write into. Processor time, which other programs on the
machine change less than they change the clock, is counted beside.
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
from augkit.sharing.export import write_export
from augkit.sharing.files import Export, ImageFormat, SyntheticSet
from augkit_phantom import Phantom

QUALITY = {
    "features": "handcrafted",
    "compared": 0,
    "adherence": dict.fromkeys(("dice", "error", "percentile_5", "shuffled_masks", "held_out", "held_out_error"), 0.0),
    "diversity": dict.fromkeys(("handcrafted", "real_handcrafted", "pixels"), 0.0),
    "memorisation": dict.fromkeys(
        (
            "copying_z_pixels", "copying_z_handcrafted", "ratio_pixels", "ratio_handcrafted", "held_out_ratio_pixels",
            "held_out_ratio_handcrafted", "nearest_is_training_chance", "nearest_is_training_share_pixels",
            "nearest_is_training_share_handcrafted", "suspicious_share", "held_out_share",
            "nearest_is_own_image_share", "nearest_is_own_image_chance", "drawn_from_training_masks",
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
    source = SyntheticSet(samples, count, [{}] * count, np.arange(count), QUALITY, columns, hashes)
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


def per_second(work: Callable[[Path], object], count: int, folder: str) -> tuple[float, float]:
    """Return images a second of one run into a fresh folder, and processor milliseconds for each."""
    target = Path(tempfile.mkdtemp(dir=folder)) / "out"
    began, used = time.perf_counter(), time.process_time()
    work(target)
    return count / (time.perf_counter() - began), 1000 * (time.process_time() - used) / count


def main() -> None:
    """Measure, print a table, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, help="where to write; the system's temporary folder if not given")
    arguments = parser.parse_args()
    quick = arguments.quick
    count, rounds = (1000, 3) if quick else (4000, 5)
    export = example(count)
    formats: tuple[ImageFormat, ...] = ("png", "webp")
    values: dict[str, float] = {}
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for form in formats:
            ours, theirs = [], []
            for _ in range(rounds):
                ours.append(per_second(partial(with_augkit, export, form), count, folder))
                theirs.append(per_second(partial(with_pillow, export, form), count, folder))
            for who, found in (("augkit", ours), ("pillow", theirs)):
                values[f"{form}_{who}_per_s"], values[f"{form}_{who}_cpu_ms"] = (
                    statistics.median(column) for column in zip(*found, strict=True)
                )
            ratios[form] = round(statistics.median(a[0] / b[0] for a, b in zip(ours, theirs, strict=True)), 2)
            cells = [
                f"{who} {values[f'{form}_{who}_per_s']:6.0f}/s {values[f'{form}_{who}_cpu_ms']:5.2f} ms"
                for who in ("augkit", "pillow")
            ]
            print(f"{form:<6} {'   '.join(cells)}   ratio {ratios[form]:5.2f}")
    record = {
        "benchmark": "export",
        "ratios": ratios,
        "values": {name: round(value, 2) for name, value in values.items()},
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "system": platform.system()},
        "versions": {name: version(name) for name in ("augkit", "pillow", "numpy")},
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()

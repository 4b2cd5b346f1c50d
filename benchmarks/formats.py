"""What other formats cost: a U-Net step with eight classes, and with one channel, beside the plain case.

    python benchmarks/formats.py [--quick] [--threads 1]

Rows take turns in one process, on the same pixels, augmented by `classical-paper`, with the loss `bce_dice`; medians of
the processor's time per step. A step with eight classes at 128x128 should take at most 1.6 times as long as with one.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from augkit import Channel, Format, ImageSet, Workspace
from augkit.contracts.components import SilentLog
from augkit.training.pipeline import Pipeline
from augkit_classical.presets import ClassicalPaper
from augkit_unet.segmenter import Unet
from augkit_unet.training import UnetLearner

EIGHT = ("a", "b", "c", "d", "e", "f", "g", "h")
CT = (Channel("ct", "ct", -160, 240),)

FORMATS: Mapping[str, Format] = {
    "8-bit RGB, one class": Format(),
    "8-bit RGB, eight classes": Format(classes=EIGHT),
    "CT, one class": Format("int16", CT),
    "CT, eight classes": Format("int16", CT, EIGHT),
}

NETWORKS = ((8, 128, 16), (16, 128, 16), (64, 128, 4))
"""Width, side in pixels, and images per step."""

IMAGES = 32


def samples(format: Format, size: int) -> ImageSet:
    """Return random pixels with bands of labels."""
    names = tuple(str(i) for i in range(IMAGES))
    shape = (IMAGES, size, size, len(format.channels))
    images = np.random.Generator(np.random.Philox(0)).integers(0, 240, shape).astype(format.dtype)
    bands = (np.indices((size, size)).sum(0) // 8 % (len(format.classes) + 1)).astype(np.uint8)
    labels = np.repeat(bands[None], IMAGES, axis=0)
    masks = labels.astype(np.bool_) if format.binary else labels
    return ImageSet(names, images, masks, names, ("real",) * IMAGES, format)


def learner(format: Format, width: int, size: int, batch: int, folder: Path) -> UnetLearner:
    """Return a learner that has done its first step."""
    options = Unet(width=width, batch_size=batch, loss="bce_dice")
    augment = Pipeline([("classical-paper", ClassicalPaper())], format.ignore)
    found = UnetLearner(options, samples(format, size), augment, Workspace(folder, 0, "cpu", SilentLog()))
    found.step(0)
    return found


def step_times(width: int, size: int, batch: int, rounds: int) -> dict[str, float]:
    """Return format -> median seconds of the processor per step."""
    with tempfile.TemporaryDirectory() as folder:
        learners = {name: learner(format, width, size, batch, Path(folder)) for name, format in FORMATS.items()}
        found: dict[str, list[float]] = {name: [] for name in learners}
        for number in range(1, rounds + 1):
            for name, one in learners.items():
                began = time.process_time()
                one.step(number)
                found[name].append(time.process_time() - began)
    return {name: statistics.median(times) for name, times in found.items()}


def main() -> None:
    """Measure, print a table, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, the smallest network")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    ratios, values = {}, {}
    for width, size, batch in NETWORKS[:1] if chosen.quick else NETWORKS:
        times = step_times(width, size, batch, 3 if chosen.quick else 9)
        plain = times["8-bit RGB, one class"]
        for name, seconds in times.items():
            row = f"width {width}, {size} px, {name}"
            print(f"{row:<48}{1000 * seconds:>10.1f} ms {seconds / plain:>8.2f} x")
            ratios[row], values[row] = round(plain / seconds, 3), round(seconds, 4)
    record = {
        "benchmark": "formats",
        "ratios": ratios,
        "values": values,
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "system": platform.system()},
        "versions": {name: version(name) for name in ("augkit", "torch", "numpy")},
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()

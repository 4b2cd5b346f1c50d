"""The reports of this folder, trained anew: ``python docs/gallery/build.py [NAME]... [--runs FOLDER]``.

The data are in the folder that AUGKIT_DATA names; phantom needs none. They take about a quarter of an hour on two
quiet cores. With ``--runs`` what is trained is kept there: where only the page has changed, nothing is trained again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from packing import packed

HERE = Path(__file__).parent

UNET = {
    "width": 8, "batch_size": 8, "optimizer": "adamw", "learning_rate": 2e-3, "schedule": "cosine", "loss": "bce_dice"
}  # fmt: skip
CLASSICAL: list[Any] = [{"classical-paper": {}}]

DATA: Mapping[str, Mapping[str, Any]] = {
    "phantom": {"dataset": {"phantom": {"train": 60, "test": 60, "size": 64}}},
    "nuclei": {
        "dataset": {"folder": {"root": "data/nuclei2018", "mask_suffix": "_segmentation", "size": 64}},
        "training_share": 0.1,
    },
    "isic2017-64": {
        "dataset": {
            "isic": {"root": "data/isic2017", "year": 2017, "size": 64, "resize": "area", "test": "validation"}
        },
        "training_share": 0.1,
    },
}
"""Report -> the part of its recipes that is about data."""


STEPS = 400
"""Of a segmenter: a short training, enough for scores that mean something."""

EPOCHS = {"phantom": 6, "nuclei": 0, "isic2017-64": 2}
"""Of a GAN, twice: with the full learning rate, and with a falling one."""


def recipes(name: str, steps: int = STEPS, epochs: int | None = None) -> Mapping[str, dict[str, Any]]:
    """Return the recipes of a report by the names of their arms."""
    epochs = EPOCHS[name] if epochs is None else epochs
    gan = {"mask2lesion-spade": {"width": 12, "epochs": epochs, "decay_epochs": epochs}}
    painted = [{"generator": gan, "masks": {"training": {}}, "per_real": 1.0}]
    arms: dict[str, tuple[list[Any], list[Any]]] = {"noaug": ([], [])}
    if name == "nuclei":
        arms["textureaug"] = [{"generator": {"texture": {}}, "masks": {"training": {}}, "per_real": 1.0}], []
    else:
        arms |= {"classicaug": ([], CLASSICAL), "mask2lesionaug": (painted, [])}
    if name == "phantom":
        arms["allaug"] = painted, CLASSICAL
    return {
        arm: {
            "name": arm,
            "seed": 0,
            **DATA[name],
            "synthesize": synthesize,
            "augment": augment,
            "segmenter": {"unet": {**UNET, "steps": steps}},
        }
        for arm, (synthesize, augment) in arms.items()
    }


def train(name: str, folder: Path, changes: Sequence[str] = (), steps: int = STEPS, epochs: int | None = None) -> Path:
    """Train the arms of a report with four seeds each in a folder, and return the report's own."""
    folder.mkdir(parents=True, exist_ok=True)
    written = recipes(name, steps, epochs)
    for arm, recipe in written.items():
        (folder / f"{arm}.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    if "AUGKIT_DATA" in os.environ and not (folder / "data").exists():
        (folder / "data").symlink_to(os.environ["AUGKIT_DATA"])
    files, sets = [f"{arm}.yaml" for arm in written], [word for change in changes for word in ("--set", change)]
    command = ["-m", "augkit", "run", *files, "--seeds", "0..3", "--threads", "1", "--jobs", "2", "--quiet", *sets]
    subprocess.run([sys.executable, *command], cwd=folder, check=True)
    return max((folder / "runs" / "report").iterdir(), key=lambda report: report.stat().st_mtime)


def main() -> None:
    """Build the reports that are named, all of them otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *DATA], metavar="NAME")
    parser.add_argument("--runs", type=Path)
    asked = parser.parse_args()
    for name in asked.names or DATA:
        with TemporaryDirectory() as scratch:
            page = packed(train(name, (asked.runs or Path(scratch)) / name))
        (HERE / f"{name}.html").write_text(page, encoding="utf-8")
        print(f"{name}.html: {len(page.encode()) // 1024} KiB")


if __name__ == "__main__":
    main()

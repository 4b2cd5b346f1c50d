"""The quality of a synthetic set: ``quality.json``, ``images.json`` and a PNG per picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augkit.store import read_json, write_bytes, write_json


@dataclass(frozen=True)
class Quality:
    """The numbers of a synthetic set as plain JSON, those of each image by column, and pictures (file stem -> PNG)."""

    record: Mapping[str, Any]
    per_image: Mapping[str, Sequence[str | float | bool]]
    pictures: Mapping[str, bytes]


def write_quality(folder: Path, quality: Quality) -> None:
    """Write a quality artifact."""
    write_json(folder / "quality.json", quality.record)
    write_json(folder / "images.json", quality.per_image)
    for name, png in quality.pictures.items():
        write_bytes(folder / f"{name}.png", png)


def read_quality(folder: Path) -> Quality:
    """Return the quality of a synthetic set."""
    pictures = {file.stem: file.read_bytes() for file in sorted(folder.glob("*.png"))}
    return Quality(read_json(folder / "quality.json"), read_json(folder / "images.json"), pictures)

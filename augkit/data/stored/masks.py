"""Drawn masks: ``masks.npy`` (count, H, W), bool or label maps, and ``records.json``, one mapping per mask."""

from __future__ import annotations

from pathlib import Path

from augkit.data.arrays import DrawnMasks, Masks
from augkit.store import read_array, read_json, write_array, write_json


def write_drawn_masks(folder: Path, drawn: DrawnMasks) -> None:
    """Write what a mask source drew."""
    write_array(folder / "masks.npy", drawn.masks)
    write_json(folder / "records.json", list(drawn.records))


def read_drawn_masks(folder: Path) -> DrawnMasks:
    """Return what a mask source drew; the masks are mapped from disk, read-only."""
    return DrawnMasks(read_array(folder / "masks.npy"), tuple(read_json(folder / "records.json")))


def read_training_masks(dataset: Path) -> Masks:
    """Return the training masks of a dataset artifact, as in `ImageSet`, mapped from disk; no image is read."""
    return read_array(dataset / "train" / "masks.npy")

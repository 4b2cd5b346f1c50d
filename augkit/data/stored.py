"""Image sets and splits in the folder of an artifact."""

from __future__ import annotations

from pathlib import Path

from augkit.data.arrays import ImageSet, Splits
from augkit.store import read_array, read_json, write_array, write_json

SPLITS = ("train", "validation", "test")


def write_image_set(folder: Path, samples: ImageSet) -> None:
    """Write an image set as ``images.npy``, ``masks.npy`` and ``samples.json``."""
    write_array(folder / "images.npy", samples.images)
    write_array(folder / "masks.npy", samples.masks)
    names = {"ids": samples.ids, "groups": samples.groups, "origins": samples.origins}
    write_json(folder / "samples.json", names)


def read_image_set(folder: Path) -> ImageSet:
    """Return an image set whose pixels are mapped from disk, read-only."""
    names = read_json(folder / "samples.json")
    images, masks = read_array(folder / "images.npy"), read_array(folder / "masks.npy")
    return ImageSet(tuple(names["ids"]), images, masks, tuple(names["groups"]), tuple(names["origins"]))


def write_splits(folder: Path, splits: Splits) -> None:
    """Write a dataset artifact: ``train``, ``validation`` and ``test``."""
    for name in SPLITS:
        write_image_set(folder / name, getattr(splits, name))


def read_splits(folder: Path) -> Splits:
    """Return the splits of a dataset artifact."""
    return Splits(*(read_image_set(folder / name) for name in SPLITS))

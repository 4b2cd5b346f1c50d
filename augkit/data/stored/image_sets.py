"""Image sets and splits: ``images.npy``, ``masks.npy``, ``samples.json``, and what is said of a whole data set.

What is not 8-bit RGB with one class has a ``format.json`` besides, and sets with known spacing a ``spacing.npy``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from augkit.data.arrays import Images, ImageSet, Masks, Splits
from augkit.data.formats import Format
from augkit.data.stored.shards import read_shards
from augkit.store import array_file, read_array, read_json, write_array, write_json

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Names:
    """What is known of the samples of an image set besides their pixels, as in `ImageSet`."""

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    origins: tuple[str, ...]


def write_image_set(folder: Path, samples: ImageSet) -> None:
    """Write an image set."""
    write_array(folder / "images.npy", samples.images)
    names = Names(samples.ids, samples.groups, samples.origins)
    write_samples(folder, names, samples.masks, samples.format, samples.spacing)


@contextmanager
def images_file(folder: Path, shape: tuple[int, ...], format: Format) -> Iterator[Callable[[Images], None]]:
    """Give a function that adds the next images of a set, (n, H, W, C), to a file; `shape` is that of all its masks."""
    with array_file(folder / "images.npy", (*shape, len(format.channels)), np.dtype(format.dtype)) as add:
        yield add


def write_samples(
    folder: Path, names: Names, masks: Masks, format: Format, spacing: NDArray[np.float32] | None
) -> None:
    """Write what an image set has beside its images, which `images_file` writes; arguments as in `ImageSet`."""
    write_array(folder / "masks.npy", masks)
    write_json(folder / "samples.json", {"ids": names.ids, "groups": names.groups, "origins": names.origins})
    write_format(folder, format)
    if spacing is not None:
        write_array(folder / "spacing.npy", spacing)


def read_names(folder: Path) -> Names:
    """Return the names of an image set's samples; no pixel is read."""
    names = read_json(folder / "samples.json")
    # A million samples have a few origins, and groups of the same names as ids: each is kept once.
    return Names(*(tuple(sys.intern(name) for name in names[what]) for what in ("ids", "groups", "origins")))


def read_image_set(folder: Path) -> ImageSet:
    """Return an image set whose pixels are mapped from disk, read-only; those of a set in shards are read by index."""
    if (shards := read_shards(folder)) is not None:
        whole = ImageSet.concatenate([read_image_set(part) for part in shards.folders], in_memory=False)
        return whole if shards.kept is None else whole.take(shards.kept)
    names = read_names(folder)
    images, masks = read_array(folder / "images.npy"), read_array(folder / "masks.npy")
    return ImageSet(names.ids, images, masks, names.groups, names.origins, read_format(folder), read_spacing(folder))


def write_format(folder: Path, format: Format) -> None:
    """Write ``format.json``, where pixels are not 8-bit RGB with one class."""
    if format != Format():
        write_json(folder / "format.json", format.facts())


def read_format(folder: Path) -> Format:
    """Return what `write_format` left in a folder."""
    file = folder / "format.json"
    return Format.of(read_json(file)) if file.is_file() else Format()


def read_spacing(folder: Path) -> NDArray[np.float32] | None:
    """Return the spacing of an image set, as in `ImageSet`."""
    file = folder / "spacing.npy"
    return np.array(read_array(file)) if file.is_file() else None


def write_splits(folder: Path, splits: Splits) -> None:
    """Write a dataset artifact: ``train``, ``validation`` and ``test``."""
    for name in SPLITS:
        write_image_set(folder / name, getattr(splits, name))


def read_splits(folder: Path) -> Splits:
    """Return the splits of a dataset artifact."""
    return Splits(*(read_image_set(folder / name) for name in SPLITS))


def write_remarks(folder: Path, sentences: Sequence[str]) -> None:
    """Write ``remarks.json`` beside the splits, where there is something to say of the data set as a whole."""
    if sentences:
        write_json(folder / "remarks.json", list(sentences))


def read_remarks(folder: Path) -> tuple[str, ...]:
    """Return what was said of a data set as a whole."""
    file = folder / "remarks.json"
    return tuple(read_json(file)) if file.is_file() else ()


def write_excluded(folder: Path, ids: Sequence[str]) -> None:
    """Write ``excluded.json``: the ids of the images of a data set that were left out as copies."""
    write_json(folder / "excluded.json", list(ids))


def read_excluded(folder: Path) -> tuple[str, ...] | None:
    """Return the ids that were left out of a data set; None where the recipe did not ask for it."""
    file = folder / "excluded.json"
    return tuple(read_json(file)) if file.is_file() else None

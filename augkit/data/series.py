"""Slices of volumes and other images with label maps, read one file at a time into image sets of any format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from augkit.data.arrays import ImageSet, Splits
from augkit.data.formats import IGNORED, RGB, Format, in_unit, percentile_windows
from augkit.data.reading import room_for
from augkit.data.resizing import Resize, resize_labels, resize_pixels
from augkit.errors import InputError, Problem, sum_up

FOREGROUND_WINDOW = (0.5, 99.5)
"""Percentiles of the training foreground that a window is cut at where none is given, as nnU-Net's for CT."""

_THREADS = 4


class Slice(NamedTuple):
    """One image with its label map, as they are in the file.

    id:      the sample's unique name.
    image:   (h, w, C) of the format's dtype.
    labels:  uint8 (h, w): 0 background, k is class k, 255 ignored.
    spacing: height and width of a pixel in mm; NaN where that is not known.
    """

    id: str
    image: NDArray[Any]
    labels: NDArray[np.uint8]
    spacing: tuple[float, float] = (np.nan, np.nan)


@dataclass(frozen=True)
class Series:
    """What one image file, or one volume, holds.

    where: the file, for messages.
    group: the patient or lesion; no group is in two splits.
    most:  slices that `read` yields at most; headers tell it.
    read:  yields the slices, each time anew. Raises `InputError` for what cannot be used.
    """

    where: Path
    group: str
    most: int
    read: Callable[[], Iterator[Slice]]


def load_series(
    parts: Sequence[Sequence[Series]],
    format: Format,
    size: int,
    resize: Resize,
    problems: Iterable[Problem] = (),
    percentiles: tuple[float, float] = FOREGROUND_WINDOW,
) -> Splits:
    """Return train, validation and test, all resized to size x size; every origin is ``real``.

    format:      of the slices. Channels without a window get one from these `percentiles` of the training pixels inside
                 the classes, of all training pixels where there are none.
    problems:    found before; they are raised together with those of every bad file, as one `InputError`.
    """
    together = [series for part in parts for series in part]
    samples, ends, found = _read(together, format, size, resize)
    if problems := [*problems, *found]:
        raise InputError(*sum_up(problems))
    bounds = [0, *(ends[sum(len(part) for part in parts[: i + 1])] for i in range(len(parts)))]
    train, validation, test = (samples.part(slice(begin, end)) for begin, end in pairwise(bounds))
    windows = percentile_windows(_foreground(train), format, *percentiles) if len(train) else format
    return Splits(*(replace(part, format=windows) for part in (train, validation, test)))


def native_slices(series: Iterable[Series], ids: Sequence[str]) -> Iterator[Slice]:
    """Yield the slice of each id in order, as it is in its file; a series is read once where its ids stand together."""
    by_series = {one.where: one for one in series}
    owner = {found.id: where for where, one in by_series.items() for found in one.read()}
    at: Path | None = None
    slices: dict[str, Slice] = {}
    for name in ids:
        if owner[name] != at:
            at = owner[name]
            slices = {found.id: found for found in by_series[at].read()}
        yield slices[name]


def shown_as_rgb(series: Series, format: Format, low: float, high: float) -> Series:
    """Return a series of one channel as 8-bit RGB, `low` black and `high` white; its format is then `rgb_format`."""
    windowed = replace(format, channels=tuple(replace(one, low=low, high=high) for one in format.channels))

    def read() -> Iterator[Slice]:
        for one in series.read():
            grey = np.rint(in_unit(one.image[..., :1], windowed) * 255).astype(np.uint8)
            yield one._replace(image=np.repeat(grey, 3, axis=-1))

    return replace(series, read=read)


def rgb_format(format: Format) -> Format:
    """Return the format of images that are shown as 8-bit RGB, with the same classes."""
    return replace(format, dtype="uint8", channels=RGB)


def _read(
    series: Sequence[Series], format: Format, size: int, resize: Resize
) -> tuple[ImageSet, list[int], list[Problem]]:
    """Return all slices, where each series begins and the last one ends, and what is wrong with files."""
    most = sum(one.most for one in series)
    images = np.empty((most, size, size, len(format.channels)), format.dtype)
    labels = np.empty((most, size, size), np.uint8)
    spacing = np.full((most, 2), np.nan, np.float32)
    starts = np.cumsum([0, *(one.most for one in series)]).tolist()
    names: list[list[str]] = [[] for _ in series]

    def load(index: int) -> tuple[Problem, ...]:
        one = series[index]
        try:
            with room_for(one.where):
                for place, found in enumerate(one.read(), starts[index]):
                    _check(found, format, one.where)
                    images[place] = resize_pixels(found.image, size, resize)
                    labels[place] = resize_labels(found.labels, size)
                    height, width = found.labels.shape
                    spacing[place] = found.spacing[0] * height / size, found.spacing[1] * width / size
                    names[index].append(found.id)
        except InputError as error:
            return error.problems
        return ()

    with ThreadPoolExecutor(_THREADS) as pool:
        problems = [problem for more in pool.map(load, range(len(series))) for problem in more]

    # Series may yield fewer slices than they have, so the gaps are closed, each slice moving towards the beginning.
    ends, place = [0], 0
    for start, found in zip(starts, names, strict=False):
        for offset in range(len(found)):
            if start + offset != place:
                images[place], labels[place] = images[start + offset], labels[start + offset]
                spacing[place] = spacing[start + offset]
            place += 1
        ends.append(place)
    ids = tuple(name for found in names for name in found)
    groups = tuple(one.group for one, found in zip(series, names, strict=True) for _ in found)
    masks = labels[:place].view(np.bool_) if format.binary else labels[:place]
    problems += _repeated(ids, series, names)
    if problems:
        return ImageSet.empty((size, size), format), [0] * (len(series) + 1), problems
    known = spacing[:place] if np.isfinite(spacing[:place]).any() else None
    return ImageSet(ids, images[:place], masks, groups, ("real",) * place, format, known), ends, []


def _check(found: Slice, format: Format, where: Path) -> None:
    """Refuse a slice that is not of the format; labels of none of its classes are a person's mistake."""
    if found.image.dtype != format.dtype or found.image.shape[2:] != (len(format.channels),):
        raise TypeError(f"{where}: read {found.image.dtype} {found.image.shape} for {format}")
    if found.labels.shape != found.image.shape[:2]:
        sizes = " and ".join(f"{w} x {h}" for h, w in (found.image.shape[:2], found.labels.shape))
        raise InputError(
            Problem(str(where), f"image and labels of {found.id} are {sizes} pixels; allowed: equal sizes")
        )
    classes = len(format.classes)
    allowed = np.zeros(256, np.bool_)
    allowed[: classes + 1] = True
    allowed[IGNORED] |= format.ignore
    wrong = ~allowed[found.labels]
    if wrong.any():
        row, column = (int(axis[0]) for axis in np.nonzero(wrong))
        spelt = ", ".join(("background", *format.classes[:8])) + (", ..." if classes > 8 else "")
        what = (
            f"holds the label {int(found.labels[row, column])} in {found.id} at row {row}, column {column}; "
            f"allowed: 0..{classes} ({spelt}){' and 255 (ignored)' if format.ignore else ''}"
        )
        raise InputError(Problem(str(where), what, "Add a class for it, or correct the labels"))


def _repeated(ids: Sequence[str], series: Sequence[Series], names: Sequence[Sequence[str]]) -> list[Problem]:
    first: dict[str, Path] = {}
    problems = []
    for one, found in zip(series, names, strict=True):
        for name in found:
            if first.setdefault(name, one.where) != one.where:
                what = f"the id {name} is already taken by {first[name]}"
                problems.append(Problem(str(one.where), what, "Remove or rename one of the two"))
    return problems


def _foreground(train: ImageSet) -> list[NDArray[Any]]:
    """Return the training pixels inside classes, (n, C) of each image; all pixels where there are none."""
    labels = train.labels
    inside = [image[(mask > 0) & (mask < IGNORED)] for image, mask in zip(train.images, labels, strict=True)]
    return inside if any(len(pixels) for pixels in inside) else [np.asarray(image) for image in train.images]

"""Pairs of files as slices of the data set's format, each read when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from augkit import Format, InputError, Problem
from augkit.images import Pair, Series, Slice, check_mask, read_mask, rgb_format, shown_as_rgb
from augkit_folder.labels import Labels, check_labels_header, class_names, read_labels
from augkit_folder.options import FolderOptions
from augkit_folder.pixels import ImageFacts, Kind, channels_of, image_facts, read_pixels

T = TypeVar("T")


@dataclass(frozen=True)
class Reading:
    """How pairs of a folder are read."""

    kind: Kind
    table: Labels | None
    threshold: int | None


def reading_of(options: FolderOptions) -> Reading:
    """Return how these options want pairs to be read."""
    table = None if options.classes is None else Labels.of(options.classes, options.ignore)
    return Reading(options.pixels, table, options.mask_threshold)


def format_of(options: FolderOptions, pairs: Sequence[Pair]) -> Format:
    """Return the format of the pairs as the header of the first image tells it; that of RGB where it is shown so."""
    facts = image_facts(pairs[0].image, options.pixels)
    names = ("foreground",) if options.classes is None else class_names(options.classes)
    channels = channels_of(facts, options.pixels, options.window)
    return Format(facts.dtype, channels, names, options.ignore is not None)


def series_of(pair: Pair, options: FolderOptions, format: Format) -> Series:
    """Return a pair as a series of one slice, shown as RGB where the options say so; `format` is `format_of`'s."""
    one = Series(pair.image, pair.group or pair.id, 1, partial(_read, pair, reading_of(options), format))
    return one if options.as_rgb is None else shown_as_rgb(one, format, *options.as_rgb)


def shown_format(options: FolderOptions, format: Format) -> Format:
    """Return the format that `load` answers with."""
    return format if options.as_rgb is None else rgb_format(format)


def unfit(options: FolderOptions, pairs: Sequence[Pair]) -> list[Problem]:
    """Return what reading would refuse, as far as headers tell; no pixel is decoded."""
    reading = reading_of(options)
    problems: list[Problem] = []
    first: tuple[Path, ImageFacts] | None = None
    for pair in pairs:
        facts = _tried(problems, partial(image_facts, pair.image, reading.kind))
        if facts is not None:
            first = first or (pair.image, facts)
            problems += _differing(pair.image, facts, *first)
        for path in pair.masks:
            size = _tried(problems, partial(_mask_size, path, reading))
            if facts is not None and size is not None and size != facts.size:
                problems.append(_unequal(path, size, pair.image, facts.size))
    return problems


def _read(pair: Pair, reading: Reading, format: Format) -> Iterator[Slice]:
    problems: list[Problem] = []
    image = _tried(problems, partial(read_pixels, pair.image, reading.kind))
    if image is not None and (str(image.dtype), image.shape[2]) != (format.dtype, len(format.channels)):
        what = f"is {image.dtype} with {image.shape[2]} channels; allowed, as in the others: {format}"
        problems.append(Problem(str(pair.image), what))
    read = [_tried(problems, partial(_read_mask, path, reading)) for path in pair.masks]
    masks = [mask for mask in read if mask is not None]
    for path, mask in zip(pair.masks, read, strict=True):
        if image is not None and mask is not None and mask.shape != image.shape[:2]:
            problems.append(_unequal(path, mask.shape[::-1], pair.image, image.shape[1::-1]))
    if problems or image is None:
        raise InputError(*problems)
    yield Slice(pair.id, image, np.maximum.reduce(masks))


def _read_mask(path: Path, reading: Reading) -> NDArray[np.uint8]:
    if reading.table is None:
        return read_mask(path, reading.threshold).view(np.uint8)
    return read_labels(path, reading.table)


def _mask_size(path: Path, reading: Reading) -> tuple[int, int]:
    if reading.table is None:
        return check_mask(path, reading.threshold).size
    return check_labels_header(path, reading.table)


def _tried(problems: list[Problem], read: Callable[[], T]) -> T | None:
    try:
        return read()
    except InputError as error:
        problems += error.problems
        return None


def _differing(path: Path, facts: ImageFacts, other: Path, others: ImageFacts) -> list[Problem]:
    if facts[:2] == others[:2]:
        return []
    what = f"is {facts}; {other.name} is {others}; allowed: one kind of pixels in all images"
    return [Problem(str(path), what, "Save all images alike")]


def _unequal(path: Path, size: tuple[int, ...], image: Path, of_image: tuple[int, ...]) -> Problem:
    found, wanted = (f"{one[0]} x {one[1]} pixels" for one in (size, of_image))
    what = f"is {found}, its image ({image.name}) is {wanted}; allowed: equal sizes"
    return Problem(str(path), what, "Export the mask at that size")

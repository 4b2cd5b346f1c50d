"""Images with their masks: pairs of files, matched by their ids and read into image sets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from augkit.data.arrays import ImageSet, Splits
from augkit.data.orientation import UPRIGHT
from augkit.data.reading import Header, check_image, check_mask, read_header, read_image, read_mask, room_for
from augkit.data.resizing import Resize, resize_image, resize_mask
from augkit.errors import InputError, Problem, sum_up


class Pair(NamedTuple):
    """An image file and its mask file.

    id:         the sample's unique name.
    group:      the patient or lesion the sample comes from; empty means that the id is the group.
    more_masks: further masks of the image; what any of them shows is foreground.
    """

    id: str
    image: Path
    mask: Path
    group: str = ""
    more_masks: tuple[Path, ...] = ()

    @property
    def masks(self) -> tuple[Path, ...]:
        """All mask files of the image."""
        return (self.mask, *self.more_masks)


def match_pairs(
    images: Iterable[tuple[str, Path]], masks: Iterable[tuple[str, Path]]
) -> tuple[list[Pair], list[Problem]]:
    """Return the pairs of equal id, sorted by id, and a problem for every file without partner or with a double."""
    problems: list[Problem] = []
    image_of = _by_id(images, "image", problems)
    mask_of = _by_id(masks, "mask", problems)
    for name in sorted(image_of.keys() - mask_of.keys()):
        problems.append(Problem(str(image_of[name]), f"no mask has the id {name}", "Add the mask or remove the image"))
    for name in sorted(mask_of.keys() - image_of.keys()):
        problems.append(Problem(str(mask_of[name]), f"no image has the id {name}", "Add the image or remove the mask"))
    return [Pair(name, image_of[name], mask_of[name]) for name in sorted(image_of.keys() & mask_of.keys())], problems


def load_pairs(
    pairs: Sequence[Pair],
    size: int,
    resize: Resize,
    problems: Iterable[Problem] = (),
    mask_threshold: int | None = None,
) -> ImageSet:
    """Return the pairs, resized to size x size, in the order given; every origin is ``real``.

    Every file is read even when some are bad. Raises one `InputError` with `problems`, which the caller has found
    before, and those of every bad file; `mask_threshold` is that of `read_mask`.
    """
    images = np.empty((len(pairs), size, size, 3), np.uint8)
    masks = np.empty((len(pairs), size, size), np.bool_)

    def load(index: int) -> tuple[Problem, ...]:
        try:
            with room_for(pairs[index].image):
                image, mask = _read_pair(pairs[index], mask_threshold)
                images[index], masks[index] = resize_image(image, size, resize), resize_mask(mask, size)
                del image, mask
        except InputError as error:
            return error.problems
        return ()

    found = [*problems, *_repeated_ids(pairs)]
    with ThreadPoolExecutor(_threads()) as pool:
        for more in pool.map(load, range(len(pairs))):
            found += more
    if found:
        raise InputError(*sum_up(found))
    groups = tuple(pair.group or pair.id for pair in pairs)
    return ImageSet(tuple(pair.id for pair in pairs), images, masks, groups, ("real",) * len(pairs))


def load_splits(
    train: Sequence[Pair],
    validation: Sequence[Pair],
    test: Sequence[Pair],
    size: int,
    resize: Resize,
    problems: Iterable[Problem] = (),
    mask_threshold: int | None = None,
) -> Splits:
    """Return the three splits as `load_pairs` does, reporting the bad files of all three at once."""
    samples = load_pairs([*train, *validation, *test], size, resize, problems, mask_threshold)
    ends = (0, len(train), len(train) + len(validation), len(samples))
    return Splits(*(samples.part(slice(start, stop)) for start, stop in pairwise(ends)))


def unfit_pairs(pairs: Iterable[Pair], mask_threshold: int | None = None) -> list[Problem]:
    """Return what reading these pairs would refuse, as far as the headers of their files tell; no pixel is decoded."""
    problems: list[Problem] = []
    for pair in pairs:
        headers: dict[Path, Header] = {}
        for path in (pair.image, *pair.masks):
            try:
                headers[path] = check_image(path) if path == pair.image else check_mask(path, mask_threshold)
            except InputError as error:
                problems += error.problems
        image = headers.pop(pair.image, None)
        for path, mask in headers.items():
            if image is not None and mask.size != image.size:
                problems.append(_unequal(path, mask, pair.image, image))
    return problems


def _by_id(files: Iterable[tuple[str, Path]], kind: str, problems: list[Problem]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, path in files:
        if name in found:
            what = f"is a second {kind} with the id {name}, beside {found[name].name}"
            problems.append(Problem(str(path), what, "Remove one of the two"))
        found.setdefault(name, path)
    return found


def _repeated_ids(pairs: Sequence[Pair]) -> list[Problem]:
    first: dict[str, Path] = {}
    again = [pair for pair in pairs if first.setdefault(pair.id, pair.image) != pair.image]
    return [
        Problem(str(pair.image), f"the id {pair.id} is already taken by {first[pair.id]}", "Remove one of the two")
        for pair in again
    ]


def _read_pair(pair: Pair, threshold: int | None) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return image and mask of equal size; raises the problems of both files together."""
    problems: list[Problem] = []
    try:
        image = read_image(pair.image)
    except InputError as error:
        problems += error.problems
    masks = []
    for path in pair.masks:
        try:
            masks.append(read_mask(path, threshold))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    for path, mask in zip(pair.masks, masks, strict=True):
        if mask.shape != image.shape[:2]:
            raise InputError(_unequal(path, read_header(path), pair.image, read_header(pair.image)))
    return image, _joined(masks)


def _unequal(path: Path, mask: Header, image_path: Path, image: Header) -> Problem:
    """Return the problem of a mask whose size is not its image's."""
    what = f"is {_spell_size(mask)}, its image ({image_path.name}) is {_spell_size(image)}; allowed: equal sizes"
    turned = [kind for kind, header in (("image", image), ("mask", mask)) if header.orientation != UPRIGHT]
    hint = "Export the mask at that size"
    if len(turned) == 1 and mask.size == image.size[::-1]:
        hint = (
            f"The EXIF orientation of the {turned[0]} is the likely cause. If the mask fits the image as both are "
            f"stored, remove that tag from the {turned[0]}, with 'exiftool -Orientation= FILE'; otherwise export the "
            "mask again from the upright image"
        )
    return Problem(str(path), what, hint)


def read_pair_mask(pair: Pair, threshold: int | None = None) -> NDArray[np.bool_]:
    """Return the mask of a pair as bool (H, W), all its files joined."""
    return _joined([read_mask(path, threshold) for path in pair.masks])


def _joined(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    joined = masks[0]
    for mask in masks[1:]:
        joined = joined | mask
    return joined


def _spell_size(header: Header) -> str:
    width, height = header.size
    turned = "" if header.orientation == UPRIGHT else f" (turned upright by its EXIF orientation {header.orientation})"
    return f"{width} x {height} pixels{turned}"


def _threads() -> int:
    """Return how many files to decode at once; decoding frees the GIL; `room_for` bounds the memory."""
    return min(8, max(2, os.cpu_count() or 2))

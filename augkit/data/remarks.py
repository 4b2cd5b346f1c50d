"""What a data set as a whole says that is unlikely to be meant: one sentence each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from augkit.data.arrays import ImageSet, Splits
from augkit.data.formats import shows
from augkit.data.orientation import QUARTER, UPRIGHT
from augkit.data.pairs import Pair
from augkit.data.reading import Header, read_header
from augkit.errors import InputError

MOST_COVERED = 0.5
"""Share of the frame above which the structure of the middle training mask may be the background."""


MOST_CLIPPED = 0.011
"""Share of the training foreground that a window may clip; percentiles of 0.5 and 99.5 clip 0.01 of it."""


def remarks_on(splits: Splits) -> tuple[str, ...]:
    """Return what should make somebody look at the files again; nothing for most data sets."""
    return (*_swapped(splits.train), *_clipped(splits.train), *_alike(splits.train), *_repeated(splits))


def turned_apart(pairs: Iterable[Pair]) -> tuple[str, ...]:
    """Return one sentence where images are turned by their EXIF orientation and their masks are not, or otherwise.

    Only headers are read; files that cannot be read are left to reading, which refuses them.
    """
    headers = [found for pair in pairs if (found := _headers(pair)) is not None]
    images = [one for one in headers if one.image.orientation != UPRIGHT and one.mask.orientation == UPRIGHT]
    masks = [one for one in headers if one.image.orientation == UPRIGHT and one.mask.orientation != UPRIGHT]
    both = [one for one in headers if one.differ and UPRIGHT not in (one.image.orientation, one.mask.orientation)]
    return (
        *_turned(images, len(headers), "images are turned upright by their EXIF orientation and their masks are not"),
        *_turned(masks, len(headers), "masks are turned by their EXIF orientation and their images are not"),
        *_turned(both, len(headers), "images and their masks are turned by different EXIF orientations"),
    )


class _Headers(NamedTuple):
    pair: Pair
    image: Header
    mask: Header

    @property
    def differ(self) -> bool:
        return self.image.orientation != self.mask.orientation

    @property
    def told_by_sides(self) -> bool:
        """Whether image and mask have equal sizes only as they are turned."""
        width, height = self.image.size
        quarters = [header.orientation >= QUARTER for header in (self.image, self.mask)]
        return self.image.size == self.mask.size and width != height and quarters[0] != quarters[1]


def _headers(pair: Pair) -> _Headers | None:
    """Return the headers of the image and of the mask, of several the first that is turned otherwise than the image."""
    try:
        image = read_header(pair.image)
        found = [_Headers(pair, image, read_header(path)) for path in pair.masks]
    except InputError:
        return None
    return next((one for one in found if one.differ), found[0])


def _turned(found: list[_Headers], count: int, how: str) -> Iterator[str]:
    if not found:
        return
    first = found[0]
    tags = f"{first.pair.image.name} (orientation {first.image.orientation}; its mask {first.mask.orientation})"
    fitting = sum(one.told_by_sides for one in found)
    if fitting == len(found):
        advice = "Their sides are equal only so, which is as it should be."
    else:
        advice = (
            "Look whether these masks fit the upright images. If they fit the images only as both are stored, remove "
            "the tag, with 'exiftool -Orientation= FILE'."
        )
    yield f"{len(found)} of {count} {how}, such as {tags}. {advice}"


def _clipped(train: ImageSet) -> Iterator[str]:
    """Yield one sentence for each channel whose window cuts off more of the training foreground than it may."""
    if train.format.bytes_to_unit or not shows(train.masks).any():
        return
    inside = [image[mask] for image, mask in zip(train.images, shows(train.masks), strict=True)]
    pixels = np.concatenate(inside)
    lows, highs = train.format.windows
    for place, channel in enumerate(train.format.channels):
        values = pixels[:, place].astype(np.float64)
        share = float(((values < lows[place]) | (values > highs[place])).mean())
        if share > MOST_CLIPPED:
            low, high = np.percentile(values, [0.5, 99.5])
            yield (
                f"The window {lows[place]:g}..{highs[place]:g} of the channel {channel.name} clips {share:.1%} of the "
                f"training pixels inside the classes; {low:.4g}..{high:.4g} are their 0.5 and 99.5 percentiles."
            )


def _swapped(train: ImageSet) -> Iterator[str]:
    if not train.format.binary:
        return
    covered = float(np.median(train.masks.mean(axis=(1, 2))))
    if covered > MOST_COVERED:
        yield (
            f"In the middle one of {len(train)} training masks the structure covers {covered:.0%} of the frame. "
            "Are background and structure swapped? What is not 0 in a mask file is the structure."
        )


def _alike(train: ImageSet) -> Iterator[str]:
    if len(train) > 1:
        for what, arrays in (("masks", train.masks), ("images", train.images)):
            if all(np.array_equal(arrays[0], one) for one in arrays[1:]):
                yield f"All {len(train)} training {what} are the same to the last pixel."


def _repeated(splits: Splits) -> Iterator[str]:
    """Yield one sentence where an image is in two splits with equal pixels."""
    seen: dict[bytes, tuple[str, str]] = {}
    found: list[str] = []
    for split, samples in (("train", splits.train), ("validation", splits.validation), ("test", splits.test)):
        for name, image in zip(samples.ids, samples.images, strict=True):
            earlier, first = seen.setdefault(hashlib.sha256(image.tobytes()).digest(), (split, name))
            if earlier != split:
                found.append(f"{first} in {earlier} and {name} in {split}")
    if found:
        yield (
            f"{len(found)} images are in two splits with equal pixels, such as {found[0]}. 'augkit data check' lists "
            "them and near copies; 'exclude_copies: true' in the recipe leaves the training images of such pairs out."
        )

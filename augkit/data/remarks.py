"""What a data set as a whole says that is unlikely to be meant: one sentence each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from augkit.data.arrays import ImageSet, Splits

MOST_COVERED = 0.5
"""Share of the frame above which the structure of the middle training mask may be the background."""


def remarks_on(splits: Splits) -> tuple[str, ...]:
    """Return what should make somebody look at the files again; nothing for most data sets."""
    return (*_swapped(splits.train), *_alike(splits.train), *_repeated(splits))


def _swapped(train: ImageSet) -> Iterator[str]:
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

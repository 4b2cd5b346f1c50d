"""What the names of files say: which image a file belongs to, and which options would make names fit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

_TRIED = 40
"""Masks that one image is compared with in search of options."""

_SEPARATORS = "_-. "


class Names(NamedTuple):
    """What stands before and after the id in the names of images and masks, without their endings."""

    image_prefix: str = ""
    image_suffix: str = ""
    mask_prefix: str = ""
    mask_suffix: str = ""

    def image_id(self, stem: str) -> str | None:
        """Return the id in an image's name, or None where the name does not begin or end as it should."""
        return _inner(stem, self.image_prefix, self.image_suffix)

    def mask_id(self, stem: str) -> str | None:
        """Return the id in a mask's name, or None."""
        return _inner(stem, self.mask_prefix, self.mask_suffix)

    def numbered_mask_id(self, stem: str) -> str | None:
        """Return the id in the name of one of several masks, which ends in ``_1`` or another number, or None."""
        first = re.sub(r"_\d+$", "", stem)
        return self.mask_id(first) if first != stem and (self.mask_prefix or self.mask_suffix) else None

    def mask_of(self, name: str) -> str:
        """Return the name, without ending, of the mask of an id."""
        return f"{self.mask_prefix}{name}{self.mask_suffix}"

    def spelt(self) -> str:
        """Return the options as they are written in a recipe."""
        return ", ".join(f"'{option}: \"{value}\"'" for option, value in self._asdict().items() if value)

    def matches(self, images: Iterable[str], masks: Iterable[str]) -> int:
        """Return how many images have a mask under these names; both as names without endings."""
        known = set(masks)
        ids = (self.image_id(image) for image in images)
        return sum(name is not None and self.mask_of(name) in known for name in ids)


def better_names(images: Sequence[str], masks: Sequence[str]) -> tuple[Names, int]:
    """Return the options with which most images have a mask, and how many; of equal ones the shortest."""
    suffix, matches = _best_suffix(images, masks)
    if matches:
        return Names(mask_suffix=suffix), matches
    tried = {_shared(image, mask) for image in images[:3] for mask in masks[:_TRIED]} - {None}
    counted = [(names, names.matches(images, masks)) for names in tried if names is not None]
    best, count = max(counted, key=lambda one: (one[1], -sum(map(len, one[0])), one[0]), default=(Names(), 0))
    return (best, count) if 2 * count > len(images) else (Names(), 0)


def _shared(image: str, mask: str) -> Names | None:
    """Return what stands around the longest text that both names have."""
    at = SequenceMatcher(None, image, mask, autojunk=False).find_longest_match()
    name = image[at.a : at.a + at.size].strip(_SEPARATORS)
    if not name:
        return None
    before, _, after = image.partition(name)
    mask_before, _, mask_after = mask.partition(name)
    return Names(before, after, mask_before, mask_after)


def _best_suffix(images: Iterable[str], masks: Sequence[str]) -> tuple[str, int]:
    """Return what most masks have after their image's stem, and how many."""
    known = set(images)
    # An image's stem may itself be the start of another one, so every way to cut a mask's stem counts.
    ends = Counter(mask[at:] for mask in masks for at in range(1, len(mask) + 1) if mask[:at] in known)
    return max(ends.items(), key=lambda item: (item[1], -len(item[0])), default=("", 0))


def _inner(stem: str, prefix: str, suffix: str) -> str | None:
    long_enough = len(stem) > len(prefix) + len(suffix)
    if not (long_enough and stem.startswith(prefix) and stem.endswith(suffix)):
        return None
    return stem.removeprefix(prefix).removesuffix(suffix)

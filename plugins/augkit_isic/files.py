"""Which files of the challenge's folders are images and masks.

The image folders also hold ``ISIC_*_superpixels.png`` label maps, a metadata CSV and licence texts, and the spelling of
mask names changed over the years; so a file counts by its 7-digit id, in any case, and everything else is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from augkit import Problem
from augkit.images import Pair, match_pairs
from augkit_isic.layout import Part, unzipped

_IMAGE = re.compile(r"ISIC_(\d{7})\.(?:jpe?g|png|tiff?|bmp|webp)", re.IGNORECASE | re.ASCII)
_MASK = re.compile(r"ISIC_(\d{7})_segmentation\.(?:png|jpe?g|tiff?|bmp|webp)", re.IGNORECASE | re.ASCII)


def match_split(root: Path, part: Part) -> tuple[list[Pair], list[Problem]]:
    """Return the pairs of one set, sorted by id (``ISIC_0000000``), and what does not fit together."""
    places = unzipped(root, part.images), unzipped(root, part.masks)
    images = sorted(_find(places[0], _IMAGE))
    masks = sorted(_find(places[1], _MASK))
    problems = [
        Problem(str(folder), f"holds no {example}", "Unzip the archive of this name here")
        for folder, found, example in (
            (places[0], images, "ISIC_0000000.jpg"),
            (places[1], masks, "ISIC_0000000_segmentation.png"),
        )
        if not found
    ]
    if problems:
        return [], problems
    return match_pairs(images, masks)


def _find(folder: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, Path]]:
    for path in folder.iterdir():
        match = pattern.fullmatch(path.name)
        if match:
            yield f"ISIC_{match[1]}", path

"""Masks in pictures: the colours of classes, outlines over images, and what does not count hatched in grey."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from augkit.data.arrays import Images, Masks
from augkit.data.formats import IGNORED, Format

TRUTH = "#FFFFFF"
"""The colour of a true outline."""

PREDICTION = "#2FC4FF"
"""The colour of a predicted outline."""

CLASSES = (
    *("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#4646FF"),
    *("#A2FFB9", "#7474FF", "#74FFFF", "#D12E46", "#74E874", "#A2D1B9", "#5DA2FF", "#8BB974"),
)
"""The colours of classes, where there are several; they begin anew after the last one.

The first seven are Okabe & Ito's without black. Each further one is the colour that is farthest, in CIELAB, from all
before it to normal, protan and deutan eyes (Viénot, Brettel & Mollon 1999); the closest two are as far apart as the
closest two of the seven are.
"""

HATCHED = "hatched"
"""In place of a colour in a legend: what does not count."""


@dataclass(frozen=True)
class Tile:
    """One image of a gallery.

    image:    uint8 (H, W, 3), or None for an empty place.
    outlines: (bool (H, W), colour) pairs, drawn in order.
    note:     a few words under the image, in one or more lines.
    ignored:  bool (H, W), what is hatched because it does not count; None for nothing.
    """

    image: Images | None
    outlines: tuple[tuple[Masks, str], ...] = ()
    note: str = ""
    ignored: Masks | None = None


def outlined(image: Images, mask: Masks, format: Format, note: str = "") -> Tile:
    """Return a picture, uint8 (H, W, 3), with the outlines of a mask as the format has them (H, W)."""
    return Tile(image, _outlines(mask, format, TRUTH), note, _ignored(mask, format))


def found_in(image: Images, true: Masks, found: Masks, format: Format, note: str = "") -> Tile:
    """Return a picture with what was found, over the true outline where there is one class."""
    one = len(format.classes) == 1
    outlines = _outlines(true, format, TRUTH) if one else ()
    return Tile(image, (*outlines, *_outlines(found, format, PREDICTION)), note, _ignored(true, format))


def class_legend(format: Format) -> tuple[tuple[str, str], ...]:
    """Return the legend of a gallery: (name, colour) of each class where there are several, and what is ignored."""
    classes = [] if len(format.classes) == 1 else [(name, class_colour(k)) for k, name in enumerate(format.classes, 1)]
    return (*classes, *([("ignored", HATCHED)] if format.ignore else []))


def class_colour(label: int) -> str:
    """Return the colour of a class by its label, 1 or more."""
    return CLASSES[(label - 1) % len(CLASSES)]


def _outlines(mask: Masks, format: Format, colour: str) -> tuple[tuple[Masks, str], ...]:
    if len(format.classes) == 1:
        return ((mask if format.binary else mask == 1, colour),)
    return tuple((mask == label, class_colour(label)) for label in range(1, len(format.classes) + 1))


def _ignored(mask: Masks, format: Format) -> Masks | None:
    return mask == IGNORED if format.ignore else None


def mask_picture(mask: Masks, format: Format = Format()) -> Images:  # noqa: B008 - it is frozen
    """Return a mask (H, W) as a picture, uint8 (H, W, 3): white inside, dark grey outside, each of several classes in
    its colour.
    """
    picture = np.full((*mask.shape, 3), 45, np.uint8)
    for inside, colour in _outlines(mask, format, "#EBEBEB"):
        picture[inside] = _rgb(colour)
    return picture


def mask_tile(mask: Masks, format: Format, note: str = "") -> Tile:
    """Return a mask (H, W) as `mask_picture` has it, with hatches where pixels do not count."""
    return Tile(mask_picture(mask, format), (), note, _ignored(mask, format))


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)

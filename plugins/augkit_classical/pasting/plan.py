"""What both devices are told, and the rules that they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

TRIES = 16
"""Places that are tried for each object; the first that fits is taken."""

SMALLEST = 4
"""Pixels that an object has at least; less is a speck of the annotation."""

RING = 0.06
"""Width of the ring of ground around an object as a share of the image's shorter side."""

CLEAR = 0.5
"""Share of the ring that has to be ground, where the object was and where it comes to lie."""

FLOOR = 0.02
"""Added to both spreads of ground, in image values: below, ground is smooth and its spread is noise."""

MOST_SHIFT = 0.35
"""Largest difference of two grounds in any colour, in image values; beyond, they are pictures of different kinds."""

MOST_UNEVEN = 2.0
"""Largest spread of the ground at a place, by that of the ground that the object came from: no edge of the lens."""

TRACE = 1e-3
"""Share of a pixel of the ground that may belong to another object."""

MOST_GAIN = 1.25
"""Largest factor, and its inverse the smallest, by which the spread of the ground changes an object's contrast."""

MOST_STRETCH = 2.0
"""Largest factor by which the level of the ground does."""

LEAST_KEPT = 0.5
"""Share of its contrast with the ground that an object has to keep: what cannot be seen must not be in the mask."""


@dataclass(frozen=True)
class Plan:
    """What is drawn for N samples of at most M objects each, and what the options say.

    donors: int64 (N,), the place in the batch of the sample that the objects come from.
    wanted: int64 (N,), how many objects to paste, 0..M.
    first:  float32 (N,) in [0, 1), which of the donor's objects is the first; the others follow in reading order.
    rotate: float32 (N, M), degrees; scale: float32 (N, M), magnification.
    places: float32 (N, M, TRIES, 2) in [0, 1), x and y in the room that an object has in the frame.
    margin: pixels over which the ground that an object brings along fades outside its outline.
    hide:   the largest share of a sample's foreground that may be hidden.
    match:  share of the difference of the two grounds, 0..1, by which an object is recoloured.
    """

    donors: Tensor
    wanted: Tensor
    first: Tensor
    rotate: Tensor
    scale: Tensor
    places: Tensor
    margin: int
    hide: float
    match: float


def ring_width(height: int, width: int) -> int:
    """Return the width of the ring around an object in pixels."""
    return max(2, round(RING * min(height, width)))

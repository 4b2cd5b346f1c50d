"""What makes a mask one valid object: a single part without holes, neither too small nor too large.

Parts are 4-connected and a hole is background that is not 4-connected to the frame's edge: the strictest reading of
both, so a mask that passes here passes under 8-connectivity too.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from augkit import Masks
from augkit_masks.box import foreground_box

_FOUR_NEIGHBOURS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.bool_)


class Limits(NamedTuple):
    """What a drawn mask has to keep to.

    area:    smallest and largest share of the frame, 0..1.
    opening: radius in pixels of the opening that removes thin spurs; 0 for none.
    """

    area: tuple[float, float]
    opening: int

    def allow(self, mask: Masks) -> bool:
        """Tell whether the area of bool (H, W) is within the limits."""
        return bool(self.area[0] <= np.count_nonzero(mask) / mask.size <= self.area[1])


def count_parts(mask: Masks) -> int:
    """Return the number of 4-connected parts of bool (H, W)."""
    return _label(mask[foreground_box(mask)])[1]


def count_holes(mask: Masks) -> int:
    """Return the number of pieces of background that cannot be left over pixel edges."""
    return _label(_background(mask[foreground_box(mask)]))[1] - 1


def fill_holes(mask: Masks) -> Masks:
    """Return bool (H, W) with every hole filled; background that reaches the frame's edge stays.

    A mask without holes is returned itself.
    """
    box = foreground_box(mask)
    labels, count = _label(_background(mask[box]))
    if count < 2:
        return mask
    filled = mask.copy()
    filled[box] = labels[1:-1, 1:-1] != labels[0, 0]
    return filled


def largest_part(mask: Masks) -> Masks:
    """Return bool (H, W) with its largest 4-connected part only; the first in reading order when two are equal.

    A mask of one part is returned itself.
    """
    box = foreground_box(mask)
    labels, count = _label(mask[box])
    if count < 2:
        return mask
    part = np.zeros_like(mask)
    part[box] = labels == 1 + np.bincount(labels.ravel())[1:].argmax()
    return part


def make_one_object(mask: Masks, opening: int = 0) -> Masks:
    """Return bool (H, W) as one part without holes, opened by a disc of `opening` pixels; empty if nothing is left."""
    from scipy.ndimage import binary_opening

    one = largest_part(fill_holes(mask))
    if opening == 0:
        return one
    # A border of copies keeps the opening from rounding off what the frame has cut.
    padded = np.pad(one, opening, mode="edge")
    opened = binary_opening(padded, _disc(opening))[opening:-opening, opening:-opening]
    return fill_holes(largest_part(opened))


def _disc(radius: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc: NDArray[np.bool_] = y**2 + x**2 <= radius**2
    return disc


def _background(mask: Masks) -> Masks:
    """Return bool (H + 2, W + 2): the background, and a border of it that connects what reaches the frame's edge."""
    background = np.ones((mask.shape[0] + 2, mask.shape[1] + 2), np.bool_)
    np.logical_not(mask, out=background[1:-1, 1:-1])
    return background


def _label(mask: Masks) -> tuple[NDArray[np.signedinteger], int]:
    """Return integers (H, W), the number of the 4-connected part at every pixel or 0, and how many parts there are."""
    from scipy.ndimage import label

    labels, count = label(mask, _FOUR_NEIGHBOURS)
    return labels, int(count)

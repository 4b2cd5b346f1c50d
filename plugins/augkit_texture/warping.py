"""Bringing a donor's object into the shape of a mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from augkit_texture.filling import Bools, Floats
from augkit_texture.shapes import Shape, depth

Points = NDArray[np.float32]
"""Rows and columns in pixels, float32 (2, P)."""

_STEPS = 3
_FADE = 0.6
"""Share of the halo over which what lies beyond it fades."""


@dataclass(frozen=True)
class Relief:
    """The depth of a donor's object, ready for walking along its slope.

    field: float32 (H, W, 3): depth in pixels and its slope by rows and columns. deepest: pixels.
    """

    field: Floats
    deepest: float


def relief_of(mask: Bools) -> Relief:
    """Return the relief of one object; a little smoothed, so that slopes have no kinks."""
    below = ndimage.gaussian_filter(depth(mask), 1.0, mode="nearest")
    return Relief(np.stack([below, *np.gradient(below)], axis=2).astype(np.float32), float(below.max()))


def correspond(
    target: Points, below: Floats, shape: Shape, donor: Shape, relief: Relief, mirror: NDArray[np.float64]
) -> Points:
    """Return the place in the donor's image for every target pixel.

    Ellipses are matched first; `mirror` (2,), each 1 or -1, turns the donor over along its axes. Then every place moves
    along the slope of the donor's depth until it lies as deep in the donor as the pixel does in the mask, at the border
    exactly, further away roughly. So the object ends where the mask does, whatever the two outlines.

    below: the target pixels' depth in the donor's pixels, float32 (P,).
    """
    turn = donor.axes * mirror @ np.linalg.inv(shape.axes)
    places = (turn @ (target - shape.centre[:, None]) + donor.centre[:, None]).astype(np.float32)
    low, high = _allowed(below, relief.deepest)
    for _ in range(_STEPS):
        places = _mirrored(places, relief.field.shape[:2])  # or slopes beyond the image's border would point away
        found, rows, columns = sample(relief.field, places).T
        walk = (np.clip(found, low, high) - found) / np.maximum(rows * rows + columns * columns, 0.3)
        places += np.stack([walk * rows, walk * columns])
    return _mirrored(places, relief.field.shape[:2])


def _allowed(below: Floats, deepest: float) -> tuple[Floats, Floats]:
    """Return the depths between which a place may lie: equal at the border, far apart away from it."""
    band = np.float32(max(deepest / 2, 1.0))
    near = band * (1 - np.exp(-np.abs(below) / band))
    far = np.abs(below) / np.maximum(1 - np.abs(below) / (2 * band), 1e-3)
    inside = below > 0
    return np.where(inside, near, -far).astype(np.float32), np.where(inside, far, -near).astype(np.float32)


def fading(below: Floats, halo: float) -> Floats:
    """Return 1 for pixels inside and up to `halo` outside, falling to 0 beyond."""
    faded: Floats = np.clip((below + (1 + _FADE) * halo) / (_FADE * halo), 0, 1).astype(np.float32)
    return faded


def reach(halo: float) -> float:
    """Return the distance from a mask at which `fading` reaches 0."""
    return (1 + _FADE) * halo


def sample(array: NDArray[np.generic], places: Points) -> Floats:
    """Return float32 (P, C), bilinear, of (H, W, C) at places within it."""
    height, width, channels = array.shape
    corner = np.minimum(places.astype(np.int32), np.array([[height - 2], [width - 2]], np.int32))
    down, right = (places - corner.astype(np.float32))[..., None]  # int32 would make everything float64
    flat, first = array.reshape(-1, channels), corner[0] * width + corner[1]
    above = flat.take(first, 0) * (1 - right) + flat.take(first + 1, 0) * right
    under = flat.take(first + width, 0) * (1 - right) + flat.take(first + width + 1, 0) * right
    mixed: Floats = above * (1 - down) + under * down
    return mixed


def _mirrored(places: Points, size: tuple[int, ...]) -> Points:
    """Return the places with those beyond the image's borders mirrored at them."""
    last = np.array(size, np.float32)[:, None] - 1
    return np.clip(last - np.abs(last - np.abs(places)), 0, last)

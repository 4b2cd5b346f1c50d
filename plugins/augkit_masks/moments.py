"""Area, place and elongation of masks from their moments, for all masks at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from augkit import Masks

Values = NDArray[np.float64]

_AT_ONCE = 256


class Moments(NamedTuple):
    """Float64 (N,) each. x points right and y down, in pixels from the frame's middle.

    area:      share of the frame, 0..1.
    x, y:      centroid.
    axis:      elongation along the axes, (Ixx - Iyy) / (Ixx + Iyy), -1..1: positive where wider than high.
    diagonal:  elongation along the diagonals, 2 Ixy / (Ixx + Iyy), -1..1: positive where the long axis falls from top
               left to bottom right.
    """

    area: Values
    x: Values
    y: Values
    axis: Values
    diagonal: Values

    @property
    def eccentricity(self) -> Values:
        """Float64 (N,), 0 (circle) .. 1 (line): that of the ellipse with equal second moments."""
        long = np.hypot(self.axis, self.diagonal)
        ratio: Values = np.sqrt(2 * long / (1 + long))
        return ratio


def moments(masks: Masks) -> Moments:
    """Return the moments of bool (N, H, W), none of them empty; every pixel is a unit square."""
    count, height, width = masks.shape
    y, x = (np.mgrid[:height, :width] + 0.5).reshape(2, -1) - np.array([[height / 2], [width / 2]])
    basis = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1).astype(np.float32)
    sums = np.empty((count, 6))
    for begin in range(0, count, _AT_ONCE):
        some = np.asarray(masks[begin : begin + _AT_ONCE]).reshape(-1, height * width)
        sums[begin : begin + _AT_ONCE] = some.astype(np.float32) @ basis
    area, (mx, my, xx, yy, xy) = sums[:, 0], (sums[:, 1:] / sums[:, :1]).T
    ixx, iyy, ixy = xx - mx * mx + 1 / 12, yy - my * my + 1 / 12, xy - mx * my
    return Moments(area / (height * width), mx, my, (ixx - iyy) / (ixx + iyy), 2 * ixy / (ixx + iyy))

"""Simple geometric shapes, the paper's Figure 3 (b)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from augkit import DrawnMasks, Draws, Workspace
from augkit.contracts import Masks

Kind = Literal["circle", "ellipse", "triangle", "quadrilateral", "pentagon", "hexagon", "octagon", "star"]

_CORNERS = {"triangle": 3, "quadrilateral": 4, "pentagon": 5, "hexagon": 6, "octagon": 8, "star": 10}
_CURVE_CORNERS = 32
"""Corners of a polygon that stands for a circle; its area is scaled to be exact."""


@dataclass(frozen=True)
class Shapes:
    """Circles, ellipses and polygons at random place, size and rotation.

    kinds:  the shapes to draw, equally often.
    area:   smallest and largest share of the frame that a shape covers, 0..1; drawn uniformly in the logarithm.
    aspect: largest ratio of the long to the short axis of an ellipse, 1 or more.
    """

    kinds: tuple[Kind, ...] = ("circle", "ellipse", "triangle", "quadrilateral", "pentagon", "hexagon", "octagon")
    area: tuple[float, float] = (0.03, 0.3)
    aspect: float = 2.0

    def __post_init__(self) -> None:
        if not self.kinds:
            raise ValueError("kinds is empty; allowed: one or more shapes")
        if not 0.001 <= self.area[0] <= self.area[1] <= 0.4:
            raise ValueError(f"area is {list(self.area)}; allowed: 0.001 <= smallest <= largest <= 0.4")
        if not 1 <= self.aspect <= 4:
            raise ValueError(f"aspect is {self.aspect}; allowed: 1 .. 4")

    def draw(self, masks: Masks, count: int, draws: Draws[NDArray[Any]], space: Workspace) -> DrawnMasks:
        """Return `count` shapes of the training masks' size; each record holds kind, area, rotation and centre."""
        height, width = masks.shape[1:]
        drawn = np.empty((count, height, width), np.bool_)
        records = []
        chosen = draws.integers("kind", 0, len(self.kinds))
        area = self.area[0] * (self.area[1] / self.area[0]) ** draws.uniform("area")
        rotation = draws.uniform("rotation", 0, 2 * math.pi)
        stretch = draws.uniform("aspect", 1, self.aspect)
        place = draws.uniform("place", shape=(2,))
        angles = draws.uniform("angles", -0.5, 0.5, shape=(4,))
        for i in range(count):
            kind = self.kinds[int(chosen[i])]
            corners = _turn(_outline(kind, float(stretch[i]), angles[i]), float(rotation[i]))
            corners *= math.sqrt(float(area[i]) * height * width / _polygon_area(corners))
            centre = _centre_inside(corners, place[i], height, width)
            drawn[i] = _fill(corners + centre, height, width)
            records.append(
                {
                    "shape": kind,
                    "area": round(float(area[i]), 5),
                    "rotation_degrees": round(math.degrees(float(rotation[i])), 2),
                    "centre": [round(float(value), 2) for value in centre],
                }
            )
        return DrawnMasks(drawn, tuple(records))


def _outline(kind: Kind, stretch: float, wobble: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return float64 (corners, 2) as (y, x) around the origin, size arbitrary."""
    corners = _CORNERS.get(kind, _CURVE_CORNERS)
    angle = 2 * math.pi * np.arange(corners) / corners
    radius = np.ones(corners)
    if kind == "quadrilateral":
        angle = angle + wobble.astype(np.float64)
    elif kind == "star":
        radius[1::2] = 0.5
    outline = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    if kind == "ellipse":
        outline[:, 1] *= stretch
    return outline


def _turn(corners: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    c, s = math.cos(angle), math.sin(angle)
    turned: NDArray[np.float64] = corners @ np.array([[c, -s], [s, c]])
    return turned


def _polygon_area(corners: NDArray[np.float64]) -> float:
    y, x = corners.T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)


def _centre_inside(
    corners: NDArray[np.float64], place: NDArray[np.float32], height: int, width: int
) -> NDArray[np.float64]:
    """Return the centre, uniform over the places where the whole shape is in the frame; else the frame's middle."""
    low = -corners.min(axis=0)
    high = np.array([height, width]) - corners.max(axis=0)
    centre: NDArray[np.float64] = np.where(low <= high, low + place * (high - low), np.array([height, width]) / 2)
    return centre


def _fill(corners: NDArray[np.float64], height: int, width: int) -> Masks:
    """Return the pixels whose centre is inside the polygon, by the even-odd rule."""
    inside = np.zeros((height, width), np.bool_)
    top, left = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    bottom, right = np.minimum(np.ceil(corners.max(axis=0)), [height, width]).astype(int)
    y = np.arange(top, bottom)[:, None] + 0.5
    x = np.arange(left, right)[None, :] + 0.5
    box = inside[top:bottom, left:right]
    for (y0, x0), (y1, x1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        # Only the rows between two corners can cross the edge.
        low, high = np.searchsorted(y[:, 0], sorted((y0, y1)), side="right" if y0 > y1 else "left")
        if low < high:
            box[low:high] ^= x < (x1 - x0) * (y[low:high] - y0) / (y1 - y0) + x0
    return inside

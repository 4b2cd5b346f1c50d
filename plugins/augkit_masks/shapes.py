"""Simple geometric shapes, the paper's Figure 3 (b)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from augkit import DrawnMasks, Draws, Masks, NotEmpty, Record, Takes, Workspace

Kind = Literal["circle", "ellipse", "triangle", "quadrilateral", "pentagon", "hexagon", "octagon", "star"]

_CORNERS = {"triangle": 3, "quadrilateral": 4, "pentagon": 5, "hexagon": 6, "octagon": 8, "star": 10}
_CURVE_CORNERS = 32
"""Corners of a polygon that stands for a circle; its area is scaled to be exact."""

_AT_ONCE = 256
"""Shapes of one kind that are drawn together; more would leave the processor's cache."""


@dataclass(frozen=True)
class Shapes:
    """Circles, ellipses and polygons at random place, size and rotation.

    kinds:  the shapes to draw, equally often.
    area:   smallest and largest share of the frame that a shape covers, 0..1; drawn uniformly in the logarithm.
    aspect: largest ratio of the long to the short axis of an ellipse, 1 or more.
    rotate: smallest and largest rotation in degrees.
    centre: (y, x) of the centre as shares of the sides, 0..1; null for anywhere with the whole shape in the frame.

    It takes one class: of several, a shape does not say which it is of, nor where the others lie.
    """

    kinds: Annotated[tuple[Kind, ...], NotEmpty()] = (
        "circle",
        "ellipse",
        "triangle",
        "quadrilateral",
        "pentagon",
        "hexagon",
        "octagon",
    )
    area: tuple[float, float] = (0.03, 0.3)
    aspect: float = 2.0
    rotate: tuple[float, float] = (0.0, 360.0)
    centre: tuple[float, float] | None = None
    takes = Takes(None, None, None, why="a shape does not say which class it is of")

    def __post_init__(self) -> None:
        if not self.kinds:
            raise ValueError("kinds is empty; allowed: one or more shapes")
        if not 0.001 <= self.area[0] <= self.area[1] <= 0.4:
            raise ValueError(f"area is {list(self.area)}; allowed: 0.001 <= smallest <= largest <= 0.4")
        if not 1 <= self.aspect <= 4:
            raise ValueError(f"aspect is {self.aspect}; allowed: 1 .. 4")
        if not -360 <= self.rotate[0] <= self.rotate[1] <= 360:
            raise ValueError(f"rotate is {list(self.rotate)}; allowed: -360 <= smallest <= largest <= 360")
        if self.centre is not None and not all(0 <= value <= 1 for value in self.centre):
            raise ValueError(f"centre is {list(self.centre)}; allowed: (y, x), each 0 .. 1")

    def draw(self, masks: Masks, count: int, draws: Draws[NDArray[Any]], space: Workspace) -> DrawnMasks:
        """Return `count` shapes of the training masks' size; each record holds kind, area, rotation and centre."""
        return self.draw_part(masks, count, 0, count, draws, space)

    def draw_part(
        self, masks: Masks, count: int, start: int, stop: int, draws: Draws[NDArray[Any]], space: Workspace
    ) -> DrawnMasks:
        """Return some of them."""
        count, draws = stop - start, draws[start:stop]
        height, width = masks.shape[1:]
        drawn = np.empty((count, height, width), np.bool_)
        records: list[Record] = [{}] * count
        chosen = draws.integers("kind", 0, len(self.kinds))
        for k, kind in enumerate(self.kinds):
            places = np.flatnonzero(chosen == k)
            for begin in range(0, len(places), _AT_ONCE):
                some = places[begin : begin + _AT_ONCE]
                drawn[some], told = self._drawn(kind, height, width, draws[some])
                for place, record in zip(some.tolist(), told, strict=True):
                    records[place] = record
        return DrawnMasks(drawn, tuple(records))

    def _drawn(self, kind: Kind, height: int, width: int, draws: Draws[NDArray[Any]]) -> tuple[Masks, list[Record]]:
        """Return one shape of a kind, bool (H, W), and its record for every sample of the draws."""
        area = self.area[0] * (self.area[1] / self.area[0]) ** draws.uniform("area")
        rotation = np.radians(draws.uniform("rotation", *self.rotate).astype(np.float64))
        stretch = draws.uniform("aspect", 1, self.aspect).astype(np.float64)
        angles = draws.uniform("angles", -0.5, 0.5, shape=(4,)).astype(np.float64)
        corners = _turn(_outlines(kind, stretch, angles), rotation)
        corners *= np.sqrt(area.astype(np.float64) * height * width / _polygon_areas(corners))[:, None, None]
        if self.centre is None:
            centres = _centres_inside(corners, draws.uniform("place", shape=(2,)), height, width)
        else:
            centres = np.tile(np.array(self.centre) * [height, width], (len(draws), 1))
        records: list[Record] = [
            {
                "shape": kind,
                "area": round(share, 5),
                "rotation_degrees": round(math.degrees(angle), 2),
                "centre": [round(value, 2) for value in centre],
            }
            for share, angle, centre in zip(area.tolist(), rotation.tolist(), centres.tolist(), strict=True)
        ]
        return _fill(corners + centres[:, None], height, width), records


def _outlines(kind: Kind, stretch: NDArray[np.float64], wobble: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return float64 (N, corners, 2) as (y, x) around the origin, size arbitrary."""
    corners = _CORNERS.get(kind, _CURVE_CORNERS)
    angle = np.tile(2 * math.pi * np.arange(corners) / corners, (len(stretch), 1))
    radius = np.ones(corners)
    if kind == "quadrilateral":
        angle += wobble
    elif kind == "star":
        radius[1::2] = 0.5
    outlines = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=2)
    if kind == "ellipse":
        outlines[:, :, 1] *= stretch[:, None]
    return outlines


def _turn(corners: NDArray[np.float64], angle: NDArray[np.float64]) -> NDArray[np.float64]:
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    y, x = corners[:, :, 0], corners[:, :, 1]
    return np.stack([c * y + s * x, c * x - s * y], axis=2)


def _polygon_areas(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    following = np.roll(corners, -1, axis=1)
    doubled = (corners[:, :, 1] * following[:, :, 0] - corners[:, :, 0] * following[:, :, 1]).sum(axis=1)
    areas: NDArray[np.float64] = np.abs(doubled) / 2
    return areas


def _centres_inside(
    corners: NDArray[np.float64], place: NDArray[np.float32], height: int, width: int
) -> NDArray[np.float64]:
    """Return (N, 2), uniform over the places where the whole shape is in the frame; else the frame's middle."""
    low = -corners.min(axis=1)
    high = np.array([height, width]) - corners.max(axis=1)
    centres: NDArray[np.float64] = np.where(low <= high, low + place * (high - low), np.array([height, width]) / 2)
    return centres


def _fill(corners: NDArray[np.float64], height: int, width: int) -> Masks:
    """Return bool (N, H, W): the pixels whose centre is inside the polygons (N, corners, 2), by the even-odd rule."""
    inside = np.zeros((len(corners) * height, width), np.bool_)
    left_of = np.tri(width + 1, width, -1, np.bool_)  # row k: the first k pixels
    ends = np.roll(corners, -1, axis=1)
    for (y0, x0), (y1, x1) in zip(corners.transpose(1, 2, 0), ends.transpose(1, 2, 0), strict=True):
        # Only the rows between two corners can cross the edge, and each of them once.
        low, high = np.sort(_pixels_before(np.stack([y0, y1]), height), axis=0)
        rows = high - low
        one = np.repeat(np.arange(len(corners)), rows)
        row = np.arange(len(one)) - np.repeat(np.cumsum(rows) - high, rows)
        x = (x1 - x0)[one] * (row + 0.5 - y0[one]) / (y1 - y0)[one] + x0[one]
        inside[one * height + row] ^= left_of[_pixels_before(x, width)]
    return inside.reshape(-1, height, width)


def _pixels_before(place: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return how many of `count` pixels in a line have their centre before each place."""
    return np.ceil(place - 0.5).clip(0, count).astype(np.int64)

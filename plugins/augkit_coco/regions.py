"""Regions of COCO annotations as masks: polygons, and run lengths, plain or compressed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

OUTSIDE = 1.0
"""Pixels by which the points of a polygon may lie outside the image."""


def fault_of(region: Any, height: int, width: int) -> str:
    """Return what is wrong with an annotation's ``segmentation`` in an image of this size; '' where nothing is."""
    if not region:
        return "has no segmentation, perhaps a box only; allowed: polygons or run lengths"
    if isinstance(region, Mapping):
        return _fault_of_runs(region, height, width)
    if not isinstance(region, list) or not all(isinstance(one, list) for one in region):
        return "has a segmentation that is neither a list of polygons nor run lengths"
    for polygon in region:
        if len(polygon) < 6 or len(polygon) % 2 or not all(isinstance(one, (int, float)) for one in polygon):
            return f"has a polygon of {len(polygon)} numbers; allowed: x, y of three points or more"
        points = np.asarray(polygon, float).reshape(-1, 2)
        beyond = (points < -OUTSIDE) | (points > np.array([width, height]) + OUTSIDE)
        if not np.isfinite(points).all() or beyond.any():
            x, y = points[beyond.any(axis=1)][0] if beyond.any() else points[0]
            return f"has a point at {x:g}, {y:g}; allowed: within the image, {width} x {height} pixels"
    return ""


def draw(region: Any, height: int, width: int) -> NDArray[np.bool_]:
    """Return a region as bool (height, width).

    A pixel is in a polygon where its centre is; what any of an annotation's polygons covers is the object.
    """
    if isinstance(region, Mapping):
        runs = _runs(region["counts"])
        ends = np.cumsum(runs)
        values = np.zeros(height * width, np.bool_)
        for start, end in zip(ends[:-1:2], ends[1::2], strict=False):
            values[start:end] = True
        return values.reshape(width, height).T
    from skimage.draw import polygon

    mask = np.zeros((height, width), np.bool_)
    for one in region:
        x, y = np.asarray(one, float).reshape(-1, 2).T
        inside = polygon(y - 0.5, x - 0.5, (height, width))  # type: ignore[no-untyped-call] # skimage has no types
        mask[inside] = True
    return mask


def has_inner_polygon(region: Any) -> bool:
    """Tell whether one polygon of a region lies inside another one: that may have been meant as a hole."""
    if not isinstance(region, list) or len(region) < 2:
        return False
    rings = [np.asarray(one, float).reshape(-1, 2) for one in region]
    return any(
        inner is not outer and all(_inside(point, outer) for point in inner) for inner in rings for outer in rings
    )


def _fault_of_runs(region: Mapping[str, Any], height: int, width: int) -> str:
    size, counts = region.get("size"), region.get("counts")
    if size != [height, width]:
        return f"has run lengths of the size {size}; allowed: {[height, width]}, height and width of its image"
    try:
        runs = _runs(counts)
    except (TypeError, ValueError, IndexError):
        return "has run lengths that cannot be read"
    if sum(runs) != height * width or min(runs, default=0) < 0:
        return f"has run lengths of {sum(runs)} pixels in total; allowed: {height * width}"
    return ""


def _runs(counts: Any) -> Sequence[int]:
    """Return run lengths, of background and object by turns; compressed ones are text of 5 bits a character.

    From the fourth on, compressed numbers are differences from the number two before.
    """
    if not isinstance(counts, str):
        return [int(one) for one in counts]
    runs: list[int] = []
    number = bits = 0
    for character in counts:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise ValueError("found a character that no run length has")
        number |= (code & 31) << bits
        bits += 5
        if code & 32:
            continue
        if code & 16:
            number -= 1 << bits
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = bits = 0
    return runs


def _inside(point: NDArray[np.float64], ring: NDArray[np.float64]) -> bool:
    """Tell whether a point is inside a ring: whether a line from it to the right crosses the ring an odd time."""
    x, y = ring.T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    spans = (y > point[1]) != (next_y > point[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = x + (point[1] - y) * (next_x - x) / (next_y - y)
    return bool((spans & (crossing > point[0])).sum() % 2)

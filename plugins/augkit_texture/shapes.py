"""Shapes of objects: depth below their border, size, place and axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from augkit_texture.filling import Bools, Floats

_CONNECTED = np.ones((3, 3))


@dataclass(frozen=True)
class Shape:
    """An ellipse with an object's area, centre and axes.

    centre: float64 (2,), row and column. axes: (2, 2), columns are the half axes in pixels, the longer one first.
    area: in pixels. touches: share of the object's box that lies on the image's border, 0..1.
    """

    centre: NDArray[np.float64]
    axes: NDArray[np.float64]
    area: float
    touches: float


def objects(mask: Bools) -> list[Bools]:
    """Return the connected pieces of a mask, (H, W) each."""
    labels, count = ndimage.label(mask, _CONNECTED)
    return [mask] if count == 1 else [labels == number for number in range(1, count + 1)]


def shape_of(mask: Bools) -> Shape:
    """Return the shape of one object."""
    rows, columns = np.nonzero(mask)
    at = np.stack([rows, columns]).astype(np.float64)
    centre = at.mean(1)
    spread = (at - centre[:, None]) @ (at - centre[:, None]).T / len(rows) + np.eye(2) / 12
    lengths, directions = np.linalg.eigh(spread)
    axes = (directions * (2 * np.sqrt(lengths)))[:, ::-1]
    edges = mask[0].any(), mask[-1].any(), mask[:, 0].any(), mask[:, -1].any()
    return Shape(centre, axes, float(len(rows)), float(np.mean(edges)))


def describe(shape: Shape, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return what makes two shapes alike, on scales where 1 is a clear difference: (3,)."""
    long, short = np.linalg.norm(shape.axes, axis=0)
    return np.array([np.log(shape.area / (size[0] * size[1])) / 0.35, np.log(long / short) / 0.35, 2 * shape.touches])


def depth(mask: Bools) -> Floats:
    """Return the distance to the border in pixels, float32 (H, W): positive inside, negative outside."""
    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    return (inside - outside - np.where(mask, 0.5, -0.5)).astype(np.float32)

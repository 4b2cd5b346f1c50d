"""Planes: coordinates of the frame and smooth noise on it.

A plane is float32 (N, S, S), one per image. Lengths are in units of the frame's side, so a drawing means the same at
every size; a larger frame only adds finer octaves.
"""

from functools import lru_cache
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit import ArrayDraws

Values = NDArray[np.floating[Any]]
"""Always float32; the type is wider because NumPy's annotations lose the width in mixed arithmetic."""
Plane = Values
OCTAVES = (5, 11, 23, 47, 95, 191)
"""Cells per side of the noise lattices; each halves the feature size of the one before."""
_STRIP = 32


def planes(values: Values) -> Plane:
    """Return (N,) as (N, 1, 1), to be broadcast over a plane."""
    return values[:, None, None]


@lru_cache(maxsize=8)
def grid(size: int) -> tuple[Plane, Plane]:
    """Return x (1, 1, S) and y (1, S, 1) of the pixel centres, 0..1."""
    centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
    return centres[None, None, :], centres[None, :, None]


def _weights(cells: int, size: int) -> Values:
    """Return (S, cells + 3): uniform cubic B-spline weights, scaled so that unit noise gives unit variance."""
    place = (np.arange(size) + 0.5) / size * cells
    first = np.floor(place).astype(int)
    t = place - first
    parts = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1)
    weights = np.zeros((size, cells + 3))
    np.put_along_axis(weights, first[:, None] + np.arange(4), parts, axis=1)
    weights /= np.sqrt(np.mean(np.sum(weights**2, axis=1)))
    return weights.astype(np.float32)


@lru_cache(maxsize=64)
def _strips(cells: int, size: int) -> tuple[tuple[slice, int, int, Values], ...]:
    """Return strips of pixels, with the lattice points first .. last - 1 that they see and the weights of those."""
    weights = _weights(cells, size)
    strips = []
    for start in range(0, size, _STRIP):
        seen = np.flatnonzero(weights[start : start + _STRIP].any(axis=0))
        first, last = int(seen[0]), int(seen[-1]) + 1
        part = np.ascontiguousarray(weights[start : start + _STRIP, first:last])
        strips.append((slice(start, start + _STRIP), first, last, part))
    return tuple(strips)


def log_uniform(draws: ArrayDraws, name: str, low: float, high: float) -> Values:
    """Return (N,), uniform on the logarithm."""
    value: Values = np.exp(draws.uniform(name, log(low), log(high)))
    return value


def fitting(size: int) -> tuple[int, ...]:
    """Return the octaves that a frame of this size can show."""
    return tuple(cells for cells in OCTAVES if cells <= 0.75 * size)


def octave(draws: ArrayDraws, name: str, cells: int, size: int) -> Plane:
    """Return smooth Gaussian noise of mean 0 and variance 1 with `cells` features per side."""
    lattice = draws.normal(f"{name}/{cells}", shape=(cells + 3, cells + 3))
    return _stretch(_stretch(lattice, cells, size), cells, size)


def _stretch(lattice: Values, cells: int, size: int) -> Values:
    """Return (N, B, S) for a lattice (N, cells + 3, B): its middle axis brought to the frame's size and put last."""
    out = np.empty((len(lattice), size, lattice.shape[2]), np.float32)
    # Strips follow the band of weights that are not zero, and keep each product so small that linear algebra
    # libraries do not start threads for it, which costs far more than it gains where processors are busy.
    for strip, first, last, weights in _strips(cells, size):
        # One product per image: a single large product could round differently for different batch sizes.
        np.matmul(weights, lattice[:, first:last], out=out[:, strip])
    return np.swapaxes(out, 1, 2)


def octaves(draws: ArrayDraws, name: str, size: int, amounts: Values) -> Plane:
    """Return a sum of octaves; `amounts` float32 (N, K) are the amplitudes of the first K octaves."""
    out: Plane = np.zeros((len(draws), size, size), np.float32)
    for k, cells in enumerate(fitting(size)[: amounts.shape[1]]):
        out += octave(draws, name, cells, size) * planes(amounts[:, k])
    return out


def around(length: Values, width: float = 1.0) -> Values:
    """Return amplitudes (N, 6) of unit power that favour octaves whose features are about `length` (N,) wide."""
    away = np.log2(length[:, None] * np.array(OCTAVES, np.float32)) / width
    amounts = np.exp(-0.5 * away * away)
    unit: Values = amounts / np.sqrt(np.sum(amounts * amounts, axis=1, keepdims=True))
    return unit


def step(x: Plane) -> Plane:
    """Return a smooth step from 0 (x <= -1) over 1/2 (x = 0) to 1 (x >= 1)."""
    t: Plane = np.clip(x * 0.5 + 0.5, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def bump(x: Plane, y: Plane, radius: Plane) -> Plane:
    """Return a round spot: 1 at the origin, near 0 beyond `radius`, flat in the middle."""
    square = (x * x + y * y) / (radius * radius)
    spot: Plane = np.exp(-1.5 * square * square)
    return spot

"""Filling holes in images: smoothly, then with the grain of what is around them."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)

_SWEEPS = 16
_GRAIN = 0.02
"""Width of the filter that tells grain from shading, in sides of the image."""

_CLIP = 4.0
"""Strongest grain that is copied, in medians of its absolute values: no ruler, bubble or corner is grain."""


def fill_smoothly(values: Floats, known: Bools) -> Floats:
    """Return float32 (H, W, C) with unknown pixels interpolated from known ones, (H, W).

    An approximate solution of Laplace's equation with the known pixels and free image borders: from coarse to fine,
    each level relaxed by a few Jacobi sweeps.
    """
    if known.all():
        return values
    height, width = known.shape
    if min(height, width) < 2 or not known.any():
        mean = values[known].mean(0) if known.any() else np.zeros(values.shape[2], np.float32)
        return np.where(known[..., None], values, mean).astype(np.float32)
    coarse = fill_smoothly(*_halve(values, known))
    finer = ndimage.uniform_filter(coarse.repeat(2, 0).repeat(2, 1), (3, 3, 1), mode="nearest")[:height, :width]
    filled = np.where(known[..., None], values, finer)
    box, hole = _around(~known)
    part = np.pad(filled[box], ((1, 1), (1, 1), (0, 0)), mode="edge")
    for _ in range(_SWEEPS):
        means = (part[:-2, 1:-1] + part[2:, 1:-1] + part[1:-1, :-2] + part[1:-1, 2:]) / 4
        part[1:-1, 1:-1][hole] = means[hole]
        part[0], part[-1], part[:, 0], part[:, -1] = part[1], part[-2], part[:, 1], part[:, -2]
    filled[box][hole] = part[1:-1, 1:-1][hole]
    return filled


def add_grain(filled: Floats, known: Bools) -> Floats:
    """Return the image with the grain of mirrored and shifted known places in the unknown ones."""
    smooth = ndimage.gaussian_filter(filled, (_GRAIN * len(filled), _GRAIN * len(filled), 0), mode="nearest")
    grain = filled - smooth
    sure = ndimage.binary_erosion(known, iterations=2, border_value=True)
    if not sure.any():
        return filled
    bound = _CLIP * np.median(np.abs(grain[sure]), axis=0)
    grain = np.clip(grain, -bound, bound)
    filled, missing = filled.copy(), ~known
    moved = sorted(zip(_moves(grain), _moves(sure), strict=True), key=lambda pair: -(pair[1] & missing).sum())
    for elsewhere, there in moved:
        use = missing & there
        filled[use] += elsewhere[use]
        missing = missing & ~there
    return filled


def _moves(array: NDArray[Scalar]) -> list[NDArray[Scalar]]:
    half = len(array) // 2, array.shape[1] // 2
    mirrored = [array[::-1], array[:, ::-1], array[::-1, ::-1]]
    return [*mirrored, *(np.roll(one, half, (0, 1)) for one in [array, *mirrored])]


def _halve(values: Floats, known: Bools) -> tuple[Floats, Bools]:
    """Return the means of the known among 2x2 pixels, and where there are any."""
    height, width = known.shape
    odd = ((0, height % 2), (0, width % 2))
    weights = np.pad(known.astype(np.float32), odd)
    weighted = np.pad(values * known[..., None], (*odd, (0, 0)))
    total = weights[::2, ::2] + weights[1::2, ::2] + weights[::2, 1::2] + weights[1::2, 1::2]
    sums = weighted[::2, ::2] + weighted[1::2, ::2] + weighted[::2, 1::2] + weighted[1::2, 1::2]
    return (sums / np.maximum(total, 1)[..., None]).astype(np.float32), total > 0


def _around(hole: Bools) -> tuple[tuple[slice, slice], Bools]:
    """Return the box of the hole and the pixels next to it, and the hole in that box."""
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    box = slice(max(rows[0] - 1, 0), rows[-1] + 2), slice(max(columns[0] - 1, 0), columns[-1] + 2)
    return box, hole[box]

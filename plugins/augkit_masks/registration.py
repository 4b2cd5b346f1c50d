"""How training masks differ from their average, as displacement fields: the statistical modes of `elastic`.

The average mask is deformed into every training mask by demons (Thirion, Medical Image Analysis 2 (1998) 243-260) on
signed distance maps, with the field smoothed in every round; the modes are the principal components of these fields
(the point distribution model of Cootes et al. 1995 with every pixel a landmark). They are in the coordinates of the
frame, so they hold differences in place and size besides those in shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from augkit import Masks
from augkit_masks.warp import Field, signed_distance, warp

MOST_MASKS = 100
"""Masks that are registered: that many, evenly spaced in the training set, where there are more."""

GRID = 64
"""Largest number of grid points along a side."""

ROUNDS = 80
BAND = 8.0
"""Distances count up to this many grid steps from an outline; what is farther away pulls no harder."""

LEAST_MOTION = 1e-3
"""Root mean square, in grid steps, of the weakest mode that is more than rounding."""

SMOOTHING = 2.0
"""Standard deviation, in grid steps, of the Gaussian that keeps a field smooth."""


@dataclass(frozen=True)
class Variation:
    """What registration found.

    modes:   float32 (K, 2, h, w), principal displacement fields (y, x) on the grid, each as long as its standard
             deviation, in grid steps; largest variance first.
    before, after: mean overlap (Dice) of the average mask with the training masks, before and after registration.
    """

    modes: Field
    before: float
    after: float


def stride(size: tuple[int, int]) -> int:
    """Return the pixels from one grid point to the next, in a frame of this size."""
    return -(-max(size) // GRID)


def learn_variation(masks: Masks, count: int) -> Variation:
    """Return at most `count` modes of how masks, bool (N, H, W) and none empty, differ; fewer where fewer exist."""
    chosen = np.unique(np.linspace(0, len(masks) - 1, MOST_MASKS).round().astype(np.int64))
    step = stride(masks.shape[1:])
    maps = np.stack([signed_distance(mask)[::step, ::step] / np.float32(step) for mask in masks[chosen]])
    average = _average(maps)
    fields = np.stack([register(average, target) for target in maps])
    moved = np.stack([warp(average[None], field)[0] for field in fields])
    return Variation(_principal(fields, count), _overlap(average[None], maps), _overlap(moved, maps))


def register(source: Field, target: Field) -> Field:
    """Return the smooth field (2, h, w) that moves one signed distance map (h, w) towards another."""
    from scipy.ndimage import gaussian_filter

    source, target = np.clip(source, -BAND, BAND), np.clip(target, -BAND, BAND)
    field = np.zeros((2, *source.shape), np.float32)
    for _ in range(ROUNDS):
        moved = warp(source[None], field)[0]
        slope = np.stack(np.gradient(moved))
        excess = moved - target
        # Thirion's force: along the slope, at most half a grid step.
        force = excess * slope / (np.square(slope).sum(axis=0) + np.square(excess) + np.float32(1e-6))
        field = gaussian_filter(field + force, (0, SMOOTHING, SMOOTHING), mode="nearest")
    return field


def _average(maps: Field) -> Field:
    """Return the mean map, its level set so that the average mask is as large as the median mask."""
    mean: Field = maps.mean(axis=0)
    share = float(np.median((maps > 0).mean(axis=(1, 2))))
    return mean - np.float32(np.quantile(mean, 1 - share))


def _overlap(first: Field, second: Field) -> float:
    both = ((first > 0) & (second > 0)).sum(axis=(1, 2))
    either = (first > 0).sum(axis=(1, 2)) + (second > 0).sum(axis=(1, 2))
    return float(np.mean(2 * both / np.maximum(either, 1)))


def _principal(fields: Field, count: int) -> Field:
    """Return the principal components, each scaled by its standard deviation and with a fixed sign."""
    flat = (fields - fields.mean(axis=0)).reshape(len(fields), -1).astype(np.float64)
    _, lengths, directions = np.linalg.svd(flat, full_matrices=False)
    deviation = lengths / np.sqrt(max(len(fields) - 1, 1))
    kept = min(count, int(np.sum(deviation > LEAST_MOTION * np.sqrt(flat.shape[1]))))
    modes: NDArray[np.float64] = directions[:kept] * deviation[:kept, None]
    largest = np.abs(modes).argmax(axis=1)
    modes *= np.sign(modes[np.arange(kept), largest])[:, None]
    return modes.reshape(kept, *fields.shape[1:]).astype(np.float32)

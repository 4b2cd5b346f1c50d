"""How far a set of synthetic images is from real ones, and how much of them it covers.

Every number has its floor beside it in the report: the same number for real images that were held out. Equal sizes of
both are compared, because sliced Wasserstein distance, density and coverage depend on the number of images.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from scipy.spatial.distance import cdist

from augkit.data.arrays import Images
from augkit.data.draws import ArrayDraws, Draws
from augkit.data.resizing import shrink_images
from augkit.quality.features import Features

BLOCKS = 10
"""Blocks from which the standard error of a KID is taken."""

NEIGHBOURS = 5
"""k of density and coverage; Naeem et al. 2020 recommend 5."""

_PATCH = 7
_PATCHES = 64
_PROJECTIONS = 256


class KernelDistance(NamedTuple):
    """A value and its standard error."""

    value: float
    error: float


def kernel_distance(real: Features, fake: Features) -> KernelDistance:
    """Return the kernel inception distance's estimator on other features (Bińkowski et al. 2018, arXiv:1801.01401).

    It is the unbiased squared maximum mean discrepancy under the kernel (a·b/d + 1)^3, so that it is zero on average
    for two samples of one distribution, whatever their sizes, and may be negative. The standard error is that of the
    jackknife over ten blocks of both samples; the mean of ten small estimates would be three times too uncertain where
    the distance is small. real: float64 (n, d), fake: float64 (m, d); n, m >= 4.
    """
    kernels = _kernel(real, real), _kernel(fake, fake), _kernel(real, fake)
    value = _discrepancy(*kernels)
    blocks = min(BLOCKS, len(real) // 2, len(fake) // 2)
    rows, columns = np.arange(len(real)) % blocks, np.arange(len(fake)) % blocks
    without = np.empty(blocks)
    for k in range(blocks):
        a, b = np.flatnonzero(rows != k), np.flatnonzero(columns != k)
        parts = kernels[0][np.ix_(a, a)], kernels[1][np.ix_(b, b)], kernels[2][np.ix_(a, b)]
        without[k] = _discrepancy(*parts)
    return KernelDistance(value, float(np.sqrt((blocks - 1) * without.var())))


def _kernel(x: Features, y: Features) -> Features:
    values: Features = (x @ y.T / x.shape[1] + 1) ** 3
    return values


def _discrepancy(real: Features, fake: Features, across: Features) -> float:
    """Return the unbiased discrepancy from kernels: means within both samples (no equal pairs), less twice across."""
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (real, fake)]
    return float(sum(within) - 2 * across.mean())


def density_and_coverage(real: Features, fake: Features) -> tuple[float, float]:
    """Return density and coverage (Naeem et al. 2020, arXiv:2002.09797, equations 4 and 5) with k = 5.

    Density: in how many neighbourhoods of real samples a fake one lies, over k; 1 on average for equal distributions.
    Coverage: the share of real samples with a fake one in their neighbourhood; 1 - 2^-k on average for equal
    distributions and sizes. A neighbourhood reaches to the k-th nearest other real sample.
    """
    k = min(NEIGHBOURS, len(real) - 1)
    radius = np.sort(cdist(real, real), axis=1)[:, k]  # column 0 is the sample itself
    inside = cdist(real, fake) < radius[:, None]
    return float(inside.sum() / (k * len(fake))), float(inside.any(axis=1).mean())


def sliced_wasserstein(real: Images, fake: Images, seed: int) -> dict[int, float]:
    """Return the sliced Wasserstein distance of image patches, per side of the pyramid's level: 16, 32, 64, 128.

    After Karras et al. 2018 (arXiv:1710.10196, section 5): 7 x 7 patches of a Laplacian pyramid, 64 per image, and the
    mean distance of their projections on 256 random directions. Unlike there, both sets are scaled by the real one's
    mean and spread per channel, so that a shift of colour is seen. Units: spreads of the real set. Both sets must have
    the same number of images.
    """
    if len(real) != len(fake):
        raise ValueError(f"{len(real)} real and {len(fake)} fake images; allowed: equal numbers")
    top = max(16, 1 << (min(real.shape[1], 128).bit_length() - 1))
    levels = zip(_pyramid(real, top), _pyramid(fake, top), strict=True)
    draws = Draws.of(seed, "patches", np.arange(len(real), dtype=np.int64))
    directions = Draws.of(seed, "directions", np.arange(_PROJECTIONS, dtype=np.int64))
    return {one.shape[1]: _sliced(one, two, draws, directions) for one, two in levels}


def _sliced(real: NDArray[np.float32], fake: NDArray[np.float32], draws: ArrayDraws, directions: ArrayDraws) -> float:
    """Return the mean absolute difference of sorted projections of both sets' patches."""
    centre, spread = real.mean(axis=(0, 1, 2)), real.std(axis=(0, 1, 2))
    axes = directions.normal("axis", shape=(_PATCH * _PATCH * 3,)).T
    axes = axes / np.linalg.norm(axes, axis=0)
    scale = np.maximum(spread, 1e-3)
    a, b = (_patches((one - centre) / scale, draws) @ axes for one in (real, fake))
    return float(np.abs(np.sort(a, axis=0) - np.sort(b, axis=0)).mean())


def _patches(level: NDArray[np.float32], draws: ArrayDraws) -> NDArray[np.float32]:
    """Return float32 (N x 64, 147): patches at the places drawn for each image."""
    side = level.shape[1]
    rows = draws.integers(f"row {side}", 0, side - _PATCH + 1, (_PATCHES,))
    columns = draws.integers(f"column {side}", 0, side - _PATCH + 1, (_PATCHES,))
    span = np.arange(_PATCH)
    image = np.arange(len(level))[:, None, None, None]
    found = level[image, (rows[..., None] + span)[..., None], (columns[..., None] + span)[..., None, :]]
    return found.reshape(len(level) * _PATCHES, -1)


def _pyramid(images: Images, top: int) -> list[NDArray[np.float32]]:
    """Return the Laplacian pyramid, finest level first: float32 (N, side, side, 3) for each side from `top` to 16."""
    level: NDArray[np.float32] = shrink_images(images, top).astype(np.float32) / np.float32(255)
    levels: list[NDArray[np.float32]] = []
    while level.shape[1] > 16:
        smaller = _smooth(level)[:, ::2, ::2]
        grown = np.zeros_like(level)
        grown[:, ::2, ::2] = smaller
        levels.append(level - 4 * _smooth(grown))
        level = smaller
    return [*levels, level]


def _smooth(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the images after the binomial filter 1 4 6 4 1 along both axes, mirrored about their outermost pixels.

    Mirrored so, as Karras et al. do, every second pixel of an enlarged level is a zero beyond the border, too. Where
    the outermost pixel is repeated instead, the frame has most of the fine levels' energy.
    """
    weights = np.array([1, 4, 6, 4, 1]) / 16
    rows = correlate1d(level, weights, axis=1, mode="mirror")
    smooth: NDArray[np.float32] = correlate1d(rows, weights, axis=2, mode="mirror")
    return smooth

"""Whether a generator shows its training images again: distances to the nearest, against those of held-out images.

A synthetic image that is nearer to a training image than real images of other people usually are may be a copy.
"Nearer" is measured in pixels and in features; "usually" by the held-out images, which no generator has seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from augkit.contracts import Images
from augkit.features import Features
from augkit.images import shrink_images

RARE = 0.01
"""An image is suspicious where fewer than this share of held-out images are as near to a training image."""

_SIDE = 16
_BLOCK = 128

Values = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Nearest:
    """The nearest training image of each of N images: its index int64 (N,) and the distance float64 (N,)."""

    index: Index
    distance: Values


@dataclass(frozen=True)
class Memorisation:
    """How near N synthetic and M held-out images are to the training images, in pixels and in features."""

    pixels: Nearest
    features: Nearest
    held_out_pixels: Nearest
    held_out_features: Nearest

    @property
    def thresholds(self) -> tuple[float, float]:
        """The distances in pixels and in features that only `RARE` of the held-out images undercut."""
        pixels, features = self.held_out_pixels.distance, self.held_out_features.distance
        return float(np.quantile(pixels, RARE)), float(np.quantile(features, RARE))

    @property
    def suspicious(self) -> NDArray[np.bool_]:
        """Bool (N,): nearer to a training image, in pixels or in features, than held-out images are but rarely."""
        pixels, features = self.thresholds
        found: NDArray[np.bool_] = (self.pixels.distance < pixels) | (self.features.distance < features)
        return found

    @property
    def expected(self) -> float:
        """The share of held-out images that the same rule calls suspicious."""
        pixels, features = self.thresholds
        near = (self.held_out_pixels.distance < pixels) | (self.held_out_features.distance < features)
        return float(near.mean())

    def copying_z(self) -> tuple[float, float]:
        """Return the data-copying statistic of Meehan et al. 2020 (arXiv:2004.05675), in pixels and in features.

        The Mann-Whitney statistic of both samples of distances as a z value, over the whole set without cells: below
        -3 the synthetic images are nearer to the training images than held-out ones are.
        """
        pairs = [(self.pixels, self.held_out_pixels), (self.features, self.held_out_features)]
        first, second = (_mann_whitney_z(one.distance, other.distance) for one, other in pairs)
        return first, second


def nearest_in_pixels(images: Images, training: Images) -> Nearest:
    """Return the nearest training image in any of eight turns and mirrors, for uint8 (N, H, W, 3) each.

    The distance is the root mean square difference of colours at 16 x 16 pixels, in grey levels 0..255. Training
    mirrors images, and a mirrored copy is a copy.
    """
    known = _flat(shrink_images(training, _SIDE).astype(np.float32) - 128)
    lengths = (known * known).sum(axis=1)
    nearest: list[Nearest] = []
    for begin in range(0, len(images), _BLOCK):
        block = shrink_images(images[begin : begin + _BLOCK], _SIDE).astype(np.float32) - 128
        own = (_flat(block) ** 2).sum(axis=1)
        product = np.full((len(block), len(known)), -np.inf, np.float32)
        for turn in range(8):
            turned = np.rot90(block, turn % 4, (1, 2))
            np.maximum(product, _flat(turned if turn < 4 else turned[:, :, ::-1]) @ known.T, out=product)
        nearest.append(_nearest(own[:, None] + lengths - 2 * product, known.shape[1]))
    return _joined(nearest)


def nearest_in_features(features: Features, training: Features) -> Nearest:
    """Return the nearest training image by the root mean square difference of features, float64 (N, d) each."""
    lengths = (training * training).sum(axis=1)
    nearest = []
    for begin in range(0, len(features), _BLOCK):
        block = features[begin : begin + _BLOCK]
        squares = (block * block).sum(axis=1)[:, None] + lengths - 2 * block @ training.T
        nearest.append(_nearest(squares, features.shape[1]))
    return _joined(nearest)


def _nearest(squares: NDArray[np.floating], numbers: int) -> Nearest:
    index = squares.argmin(axis=1)
    least = squares[np.arange(len(squares)), index].astype(np.float64)
    return Nearest(index.astype(np.int64), np.sqrt(np.maximum(least, 0) / numbers))


def _joined(parts: list[Nearest]) -> Nearest:
    whole = [Nearest(np.zeros(0, np.int64), np.zeros(0)), *parts]
    return Nearest(np.concatenate([one.index for one in whole]), np.concatenate([one.distance for one in whole]))


def _flat(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1)


def _mann_whitney_z(synthetic: Values, held_out: Values) -> float:
    """Return z of the chance that a synthetic distance exceeds a held-out one; 0 for equal distributions."""
    m, n = len(synthetic), len(held_out)
    ordered = np.sort(held_out)
    smaller, not_larger = np.searchsorted(ordered, synthetic, "left"), np.searchsorted(ordered, synthetic, "right")
    u = float((smaller + not_larger).sum()) / 2
    return (u - m * n / 2) / float(np.sqrt(m * n * (m + n + 1) / 12))

"""Whether a generator shows its training images again: is it nearer to them than to real images it has not seen?

A distance alone says little: a smooth image is near everything, and a faulty one near nothing. So every distance to the
nearest training image stands beside that to the nearest held-out image, and in their ratio such traits cancel. An
image may be a copy if both its distance to a training image and its ratio are as small as those of real images are but
rarely. And of a generator that does not copy, as many images lie nearest to a training image as there are training
images among the real ones. All is taken in pixels and in features, and holds where training and held-out images are of
one kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from augkit.data.arrays import Images
from augkit.data.resizing import shrink_images
from augkit.quality.features import Features

RARE = 0.01
"""An image is suspicious where fewer than this share of held-out images have as small a distance, and a ratio."""

_SIDE = 16
_BLOCK = 128
_LEAST = 1e-9

Values = NDArray[np.float64]
Index = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Nearest:
    """The nearest other image of each of N images: its index int64 (N,) and the distance float64 (N,)."""

    index: Index
    distance: Values


@dataclass(frozen=True)
class Sides:
    """How near N synthetic and M held-out images are to T training and to M held-out images, in one kind of distance.

    train, held_out:           of the synthetic images.
    real_train, real_held_out: of the held-out images; their nearest held-out image is another patient's.
    """

    train: Nearest
    held_out: Nearest
    real_train: Nearest
    real_held_out: Nearest

    @property
    def ratios(self) -> Values:
        """Float64 (N,): the distance to the nearest training image over that to the nearest held-out image."""
        return _ratios(self.train, self.held_out)

    @property
    def real_ratios(self) -> Values:
        """Float64 (M,): the same of the held-out images."""
        return _ratios(self.real_train, self.real_held_out)

    @property
    def thresholds(self) -> tuple[float, float]:
        """The distance to a training image and the ratio that only `RARE` of the held-out images undercut."""
        return float(np.quantile(self.real_train.distance, RARE)), float(np.quantile(self.real_ratios, RARE))

    @property
    def suspicious(self) -> Flags:
        """Bool (N,): near to a training image, and not near to everything."""
        distance, ratio = self.thresholds
        return (self.train.distance < distance) & (self.ratios < ratio)

    @property
    def real_suspicious(self) -> Flags:
        """Bool (M,): the same of the held-out images."""
        distance, ratio = self.thresholds
        return (self.real_train.distance < distance) & (self.real_ratios < ratio)

    @property
    def nearer_to_training(self) -> Flags:
        """Bool (N,): whose nearest real image is a training image."""
        return self.train.distance < self.held_out.distance

    def copying_z(self, training: int) -> float:
        """Return how many standard deviations more images lie nearest to one of `training` training images than chance.

        Where nothing is copied, who of the real images was held out does not matter, so the number is compared with
        what it is when training and held-out are dealt out to the real images anew. Its mean and variance under that
        are known exactly (Hoeffding 1951), and they count an image that is nearest to many only once: a generator that
        always paints one image is not taken for one that copies many.
        """
        held_out = len(self.real_train.index)
        total = training + held_out
        near = self.nearer_to_training
        places = np.where(near, self.train.index, training + self.held_out.index)
        counts = np.bincount(places, minlength=total)
        variance = training * held_out / (total * (total - 1)) * np.square(counts - counts.mean()).sum()
        excess = near.sum() - len(near) * training / total
        return float(excess / np.sqrt(variance)) if variance > 0 else 0.0


@dataclass(frozen=True)
class Memorisation:
    """The nearest images in pixels and in features, of which there are `training` to learn from."""

    pixels: Sides
    features: Sides
    training: int

    @property
    def suspicious(self) -> Flags:
        """Bool (N,): in pixels or in features."""
        return self.pixels.suspicious | self.features.suspicious

    @property
    def expected(self) -> float:
        """The share of held-out images that the same rule calls suspicious."""
        return float((self.pixels.real_suspicious | self.features.real_suspicious).mean())


def nearest_in_pixels(images: Images, others: Images, apart: Flags | None = None) -> Nearest:
    """Return the nearest other image in any of eight turns and mirrors, for uint8 (N, H, W, 3) and (M, H, W, 3).

    The distance is the root mean square difference of colours at 16 x 16 pixels, in grey levels 0..255. Training
    mirrors images, and a mirrored copy is a copy. apart: bool (N, M), pairs that do not count.
    """
    known = _flat(shrink_images(others, _SIDE).astype(np.float32) - 128)
    lengths = (known * known).sum(axis=1)
    nearest: list[Nearest] = []
    for begin in range(0, len(images), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        block = shrink_images(images[part], _SIDE).astype(np.float32) - 128
        own = (_flat(block) ** 2).sum(axis=1)
        product = np.full((len(block), len(known)), -np.inf, np.float32)
        for turn in range(8):
            turned = np.rot90(block, turn % 4, (1, 2))
            np.maximum(product, _flat(turned if turn < 4 else turned[:, :, ::-1]) @ known.T, out=product)
        squares = own[:, None] + lengths - 2 * product
        nearest.append(_nearest(squares, None if apart is None else apart[part], known.shape[1]))
    return _joined(nearest)


def nearest_in_features(features: Features, others: Features, apart: Flags | None = None) -> Nearest:
    """Return the nearest other image by the root mean square difference of features, float64 (N, d) and (M, d)."""
    lengths = (others * others).sum(axis=1)
    nearest = []
    for begin in range(0, len(features), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        block = features[part]
        squares = (block * block).sum(axis=1)[:, None] + lengths - 2 * block @ others.T
        nearest.append(_nearest(squares, None if apart is None else apart[part], features.shape[1]))
    return _joined(nearest)


def _nearest(squares: NDArray[np.floating], apart: Flags | None, numbers: int) -> Nearest:
    if apart is not None:
        squares = np.where(apart, np.inf, squares)
    index = squares.argmin(axis=1)
    least = squares[np.arange(len(squares)), index].astype(np.float64)
    return Nearest(index.astype(np.int64), np.sqrt(np.maximum(least, 0) / numbers))


def _ratios(near: Nearest, far: Nearest) -> Values:
    """Return the ratios; without any held-out image to compare with they are 0, and nothing is below their quantile."""
    return near.distance / np.maximum(far.distance, _LEAST)


def _joined(parts: list[Nearest]) -> Nearest:
    whole = [Nearest(np.zeros(0, np.int64), np.zeros(0)), *parts]
    return Nearest(np.concatenate([one.index for one in whole]), np.concatenate([one.distance for one in whole]))


def _flat(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1)

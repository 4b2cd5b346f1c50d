"""What images look like in numbers, without a network and without a download: the features named ``handcrafted``.

Every image is averaged down to 64 x 64 and described in brightness and two colour differences (red less green, and
their mean less blue) by 144 numbers:

* 18 colour statistics: mean, spread and four quantiles of each channel;
* 48 for the layout: each channel averaged over a 4 x 4 grid;
* 54 for texture: at three scales, half a size apart, the log energy of brightness and of both colour differences, the
  share of gradient energy in each of eight directions, and how the gradient's strength is distributed (seven numbers);
* 24 for the spectrum: log power of the discrete cosine transform of each channel in eight rings.

`Scale` brings them to units of the real training images' spread. They stand where a network's features would: a
distance named ``kid_handcrafted`` may be compared only with others of that name.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter

from augkit.data.arrays import Images
from augkit.data.resizing import shrink_images

NAME = "handcrafted"
"""Stands in the name of every number that was computed with these features."""

COUNT = 144
"""Numbers per image."""

Features = NDArray[np.float64]

_SIDE = 64
_BLOCK = 256
_COLOURS = np.array([[0.299, 1.0, 0.5], [0.587, -1.0, 0.5], [0.114, 0.0, -1.0]], np.float32)
_QUANTILES = (0.05, 0.25, 0.75, 0.95)
_SCALES = 3
_DIRECTIONS = 8
_RINGS = 8
_SOFT = 5.0


def describe(images: Images) -> Features:
    """Return float64 (N, 144) of uint8 images (N, H, W, 3); each row depends on its image only."""
    parts = [_describe(shrink_images(images[i : i + _BLOCK], _SIDE)) for i in range(0, len(images), _BLOCK)]
    return np.concatenate([np.zeros((0, COUNT)), *parts])


@dataclass(frozen=True)
class Scale:
    """Centre and spread of the features of a reference set, each float64 (144,)."""

    centre: Features
    spread: Features

    @staticmethod
    def of(reference: Features) -> Scale:
        """Return the scale in which `reference` has mean 0 and spread 1; a feature without spread keeps its unit."""
        spread = reference.std(axis=0)
        return Scale(reference.mean(axis=0), np.where(spread > 1e-9, spread, 1.0))

    def apply(self, features: Features) -> Features:
        """Return features in units of the reference's spread; beyond five units they grow as the logarithm.

        Without that, one image far outside (noise, say) would decide a mean of cubes.
        """
        units = (features - self.centre) / self.spread
        beyond = np.maximum(np.abs(units) - _SOFT, 0)
        scaled: Features = np.sign(units) * (np.minimum(np.abs(units), _SOFT) + np.log1p(beyond))
        return scaled


def _describe(images: Images) -> Features:
    channels = (images.astype(np.float32) / np.float32(255)) @ _COLOURS
    by_channel: NDArray[np.float32] = np.ascontiguousarray(channels.transpose(3, 0, 1, 2))
    columns = [_colours(by_channel), _layout(by_channel), _texture(by_channel), _spectrum(by_channel)]
    return np.concatenate(columns, axis=1).astype(np.float64)


def _colours(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, 18): mean, spread and quantiles of each channel (3, N, H, W)."""
    flat = channels.reshape(3, channels.shape[1], -1)
    quantiles = np.quantile(flat, _QUANTILES, axis=2).astype(np.float32)
    statistics = np.stack([flat.mean(axis=2), flat.std(axis=2), *quantiles])
    return _rows(statistics)


def _layout(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, 48): each channel averaged over a 4 x 4 grid."""
    n, cell = channels.shape[1], _SIDE // 4
    grid = channels.reshape(3, n, 4, cell, 4, cell).mean(axis=(3, 5))
    return _rows(grid.transpose(0, 2, 3, 1).reshape(48, n))


def _texture(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, 54): 18 numbers at each of three scales."""
    columns = []
    for scale in range(_SCALES):
        smooth = gaussian_filter(channels, (0, 0, 0.8, 0.8), mode="reflect")
        energy = np.square(channels - smooth).mean(axis=(2, 3))
        columns += [np.log(energy + 1e-6), *_gradients(channels[0])]
        if scale < _SCALES - 1:
            channels = smooth[:, :, ::2, ::2]
    return np.concatenate([_rows(column) for column in columns], axis=1)


def _gradients(brightness: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (8, N) shares of gradient energy by direction, and (7, N) how strong gradients are."""
    down, right = np.gradient(brightness, axis=(1, 2))
    strength = np.hypot(down, right)
    direction = np.floor(np.arctan2(down, right) / np.pi * _DIRECTIONS).astype(np.int64) % _DIRECTIONS
    square = strength * strength
    total = square.sum(axis=(1, 2)) + 1e-6
    shares = np.stack([np.where(direction == k, square, 0).sum(axis=(1, 2)) / total for k in range(_DIRECTIONS)])
    flat = strength.reshape(len(strength), -1)
    levels = np.log(np.quantile(flat, (0.1, 0.25, 0.5, 0.75, 0.9, 0.99), axis=1) + 1e-3)
    strengths = np.concatenate([levels, np.log(flat.mean(axis=1) + 1e-3)[None]])
    return shares.astype(np.float32), strengths.astype(np.float32)


def _spectrum(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, 24): log power of each channel in eight rings of frequency, the finest last."""
    power = np.square(fft.dctn(channels, axes=(2, 3), norm="ortho"))
    radius = np.hypot(*np.meshgrid(np.arange(_SIDE), np.arange(_SIDE), indexing="ij")) / _SIDE
    edges = np.concatenate([[1 / _SIDE], np.geomspace(3 / _SIDE, 1.0, _RINGS)])
    rings = [(radius >= low) & (radius < high) for low, high in pairwise(edges)]
    return _rows(np.stack([np.log(power[:, :, ring].mean(axis=2) + 1e-6) for ring in rings]))


def _rows(columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N, numbers) of an array whose last axis is N."""
    rows: NDArray[np.float32] = columns.reshape(-1, columns.shape[-1]).T
    return rows

"""How well several draws foretell one image: the energy score of patches, in bands of frequency.

The energy score of draws x_i for what came, y, is

    mean |x_i - y| - mean |x_i - x_j| / 2,

and its expectation is least where the draws have y's distribution (Gneiting & Raftery 2007): draws that are too alike
lose as much as draws that are off. In a whole image at once the fine structure would drown in colours, so the score is
taken of patches, as Pacchiardi et al. 2024 (arXiv:2112.08217) take it of parts of a map, in each octave of frequencies,
with every colour axis in units of its own deviation there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from augkit import Images
from augkit.training import in_unit_range
from augkit_flow.spectrum import Spectrum

_OCTAVES = 4
"""The sides of images are multiples of 2 to this power."""

_PATCHES = [(4, 8)] * _OCTAVES + [(1, 4)]
"""Sides of patches, in pixels of their octave; last those of what is left."""

_MEASURED = 256
"""Images, evenly chosen, whose deviations are taken."""

_FLOOR = 1e-6
"""Added to squares before their root is taken, whose slope at 0 is infinite."""

T = TypeVar("T")


class EnergyScore:
    """The score in units of the deviations of training images."""

    def __init__(self, spectrum: Spectrum, images: Images, device: str) -> None:
        """`images`: (N, H, W, C), the training images, which `spectrum` normalises."""
        some = np.asarray(images[:: max(1, len(images) // _MEASURED)])
        pixels = in_unit_range(some, spectrum.format, device)
        parts = _bands(spectrum.normalise(pixels))
        self._deviations = [part.square().mean((0, 2, 3), keepdim=True).sqrt().clamp_min(1e-3) for part in parts]

    def __call__(self, drawn: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return the mean score, a scalar, of two or more draws of images, each float32 (N, C, H, W)."""
        return energy(drawn, images, self._distance)

    def _distance(self, some: Tensor, others: Tensor) -> Tensor:
        """Return the mean distance of patches, summed over bands and sizes."""
        total = torch.zeros((), device=some.device)
        for part, deviation, sides in zip(_bands(some - others), self._deviations, _PATCHES, strict=True):
            squares = (part / deviation).square().mean(1, keepdim=True)
            for side in sides:
                near = min(side, *squares.shape[2:])
                total = total + (avg_pool2d(squares, near, near // 2 or 1) + _FLOOR).sqrt().mean()
        return total


def energy(drawn: Sequence[T], came: T, distance: Callable[[T, T], Tensor]) -> Tensor:
    """Return the energy score, a scalar, of two or more draws of what came."""
    off = torch.stack([distance(one, came) for one in drawn]).mean()
    return off - torch.stack([distance(one, other) for one, other in combinations(drawn, 2)]).mean() / 2


def _bands(images: Tensor) -> list[Tensor]:
    """Return what each octave of frequencies adds to (N, C, H, W), finest first, and what is left, at 1/16."""
    parts = []
    for _ in range(_OCTAVES):
        coarse = avg_pool2d(images, 2)
        parts.append(images - interpolate(coarse, scale_factor=2))
        images = coarse
    return [*parts, images]

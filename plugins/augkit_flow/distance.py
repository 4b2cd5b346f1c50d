"""How far images are apart, in patches of every octave of frequencies.

Between whole images the fine structure would drown in colours, and between single pixels a hair that lies a little off
would count twice. So distances are taken of patches, in each octave, with every colour axis in units of its own
deviation there; being no squares, they forgive the few patches that cannot be foreseen.
"""

from __future__ import annotations

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


class PatchDistance:
    """The distance of normalised images, in units of the deviations of training images."""

    def __init__(self, spectrum: Spectrum, images: Images, device: str) -> None:
        """`images`: (N, H, W, C), the training images, which `spectrum` normalises."""
        some = np.asarray(images[:: max(1, len(images) // _MEASURED)])
        pixels = in_unit_range(some, spectrum.format, device)
        parts = octaves(spectrum.normalise(pixels))
        self._deviations = [part.square().mean((0, 2, 3), keepdim=True).sqrt().clamp_min(1e-3) for part in parts]

    def __call__(self, some: Tensor, others: Tensor) -> Tensor:
        """Return the mean distance of pairs, each float32 (N, C, H, W), summed over octaves and sizes of patches."""
        total = torch.zeros((), device=some.device)
        for part, deviation, sides in zip(octaves(some - others), self._deviations, _PATCHES, strict=True):
            squares = (part / deviation).square().mean(1, keepdim=True)
            for side in sides:
                near = min(side, *squares.shape[2:])
                total = total + (avg_pool2d(squares, near, near // 2 or 1) + _FLOOR).sqrt().mean()
        return total


def octaves(images: Tensor) -> list[Tensor]:
    """Return what each octave of frequencies adds to (N, C, H, W), finest first, and what is left, at 1/16."""
    parts = []
    for _ in range(_OCTAVES):
        coarse = avg_pool2d(images, 2)
        parts.append(images - interpolate(coarse, scale_factor=2))
        images = coarse
    return [*parts, images]

"""Colour changes as one 3x3 matrix and one power per sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from augkit import Draws, Within

if TYPE_CHECKING:
    from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma (ITU-R BT.601)."""


@dataclass(frozen=True)
class Colour:
    """Change brightness, contrast, saturation, hue and gamma of the image; the mask is left alone.

    brightness: largest relative change, either way; 0.2 multiplies by 0.8 .. 1.2.
    contrast:   largest relative change of the distance from the image's mean luma.
    saturation: largest relative change of the distance from grey.
    hue:        largest rotation of the colours around the grey axis in degrees, either way.
    gamma:      largest change of the exponent in octaves, either way; 0.5 means 0.71 .. 1.41.
    """

    brightness: Annotated[float, Within(0, 0.9)] = 0.2
    contrast: Annotated[float, Within(0, 0.9)] = 0.2
    saturation: Annotated[float, Within(0, 1)] = 0.2
    hue: Annotated[float, Within(0, 180)] = 5.0
    gamma: Annotated[float, Within(0, 2)] = 0.0

    def __call__(self, images: Tensor, masks: Tensor, draws: Draws[Tensor]) -> tuple[Tensor, Tensor]:
        """Return recoloured images in 0..1 and the masks as they were."""
        import torch

        matrix = self.matrices(draws)
        luma = torch.tensor(_LUMA, device=images.device)
        mean = torch.einsum("nchw,c->n", images, luma)[:, None, None, None] / (images.shape[2] * images.shape[3])
        contrast = 1 + draws.uniform("contrast", -1, 1)[:, None, None, None] * self.contrast
        brightness = 1 + draws.uniform("brightness", -1, 1)[:, None, None, None] * self.brightness
        changed = torch.einsum("nij,njhw->nihw", matrix, images)
        changed = ((changed - mean) * contrast + mean) * brightness
        changed = changed.clamp(0, 1)
        if self.gamma > 0:
            changed = changed ** torch.exp2(draws.uniform("gamma", -1, 1) * self.gamma)[:, None, None, None]
        return changed, masks

    def matrices(self, draws: Draws[Tensor]) -> Tensor:
        """Return float32 (N, 3, 3): rotation around the grey axis (Rodrigues), then the change of saturation."""
        import torch

        device = draws.keys.device
        angle = (draws.uniform("hue", -1, 1) * math.radians(self.hue))[:, None, None]
        saturation = (1 + draws.uniform("saturation", -1, 1) * self.saturation)[:, None, None]
        identity = torch.eye(3, device=device)
        k = 1 / math.sqrt(3)
        across = torch.tensor([[0, -k, k], [k, 0, -k], [-k, k, 0]], device=device)
        third = torch.full((3, 3), 1 / 3, device=device)
        turn = torch.cos(angle) * identity + torch.sin(angle) * across + (1 - torch.cos(angle)) * third
        grey = torch.tensor([_LUMA] * 3, device=device)
        return (saturation * identity + (1 - saturation) * grey) @ turn

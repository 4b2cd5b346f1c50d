"""Defocus."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from augkit import ANYTHING, Draws, Within

if TYPE_CHECKING:
    from torch import Tensor

    from augkit_classical.host import Pixels


@dataclass(frozen=True)
class Blur:
    """Blur the image with a Gaussian, as a camera out of focus; the mask is left alone.

    sigma:       smallest and largest standard deviation as a share of the image's shorter side.
    probability: how often a sample is blurred.
    """

    sigma: tuple[float, float] = (0.0, 0.015)
    probability: Annotated[float, Within(0, 1)] = 0.5
    takes = ANYTHING

    def __post_init__(self) -> None:
        if not 0 <= self.sigma[0] <= self.sigma[1] <= 0.1:
            raise ValueError(f"sigma is {list(self.sigma)}; allowed: 0 <= smallest <= largest <= 0.1")

    def __call__(self, images: Tensor, masks: Tensor, draws: Draws[Tensor]) -> tuple[Tensor, Tensor]:
        """Return blurred images and the masks as they were."""
        sigma = self.parameters(draws)["blur sigma"]
        side = min(images.shape[2:])
        reach = min(max(1, math.ceil(3 * self.sigma[1] * side)), side - 1)
        blurred = _blurred_on_cpu if images.device.type == "cpu" else _blurred
        return blurred(images, _kernels(sigma * side, reach), sigma > 0), masks

    def parameters(self, draws: Draws[Tensor]) -> Mapping[str, Tensor]:
        """Return the standard deviation of each sample's Gaussian as a share of the shorter side; 0 is no blur."""
        size, chance = draws.uniforms(("sigma", "applied")).unbind(1)
        low, high = self.sigma
        return {"blur sigma": (low + (high - low) * size) * (chance < self.probability)}


def _kernels(sigma: Tensor, reach: int) -> Tensor:
    """Return float32 (N, 2 reach + 1): Gaussians of `sigma` pixels that sum to 1."""
    import torch

    away = torch.arange(-reach, reach + 1, device=sigma.device, dtype=torch.float32)
    weights = torch.exp(-0.5 * (away / sigma.clamp(min=1e-3)[:, None]) ** 2)
    return weights / weights.sum(1, keepdim=True)


def _blurred(images: Tensor, kernels: Tensor, applied: Tensor) -> Tensor:
    """Return images (N, C, H, W) of which those with `applied`, bool (N,), are blurred by kernels (N, K)."""
    import torch
    from torch.nn.functional import conv2d, pad

    n, channels = images.shape[:2]
    reach = kernels.shape[1] // 2
    kernel = kernels.repeat_interleave(channels, dim=0)[:, None, None, :]
    flat = pad(images, (reach, reach, reach, reach), mode="reflect").flatten(0, 1)[None]
    flat = conv2d(flat, kernel, groups=n * channels)
    flat = conv2d(flat, kernel.transpose(2, 3), groups=n * channels)
    return torch.where(applied[:, None, None, None], flat.reshape(images.shape).clamp(0, 1), images)


def _blurred_on_cpu(images: Tensor, kernels: Tensor, applied: Tensor) -> Tensor:
    """As `_blurred`, a sample at a time."""
    import cv2
    import numpy as np

    from augkit_classical.host import clip, each

    weights, change_it = kernels.numpy(), applied.tolist()

    def change(i: int, image: Pixels, out: Pixels) -> None:
        if change_it[i]:
            cv2.sepFilter2D(image, -1, weights[i], weights[i], dst=out, borderType=cv2.BORDER_REFLECT_101)
            clip(out)
        else:
            np.copyto(out, image)

    return each(images, change)

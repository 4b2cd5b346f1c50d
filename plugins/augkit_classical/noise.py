"""Sensor noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from augkit import ANYTHING, Draws, Within
from augkit_classical.chance import change_some

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Noise:
    """Add independent Gaussian noise to every pixel and channel of the image; the mask is left alone.

    sigma:       smallest and largest standard deviation, where the image is 0..1: shares of a channel's window.
    probability: how often a sample gets noise.
    """

    sigma: tuple[float, float] = (0.0, 0.03)
    probability: Annotated[float, Within(0, 1)] = 0.5
    takes = ANYTHING

    def __post_init__(self) -> None:
        if not 0 <= self.sigma[0] <= self.sigma[1] <= 0.5:
            raise ValueError(f"sigma is {list(self.sigma)}; allowed: 0 <= smallest <= largest <= 0.5")

    def __call__(self, images: Tensor, masks: Tensor, draws: Draws[Tensor]) -> tuple[Tensor, Tensor]:
        """Return noisy images in 0..1 and the masks as they were."""
        sigma = self.parameters(draws)["noise sigma"]
        shape = (images.shape[2], images.shape[3], images.shape[1])  # the layout in which a CPU has the images

        def noisy(some: Tensor, where: Tensor) -> Tensor:
            grain = draws[where].field("noise", shape).permute(0, 3, 1, 2)
            return grain.mul_(sigma[where, None, None, None]).add_(some).clamp_(0, 1)

        return change_some(images, sigma > 0, noisy), masks

    def parameters(self, draws: Draws[Tensor]) -> Mapping[str, Tensor]:
        """Return the standard deviation of each sample's noise; 0 is none."""
        size, chance = draws.uniforms(("sigma", "applied")).unbind(1)
        low, high = self.sigma
        return {"noise sigma": (low + (high - low) * size) * (chance < self.probability)}

"""Rectangles that hide part of the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from augkit import ANYTHING, Draws, Within
from augkit_classical.boxes import inside
from augkit_classical.chance import change_some

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Cutout:
    """Hide a square of the image (DeVries & Taylor 2017); the mask keeps what is under it, to be learned from around.

    size:        smallest and largest side of the square as a share of the image's sides.
    fill:        ``mean`` paints the image's own mean, ``black`` the lower end of each channel's window.
    probability: how often a sample loses a square.
    """

    size: tuple[float, float] = (0.1, 0.4)
    fill: Literal["mean", "black"] = "mean"
    probability: Annotated[float, Within(0, 1)] = 0.5
    takes = ANYTHING

    def __post_init__(self) -> None:
        if not 0 < self.size[0] <= self.size[1] <= 1:
            raise ValueError(f"size is {list(self.size)}; allowed: 0 < smallest <= largest <= 1")

    def __call__(self, images: Tensor, masks: Tensor, draws: Draws[Tensor]) -> tuple[Tensor, Tensor]:
        """Return images with hidden squares and the masks as they were."""
        import torch

        drawn = self.parameters(draws)
        height, width = images.shape[2:]

        def hidden(some: Tensor, where: Tensor) -> Tensor:
            x, y, size = (drawn[name][where] for name in ("x", "y", "size"))
            colour = some.mean((2, 3), keepdim=True) * float(self.fill == "mean")
            return torch.where(inside(x, y, size, size, (height, width)), colour, some)

        return change_some(images, drawn["size"] > 0, hidden), masks

    def parameters(self, draws: Draws[Tensor]) -> Mapping[str, Tensor]:
        """Return side and centre of each sample's square in shares of the image's sides; size 0 is none."""
        size, x, y, chance = draws.uniforms(("size", "x", "y", "applied")).unbind(1)
        low, high = self.size
        applied = chance < self.probability
        return {"size": (low + (high - low) * size) * applied, "x": x * applied, "y": y * applied}

"""Two samples of a batch in one.

The partner of a sample is another sample of its batch: put the batch in the order of a keyed draw, and each sample
mixes with the next one in that circle. So the pairs depend on which samples share the batch, not on their order, and a
sample alone in its batch stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

from augkit import ANYTHING, Draws, Within
from augkit_classical.boxes import inside

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Mixup:
    """Blend image and mask with those of another sample of the batch (Zhang et al. 2018).

    Masks become soft: the share of the foreground, 0..1. Name it last, because a transform that moves masks makes them
    0 or 1 again.

    alpha:       of the Beta(alpha, alpha) distribution that the weight is drawn from; large values blend evenly.
    probability: how often a sample is blended.
    """

    alpha: Annotated[float, Within(0.05, 10)] = 0.4
    probability: Annotated[float, Within(0, 1)] = 0.5
    takes = ANYTHING

    def __call__(self, images: Tensor, masks: Tensor, draws: Draws[Tensor]) -> tuple[Tensor, Tensor]:
        """Return blended images and masks, both in 0..1."""
        weight = self.parameters(draws)["own weight"][:, None, None, None]
        other = partners(draws)
        return images[other].lerp(images, weight), masks[other].lerp(masks, weight)

    def parameters(self, draws: Draws[Tensor]) -> Mapping[str, Tensor]:
        """Return the weight of each sample's own image and mask, one half to 1; the partner has the rest."""
        import torch

        unit, chance = draws.uniforms(("weight", "applied")).unbind(1)
        weight = _beta_quantiles(self.alpha, str(unit.device))[(unit * _LEVELS).long()]
        # The larger share stays the sample's own, so that a pair does not swap names.
        weight = torch.maximum(weight, 1 - weight)
        return {"own weight": torch.where(chance < self.probability, weight, torch.ones_like(weight))}


@dataclass(frozen=True)
class Cutmix:
    """Paste a rectangle of another sample of the batch over image and mask (Yun et al. 2019).

    size:        smallest and largest area of the rectangle as a share of the image.
    probability: how often a sample gets one.
    """

    size: tuple[float, float] = (0.05, 0.3)
    probability: Annotated[float, Within(0, 1)] = 0.5
    takes = ANYTHING

    def __post_init__(self) -> None:
        if not 0 < self.size[0] <= self.size[1] <= 1:
            raise ValueError(f"size is {list(self.size)}; allowed: 0 < smallest <= largest <= 1")

    def __call__(self, images: Tensor, masks: Tensor, draws: Draws[Tensor]) -> tuple[Tensor, Tensor]:
        """Return images and masks with pasted rectangles; masks stay exactly 0 or 1."""
        import torch

        drawn = self.parameters(draws)
        other = partners(draws)
        side = drawn["area"].sqrt()
        box = inside(drawn["x"], drawn["y"], side, side, (images.shape[2], images.shape[3]))
        return torch.where(box, images[other], images), torch.where(box, masks[other], masks)

    def parameters(self, draws: Draws[Tensor]) -> Mapping[str, Tensor]:
        """Return area and centre of each sample's rectangle in shares of image and side; area 0 is none."""
        size, x, y, chance = draws.uniforms(("area", "x", "y", "applied")).unbind(1)
        low, high = self.size
        area = (low + (high - low) * size) * (chance < self.probability)
        half = area.sqrt() / 2
        return {"area": area, "x": half + x * (1 - 2 * half), "y": half + y * (1 - 2 * half)}


_LEVELS = 4096


@lru_cache(maxsize=16)
def _beta_quantiles(alpha: float, device: str) -> Tensor:
    """Return float32 (4096,): equally likely quantiles of Beta(alpha, alpha); a table gives one answer everywhere."""
    import numpy as np
    import torch
    from scipy.special import betaincinv

    return torch.from_numpy(betaincinv(alpha, alpha, (np.arange(_LEVELS) + 0.5) / _LEVELS)).float().to(device)


def partners(draws: Draws[Tensor]) -> Tensor:
    """Return int64 (N,): the place in the batch of each sample's partner."""
    import torch

    order = torch.argsort(draws.bits("partner"), stable=True)
    other = torch.empty_like(order)
    other[order] = order.roll(-1)
    return other

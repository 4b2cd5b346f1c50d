"""Smooth deformations that cannot fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

from augkit import ANYTHING, Draws, Within
from augkit_classical.warp import Padding, warp_free_form

if TYPE_CHECKING:
    from torch import Tensor

_INJECTIVE = 1 / 2.046392675
"""Largest displacement of a control point, in spacings, that cannot fold a 2-D cubic B-spline (Choi & Lee 2000)."""


@dataclass(frozen=True)
class Elastic:
    """Deform image and mask together by a free-form deformation: uniform cubic B-splines (Rueckert et al. 1999).

    spacing:     distance of the control points as a share of the side.
    strength:    largest displacement of a control point along each axis as a share of the largest that cannot fold,
                 0.4887 spacings (Choi & Lee 2000); displacements are uniform up to a size that is drawn per sample.
    probability: how often a sample is deformed.
    padding:     what lies outside the image, as for `geometry`.
    """

    spacing: Annotated[float, Within(0.05, 0.5)] = 0.2
    strength: Annotated[float, Within(0, 1)] = 0.5
    probability: Annotated[float, Within(0, 1)] = 1.0
    padding: Padding = "border"
    takes = ANYTHING

    def __call__(self, images: Tensor, masks: Tensor, draws: Draws[Tensor]) -> tuple[Tensor, Tensor]:
        """Return deformed images and masks; masks stay exactly 0 or 1."""
        height, width = images.shape[2:]
        points = self.control_points(draws)
        moved = self.parameters(draws)["displacement"] > 0
        splines = self.splines(height, width, str(images.device))
        return warp_free_form(images, masks, points, splines, self.padding, moved)

    def takes_stored_pixels(self) -> bool:
        """Return true; the answer is float32."""
        return True

    def ignores_padding(self) -> bool:
        """Return whether what lies outside the image does not count."""
        return self.padding == "ignore"

    def parameters(self, draws: Draws[Tensor]) -> Mapping[str, Tensor]:
        """Return the largest displacement that each sample's control points may have, as a share of the side."""
        size, chance = draws.uniforms(("size", "applied")).unbind(1)
        return {"displacement": size * (self.strength * _INJECTIVE * self.spacing) * (chance < self.probability)}

    def control_points(self, draws: Draws[Tensor]) -> Tensor:
        """Return float32 (N, 2, P, P): displacements in x and y of the control points, in half sides."""
        count = _count(self.spacing)
        most = self.parameters(draws)["displacement"][:, None, None, None]
        return draws.uniform("displacement", -2, 2, shape=(2, count, count)) * most

    def splines(self, height: int, width: int, device: str) -> tuple[Tensor, Tensor]:
        """Return float32 (height, P) and (width, P): how much each control point moves each row and column."""
        return _splines(height, self.spacing, device), _splines(width, self.spacing, device)


def _count(spacing: float) -> int:
    """Return how many control points an axis has, so that four of them reach every pixel."""
    return int(1 / spacing) + 4


@lru_cache(maxsize=16)
def _splines(side: int, spacing: float, device: str) -> Tensor:
    """Return float32 (side, P): how much each control point moves each pixel; every row sums to 1."""
    import torch

    at = (torch.arange(side, dtype=torch.float64) + 0.5) / side / spacing
    away = (at[:, None] - (torch.arange(_count(spacing), dtype=torch.float64) - 1)).abs()
    near = 2 / 3 - away**2 + away**3 / 2
    far = (2 - away).clamp(min=0) ** 3 / 6
    return torch.where(away < 1, near, far).float().to(device)

"""Flips and affine transforms, composed into one matrix per sample and one resampling of image and mask together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from augkit import Draws, Within

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Geometry:
    """Flip, rotate, scale, shear and shift image and mask together.

    flip:      which mirror images may occur, each with probability one half.
    rotate:    largest rotation in degrees, either way.
    scale:     smallest and largest magnification.
    shear:     largest shear angle in degrees, either way, along each axis.
    translate: largest shift as a share of the side, either way, along each axis.
    probability: how often rotation, scale, shear and shift are applied; flips do not depend on it.
    padding:   what fills the corners; ``reflect`` leaves no black edges to learn from.
    """

    flip: Literal["none", "horizontal", "vertical", "both"] = "both"
    rotate: Annotated[float, Within(0, 180)] = 180.0
    scale: tuple[float, float] = (1.0, 1.0)
    shear: Annotated[float, Within(0, 45)] = 0.0
    translate: Annotated[float, Within(0, 0.5)] = 0.0
    probability: Annotated[float, Within(0, 1)] = 1.0
    padding: Literal["reflect", "border", "constant"] = "reflect"

    def __post_init__(self) -> None:
        if not 0.2 <= self.scale[0] <= self.scale[1] <= 5:
            raise ValueError(f"scale is {list(self.scale)}; allowed: 0.2 <= smallest <= largest <= 5")

    def __call__(self, images: Tensor, masks: Tensor, draws: Draws[Tensor]) -> tuple[Tensor, Tensor]:
        """Return transformed images and masks; masks stay exactly 0 or 1."""
        import torch
        from torch.nn.functional import grid_sample

        height, width = images.shape[2:]
        grid = _grid(self.matrices(draws), height, width)
        padding = {"reflect": "reflection", "border": "border", "constant": "zeros"}[self.padding]
        both = torch.cat([images, masks], dim=1)
        both = grid_sample(both, grid, mode="bilinear", padding_mode=padding, align_corners=False)
        channels = images.shape[1]
        return both[:, :channels], (both[:, channels:] > 0.5).to(masks.dtype)

    def matrices(self, draws: Draws[Tensor]) -> Tensor:
        """Return float32 (N, 2, 3): from output to input coordinates, in units of half the image height, y down."""
        import torch

        applied = draws.boolean("applied", self.probability).float()
        angle = draws.uniform("rotate", -1, 1) * math.radians(self.rotate) * applied
        low, high = (math.log(value) for value in self.scale)
        zoom = torch.exp(-draws.uniform("scale", low, high) * applied)
        shear = torch.tan(draws.uniform("shear", -1, 1, shape=(2,)) * math.radians(self.shear) * applied[:, None])
        shift = draws.uniform("translate", -1, 1, shape=(2,)) * (2 * self.translate) * applied[:, None]
        mirror_x = 1 - 2 * draws.boolean("flip x").float() * (self.flip in ("horizontal", "both"))
        mirror_y = 1 - 2 * draws.boolean("flip y").float() * (self.flip in ("vertical", "both"))
        c, s = torch.cos(angle) * zoom, torch.sin(angle) * zoom
        # rotation and zoom, times shear, with the mirrors applied to the input's axes
        row_x = torch.stack([c - s * shear[:, 1], c * shear[:, 0] - s, shift[:, 0]], dim=1) * mirror_x[:, None]
        row_y = torch.stack([s + c * shear[:, 1], s * shear[:, 0] + c, shift[:, 1]], dim=1) * mirror_y[:, None]
        return torch.stack([row_x, row_y], dim=1)


def _grid(matrices: Tensor, height: int, width: int) -> Tensor:
    """Return the (N, H, W, 2) sampling grid of `grid_sample`, keeping angles true on images that are not square."""
    import torch
    from torch.nn.functional import affine_grid

    aspect = torch.tensor([[1.0, height / width, height / width], [width / height, 1.0, 1.0]])
    size = [len(matrices), 1, height, width]
    return affine_grid(matrices * aspect.to(matrices.device, non_blocking=True), size, align_corners=False)

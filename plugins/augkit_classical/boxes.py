"""Rectangles as masks, for what is cut out or swapped."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def inside(x: Tensor, y: Tensor, width: Tensor, height: Tensor, size: tuple[int, int]) -> Tensor:
    """Return bool (N, 1, H, W): pixels whose centre is in the rectangle around (x, y), all in shares of the side."""
    import torch

    def along(centre: Tensor, side: Tensor, count: int) -> Tensor:
        at = (torch.arange(count, device=x.device, dtype=torch.float32) + 0.5) / count
        return (at - centre[:, None]).abs() * 2 < side[:, None]

    return (along(y, height, size[0])[:, :, None] & along(x, width, size[1])[:, None, :])[:, None]

"""Curves drawn into a batch without a loop over samples, curves or pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Strokes:
    """Quadratic Bezier curves: points (x, y) float32 (N, S, 2) and widths (N, S) in shares of the side; 0 is none."""

    start: Tensor
    middle: Tensor
    end: Tensor
    width: Tensor


def cover(strokes: Strokes, size: tuple[int, int], widest: float) -> Tensor:
    """Return float32 (N, 1, H, W) in 0..1: how much of each pixel the strokes hide.

    Dots a pixel apart along each curve are stamped into the pixels around them, and the largest share wins, which does
    not depend on the order; so the result is the same on every run and device.

    widest: no stroke is wider than this many pixels.
    """
    import torch

    (height, width), n = size, len(strokes.width)
    device = strokes.width.device
    dots = max(size)
    t = torch.linspace(0, 1, dots, device=device)[:, None]
    scale = torch.stack([torch.full((), float(side), device=device) for side in (width, height)])
    start, middle, end = (point[:, :, None] * scale for point in (strokes.start, strokes.middle, strokes.end))
    at = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
    reach = math.ceil(widest / 2)
    step = torch.arange(-reach, reach + 1, device=device)
    offsets = torch.cartesian_prod(step, step)  # (k, 2): the pixels around a dot that it can touch
    pixel = at.floor()[:, :, :, None] + offsets
    away = (pixel + 0.5 - at[:, :, :, None]).square().sum(-1).sqrt()
    radius = (strokes.width * min(size) / 2)[:, :, None, None]
    share = (radius + 0.5 - away).clamp(0, 1) * (2 * radius).clamp(max=1)
    x, y = pixel.unbind(-1)
    share = share * ((x >= 0) & (x < width) & (y >= 0) & (y < height))
    index = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)).long()
    canvas = torch.zeros(n, height * width, device=device)
    canvas.scatter_reduce_(1, index.reshape(n, -1), share.reshape(n, -1), reduce="amax")
    return canvas.view(n, 1, height, width)

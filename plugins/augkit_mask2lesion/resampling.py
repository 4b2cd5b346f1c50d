"""Changing the size of batches: pix2pix's loader on the device, and the way back.

Bicubic filters are Pillow's (a = -0.5, wider when shrinking), which the released loader uses, without its rounding to 8
bits in between.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from augkit import TensorDraws
from augkit_mask2lesion.options import MaskResample, OutResize

ENLARGED = 286 / 256
"""pix2pix crops 256 pixels out of 286; other sizes keep the ratio."""


def enlarge_and_crop(
    images: Tensor, masks: Tensor, draws: TensorDraws, size: int, how: MaskResample
) -> tuple[Tensor, Tensor]:
    """Return crops (N, C, size, size) out of pairs resized to 286/256 of it; values stay in 0..1."""
    large = round(size * ENLARGED)
    corner = draws.integers("crop", 0, large - size + 1, shape=(2,))
    along = torch.arange(size, device=images.device)
    rows = (corner[:, :1] + along)[:, :, None]
    columns = (corner[:, 1:] + along)[:, None, :]
    each = torch.arange(len(images), device=images.device)[:, None, None]
    both = torch.cat([resize_images(images, large), resize_masks(masks, large, how)], dim=1)
    crops = both.permute(0, 2, 3, 1)[each, rows, columns].permute(0, 3, 1, 2)
    channels = images.shape[1]
    return crops[:, :channels], crops[:, channels:]


def resize_images(images: Tensor, size: int) -> Tensor:
    """Return float32 (N, C, size, size) in 0..1 from (N, C, H, W), bicubic; the same images if they have that size."""
    if images.shape[2:] == (size, size):
        return images
    return interpolate(images, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)


def resize_masks(masks: Tensor, size: int, how: MaskResample) -> Tensor:
    """Return float32 (N, K, size, size) from masks (N, K, H, W) in {0, 1}; `bicubic` gives values between, too."""
    if masks.shape[2:] == (size, size):
        return masks
    if how == "nearest":
        return interpolate(masks, size=(size, size), mode="nearest-exact")
    return interpolate(masks, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)


def resize_painted(images: Tensor, height: int, width: int, how: OutResize) -> Tensor:
    """Return float32 (N, C, height, width) from painted images; `area` averages what falls into a pixel."""
    if images.shape[2:] == (height, width):
        return images
    return interpolate(images, size=(height, width), mode="area" if how == "area" else "nearest-exact")

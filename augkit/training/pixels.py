"""Stored pixels <-> pixels in flight: tensors of any format in 0..1, and back."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augkit.data.arrays import Images
from augkit.data.formats import Format, from_unit

_FIT_FOR_TENSORS = {np.dtype(np.uint16): np.int16}
"""uint16 tensors can neither be indexed nor computed with, so their bytes travel as int16."""


def as_tensor(images: Images) -> Tensor:
    """Return stored pixels as a tensor of the same bytes: uint16 as int16, everything else as it is."""
    array = np.array(images)
    return torch.from_numpy(array.view(_FIT_FOR_TENSORS.get(array.dtype, array.dtype)))


def in_flight(stored: Tensor, format: Format) -> Tensor:
    """Return `as_tensor` of images (N, H, W, C) as (N, C, H, W), channels-last in memory.

    Pixels whose 0..255 becomes 0..1 stay uint8, which `augkit.training.batches.as_floats` divides; others become
    float32 in 0..1, the window of each channel, clipped.
    """
    if format.bytes_to_unit:
        return stored.permute(0, 3, 1, 2)
    low, span = _windows(format, stored.device)
    values = stored.float()
    if format.dtype == "uint16":
        values = torch.where(values < 0, values + 65536, values)
    return values.sub_(low).div_(span).clamp_(0, 1).permute(0, 3, 1, 2)


@lru_cache(maxsize=8)
def _windows(format: Format, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the lower ends of the windows and their lengths, (C,) each; sent to a device once."""
    low, high = format.windows
    with torch.inference_mode(False):  # they outlive the prediction that may ask first
        return torch.from_numpy(low).to(device), torch.from_numpy(high - low).to(device)


def pair_in_flight(images: Tensor, masks: Tensor, format: Format) -> tuple[Tensor, Tensor]:
    """Return `as_tensor` of images and of masks as `augkit.training.batches.Batch` stores them."""
    classes = one_hot(masks, len(format.classes), background=format.ignore)
    return in_flight(images, format), classes if format.bytes_to_unit else classes.float()


def in_unit_range(images: Images, format: Format, device: str) -> Tensor:
    """Return stored images (N, H, W, C) as float32 (N, C, H, W) in 0..1 on the device."""
    pixels = in_flight(as_tensor(images).to(device), format)
    return pixels.float().div_(255) if format.bytes_to_unit else pixels


def as_stored(images: Tensor, format: Format) -> NDArray[Any]:
    """Return float (N, C, H, W) in 0..1 as stored pixels (N, H, W, C) on the host, rounded and kept in their range."""
    if format.bytes_to_unit:
        pixels = (images * 255).round().clamp(0, 255).to(torch.uint8)
        stored: NDArray[Any] = pixels.permute(0, 2, 3, 1).cpu().numpy()
        return stored
    return from_unit(images.float().permute(0, 2, 3, 1).cpu().numpy(), format)


def one_hot(labels: Tensor, classes: int, background: bool = False) -> Tensor:
    """Return uint8 (N, K, H, W) in {0, 1} of label maps (N, H, W), bool or uint8; ignored pixels are in no class.

    background: add the background as the last class.
    """
    if labels.dtype == torch.bool and not background:
        return labels[:, None].view(torch.uint8)
    # Made on the device: numbers sent to a GPU in every step would have the host wait for it.
    numbers = torch.arange(1, classes + 1 + background, device=labels.device) % (classes + 1)
    return (labels.view(torch.uint8)[:, None] == numbers[:, None, None].to(torch.uint8)).view(torch.uint8)

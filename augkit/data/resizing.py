"""Images and masks at other sizes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Resize = Literal["nearest", "area"]
"""How an image becomes smaller: `nearest` picks one source pixel, `area` averages; a mask is always `nearest`."""


def average_resize(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return float32 (height, width) from float32 (H, W): the mean of what lies under an output pixel (PIL's BOX)."""
    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BOX))


def upsample_scores(scores: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return float32 (height, width) from float32 (H, W), interpolated linearly between pixel centres (PIL's BILINEAR).

    Where a side gets shorter, the mean of what lies under an output pixel is taken, weighted by a triangle.
    """
    return np.asarray(Image.fromarray(scores).resize((width, height), Image.Resampling.BILINEAR))


def resize_image(image: NDArray[np.uint8], size: int, how: Resize) -> NDArray[np.uint8]:
    """Return uint8 (size, size, 3) from uint8 (H, W, 3), squeezing the aspect ratio.

    nearest: output pixel o shows source pixel floor((o + 0.5) * L / size), the pixel under its centre. This is PIL's
             NEAREST (which at an exact tie may take the pixel before), so SciPy's former
             `imresize(..., interp="nearest")`, which the Mask2Lesion paper (Abhishek & Hamarneh 2019) used.
    area:    the mean of the source pixels under an output pixel (PIL's BOX), so that fine texture does not alias.
    """
    method = Image.Resampling.NEAREST if how == "nearest" else Image.Resampling.BOX
    return np.asarray(Image.fromarray(image).resize((size, size), method))


def resize_pixels(image: NDArray[Any], size: int, how: Resize) -> NDArray[Any]:
    """Return (size, size, C) from (H, W, C) of any dtype and number of channels, as `resize_image` does for RGB.

    Averages of whole numbers are rounded.
    """
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return resize_image(image, size, how)
    if how == "nearest":
        rows, columns = ((np.arange(size) * 2 + 1) * side // (2 * size) for side in image.shape[:2])
        picked: NDArray[Any] = image[rows[:, None], columns]
        return picked
    channels = np.ascontiguousarray(np.moveaxis(image, -1, 0), np.float32)
    small = np.stack([average_resize(channel, size, size) for channel in channels], axis=-1)
    return small if image.dtype == np.float32 else np.rint(small).astype(image.dtype)


def resize_labels(labels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return uint8 (size, size) from uint8 (H, W): `nearest`, as `resize_mask`."""
    return np.asarray(Image.fromarray(labels).resize((size, size), Image.Resampling.NEAREST))


def resize_mask(mask: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Return bool (size, size) from bool (H, W): `nearest` as for images, so that both show the same source pixel."""
    small = Image.fromarray(mask.view(np.uint8)).resize((size, size), Image.Resampling.NEAREST)
    return np.asarray(small).astype(np.bool_)


def shrink_images(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return uint8 (N, size, size, 3) from uint8 (N, H, W, 3), each resized as `resize_image` does with ``area``."""
    small = np.empty((len(images), size, size, 3), np.uint8)
    for i, image in enumerate(images):
        small[i] = resize_image(image, size, "area")
    return small

"""Hair: thin dark lines that are longer than anything in a lesion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from augkit_texture.filling import Bools, Floats, fill_smoothly

_WIDTH = 0.035
_LENGTH = 0.16
"""Widest and shortest hair, in sides of the image."""

_DARKER = 9.0
_FILLED = 0.25
_INSIDE = 0.4
"""Smallest difference to what is around, in grey levels; the largest share of its own box that a hair fills; and the
largest share of it that lies in the mask."""


def find_hair(image: Floats, mask: Bools) -> Bools:
    """Return bool (H, W): thin dark lines of an image 0..255 that run, for the larger part, outside `mask`.

    A morphological closing finds what is thin and dark (Lee et al. 1997, DullRazor); of that, connected pieces that are
    long and fill little of their box.
    """
    side = len(image)
    grey = image.mean(2)
    reach = max(3, 2 * round(_WIDTH * side / 2) + 1)
    darker = ndimage.grey_closing(grey, (reach, reach), mode="nearest") - grey
    labels, count = ndimage.label(darker > _DARKER, np.ones((3, 3)))
    if count == 0:
        return np.zeros(mask.shape, np.bool_)
    numbers = np.arange(1, count + 1)
    pixels = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    inside = np.bincount(labels[mask], minlength=count + 1)[1:]
    boxes = np.array([[part.stop - part.start for part in box] for box in ndimage.find_objects(labels)])
    length = np.hypot(boxes[:, 0], boxes[:, 1])
    thin = pixels <= np.maximum(_FILLED * boxes.prod(1), 2.5 * length)
    keep = (length >= _LENGTH * side) & thin & (inside <= pixels * _INSIDE)
    found: Bools = np.isin(labels, numbers[keep])
    return ndimage.binary_dilation(found, np.ones((3, 3), np.bool_)) if keep.any() else found


def remove_hair(image: Floats, mask: Bools) -> tuple[Floats, NDArray[np.uint8]]:
    """Return the image without hair, and the layer of hair: uint8 (H, W), the share of light it lets through of 255.

    Images of one channel show no hair.
    """
    if image.shape[2] == 1:
        return image, np.full(mask.shape, 255, np.uint8)
    found = find_hair(image, mask)
    bald = fill_smoothly(image, ~found)
    through = np.where(found, (image.mean(2) + 4) / (bald.mean(2) + 4), 1)
    return bald, (np.clip(through, 0, 1) * 255).round().astype(np.uint8)

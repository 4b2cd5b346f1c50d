"""Toy data: dark ellipses on bright, mottled skin, drawn from keys like everything else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from augkit.data.arrays import Images, ImageSet, Masks
from augkit.data.draws import ArrayDraws, Draws

SIZE = 32
"""Side of the toy images in pixels; small, and a power of two as some networks want it."""

SEED = 11


def draws_of(count: int, stream: str) -> ArrayDraws:
    """Return the draws of `count` samples of a stream."""
    return Draws.of(SEED, stream, np.arange(count, dtype=np.int64))


def draw_masks(count: int, stream: str, height: int = SIZE, width: int = SIZE) -> Masks:
    """Return bool (count, height, width): one tilted ellipse each, away from the frame's edge and off its middle."""
    draws = draws_of(count, stream)
    angle = draws.uniform("angle", 0, np.pi)[:, None, None]
    major = draws.uniform("major", 0.24, 0.32)[:, None, None] * min(height, width)
    minor = major * draws.uniform("minor", 0.5, 0.8)[:, None, None]
    middle = draws.uniform("middle", 0.38, 0.62, shape=(2,)) * np.array([height, width], np.float32)
    y, x = np.mgrid[:height, :width] + 0.5
    down, right = y - middle[:, 0, None, None], x - middle[:, 1, None, None]
    along = down * np.sin(angle) + right * np.cos(angle)
    across = down * np.cos(angle) - right * np.sin(angle)
    masks: Masks = (along / major) ** 2 + (across / minor) ** 2 <= 1
    return masks


def draw_set(count: int, name: str, height: int = SIZE, width: int = SIZE) -> ImageSet:
    """Return `count` samples of a split, two to a group."""
    masks = draw_masks(count, name, height, width)
    ids = tuple(f"toy-{name}-{i:04d}" for i in range(count))
    groups = tuple(f"toy-{name}-{i // 2}" for i in range(count))
    return ImageSet(ids, _paint(masks, name), masks, groups, ("real",) * count)


def _paint(masks: Masks, stream: str) -> Images:
    draws = draws_of(len(masks), stream)
    skin: NDArray[np.float32] = np.array([205, 165, 145], np.float32) + draws.normal("skin", 0, 8, (1, 1, 3))
    lesion: NDArray[np.float32] = np.array([95, 60, 50], np.float32) + draws.normal("lesion", 0, 8, (1, 1, 3))
    grain = draws.normal("grain", 0, 6, (*masks.shape[1:], 1))
    images: Images = (np.where(masks[..., None], lesion, skin) + grain).clip(0, 255).astype(np.uint8)
    return images


def dice(one: Masks, other: Masks) -> float:
    """Return the Dice overlap of two masks, 1 where both are empty."""
    both = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / both if both else 1.0

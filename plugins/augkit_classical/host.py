"""The work of a CPU: one sample at a time with OpenCV, samples spread over threads.

Pixels are channels-last here, NumPy float32 (H, W, C) in 0..1, or uint8 as `Batches` stores them: images in 0..255,
masks in {0, 1}. What is resampled becomes float32 on the way, while it is in the cache. OpenCV resamples the channels
of one picture together, so an image and its masks go through one call; its threads stay out of it, because whole
samples are spread better than parts of small ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from augkit.training import spread
from augkit_classical.classes import FEW_CLASSES

if TYPE_CHECKING:
    from torch import Tensor

cv2.setNumThreads(1)

Pixels = NDArray[np.float32 | np.uint8]

BORDER = {"reflect": cv2.BORDER_REFLECT, "border": cv2.BORDER_REPLICATE, "constant": cv2.BORDER_CONSTANT}
BORDER["ignore"] = BORDER["constant"]

_COMMON = (3, 1)
"""Channels and classes of what OpenCV joins and parts by itself."""
_FLIP = {(True, False): 1, (False, True): 0, (True, True): -1}
"""OpenCV's code for (left to right, top to bottom)."""


def channels_last(batch: Tensor) -> Pixels:
    """Return a batch (N, C, H, W) as (N, H, W, C); a copy only where it lies otherwise in memory."""
    pixels: Pixels = np.ascontiguousarray(batch.permute(0, 2, 3, 1).numpy())
    return pixels


def channels_first(pixels: Pixels) -> Tensor:
    """Return (N, H, W, C) as a tensor (N, C, H, W) that shares its memory."""
    import torch

    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def mirrored(image: Pixels, mirrors: tuple[bool, bool], out: Pixels) -> None:
    """Write the image, mirrored left to right or top to bottom as asked, into `out`; exact."""
    if any(mirrors):
        cv2.flip(image, _FLIP[mirrors], dst=out)
    else:
        np.copyto(out, image)


def all_mirrored(images: Tensor, masks: Tensor, mirrors: Tensor) -> tuple[Tensor, Tensor]:
    """Return images and masks, float32 or uint8, mirrored as `mirrors`, bool (N, 2), says."""
    pictures, labels = channels_last(images), channels_last(masks)
    out_pictures, out_labels = np.empty_like(pictures), np.empty_like(labels)
    flips = _flips(mirrors)

    def work(part: range) -> None:
        for i in part:
            mirrored(pictures[i], flips[i], out_pictures[i])
            mirrored(labels[i], flips[i], out_labels[i])

    spread(len(flips), work)
    return channels_first(out_pictures), channels_first(out_labels)


def _flips(mirrors: Tensor) -> list[tuple[bool, bool]]:
    return [(bool(x), bool(y)) for x, y in mirrors.tolist()]


def resampled(
    images: Tensor,
    masks: Tensor,
    read: Callable[[int, Pixels, Pixels], object],
    moved: Tensor,
    mirrors: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return images and masks as `read` resamples them; masks become 0 or 1 as `warp.warp_affine` says.

    images, masks: float32, or uint8 as they are stored, each by itself; the answer is float32.
    read:    place in the batch, float32 (H, W, C) of image and masks together, and where its answer belongs.
    moved:   bool (N,); the others are only mirrored as `mirrors`, bool (N, 2) or None, says.
    """
    pictures, labels = channels_last(images), channels_last(masks)
    out_pictures, out_labels = np.empty(pictures.shape, np.float32), np.empty(labels.shape, np.float32)
    channels = pictures.shape[3] + labels.shape[3]
    moves: list[bool] = moved.tolist()
    flips = [(False, False)] * len(moves) if mirrors is None else _flips(mirrors)

    def work(part: range) -> None:
        both = np.empty((*pictures.shape[1:3], channels), np.float32)
        done = np.empty_like(both)
        for i in part:
            if not moves[i]:
                _mirrored_floats(pictures[i], 255, flips[i], out_pictures[i])
                _mirrored_floats(labels[i], 1, flips[i], out_labels[i])
                continue
            _join(pictures[i], labels[i], both)
            read(i, both, done)
            _part(done, out_pictures[i], out_labels[i])
            _decide(out_labels[i])

    spread(len(moves), work)
    return channels_first(out_pictures), channels_first(out_labels)


def _mirrored_floats(pixels: Pixels, top: int, mirrors: tuple[bool, bool], out: Pixels) -> None:
    """Write float32, or uint8 in 0..top, mirrored as asked, into float32 `out`."""
    if pixels.dtype == np.float32:
        mirrored(pixels, mirrors, out)
    else:
        flipped = cv2.flip(pixels, _FLIP[mirrors]).reshape(out.shape) if any(mirrors) else pixels
        np.divide(flipped, np.float32(top), out=out, dtype=np.float32)


def _join(picture: Pixels, labels: Pixels, both: Pixels) -> None:
    """Write (H, W, C) and (H, W, K) into float32 (H, W, C + K); masks may be uint8 where the picture is float32."""
    if picture.dtype == np.uint8:
        np.divide(_joined(picture, labels * 255), np.float32(255), out=both, dtype=np.float32)
    else:
        _joined(picture, labels.astype(np.float32, copy=False), both)


def _joined(picture: Pixels, labels: Pixels, both: Pixels | None = None) -> Pixels:
    if (picture.shape[2], labels.shape[2]) != _COMMON:
        return np.concatenate([picture, labels], axis=2, out=both)
    joined: Any = cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA, dst=both)  # in half the time
    return cv2.insertChannel(labels, joined, 3)  # type: ignore[return-value]


def _part(both: Pixels, picture: Pixels, labels: Pixels) -> None:
    """Undo `_join`."""
    if (picture.shape[2], labels.shape[2]) == _COMMON:
        cv2.cvtColor(both, cv2.COLOR_RGBA2RGB, dst=picture)
        cv2.extractChannel(both, 3, labels)
    else:
        picture[:], labels[:] = both[..., : picture.shape[2]], both[..., picture.shape[2] :]


def _decide(labels: Pixels) -> None:
    """Make resampled float32 (H, W, K) exactly 0 or 1, in place, as `warp.warp_affine` says."""
    if labels.shape[2] <= FEW_CLASSES:
        cv2.threshold(labels, 0.5, 1, cv2.THRESH_BINARY, dst=labels)
        return
    one_each = np.ones((1, labels.shape[2]), np.float32)
    together: Any = cv2.transform(labels, one_each)
    before = labels.copy()
    cv2.threshold(labels, 0.5, 1, cv2.THRESH_BINARY, dst=labels)
    open_ = (together > 0.5) & (cv2.transform(labels, one_each) == 0)  # few: where three of them meet
    rows, columns = np.nonzero(open_)
    labels[rows, columns, before[rows, columns].argmax(axis=1)] = 1


def clip(image: Pixels) -> None:
    """Limit every value to 0..1, in place."""
    cv2.threshold(image, 1, 0, cv2.THRESH_TRUNC, dst=image)
    cv2.threshold(image, 0, 0, cv2.THRESH_TOZERO, dst=image)


def each(images: Tensor, change: Callable[[int, Pixels, Pixels], Any]) -> Tensor:
    """Return the images as `change` writes them.

    change: place in the batch, float32 (H, W, C), and where its answer belongs.
    """
    pictures = channels_last(images)
    out = np.empty_like(pictures)

    def work(part: range) -> None:
        for i in part:
            change(i, pictures[i], out[i])

    spread(len(pictures), work)
    return channels_first(out)

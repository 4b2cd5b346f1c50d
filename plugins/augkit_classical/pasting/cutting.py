"""Objects cut out of a sample on a CPU, turned and scaled, each in a patch with what is around it.

Pixels are channels-last NumPy, as in `augkit_classical.host`: float32 in 0..1, or uint8 as they are stored. What is
inside something is uint8, 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from augkit_classical.host import Pixels
from augkit_classical.pasting.plan import CLEAR, SMALLEST, TRACE, ring_width

Inside = NDArray[np.uint8]
Floats = NDArray[np.float32]


class Found(NamedTuple):
    """An object: its pixels, uint8 (height + 2, width + 2), 0 along the edge, its box, and whether it is alone."""

    inside: Inside
    left: int
    top: int
    width: int
    height: int
    alone: bool


class Cut(NamedTuple):
    """An object that was turned and scaled, with what is around it, all (h, w) or (h, w, C).

    labels: float32 (h, w, K), one class in each pixel of the object; cover: float32 (h, w), its weight, above one half
    where `inside`; ring: the ground around it; reach: how wide what is around it is.
    """

    picture: Floats
    labels: Floats
    inside: Inside
    cover: Floats
    ring: Inside
    reach: int


def foreground_of(labels: Pixels) -> Inside:
    """Return uint8 (..., H, W) of labels (..., H, W, K): 1 in any class."""
    chosen: NDArray[np.bool_] = labels > 0.5
    filled: Any = (chosen[..., 0] if labels.shape[-1] == 1 else chosen.any(axis=-1)).view(np.uint8)
    return filled  # type: ignore[no-any-return]


def has_object(mask: NDArray[np.bool_]) -> bool:
    """Return whether a mask, bool (H, W), has an object that can be pasted."""
    return any(True for _ in objects(np.ascontiguousarray(mask).view(np.uint8), 0.0, 1))


def objects(foreground: Inside, first: float, wanted: int) -> Iterator[Found]:
    """Yield objects that lie wholly in the frame, from the drawn one on, in the order of their first pixels."""
    height, width = foreground.shape
    x, y, across, down = cv2.boundingRect(foreground)
    within = foreground[y : y + down, x : x + across]
    count, pieces = cv2.connectedComponents(within, connectivity=4)
    if count == 2:  # one piece: a third of the time
        stats: Any = np.array([[0] * 5, [0, 0, across, down, cv2.countNonZero(within)]])
    else:
        count, pieces, stats, _ = cv2.connectedComponentsWithStats(within, connectivity=4)
    boxes: list[list[int]] = stats.tolist()
    numbers = [
        number
        for number, (left, top, wide, high, area) in enumerate(boxes)
        if number > 0
        and area >= SMALLEST
        and min(left + x, top + y) > 0
        and left + x + wide < width
        and top + y + high < height
    ]
    if len(numbers) > 1:
        tops = stats[numbers, cv2.CC_STAT_TOP]
        begins = (pieces[tops] == np.array(numbers)[:, None]).argmax(axis=1)
        numbers = [numbers[place] for place in np.lexsort((begins, tops))]
    for slot in range(min(wanted, len(numbers))):
        number = numbers[(math.floor(np.float32(first) * np.float32(len(numbers))) + slot) % len(numbers)]
        left, top, wide, high, _ = boxes[number]
        inside = np.zeros((high + 2, wide + 2), np.uint8)
        np.equal(pieces[top : top + high, left : left + wide], number, out=inside[1:-1, 1:-1].view(bool))
        yield Found(inside, left + x, top + y, wide, high, count == 2)


def cut_out(
    picture: Pixels, labels: Pixels, foreground: Inside, one: Found, turn: tuple[float, float], margin: int
) -> Cut | None:
    """Return an object turned by radians and scaled; none where nothing of it is left, or no ground around it."""
    height, width = foreground.shape
    ring = ring_width(height, width)
    reach = max(ring, margin)
    rows, size, window = _turn(one, turn, (width, height), reach)
    box = (
        slice(one.top - 1 - window[0].start, one.top + one.height + 1 - window[0].start),
        slice(one.left - 1 - window[1].start, one.left + one.width + 1 - window[1].start),
    )

    def read(pixels: Floats) -> Any:
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(pixels, rows, size, flags=how, borderMode=cv2.BORDER_REPLICATE)

    mine = np.zeros((*foreground[window].shape, labels.shape[2]), labels.dtype)
    mine[box] = labels[window][box] * one.inside[..., None]
    both, channels = read(_joined(picture[window], mine)), picture.shape[2]
    classes = both[..., channels] if labels.shape[2] == 1 else both[..., channels:].sum(axis=2)
    inside: Inside = (classes > 0.5).view(np.uint8)
    x, y, wide, high = cv2.boundingRect(inside)
    room = min(x, y, size[0] - x - wide, size[1] - y - high) - reach
    if wide * high < SMALLEST or room <= 0 or wide > width or high > height:
        return None
    patch = slice(y - reach, y + high + reach), slice(x - reach, x + wide + reach)
    inside, both = np.ascontiguousarray(inside[patch]), both[patch]
    away: Any = cv2.distanceTransform(1 - inside, cv2.DIST_C, 3)  # 1 next to the object, then 2
    whole = ground = ((away > max(margin, 1)) & (away <= ring)).view(np.uint8)
    cover = _cover(inside, away, margin)
    if not one.alone:
        others = foreground[window].astype(np.float32)
        others[box] -= one.inside
        there = read(others)[patch]
        ground = whole & (there < TRACE)
        cover[there > 0.5] = 0
    if cv2.countNonZero(ground) < CLEAR * cv2.countNonZero(whole):
        return None
    fast = (channels, labels.shape[2]) == (3, 1)
    colours: Any = cv2.cvtColor(both, cv2.COLOR_RGBA2RGB) if fast else both[..., :channels].copy()
    return Cut(colours, _winners(both[..., channels:], inside), inside, cover, ground, reach)


def _turn(
    one: Found, turn: tuple[float, float], frame: tuple[int, int], reach: int
) -> tuple[NDArray[np.float64], tuple[int, int], tuple[slice, slice]]:
    """Return where a patch around an object is read, float64 (2, 3), its width and height, and what of the frame.

    turn: radians and magnification; frame: width and height. The patch is no larger than an object that fits in it.
    """
    c, s, scale = math.cos(turn[0]), math.sin(turn[0]), turn[1]
    far_x = (abs(c) * one.width + abs(s) * one.height) * scale / 2
    far_y = (abs(s) * one.width + abs(c) * one.height) * scale / 2
    across, down = (
        min(math.ceil(far) + 1, side // 2 + 2) + reach for far, side in zip((far_x, far_y), frame, strict=True)
    )
    c, s = c / scale, s / scale
    x, y = one.left + (one.width - 1) / 2, one.top + (one.height - 1) / 2
    far_x, far_y = abs(c) * across + abs(s) * down, abs(s) * across + abs(c) * down
    left, top = max(0, math.floor(x - far_x) - 1), max(0, math.floor(y - far_y) - 1)
    window = slice(top, math.ceil(y + far_y) + 2), slice(left, math.ceil(x + far_x) + 2)
    rows = np.array([[c, -s, x - left - c * across + s * down], [s, c, y - top - s * across - c * down]])
    return rows, (2 * across + 1, 2 * down + 1), window


def _joined(picture: Pixels, labels: Pixels) -> Floats:
    """Return float32 (H, W, C + K) in 0..1 of (H, W, C) and (H, W, K), each float32 or as it is stored."""
    labels = labels * 255 if picture.dtype == np.uint8 else labels.astype(np.float32, copy=False)
    if (picture.shape[2], labels.shape[2]) == (3, 1):
        both: Any = cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA)  # four channels are resampled faster than three
        both = cv2.insertChannel(labels, both, 3)
    else:
        both = np.concatenate([picture, labels], axis=2)
    floats: Floats = np.divide(both, np.float32(255), dtype=np.float32) if both.dtype == np.uint8 else both
    return floats


def _winners(classes: Floats, inside: Inside) -> Floats:
    """Return float32 (h, w, K): 1 for the class that has most of a pixel; of one class, 1 inside."""
    if classes.shape[2] == 1:
        return inside[..., None].astype(np.float32)
    winner: Floats = (classes.argmax(axis=2)[..., None] == np.arange(classes.shape[2])).astype(np.float32)
    return winner


def _cover(inside: Inside, away: Floats, margin: int) -> Floats:
    """Return float32 (h, w): 1 inside, below one half outside and falling to 0 in `margin` + 1 even steps.

    Inside, what is resampled at the outline is a blend of object and ground already, and more object than ground.
    away: float32 (h, w), how many pixels it is to the object; 0 inside.
    """
    cover: Any = cv2.threshold(margin + 1 - away, 0, 0, cv2.THRESH_TOZERO)[1]
    cover /= 2 * margin + 1
    cover[inside.view(bool)] = 1
    return cover  # type: ignore[no-any-return]

"""Pasting on a CPU: sample by sample with OpenCV, and of each object only its surroundings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from augkit.training import spread
from augkit_classical.host import channels_first, channels_last, clip
from augkit_classical.pasting.cutting import Cut, Floats, Inside, cut_out, foreground_of, objects
from augkit_classical.pasting.plan import (
    CLEAR,
    FLOOR,
    LEAST_KEPT,
    MOST_GAIN,
    MOST_SHIFT,
    MOST_STRETCH,
    MOST_UNEVEN,
    Plan,
)

if TYPE_CHECKING:
    from torch import Tensor

Map = NDArray[np.float64]
"""An affine map of the channels, (C, C + 1)."""

_SMALL = 3 * 192 * 192
"""Values of an image below which threads wait for each other's Python longer than they compute: two of them had 0.8
times the rate of one at 128 x 128 pixels, 1.4 times at 256 x 256, 1.7 times at 512 x 512 (AVX2)."""


def paste(images: Tensor, masks: Tensor, plan: Plan) -> tuple[Tensor, Tensor]:
    """Return float32 images (N, C, H, W) and masks (N, K, H, W), memory of their own, with pasted objects.

    images, masks: float32, or uint8 as they are stored, each by itself.
    """
    pictures, labels = channels_last(images), channels_last(masks)
    out_pictures, out_labels = np.empty(pictures.shape, np.float32), labels.astype(np.float32)
    foreground, places = foreground_of(labels), plan.places.numpy()
    donors, wanted, first = plan.donors.tolist(), plan.wanted.tolist(), plan.first.tolist()
    turns: list[list[float]] = plan.rotate.tolist()
    scales: list[list[float]] = plan.scale.tolist()

    def work(part: range) -> None:
        for i in part:
            if pictures.dtype == np.uint8:
                np.divide(pictures[i], np.float32(255), out=out_pictures[i], dtype=np.float32)
            else:
                np.copyto(out_pictures[i], pictures[i])
            if wanted[i] == 0:
                continue
            donor = donors[i]
            scene = _Scene(out_pictures[i], out_labels[i], foreground[i].copy(), plan)
            for slot, one in enumerate(objects(foreground[donor], first[i], wanted[i])):
                turn = (math.radians(turns[i][slot]), scales[i][slot])
                cut = cut_out(pictures[donor], labels[donor], foreground[donor], one, turn, plan.margin)
                if cut is not None:
                    scene.paste(cut, places[i, slot])

    if pictures[0].size < _SMALL:
        work(range(len(wanted)))
    else:
        spread(len(wanted), work)
    return channels_first(out_pictures), channels_first(out_labels)


class _Scene:
    """A sample that objects are pasted into, in place."""

    def __init__(self, picture: Floats, labels: Floats, taken: Inside, plan: Plan) -> None:
        self._picture, self._labels, self._taken, self._plan = picture, labels, taken, plan
        self._left = plan.hide * cv2.countNonZero(taken)

    def paste(self, cut: Cut, places: NDArray[np.float32]) -> None:
        """Paste an object at the first of the places, float32 (TRIES, 2), where it fits, if there is one."""
        (height, width), reach = self._taken.shape, cut.reach
        high, wide = cut.inside.shape
        room = np.array([width - wide + 2 * reach + 1, height - high + 2 * reach + 1], np.float32)
        wanted = max(1, CLEAR * cv2.countNonZero(cut.ring))
        came, even = _level(cut.picture, cut.ring)
        for x, y in (places * room).astype(int).tolist():
            mine, here = _overlap(x - reach, y - reach, wide, high, width, height)
            taken = self._taken[here]
            ground: Any = cv2.subtract(cut.ring[mine], taken)
            if cv2.countNonZero(ground) < wanted:
                continue
            hidden = cv2.countNonZero(cv2.bitwise_and(cut.inside[mine], taken))
            if hidden > self._left:
                continue
            lies, uneven = _level(self._picture[here], ground)
            likeness = (uneven + FLOOR) / (even + FLOOR)
            if (
                likeness <= MOST_UNEVEN
                and max(abs(new - old) for new, old in zip(lies, came, strict=True)) <= MOST_SHIFT
            ):
                if self._blend(cut, (x, y), _recolouring(came, lies, likeness, self._plan.match)):
                    self._left -= hidden
                return

    def _blend(self, cut: Cut, at: tuple[int, int], change: _Recolouring) -> bool:
        """Put the object there, its box at (x, y); false where the new colours cannot show it."""
        height, width = self._taken.shape
        margin, trim = self._plan.margin, cut.reach - self._plan.margin
        high, wide = cut.inside.shape
        near = slice(trim, high - trim), slice(trim, wide - trim)
        mine, here = _overlap(at[0] - margin, at[1] - margin, wide - 2 * trim, high - 2 * trim, width, height)
        inside, below = cut.inside[near][mine], self._picture[here]
        away = cv2.transform(cut.picture[near][mine], change.from_ground)
        darker = cv2.transform(cv2.threshold(away, 0, 0, cv2.THRESH_TRUNC)[1], change.darker)
        shown: Any = cv2.transform(cv2.threshold(away, 0, 0, cv2.THRESH_TOZERO)[1], change.brighter)
        cv2.add(shown, darker, dst=shown)
        kept = cv2.norm(shown, cv2.NORM_L1, mask=inside)
        if kept < LEAST_KEPT * cv2.norm(away, cv2.NORM_L1, mask=inside):
            return False
        shown = cv2.transform(shown, change.to_ground)
        clip(shown)
        shown = shown.reshape(below.shape)  # OpenCV drops an axis of one channel
        cv2.subtract(shown, below, dst=shown)
        # It does not fade into what is there already, whose pixels go on having most of the weight in their mask.
        free = 1 - cv2.subtract(self._taken[here], inside)
        cover = cv2.merge([cv2.copyTo(cut.cover[near][mine], free)] * below.shape[2])
        cv2.multiply(shown, cover, dst=shown)
        below += shown
        np.copyto(self._labels[here], cut.labels[near][mine], where=inside.view(bool)[..., None])
        self._taken[here] |= inside
        return True


class _Recolouring(NamedTuple):
    """Affine maps of the channels, float64 (C, C + 1): to the distance from the old ground, changed, from the new."""

    from_ground: Map
    darker: Map
    brighter: Map
    to_ground: Map


def _recolouring(came: Sequence[float], lies: Sequence[float], likeness: float, match: float) -> _Recolouring:
    """Return how an object changes that moves to other ground.

    What is darker than its ground stays as far between it and black, what is brighter, between it and white.
    came, lies: mean colours of the old ground and of the new one; likeness: spread of the new one by that of the old.
    """
    lies = [old + match * (new - old) for old, new in zip(came, lies, strict=True)]
    gain = 1 + match * (min(max(likeness, 1 / MOST_GAIN), MOST_GAIN) - 1)
    pairs = list(zip(lies, came, strict=True))
    darker = [gain * min(new / max(old, 1e-3), MOST_STRETCH) for new, old in pairs]
    brighter = [gain * min((1 - new) / max(1 - old, 1e-3), MOST_STRETCH) for new, old in pairs]
    ones, none = (1.0,) * len(pairs), (0.0,) * len(pairs)
    maps = ((ones, [-old for old in came]), (darker, none), (brighter, none), (ones, lies))
    return _Recolouring(*(_affine(factors, added) for factors, added in maps))


_Part = tuple[slice, slice]


def _overlap(x: int, y: int, wide: int, high: int, width: int, height: int) -> tuple[_Part, _Part]:
    """Return the part of a patch that lies in the frame when its corner is at (x, y), and that part of the frame."""
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + wide, width), min(y + high, height)
    mine = slice(top - y, bottom - y), slice(left - x, right - x)
    return mine, (slice(top, bottom), slice(left, right))


def _level(picture: Floats, ring: Inside) -> tuple[list[float], float]:
    """Return the mean colour and the spread of all colours around theirs."""
    mean, spreads = cv2.meanStdDev(picture, mask=ring)
    return mean.ravel().tolist(), math.sqrt(sum(one * one for one in spreads.ravel().tolist()) / len(spreads))


def _affine(factors: Sequence[float], added: Sequence[float]) -> Map:
    """Return float64 (C, C + 1): what multiplies each channel by its factor and adds its share."""
    return np.column_stack([np.diag(factors), added])

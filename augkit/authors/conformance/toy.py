"""Toy data: dark ellipses on bright, mottled skin, drawn from keys like everything else; of any format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit.contracts.components import Frame
from augkit.contracts.rules import refusal_of
from augkit.data.arrays import Images, ImageSet, Masks
from augkit.data.draws import ArrayDraws, Draws
from augkit.data.formats import IGNORED, RGB, Channel, Format, from_unit, shows
from augkit.data.joined import Joined

SIZE = 32
"""Side of the toy images in pixels; small, and a power of two as some networks want it."""

SEED = 11

_CT = Format("int16", (Channel("ct", "ct", -160, 240),), ("one", "two", "three"))
_GREY = Format("uint16", (Channel("grey", "grey", 100, 40000),))
_MR = Format("float32", (Channel("t1", "mr", 0, 900), Channel("t2", "mr", -5, 5)), ("one", "two"), ignore=True)

KINDS: Sequence[Sequence[Format]] = (
    (Format(),),
    (_CT, replace(_CT, classes=("one",)), Format(classes=_CT.classes)),
    (_GREY, Format("uint16", tuple(replace(channel, high=4095) for channel in RGB))),
    (_MR, replace(_MR, classes=("one",), ignore=False), Format(ignore=True)),
)
"""What components are tried with: of each row the first that they take."""

IGNORED_CORNER = (slice(-6, None), slice(None, 8))
"""Rows and columns of toy masks that do not count, where that may be."""


def formats_taken(component: object) -> Sequence[Format]:
    """Return the formats to try a component with, by what it says that it takes; 8-bit RGB with one class first."""
    frame = Frame(SIZE, SIZE)
    taken = [next((one for one in row if not refusal_of(component, frame, one)), None) for row in KINDS]
    return [one for one in taken if one is not None] or [Format()]


def draws_of(count: int, stream: str) -> ArrayDraws:
    """Return the draws of `count` samples of a stream."""
    return Draws.of(SEED, stream, np.arange(count, dtype=np.int64))


def draw_masks(count: int, stream: str, height: int = SIZE, width: int = SIZE, format: Format | None = None) -> Masks:
    """Return masks as `ImageSet` has them (count, height, width): one tilted ellipse each, off the frame's middle.

    It does not touch the frame's edge. Several classes are sectors of it, which meet in its middle.
    """
    what = format or Format()
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
    if what.binary:
        return masks
    classes = len(what.classes)
    sector = (np.arctan2(down, right) / (2 * np.pi) % 1 * classes).astype(np.uint8).clip(max=classes - 1)
    labels = np.where(masks, sector + 1, 0).astype(np.uint8)
    if what.ignore:
        labels[:, *IGNORED_CORNER] = IGNORED
    return labels


def draw_set(count: int, name: str, height: int = SIZE, width: int = SIZE, format: Format | None = None) -> ImageSet:
    """Return `count` samples of a split, two to a group."""
    what = format or Format()
    masks = draw_masks(count, name, height, width, what)
    ids = tuple(f"toy-{name}-{i:04d}" for i in range(count))
    groups = tuple(f"toy-{name}-{i // 2}" for i in range(count))
    images = _paint(masks, name) if what == Format() else _paint_classes(masks, name, what)
    return ImageSet(ids, images, masks, groups, ("real",) * count, what)


def in_shards(samples: ImageSet, at_once: Callable[[str], None]) -> ImageSet:
    """Return the same samples in three shards; `at_once` is told what somebody reads all of in one go."""

    class Watched(Joined):
        def __getitem__(self, index: Any) -> NDArray[Any]:
            if isinstance(index, slice) and index == slice(None):
                at_once("images" if self.ndim == samples.images.ndim else "masks")
            return super().__getitem__(index)

    def cut(pixels: NDArray[Any]) -> Any:
        return Watched(np.array_split(pixels, 3))

    return replace(samples, images=cut(samples.images), masks=cut(samples.masks))


def _paint(masks: Masks, stream: str) -> Images:
    draws = draws_of(len(masks), stream)
    skin: NDArray[np.float32] = np.array([205, 165, 145], np.float32) + draws.normal("skin", 0, 8, (1, 1, 3))
    lesion: NDArray[np.float32] = np.array([95, 60, 50], np.float32) + draws.normal("lesion", 0, 8, (1, 1, 3))
    grain = draws.normal("grain", 0, 6, (*masks.shape[1:], 1))
    images: Images = (np.where(masks[..., None], lesion, skin) + grain).clip(0, 255).astype(np.uint8)
    return images


def _paint_classes(masks: Masks, stream: str, format: Format) -> Images:
    """Return images of a format: bright ground and darker classes, each of a level of its own."""
    draws = draws_of(len(masks), stream)
    channels = len(format.channels)
    classes = np.where(shows(masks), masks, 0).astype(np.intp)
    levels = np.concatenate([[0.75], np.linspace(0.35, 0.15, len(format.classes))]).astype(np.float32)
    light = draws.normal("light", 0, 0.03, (1, 1, channels))
    grain = draws.normal("grain", 0, 0.024, (*masks.shape[1:], 1))
    return from_unit(levels[classes][..., None] + light + grain, format)


def dice(one: Masks, other: Masks) -> float:
    """Return the Dice overlap of two masks, 1 where both are empty."""
    both = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / both if both else 1.0

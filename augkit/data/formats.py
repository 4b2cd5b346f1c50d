"""What the pixels of a data set are: their numbers, their channels, their classes; and what a component takes of that.

Today's simple case is the default everywhere: 8-bit RGB with one class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Meaning = Literal["red", "green", "blue", "grey", "ct", "mr", "other"]
"""What a channel shows. ``ct`` is in Hounsfield units; ``grey`` is light, such as microscopy and X-ray images."""

PixelType = Literal["uint8", "uint16", "int16", "float32"]

IGNORED = 255
"""The label of pixels that count neither in a loss nor in a score."""

FOREGROUND = 0.5
"""With one class, a pixel is foreground where its score is above this."""

MOST_CLASSES = 254


@dataclass(frozen=True)
class Channel:
    """One channel of an image, and the window of its numbers that becomes 0..1 in training.

    low, high: at and below `low` is 0, at and above `high` is 1. Both are None where the window is found in the
               training pixels, which have not been read yet; image sets have numbers.
    """

    name: str
    meaning: Meaning
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.meaning not in get_args(Meaning):
            allowed = ", ".join(get_args(Meaning))
            raise ValueError(f"channel '{self.name}' has the meaning '{self.meaning}'; allowed: {allowed}")
        if (self.low is None) != (self.high is None):
            raise ValueError(f"channel '{self.name}' has one end of a window; allowed: both, or none")
        if self.low is not None and self.high is not None and not -np.inf < self.low < self.high < np.inf:
            found = f"{self.low:g}..{self.high:g}"
            raise ValueError(f"channel '{self.name}' has the window {found}; allowed: finite, the lower end first")

    def __str__(self) -> str:
        return self.meaning if self.low is None else f"{self.meaning} {self.low:g}..{self.high:g}"


RGB = (Channel("red", "red", 0, 255), Channel("green", "green", 0, 255), Channel("blue", "blue", 0, 255))

GREY = (Channel("grey", "grey", 0, 255),)


@dataclass(frozen=True)
class Format:
    """What all images and masks of a data set are.

    dtype:    of the stored pixels.
    channels: in their order along the last axis of images.
    classes:  names of the foreground classes: label k is ``classes[k - 1]``, label 0 is the background.
    ignore:   whether labels may be `IGNORED`.
    """

    dtype: PixelType = "uint8"
    channels: tuple[Channel, ...] = RGB
    classes: tuple[str, ...] = ("foreground",)
    ignore: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in get_args(PixelType):
            raise ValueError(f"found pixels of {self.dtype}; allowed: {', '.join(get_args(PixelType))}")
        if not self.channels:
            raise ValueError("found no channel; allowed: one or more")
        if not 1 <= len(self.classes) <= MOST_CLASSES or len(set(self.classes)) != len(self.classes):
            raise ValueError(
                f"found the classes {list(self.classes)}; allowed: 1 to {MOST_CLASSES}, of different names"
            )

    @property
    def binary(self) -> bool:
        """Whether a mask says nothing but inside or outside; masks are then bool, and label maps otherwise."""
        return len(self.classes) == 1 and not self.ignore

    @property
    def bytes_to_unit(self) -> bool:
        """Whether pixels are 8-bit numbers of which 0..255 becomes 0..1."""
        return self.dtype == "uint8" and all((one.low, one.high) == (0, 255) for one in self.channels)

    @property
    def rgb(self) -> bool:
        """Whether an image is red, green and blue in 0..255."""
        return self.bytes_to_unit and tuple(one.meaning for one in self.channels) == ("red", "green", "blue")

    @property
    def windows(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Lower and upper ends, float32 (C,) each. Raises ValueError where they are not known yet."""
        ends = [(one.low, one.high) for one in self.channels]
        if any(low is None for low, _ in ends):
            raise ValueError("the window of a channel is not known yet; allowed: after the pixels were read")
        low, high = np.array(ends, np.float32).T
        return low, high

    def promises(self, other: Format) -> bool:
        """Whether `other` is what this says, but for windows that were not known yet."""
        return _without_windows(self) == _without_windows(other) and all(
            mine.low is None or mine == theirs for mine, theirs in zip(self.channels, other.channels, strict=True)
        )

    def __str__(self) -> str:
        return f"{_spell_channels(self)} and {_spell_classes(self)}"

    def facts(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return asdict(self)

    @staticmethod
    def of(facts: Mapping[str, Any]) -> Format:
        """Return the format of such facts. Raises ValueError where they are none."""
        channels = tuple(Channel(**one) for one in facts["channels"])
        return Format(facts["dtype"], channels, tuple(facts["classes"]), bool(facts["ignore"]))


@dataclass(frozen=True)
class Takes:
    """What a component can be given; a component says it by its attribute ``takes``.

    One that says nothing takes 8-bit RGB with one class. None means that everything is taken.

    channels: numbers of channels.
    meanings: of channels.
    dtypes:   of pixels.
    classes:  the largest number of classes.
    ignore:   whether masks may hold pixels that do not count.
    why:      what a refusal adds: why it is so, or what to use instead.
    """

    channels: tuple[int, ...] | None = (3,)
    meanings: frozenset[Meaning] | None = frozenset({"red", "green", "blue"})
    dtypes: frozenset[PixelType] | None = frozenset({"uint8"})
    classes: int | None = 1
    ignore: bool = False
    why: str = ""

    def refuses(self, found: Format) -> bool:
        """Return whether this is not taken."""
        return not (
            (self.channels is None or len(found.channels) in self.channels)
            and (self.meanings is None or all(one.meaning in self.meanings for one in found.channels))
            and (self.dtypes is None or found.dtype in self.dtypes)
            and (self.classes is None or len(found.classes) <= self.classes)
            and (self.ignore or not found.ignore)
        )

    def __and__(self, other: Takes) -> Takes:
        """Return what both take, such as what all parts of a preset do."""
        return Takes(
            _common(self.channels, other.channels),
            _common(self.meanings, other.meanings),
            _common(self.dtypes, other.dtypes),
            min((most for most in (self.classes, other.classes) if most is not None), default=None),
            self.ignore and other.ignore,
        )

    def __str__(self) -> str:
        counts = "any number of" if self.channels is None else " or ".join(str(n) for n in self.channels)
        plural = "channel" if self.channels == (1,) else "channels"
        meanings = (
            "" if self.meanings is None else f" of {', '.join(m for m in get_args(Meaning) if m in self.meanings)}"
        )
        numbers = "" if self.dtypes is None else f" ({', '.join(d for d in get_args(PixelType) if d in self.dtypes)})"
        most = "any number of classes"
        if self.classes is not None:
            most = "one class" if self.classes == 1 else f"up to {self.classes} classes"
        return f"{counts} {plural}{meanings}{numbers} with {most}{'' if self.ignore else ', no ignored pixels'}"


ANYTHING = Takes(None, None, None, None, True)
"""Takes images and masks of any kind."""


def _common(one: Any, other: Any) -> Any:
    """Return what is in both collections, of the first one's type; None stands for everything."""
    if one is None or other is None:
        return other if one is None else one
    return type(one)(item for item in one if item in other)


def class_masks(masks: NDArray[Any], classes: int) -> NDArray[np.bool_]:
    """Return bool (N, K, H, W), one mask per class, from masks as `ImageSet` has them; ignored pixels are in none."""
    if masks.dtype == np.bool_:
        return masks[:, None]
    return np.stack([masks == label for label in range(1, classes + 1)], axis=1)


def as_labels(masks: NDArray[Any]) -> NDArray[np.uint8]:
    """Return masks as `ImageSet` has them as a label map, uint8 of the same shape, without a copy."""
    return masks.view(np.uint8) if masks.dtype == np.bool_ else masks


def shows(masks: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where masks show any class, bool of the same shape."""
    if masks.dtype == np.bool_:
        return masks
    found: NDArray[np.bool_] = (masks != 0) & (masks != IGNORED)
    return found


def decided(scores: NDArray[np.float32], format: Format) -> NDArray[Any]:
    """Return the mask of one image from its scores, float32 (K, H, W): a pixel belongs to whatever has most."""
    if len(format.classes) == 1:
        mask: NDArray[Any] = scores[0] > FOREGROUND
        return mask if format.binary else mask.view(np.uint8)
    background = 1 - scores.sum(axis=0)
    return np.where(scores.max(axis=0) > background, scores.argmax(axis=0) + 1, 0).astype(np.uint8)


def in_unit(images: NDArray[Any], format: Format) -> NDArray[np.float32]:
    """Return stored images (..., C) as float32 in 0..1: the window of each channel, clipped."""
    low, high = format.windows
    unit: NDArray[np.float32] = np.clip((images.astype(np.float32) - low) / (high - low), 0, 1)
    return unit


def from_unit(unit: NDArray[np.float32], format: Format) -> NDArray[Any]:
    """Return images float (..., C) in 0..1 as they are stored: of the format's dtype, rounded and clipped."""
    low, high = format.windows
    values = np.clip(unit, 0, 1) * (high - low) + low
    if format.dtype == "float32":
        return values.astype(np.float32)
    limits = np.iinfo(format.dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(format.dtype)


def as_shown(images: NDArray[Any], format: Format) -> NDArray[np.uint8]:
    """Return images (..., C) as pictures for people, uint8 (..., 3).

    RGB is what it is; other images are shown in grey by their windows, and of several channels the first three.
    """
    if format.rgb:
        return images
    unit = in_unit(images, format)
    shown = unit[..., :3] if unit.shape[-1] >= 3 else np.repeat(unit[..., :1], 3, axis=-1)
    return np.rint(shown * 255).astype(np.uint8)


def percentile_windows(images: Sequence[NDArray[Any]], format: Format, low: float, high: float) -> Format:
    """Return the format with a window for each channel that has none: these percentiles of pixels (N, C)."""
    channels = []
    for place, channel in enumerate(format.channels):
        if channel.low is None:
            columns = [np.asarray(some).reshape(-1, len(format.channels))[:, place] for some in images]
            ends = _percentiles(columns, low, high)
            bottom, top = ends[0], max(ends[1], ends[0] + 1e-6 * max(1.0, abs(ends[0])))
            channel = replace(channel, low=bottom, high=top)
        channels.append(channel)
    return replace(format, channels=tuple(channels))


def _percentiles(columns: Sequence[NDArray[Any]], low: float, high: float) -> tuple[float, float]:
    """Return two percentiles of all numbers; whole numbers are counted, so that no copy of them is made."""
    dtype = columns[0].dtype
    if dtype.kind not in "iu":
        ends = np.percentile(np.concatenate(columns), [low, high], overwrite_input=True)
        return float(ends[0]), float(ends[1])
    least = int(np.iinfo(dtype).min)
    counts = np.zeros(int(np.iinfo(dtype).max) - least + 1, np.int64)
    for column in columns:
        counts += np.bincount(column.astype(np.int64) - least, minlength=len(counts))
    below = np.cumsum(counts)
    first, second = (share / 100 * (below[-1] - 1) for share in (low, high))

    def at(rank: float) -> float:
        lower, upper = (int(np.searchsorted(below, r, "right")) + least for r in (np.floor(rank), np.ceil(rank)))
        return float(lower + (upper - lower) * (rank - np.floor(rank)))

    return at(first), at(second)


def _without_windows(format: Format) -> Format:
    return replace(format, channels=tuple(replace(one, low=None, high=None) for one in format.channels))


def _spell_channels(format: Format) -> str:
    if format.rgb:
        return "8-bit RGB"
    count = len(format.channels)
    what = ", ".join(dict.fromkeys(str(one) for one in format.channels))
    return f"{count} channel{'' if count == 1 else 's'} ({what}; {format.dtype})"


def _spell_classes(format: Format) -> str:
    count = len(format.classes)
    named = "" if format.binary else f" ({', '.join(format.classes[:6])}{', ...' if count > 6 else ''})"
    ignored = " with ignored pixels" if format.ignore else ""
    return f"{count} class{'' if count == 1 else 'es'}{named}{ignored}"

"""Images that are not 8-bit RGB: one grey channel, deep colours, or any number of channels, as the files have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from augkit import Channel, InputError, Problem
from augkit.images import PixelType, read_header, read_image, read_levels
from augkit_folder.tiff import TiffFacts, is_tiff, read_tiff, tiff_facts

Kind = Literal["rgb", "grey", "channels"]

_AS_TIFF = "Save it as TIFF, which is read with all its bits"


class ImageFacts(NamedTuple):
    """What the header of an image says.

    size: width and height, upright.
    """

    dtype: PixelType
    channels: int
    size: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.dtype} with {self.channels} channel{'' if self.channels == 1 else 's'}"


def image_facts(path: Path, kind: Kind) -> ImageFacts:
    """Return what the header of an image says; raises `InputError` for what will not be read as such a kind."""
    return _tiff(path, kind) if is_tiff(path) else _picture(path, kind)


def read_pixels(path: Path, kind: Kind) -> NDArray[Any]:
    """Return an image (H, W, C) with the numbers that its file has. Raises `InputError` where they would change."""
    facts = image_facts(path, kind)
    if is_tiff(path):
        pixels = read_tiff(path)
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
            row, column = (int(axis[0]) for axis in np.nonzero(~np.isfinite(pixels))[:2])
            what = f"holds {pixels[row, column].min()} at row {row}, column {column}; allowed: finite numbers"
            raise InputError(Problem(str(path), what, "Replace it by the number that stands for nothing"))
        return pixels
    if facts.channels == 3:
        return read_image(path)
    if facts.dtype == "uint16":
        return read_levels(path)[..., None].astype(np.uint16)
    return _equal_channels(path, read_image(path))


def channels_of(facts: ImageFacts, kind: Kind, window: tuple[float, float] | None) -> tuple[Channel, ...]:
    """Return the channels of images; a window that is not given is that of 8 bits, or left open."""
    low, high = window or ((0, 255) if facts.dtype == "uint8" else (None, None))
    if kind == "rgb":
        return (
            Channel("red", "red", low, high),
            Channel("green", "green", low, high),
            Channel("blue", "blue", low, high),
        )
    if kind == "grey":
        return (Channel("grey", "grey", low, high),)
    return tuple(Channel(f"channel-{number}", "other", low, high) for number in range(1, facts.channels + 1))


def _tiff(path: Path, kind: Kind) -> ImageFacts:
    facts = tiff_facts(path)
    name = facts.dtype.name
    if name not in get_args(PixelType):
        what = f"holds {name} pixels; allowed: {', '.join(get_args(PixelType))}"
        raise InputError(Problem(str(path), what, "Save it as one of these, if its numbers fit"))
    _check_channels(path, kind, facts)
    return ImageFacts(_pixel_type(name), facts.channels, facts.size)


def _check_channels(path: Path, kind: Kind, facts: TiffFacts) -> None:
    count = f"has {facts.channels} channel{'' if facts.channels == 1 else 's'}"
    if kind == "grey" and facts.channels != 1:
        raise InputError(Problem(str(path), f"{count}; allowed with 'pixels: grey': one", _other_kind(facts)))
    if kind == "rgb" and not (facts.channels == 3 and facts.colours):
        what = f"{count}{'' if facts.channels != 3 else ' that it does not call red, green and blue'}"
        raise InputError(Problem(str(path), f"{what}; allowed with 'pixels: rgb': RGB", _other_kind(facts)))


def _other_kind(facts: TiffFacts) -> str:
    if facts.channels == 1:
        return "Write 'pixels: grey'"
    return "Write 'pixels: rgb'" if facts.colours else "Write 'pixels: channels'"


def _picture(path: Path, kind: Kind) -> ImageFacts:
    header = read_header(path)
    if kind == "channels":
        what = f"is a {header.format} file; allowed with 'pixels: channels': TIFF"
        raise InputError(Problem(str(path), what, "Write 'pixels: rgb' or 'pixels: grey'"))
    refuse = _refusal_of(path)
    if header.mode.startswith("I") and header.bits == 16 and kind == "grey":
        return ImageFacts("uint16", 1, header.size)
    if header.bits > 8:
        what = f"is a {header.format} of {header.bits} bits in the pixel mode {header.mode}, which would be cut to 8"
        hint = "Write 'pixels: grey'" if header.mode.startswith("I") else _AS_TIFF
        raise refuse(what, hint)
    if header.mode == "1":
        raise refuse("is a 1-bit image; allowed: 8 or 16 bits", "If it is a mask, put it with the masks")
    if header.mode not in ("L", "P", "RGB", "LA", "PA", "RGBA"):
        raise refuse(f"has the pixel mode {header.mode}; allowed: grey, RGB or palette", "Save it as one of these")
    return ImageFacts("uint8", 1 if kind == "grey" else 3, header.size)


def _equal_channels(path: Path, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return one channel of a grey image, which may have been saved as RGB."""
    colour = (image != image[..., :1]).any(axis=-1)
    if colour.any():
        row, column = (int(axis[0]) for axis in np.nonzero(colour))
        red, green, blue = (int(value) for value in image[row, column])
        found = f"({red}, {green}, {blue}) at row {row}, column {column}"
        what = f"has colours in {int(colour.sum())} pixels, such as {found}; allowed with 'pixels: grey': grey"
        raise InputError(Problem(str(path), what, "Leave 'pixels: grey' out, or save it as grey: how is your choice"))
    return np.ascontiguousarray(image[..., :1])


def _refusal_of(path: Path) -> Callable[[str, str], InputError]:
    return lambda what, hint: InputError(Problem(str(path), what, hint))


def _pixel_type(name: str) -> PixelType:
    found: PixelType = next(one for one in get_args(PixelType) if one == name)
    return found

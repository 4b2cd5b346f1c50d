"""Stored pixels of a DICOM frame as numbers that mean something: units, bright is more, RGB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from augkit import Channel
from augkit.images import RGB, PixelType
from augkit_dicom.headers import Frame, refusal

if TYPE_CHECKING:
    from pydicom import Dataset

AIR = -1000
"""Hounsfield units of what is no image."""

_MEANINGS = {"CT": "ct", "MR": "mr", "PT": "other", "NM": "other"}


def pixel_type(frames: Sequence[Frame]) -> PixelType:
    """Return the dtype that holds the numbers of all frames, as their headers tell."""
    kinds = {_type_of(frame) for frame in frames}
    if len(kinds) == 1:
        return kinds.pop()
    return "uint16" if kinds == {"uint8", "uint16"} else "float32"


def channels(frame: Frame, window: tuple[float, float] | None) -> tuple[Channel, ...]:
    """Return the channels of a frame; their windows are open where none is given, but for colours."""
    low, high = window or (None, None)
    if frame.colour:
        top = 2 ** frame.bits[1] - 1
        return tuple(Channel(one.name, one.meaning, *(window or (0, top))) for one in RGB)
    name = _MEANINGS.get(frame.modality, "grey")
    if name == "ct":
        return (Channel("ct", "ct", low, high),)
    if name == "mr":
        return (Channel("mr", "mr", low, high),)
    return (Channel(name, "other" if name == "other" else "grey", low, high),)


def read_pixels(frame: Frame, dataset: Dataset, dtype: PixelType) -> NDArray[Any]:
    """Return a frame (h, w, C) of `dtype`. Raises `InputError` for what cannot be decoded, or does not fit."""
    stored = _decoded(frame, dataset)
    if frame.colour:
        return _rgb(frame, dataset, stored)
    padded = np.zeros(stored.shape, np.bool_)
    if frame.padding is not None:
        padded = (stored >= frame.padding[0]) & (stored <= frame.padding[1])
    values = stored.astype(np.float64)
    if frame.photometric == "MONOCHROME1":
        values = (-1 if frame.signed else 2 ** frame.bits[1] - 1) - values
    if frame.rescale is not None:
        values = values * frame.rescale[0] + frame.rescale[1]
    if padded.any() and not padded.all():
        values[padded] = AIR if frame.modality == "CT" else values[~padded].min()
    if dtype != "float32":
        limits = np.iinfo(dtype)
        if values.min() < limits.min or values.max() > limits.max:
            what = f"holds numbers {values.min():g}..{values.max():g}; allowed: {limits.min}..{limits.max} ({dtype})"
            raise refusal(frame.path, what, "Check RescaleSlope, RescaleIntercept and PixelPaddingValue")
    return values.astype(dtype)[..., None]


def _type_of(frame: Frame) -> PixelType:
    slope, intercept = frame.rescale or (1.0, 0.0)
    whole = slope.is_integer() and intercept.is_integer()
    if frame.modality == "CT" and not frame.colour:
        return "int16" if whole else "float32"
    if (slope, intercept) != (1.0, 0.0):
        return "float32"
    if frame.photometric == "PALETTE COLOR":
        return "uint8"
    if frame.bits[0] == 8 and not frame.signed:
        return "uint8"
    return "int16" if frame.signed else "uint16"


def _decoded(frame: Frame, dataset: Dataset) -> NDArray[Any]:
    from pydicom.pixels import pixel_array

    try:
        # Colours stored as luma and chroma become RGB here.
        return np.asarray(pixel_array(dataset, index=frame.number))
    except Exception as error:  # a damaged file can make a decoder raise anything
        what = f"cannot be decoded ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
        raise refusal(frame.path, what, "The file is damaged or incomplete; copy or download it again") from error


def _rgb(frame: Frame, dataset: Dataset, stored: NDArray[Any]) -> NDArray[Any]:
    if frame.photometric != "PALETTE COLOR":
        return stored
    from pydicom.pixels import apply_color_lut

    colours = np.asarray(apply_color_lut(stored, dataset))[..., :3]
    if colours.dtype == np.uint8:
        return colours
    high, low = colours >> 8, colours & 255
    if ((low != 0) & (low != high)).any():
        what = "has a palette of 16-bit colours, which would be cut to 8 bits; allowed: 8-bit colours"
        raise refusal(frame.path, what, "Export it as RGB")
    return high.astype(np.uint8)

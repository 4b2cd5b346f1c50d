"""The library: what is kept of the donors, and the two files that hold it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from augkit.store import need_memory, read_json, write_bytes, write_json
from augkit_texture.filling import Bools, Floats
from augkit_texture.options import FACTS, LIBRARY

OFFSET = 6.0
"""Grey levels added before a logarithm, so that black corners do not divide by zero."""

_STEPS = 100.0
_LOWEST = -0.5
"""Densities are kept in hundredths from -0.5 to 2.05."""

_HALO = 0.05


@dataclass(frozen=True)
class Library:
    """K training images taken apart; images with bright objects are kept as negatives.

    skins:     uint8 (K, H, W, C), without objects and hair.
    hair:      uint8 (K, H, W), the light that hair lets through, of 255.
    densities: uint8 (K, H, W, C), what objects add to the skin; zero outside `holes`. See `decode_density`.
    labels:    uint8 (K, H, W), objects numbered from 1.
    holes:     bool (K, H, W), where the skin had to be invented.
    negative:  bool (K,).
    """

    skins: NDArray[np.uint8]
    hair: NDArray[np.uint8]
    densities: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    holes: Bools
    negative: Bools


def halo_of(side: int) -> int:
    """Return how far beyond a mask, in pixels, an object still changes the skin."""
    return max(2, round(_HALO * side))


def encode_density(density: Floats) -> NDArray[np.uint8]:
    """Return optical densities (natural logarithm) as bytes."""
    return ((density - _LOWEST) * _STEPS).round().clip(0, 255).astype(np.uint8)


def decode_density(stored: Floats) -> Floats:
    """Return the optical densities of bytes, or of values between bytes."""
    return stored / np.float32(_STEPS) + np.float32(_LOWEST)


def save_library(library: Library, folder: Path) -> None:
    """Write arrays and sizes; masks as bits."""
    arrays = {name: array for name, array in vars(library).items() if array.dtype == np.uint8}
    arrays["holes"] = np.packbits(library.holes, axis=-1)
    arrays["negative"] = library.negative.astype(np.uint8)
    need_memory(2 * sum(array.nbytes for array in arrays.values()))
    write_bytes(folder / LIBRARY, save(arrays))
    donors, height, width = library.labels.shape
    write_json(folder / FACTS, {"donors": donors, "height": height, "width": width})


def load_library(folder: Path) -> Library:
    """Return what `save_library` wrote."""
    arrays, facts = load_file(folder / LIBRARY), read_json(folder / FACTS)
    holes = np.unpackbits(arrays.pop("holes"), axis=-1, count=facts["width"]).astype(np.bool_)
    return Library(holes=holes, negative=arrays.pop("negative").astype(np.bool_), **arrays)

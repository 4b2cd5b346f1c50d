"""Synthesis: skin of one donor, density of another in the shape of the mask, and the skin's hair over both."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit import Draws, Format, Images, InputError, Masks, Problem
from augkit.images import from_unit, read_format
from augkit_texture.filling import Bools, Floats
from augkit_texture.library import OFFSET, Library, decode_density, halo_of, load_library
from augkit_texture.matching import Matcher
from augkit_texture.shapes import depth, objects, shape_of
from augkit_texture.warping import Relief, correspond, fading, reach, relief_of, sample


class Painter:
    """Paints masks of the size of the donors, one at a time."""

    def __init__(self, library: Library, format: Format, choices: int, hair: bool) -> None:
        self._library = library
        self._format = format
        self._hair = hair
        self._matcher = Matcher(library, choices)
        self._halo = halo_of(library.labels.shape[1])
        self._relief = lru_cache(maxsize=len(self._matcher.donors))(self._relief_of)

    def __call__(self, masks: Masks, draws: Draws[NDArray[Any]]) -> Images:
        """Return images (N, H, W, C) of the format; raises InputError for masks of another size than the donors."""
        size = self._library.labels.shape[1:]
        if masks.shape[1:] != size:
            raise InputError(
                Problem(
                    "texture", f"masks are {masks.shape[1:]} pixels; the library's images are {size}; allowed: equal"
                )
            )
        images = np.empty((*masks.shape, len(self._format.channels)), self._format.dtype)
        for i in range(len(masks)):
            images[i] = self._paint(np.asarray(masks[i]), draws[i : i + 1])
        return images

    def _paint(self, mask: Bools, draws: Draws[NDArray[Any]]) -> NDArray[Any]:
        frame, flips = self._matcher.choose_skin(mask, draws)
        skin = self._library.skins[frame][flips].astype(np.float32)
        added = np.zeros(skin.shape, np.float32)
        negative = bool(self._library.negative[frame])
        for number, piece in enumerate(objects(mask) if mask.any() else []):
            self._add(added, piece, skin, negative, draws.fork(f"object {number}"))
        painted = (skin + OFFSET) * np.exp(-added) - OFFSET
        if self._hair:
            painted *= (self._library.hair[frame][flips] / np.float32(255))[..., None]
        painted = 255 - painted if negative else painted
        if not self._format.bytes_to_unit:
            return from_unit(painted / np.float32(255), self._format)
        image: NDArray[np.uint8] = painted.round().clip(0, 255).astype(np.uint8)
        return image

    def _add(self, added: Floats, piece: Bools, skin: Floats, negative: bool, draws: Draws[NDArray[Any]]) -> None:
        """Add to the densities, (H, W, C), those of a donor in the shape of `piece`."""
        shape = shape_of(piece)
        donor = self._matcher.choose_object(shape, skin[piece].mean(0), negative, draws)
        frame, _, there = self._matcher.donors[donor]
        scale = np.sqrt(there.area / shape.area)
        box = _box(piece, int(np.ceil(reach(self._halo) / scale)) + 1)
        below = depth(piece[box]) * np.float32(scale)
        rows, columns = np.nonzero(below > -reach(self._halo))
        below = below[rows, columns]
        target = np.stack([rows + box[0].start, columns + box[1].start]).astype(np.float32)
        mirror = np.where(draws.boolean("mirror", shape=(2,))[0], 1.0, -1.0)
        places = correspond(target, below, shape, there, self._relief(donor), mirror)
        density = decode_density(sample(self._library.densities[frame], places))
        added[box][rows, columns] += density * fading(below, self._halo)[:, None]

    def _relief_of(self, donor: int) -> Relief:
        frame, label, _ = self._matcher.donors[donor]
        return relief_of(self._library.labels[frame] == label)


def open_painter(folder: Path, choices: int, hair: bool) -> Painter:
    """Return the painter of the library in `folder`."""
    return Painter(load_library(folder), read_format(folder), choices, hair)


def _box(mask: Bools, margin: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return tuple(
        slice(max(0, int(at[0]) - margin), min(side, int(at[-1]) + 1 + margin))
        for at, side in zip((rows, columns), mask.shape, strict=True)
    )  # type: ignore[return-value]

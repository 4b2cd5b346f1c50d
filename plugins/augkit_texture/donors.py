"""Fitting: training images taken apart into skin, hair and what their objects add to the skin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from augkit import Draws, ImageSet, InputError, Problem, Workspace, sample_keys
from augkit.images import in_unit, write_format
from augkit_texture.filling import Bools, Floats, add_grain, fill_smoothly
from augkit_texture.hair import remove_hair
from augkit_texture.library import OFFSET, Library, encode_density, halo_of, save_library
from augkit_texture.shapes import objects

_SURROUND = 0.02
"""Least share of an image that must lie outside its objects for its skin to be known."""

_CLEAR = 0.06
"""Least mean density of an object worth painting: 6 % darker than the skin."""

_BRIGHTER = -0.15
"""Density below which a pixel is a reflection, not tissue."""

_KEPT = 0.6
"""Share of the objects that are donors, the least flawed ones."""

_RARE = 0.1
"""A polarity of fewer of the donors is left out."""

_SMALLEST = 12
_MOST = 255
_REPORT_EVERY = 32


@dataclass(frozen=True)
class Donor:
    """One training image taken apart; see `Library` for the fields."""

    skin: NDArray[np.uint8]
    hair: NDArray[np.uint8]
    density: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    hole: Bools
    negative: bool
    flaws: Sequence[float]


def fit(samples: ImageSet, most: int, space: Workspace) -> None:
    """Take apart up to `most` images, chosen by keyed draws, and write the library."""
    draws = Draws.of(space.seed, "texture", sample_keys(samples.ids))
    outside = (~np.asarray(samples.masks)).mean((1, 2))
    usable = [int(i) for i in np.argsort(draws.bits("donor"), kind="stable") if outside[i] >= _SURROUND]
    chosen = usable[:most]
    donors = []
    for done, i in enumerate(chosen, start=1):
        image = np.asarray(samples.images[i])
        levels = image if samples.format.bytes_to_unit else in_unit(image, samples.format) * np.float32(255)
        donors.append(take_apart(levels, np.asarray(samples.masks[i])))
        if done % _REPORT_EVERY == 0 or done == len(chosen):
            space.log.progress(done, len(chosen), {})
    donors = _of_common_polarity(donors)
    if not any(donor.labels.any() for donor in donors):
        what = f"none of {len(samples)} training images shows an object of {_SMALLEST} pixels and what surrounds it"
        raise InputError(Problem("texture", what, "Texture takes both from training images; is the mask inverted?"))
    write_format(space.folder, samples.format)
    save_library(_library(_drop_flawed(donors)), space.folder)


def take_apart(image: NDArray[Any], mask: Bools) -> Donor:
    """Return the donor made of one training image, (H, W, C) in 0..255, and its mask, (H, W)."""
    halo = halo_of(len(mask))
    hole = _widen(mask, halo)
    if hole.all():
        hole = mask
    pixels = image.astype(np.float32)
    negative = _is_brighter(pixels, mask, hole)
    pixels = 255 - pixels if negative else pixels
    bald, hair = remove_hair(pixels, mask)
    smooth = fill_smoothly(bald, ~hole)
    density = np.log((smooth + OFFSET) / (bald + OFFSET))
    skin = add_grain(smooth, ~hole)
    labels, flaws = _objects(mask, density, _widen(hair < 255, 1), halo)
    return Donor(_bytes(skin), hair, encode_density(density), labels, hole, negative, flaws)


def _is_brighter(pixels: Floats, mask: Bools, hole: Bools) -> bool:
    """Tell whether objects are brighter than what surrounds them within a few pixels."""
    ring = _widen(hole, max(2, len(mask) // 16)) & ~hole
    return bool(ring.any() and pixels[mask].mean() > pixels[ring].mean())


def _objects(mask: Bools, density: Floats, hair: Bools, halo: int) -> tuple[NDArray[np.uint8], list[float]]:
    """Return the objects that can be donors, numbered from 1, uint8 (H, W), and how flawed each is, 0..1.

    Flaws are pixels that are no part of an object: hair, specular light and, in its surroundings, another object. An
    object that is hardly darker than the skin is all flaw.
    """
    pieces = [piece for piece in objects(mask) if piece.sum() >= _SMALLEST]
    labels = np.zeros(mask.shape, np.uint8)
    flaws = []
    flawed = hair | (density.min(2) < _BRIGHTER)
    for number, piece in enumerate(sorted(pieces, key=lambda piece: -int(piece.sum()))[:_MOST], start=1):
        labels[piece] = number
        around = _widen(piece, halo)
        flaws.append(float((flawed | (mask & ~piece))[around].mean()) if density[piece].mean() >= _CLEAR else 1.0)
    return labels, flaws


def _of_common_polarity(donors: Sequence[Donor]) -> list[Donor]:
    """Return the donors without those of a polarity that is rare, and so an accident of lighting."""
    negative = sum(donor.negative for donor in donors)
    rare = {kind for kind, count in ((True, negative), (False, len(donors) - negative)) if count < _RARE * len(donors)}
    return [donor for donor in donors if donor.negative not in rare]


def _drop_flawed(donors: Sequence[Donor]) -> list[Donor]:
    """Return the donors with the more flawed of their objects unlabelled; at least the best object stays."""
    flaws = sorted(flaw for donor in donors for flaw in donor.flaws)
    limit = flaws[min(int(len(flaws) * _KEPT), len(flaws) - 1)]
    limit = min(limit, max(0.999, flaws[0]))
    kept = []
    for donor in donors:
        good = [number for number, flaw in enumerate(donor.flaws, start=1) if flaw <= limit]
        kept.append(replace(donor, labels=np.where(np.isin(donor.labels, good), donor.labels, 0).astype(np.uint8)))
    return kept


def _widen(mask: Bools, by: float) -> Bools:
    """Return the pixels up to `by` pixels from a mask."""
    return mask if not mask.any() else ndimage.distance_transform_edt(~mask) <= by


def _library(donors: Sequence[Donor]) -> Library:
    return Library(
        skins=np.stack([donor.skin for donor in donors]),
        hair=np.stack([donor.hair for donor in donors]),
        densities=np.stack([donor.density for donor in donors]),
        labels=np.stack([donor.labels for donor in donors]),
        holes=np.stack([donor.hole for donor in donors]),
        negative=np.array([donor.negative for donor in donors]),
    )


def _bytes(values: Floats) -> NDArray[np.uint8]:
    return values.round().clip(0, 255).astype(np.uint8)

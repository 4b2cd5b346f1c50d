"""Skin and lesion as two chromophores: planes of melanin and of haemoglobin, and what scatters above them.

Colour follows from the amounts by the Beer-Lambert law, so browns, pinks and their mixtures come out right by
themselves. The absorption coefficients are display-referred fits by eye, not spectra.
"""

from dataclasses import dataclass

import numpy as np

from augkit import ArrayDraws
from augkit_phantom.fields import OCTAVES, Plane, Values, around, bump, grid, log_uniform, octave, octaves, planes, step
from augkit_phantom.shape import Outline

MELANIN = (0.42, 0.80, 1.10)
HAEMOGLOBIN = (0.10, 0.74, 0.62)
DERMIS = (0.91, 0.86, 0.83)
"""Red, green, blue: absorption per unit of each chromophore, and the colour of skin without any."""

# What a lesion may be. Columns: probability, melanin, its log-spread, haemoglobin, blue veil, regression.
_KINDS = np.array(
    [
        [0.31, 0.78, 0.40, 0.10, 0.02, 0.05],  # common naevus
        [0.11, 2.10, 0.25, 0.15, 0.15, 0.10],  # dark, atypical
        [0.28, 0.24, 0.40, 0.05, 0.00, 0.10],  # pale
        [0.18, 0.06, 0.40, 0.30, 0.02, 0.10],  # pink
        [0.07, 1.00, 0.30, 0.20, 0.75, 0.20],  # blue-grey
        [0.05, 0.80, 0.30, 0.25, 0.10, 0.80],  # regressing
    ],
    np.float32,
)


@dataclass(frozen=True)
class Tissue:
    """What light meets, as planes float32 (N, S, S): two absorbers and two scatterers (0..1)."""

    melanin: Plane
    blood: Plane
    veil: Plane
    white: Plane


def tissue(draws: ArrayDraws, lesion: Outline) -> Tissue:
    """Return skin with its freckles and redness, and the lesion in it."""
    size = lesion.depth.shape[1]
    melanin, blood = _skin(draws.fork("skin"), size)
    _distract(draws.fork("distractors"), melanin, blood)
    _add_moles(draws.fork("distractors"), melanin, lesion.radius)
    return _add_lesion(draws.fork("lesion"), melanin, blood, lesion)


def _sometimes(draws: ArrayDraws, name: str, probability: float) -> Plane:
    """Return (N, 1, 1) of 0 and 1."""
    return planes(draws.boolean(f"has {name}", probability).astype(np.float32))


def _skin(draws: ArrayDraws, size: int) -> tuple[Plane, Plane]:
    """Return the melanin and haemoglobin of the skin: tone, unevenness, texture."""
    tone = planes(np.clip(np.exp(draws.normal("tone", -2.35, 0.85)), 0.015, 1.1))
    flush = planes(np.clip(draws.normal("flush", 0.07, 0.06), 0.005, 0.35))
    texture = np.exp(draws.normal("texture", -3.7, 0.5))
    falling = texture[:, None] * np.array([1.0, 0.8, 0.7, 0.7, 0.6, 0.5], np.float32)
    melanin = tone * (1.0 + 0.20 * octave(draws, "tone", OCTAVES[0], size)) + octaves(draws, "grain", size, falling)
    mottle = planes(log_uniform(draws, "mottle", 0.008, 0.05))
    blood = flush + mottle * octaves(draws, "mottle", size, around(np.full(len(draws), 0.08, np.float32), 1.3))
    return melanin, blood


def _distract(draws: ArrayDraws, melanin: Plane, blood: Plane) -> None:
    """Add what is not the lesion: freckles, faint patches, redness, vessels."""
    size = melanin.shape[1]
    wide = octave(draws, "patches", OCTAVES[0], size) + 0.5 * octave(draws, "patches", OCTAVES[1], size)
    patches = _sometimes(draws, "patches", 0.5) * planes(log_uniform(draws, "patches", 0.05, 0.50))
    melanin += patches * step((wide - planes(draws.uniform("spared", 0.8, 1.6))) * 1.5)
    fine = octave(draws, "freckles", OCTAVES[2], size) + 0.5 * octave(draws, "freckles", OCTAVES[1], size)
    freckles = _sometimes(draws, "freckles", 0.4) * planes(log_uniform(draws, "freckles", 0.05, 0.60))
    melanin += freckles * step(
        (fine - planes(draws.uniform("rarity", 1.5, 2.6))) * planes(draws.uniform("blurred", 0.5, 1.2))
    )
    redness = _sometimes(draws, "redness", 0.4) * planes(log_uniform(draws, "redness", 0.06, 0.40))
    blood += redness * step(octave(draws, "redness", OCTAVES[0], size) - 0.3)
    vessels = _sometimes(draws, "vessels", 0.15) * planes(log_uniform(draws, "vessels", 0.08, 0.3))
    ridge = octave(draws, "vessels", OCTAVES[1], size) + 0.3 * octave(draws, "vessels", OCTAVES[2], size)
    blood += vessels * np.exp(-150.0 * ridge * ridge)


def _add_moles(draws: ArrayDraws, melanin: Plane, lesion_radius: Values, most: int = 4) -> None:
    """Add up to four moles anywhere in the frame, on most of the images, clearly smaller than the lesion."""
    size = melanin.shape[1]
    x, y = grid(size)
    limit = np.minimum(0.6 * lesion_radius, 0.085)
    there = draws.boolean("has moles", 0.6)
    wobble = 1.0 + 0.2 * octave(draws, "mole", OCTAVES[1], size) + 0.12 * octave(draws, "mole", OCTAVES[2], size)
    for k in range(most):
        here = np.flatnonzero(there & draws.boolean(f"has mole {k}", 0.6))
        mole = draws[here].fork(f"mole {k}")
        at = mole.uniform("at", 0.03, 0.97, shape=(2,))
        radius = planes(limit[here] * log_uniform(mole, "radius", 0.2, 1.0)) * wobble[here]
        spot = bump(x - planes(at[:, 0]), y - planes(at[:, 1]), radius)
        melanin[here] += planes(log_uniform(mole, "melanin", 0.1, 1.2)) * spot


def _add_lesion(draws: ArrayDraws, melanin: Plane, blood: Plane, lesion: Outline) -> Tissue:
    """Add pigment and blood inside the outline, and the scatterers that only lesions have."""
    kinds = _KINDS[np.searchsorted(np.cumsum(_KINDS[:-1, 0]), draws.uniform("kind"))]
    cover = step(-lesion.depth / planes(log_uniform(draws, "softness", 0.07, 0.6)))
    amount = planes(kinds[:, 1] * np.exp(kinds[:, 2] * draws.normal("melanin")))
    red = planes(kinds[:, 3] * draws.uniform("blood", 0.5, 1.5))
    white, veil = _scatterers(draws, lesion, kinds)
    dark = cover * np.maximum(_pigment(draws, lesion), 0.25)
    melanin += amount * dark * (1.0 - 0.75 * white)
    uneven = 1.0 + 0.35 * _inner(draws, "blood", lesion, 0.7)
    blood += red * cover * np.maximum(uneven, 0.4) + _halo(draws, lesion)
    np.maximum(melanin, 0.0, out=melanin)
    np.maximum(blood, 0.0, out=blood)
    return Tissue(melanin, blood, veil * cover, white * cover)


def _halo(draws: ArrayDraws, lesion: Outline) -> Plane:
    """Return the inflamed rim that some lesions have around them."""
    amount = _sometimes(draws, "halo", 0.2) * planes(log_uniform(draws, "halo", 0.05, 0.25))
    return amount * np.exp(-4.0 * np.maximum(lesion.depth, 0.0))


def _scatterers(draws: ArrayDraws, lesion: Outline, kinds: Values) -> tuple[Plane, Plane]:
    """Return scar-like white and the blue-grey veil, 0..1."""
    field = _inner(draws, "scatter", lesion, 0.8)
    white = planes(np.minimum(kinds[:, 5] * draws.uniform("whiteness", 0.4, 1.3), 0.9))
    veil = planes(np.minimum(kinds[:, 4] * draws.uniform("veil", 0.5, 1.3), 0.9))
    return white * step((field - 0.6) * 1.5), veil * step((0.4 - field) * 1.2)


def _inner(draws: ArrayDraws, name: str, lesion: Outline, length: float) -> Plane:
    """Return noise whose features are `length` lesion radii wide."""
    return octaves(draws, name, lesion.depth.shape[1], around(lesion.radius * length, 0.8))


def _pigment(draws: ArrayDraws, lesion: Outline) -> Plane:
    """Return relative melanin, about 1: gradient, dark centre or rim, blotches, network, globules."""
    slope = planes(draws.normal("slope", 0.0, 0.18)) * lesion.x + planes(draws.normal("tilt", 0.0, 0.18)) * lesion.y
    middle = planes(draws.normal("middle", 0.15, 0.3)) * (0.5 - np.square(1.0 + np.minimum(lesion.depth, 0.0)))
    blotch = planes(log_uniform(draws, "blotch", 0.08, 0.5)) * _inner(draws, "blotch", lesion, 0.5)
    grain = planes(log_uniform(draws, "grain", 0.05, 0.3)) * _inner(draws, "grain", lesion, 0.12)
    structure = _network(draws, lesion) + _globules(draws, lesion)
    return (1.0 + slope + middle) * np.exp(blotch + grain) + structure


def _network(draws: ArrayDraws, lesion: Outline) -> Plane:
    """Return the pigment network: three warped plane waves at 60 degrees make a honeycomb with light holes."""
    size = lesion.depth.shape[1]
    x, y = grid(size)
    amount = _sometimes(draws, "network", 0.4) * planes(log_uniform(draws, "network", 0.04, 0.16))
    amount = amount * step(0.8 * octave(draws, "patchy", OCTAVES[0], size) + 0.2)
    phase = 1.5 * octave(draws, "warp", OCTAVES[1], size) + 0.9 * octave(draws, "warp", OCTAVES[2], size)
    pitch, turn = draws.uniform("pitch", 0.03, 0.05), draws.uniform("turn", 0.0, np.pi)
    comb = np.zeros_like(lesion.depth)
    for k in range(3):
        angle = turn + np.float32(k * np.pi / 3)
        wave_x, wave_y = planes(2 * np.pi * np.cos(angle) / pitch), planes(2 * np.pi * np.sin(angle) / pitch)
        comb -= np.cos(wave_x * x + wave_y * y + (1 - k) * phase)
    return amount * np.maximum(comb, -1.5)


def _globules(draws: ArrayDraws, lesion: Outline) -> Plane:
    """Return dots and globules: the peaks of fine noise."""
    size = lesion.depth.shape[1]
    amount = _sometimes(draws, "globules", 0.45) * planes(log_uniform(draws, "globules", 0.2, 0.9))
    return amount * step((octave(draws, "globules", OCTAVES[2], size) - 1.2) * 1.5)

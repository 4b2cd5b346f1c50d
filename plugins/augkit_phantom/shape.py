"""The lesion's outline: where it is, how large, how irregular.

The outline is star-shaped, r(angle) = R exp(sum of harmonics), on an ellipse, roughened by noise near the border. It is
held as a depth plane: negative inside, zero on the outline, one radius away is +1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from augkit import ArrayDraws, Masks
from augkit_phantom.fields import Plane, Values, around, grid, octaves, planes

_HARMONICS = 16
_ANGLES = 1024
_turn = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
_WAVES = np.concatenate([f(np.outer(np.arange(1, _HARMONICS + 1), _turn)) for f in (np.cos, np.sin)]).astype(np.float32)

# Area share of the frame in ISIC 2017: 5th / 50th / 95th percentile 1.5 / 12.6 / 59.5 %, which is normal on the logit.
_SHARE_MEAN, _SHARE_STD = -1.9, 1.42
_SHARE_MIN, _SHARE_MAX = 0.008, 0.93


@dataclass(frozen=True)
class Outline:
    """The outlines of N lesions.

    depth:  float32 (N, S, S); negative inside, in units of the lesion's radius.
    masks:  bool (N, S, S); depth < 0 at the pixel centre, one 4-connected part without holes.
    radius: float32 (N,); of the circle of equal area, in frame sides.
    x, y:   float32 (N, S, S); place in the lesion's own frame, in units of its radius.
    """

    depth: Plane
    masks: Masks
    radius: Values
    x: Plane
    y: Plane


def outline(draws: ArrayDraws, size: int) -> Outline:
    """Return the outlines of the lesions of all samples of the draws."""
    radius = _radius(draws)
    centre = _centre(draws, radius)
    x, y = _own_frame(draws, centre, radius, size)
    depth = np.sqrt(x * x + y * y) / _reach(draws, x, y) - 1.0
    ragged = planes(np.exp(draws.normal("ragged", -2.7, 0.75)))
    depth += np.minimum(ragged, 0.22) * octaves(draws, "rough", size, around(radius * 0.3, 1.2))
    masks = _one_part(depth, centre)
    return Outline(depth, masks, radius, x, y)


def _radius(draws: ArrayDraws) -> Values:
    share = 1.0 / (1.0 + np.exp(-draws.normal("share", _SHARE_MEAN, _SHARE_STD)))
    radius: Values = np.sqrt(np.clip(share, _SHARE_MIN, _SHARE_MAX) / np.pi)
    # What a large lesion loses outside the frame.
    grown: Values = radius * (1.0 + 1.2 * np.maximum(radius - 0.36, 0.0))
    return grown


def _centre(draws: ArrayDraws, radius: Values) -> Values:
    """Return (N, 2), x and y: small lesions lie further from the middle."""
    spread = np.maximum(0.11 - 0.15 * radius, 0.03)[:, None]
    centre: Values = np.clip(0.5 + spread * draws.normal("centre", shape=(2,)), 0.18, 0.82)
    return centre


def _own_frame(draws: ArrayDraws, centre: Values, radius: Values, size: int) -> tuple[Plane, Plane]:
    """Return place in units of the radius, with the photograph's squash and the lesion's own elongation undone."""
    x, y = grid(size)
    squash = np.sqrt(np.where(draws.boolean("squashed", 0.8), 0.75, 1.0).astype(np.float32))
    u = (x - planes(centre[:, 0])) / planes(radius * squash)
    v = (y - planes(centre[:, 1])) * planes(squash / radius)
    turn = draws.uniform("turn", 0.0, 2 * np.pi)
    long = np.exp(0.5 * np.abs(draws.normal("elongation", 0.0, 0.3)))
    cos, sin = planes(np.cos(turn)), planes(np.sin(turn))
    return (u * cos + v * sin) / planes(long), (v * cos - u * sin) * planes(long)


def _reach(draws: ArrayDraws, x: Plane, y: Plane) -> Plane:
    """Return the outline's radius in each pixel's direction; its mean square is 1."""
    order = np.arange(1, _HARMONICS + 1, dtype=np.float32)
    falloff = order ** -draws.uniform("falloff", 1.2, 2.2)[:, None]
    amount = np.minimum(np.exp(draws.normal("irregular", -1.8, 0.5)), 0.32)[:, None] * falloff
    waves = draws.normal("wave", shape=(2 * _HARMONICS,)) * np.concatenate([amount, amount], axis=1)
    table = np.exp(np.matmul(waves[:, None, :], _WAVES)[:, 0])
    table /= np.sqrt(np.mean(table * table, axis=1, keepdims=True))
    place = ((np.arctan2(y, x) + np.pi) * (_ANGLES / (2 * np.pi))).astype(np.int32) & (_ANGLES - 1)
    reach: Plane = table[np.arange(len(table))[:, None, None], place]
    return reach


def _one_part(depth: Plane, centre: Values) -> Masks:
    """Return masks of one part without holes, and turn the sign of `depth` wherever that changed a pixel."""
    size = depth.shape[1]
    column, row = (np.minimum(centre * size, size - 1)).astype(int).T
    depth[np.arange(len(depth)), row, column] = -1.0
    masks = depth < 0
    for i, mask in enumerate(masks):
        masks[i] = _without_holes(_largest(mask))
    np.negative(depth, out=depth, where=masks != (depth < 0))
    return masks


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, count = ndimage.label(mask)
    if count == 1:
        return mask
    return np.asarray(parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]))


def _without_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, count = ndimage.label(~mask)
    edge = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    keep = np.zeros(count + 1, np.bool_)
    keep[edge] = True
    keep[0] = False
    return ~keep[parts]

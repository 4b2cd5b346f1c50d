"""Anti-aliased lines: how much of each pixel is covered by curves given as closely spaced points."""

import numpy as np
from numpy.typing import NDArray

from augkit_phantom.fields import Plane, Values


def cover(points: Values, width: Values, owner: NDArray[np.intp], count: int, size: int) -> Plane:
    """Return coverage 0..1, float32 (count, S, S).

    points: (J, P, 2), x and y in frame sides; neighbours at most about 0.7 pixels apart.
    width:  (J, P), in frame sides; a line thinner than a pixel covers it partly.
    owner:  (J,), the image each curve belongs to.

    Each point covers the pixels near it by their distance; a pixel keeps its largest value, so order does not matter.
    """
    margin = int(np.ceil(0.5 * float(width.max(initial=0.0)) * size + 0.5))
    side = size + 2 * margin
    canvas = np.zeros((count, side, side), np.float32)
    place = points * np.float32(size) + np.float32(margin)
    wide = width * np.float32(size)
    inside = np.all((place >= margin) & (place < side - margin), axis=-1)
    place, wide = place[inside], wide[inside]
    corner = place.astype(np.intp)
    start = np.broadcast_to(owner[:, None], inside.shape)[inside] * (side * side) + corner[:, 1] * side + corner[:, 0]
    away = corner + np.float32(0.5) - place
    _spread(canvas.reshape(-1), start, away, wide, margin, side)
    return canvas[:, margin : side - margin, margin : side - margin]


def _spread(
    canvas: Values,
    start: NDArray[np.intp],
    away: Values,
    wide: Values,
    margin: int,
    side: int,
) -> None:
    """Raise the pixels around every point to the part of them that a disc of its width covers."""
    reach, most = 0.5 * wide + 0.5, np.minimum(wide, 1.0)
    for dy in range(-margin, margin + 1):
        for dx in range(-margin, margin + 1):
            distance = np.hypot(away[:, 0] + dx, away[:, 1] + dy)
            np.maximum.at(canvas, start + (dy * side + dx), np.clip(reach - distance, 0.0, most))

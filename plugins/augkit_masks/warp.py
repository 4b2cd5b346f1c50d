"""Displacement fields and masks moved by them.

A field is float32 (2, H, W): displacement (y, x) in pixels. Moving is backward: the result at pixel p is what was at
p - u(p), so a field that is +3 in x moves content 3 pixels to the right.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from augkit import Masks
from augkit_masks.box import foreground_box

Field = NDArray[np.float32]

STEPS = 7
"""Squarings of an exponential: the first step is 1/128 of the way."""


def signed_distance(mask: Masks, margin: int | None = None) -> Field:
    """Return float32 (H, W): pixels to the nearest pixel of the other kind, positive inside, negative outside.

    Where a mask is all one kind, the distance is longer than the frame.
    margin: pixels around the mask's bounding box, 1 or more, where the distance is computed; farther out, where it is
            at most -(margin + 1), that number stands for it. None for the whole frame.
    """
    far = float(sum(mask.shape))
    if mask.all() or not mask.any():
        return np.full(mask.shape, far if mask.any() else -far, np.float32)
    beyond = max(mask.shape) if margin is None else margin
    distance = np.full(mask.shape, -(beyond + 1), np.float32)
    outer, inner = foreground_box(mask, beyond), foreground_box(mask, 1)
    distance[outer] = -_to_background(~mask[outer])
    distance[inner] += _to_background(mask[inner])
    return distance


def _to_background(mask: Masks) -> Field:
    """Return float32 (H, W): pixels to the nearest pixel that is not in the mask."""
    from scipy.ndimage import distance_transform_edt

    # SciPy's own distances would cost half as much again: they are computed in float64.
    row, column = distance_transform_edt(mask, return_distances=False, return_indices=True)
    down = row - np.arange(mask.shape[0], dtype=np.int32)[:, None]
    right = column - np.arange(mask.shape[1], dtype=np.int32)
    distance: Field = np.sqrt((down * down + right * right).astype(np.float32))
    return distance


def warp(layers: Field, field: Field) -> Field:
    """Return float32 (L, H, W) layers moved by a field; linear between pixels, the border's value beyond the frame."""
    height, width = field.shape[1:]
    y = np.clip(np.arange(height, dtype=np.float32)[:, None] - field[0], 0, height - 1)
    x = np.clip(np.arange(width, dtype=np.float32) - field[1], 0, width - 1)
    row, column = np.minimum(y.astype(np.int32), height - 2), np.minimum(x.astype(np.int32), width - 2)
    # Without the casts float32 less int32 would be float64, and all that follows.
    down, right = y - row.astype(np.float32), x - column.astype(np.float32)
    corner = row.astype(np.intp) * width + column
    moved = np.empty_like(layers)
    for values, result in zip(layers.reshape(len(layers), -1), moved, strict=True):
        above = _between(values, corner, right)
        below = _between(values[width:], corner, right)
        below -= above
        below *= down
        np.add(above, below, out=result)
    return moved


def _between(values: Field, places: NDArray[np.intp], share: Field) -> Field:
    """Return what is at every place of a line of values and, in part, at the next place."""
    here = values.take(places)
    ahead = values[1:].take(places)
    ahead -= here
    ahead *= share
    here += ahead
    return here


def warp_mask(distance: Field, field: Field) -> Masks:
    """Return bool (H, W): where the signed distance map (H, W), moved by the field, is positive.

    The distance is interpolated, not the mask, so that the outline moves by fractions of a pixel.
    """
    inside: Masks = warp(distance[None], field)[0] > 0
    return inside


def warp_labels(layers: Field, labels: NDArray[np.uint8], field: Field) -> NDArray[np.uint8]:
    """Return a label map (H, W), moved by the field: one outline for all of it, and within that the nearest label.

    layers: signed distance maps (1 + L, H, W), of everything that has a label and then of each of `labels` (L,).
    """
    everything, *each = warp(layers, field)
    moved: NDArray[np.uint8] = np.where(everything > 0, labels[np.argmax(each, axis=0)], 0).astype(np.uint8)
    return moved


def exponential(velocity: Field, steps: int = STEPS) -> Field:
    """Return the displacement after unit time along a stationary velocity, by scaling and squaring.

    Arsigny, Commowick, Pennec & Ayache, MICCAI 2006: the flow over twice the time is the flow after itself.
    """
    field = velocity * np.float32(0.5**steps)
    for _ in range(steps):
        field = field + warp(field, field)
    return field


def smallest_jacobian(field: Field) -> float:
    """Return the least determinant over the frame of the map p -> p - u(p), by central differences; 0 is a fold."""
    (yy, yx), (xy, xx) = (np.gradient(component) for component in field)
    return float(((1 - yy) * (1 - xx) - yx * xy).min())


def rms(field: Field) -> float:
    """Return the root mean square length of the displacements, in pixels."""
    return float(np.sqrt(2 * np.mean(np.square(field), dtype=np.float64)))


def with_rms(field: Field, pixels: float) -> Field:
    """Return the field scaled to a root mean square length; a field that is zero stays so."""
    size = rms(field)
    return field * np.float32(pixels / size if size > 0 else 0)


def enlarge(
    fields: NDArray[np.floating], nodes: tuple[NDArray[np.float64], NDArray[np.float64]], size: tuple[int, int]
) -> Field:
    """Return float32 (..., H, W) from values at `nodes` (y, x), whose coordinates are 0..1 over the frame's sides.

    Cubic splines, one axis after the other, read at the pixel centres; constant beyond the outermost nodes.
    """
    rows, columns = (_cubic(at, count) for at, count in zip(nodes, size, strict=True))
    # Sums in one order, where a matrix product's last bits would depend on the number of threads.
    taller = np.einsum("hj,...jk->...hk", rows, fields)
    enlarged: Field = np.einsum("wk,...hk->...hw", columns, taller).astype(np.float32)
    return enlarged


def _cubic(nodes: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return (count, nodes): the weights of the nodes' values in a cubic spline at `count` pixel centres."""
    from scipy.interpolate import make_interp_spline

    centres = np.clip((np.arange(count) + 0.5) / count, nodes[0], nodes[-1])
    weights: NDArray[np.float64] = make_interp_spline(nodes, np.eye(len(nodes)), k=3)(centres)
    return weights


def taper(size: tuple[int, int], normal_only: bool) -> Field:
    """Return float32 (2, H, W), a factor that falls smoothly to 0 at the border over a quarter of each side.

    normal_only: y falls at the top and bottom only, x at the left and right only.
    """
    rise = [_rise(count) for count in size]
    down, across = rise[0][:, None] + 0 * rise[1], rise[1] + 0 * rise[0][:, None]
    return np.stack([down, across] if normal_only else [down * across, down * across]).astype(np.float32)


def _rise(count: int) -> NDArray[np.float64]:
    centres = (np.arange(count) + 0.5) / count
    t = np.minimum(4 * np.minimum(centres, 1 - centres), 1)
    rise: NDArray[np.float64] = t * t * (3 - 2 * t)
    return rise

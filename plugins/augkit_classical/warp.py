"""Resampling image and mask together, and exact mirror images.

A CPU does it with OpenCV (`host`), other devices with `grid_sample`; both read the same positions, bilinearly.
Coordinates are those of `torch.nn.functional.grid_sample` with ``align_corners=False``: x and y run from -1 to 1 over
the outer edges of the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from augkit_classical.classes import FEW_CLASSES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from augkit_classical.host import Pixels

Padding = Literal["reflect", "border", "constant", "ignore"]
"""What lies outside the image: its mirror image, its nearest edge, black background, or black that does not count."""

_MODE = {"reflect": "reflection", "border": "border", "constant": "zeros", "ignore": "zeros"}


def warp_affine(
    images: Tensor, masks: Tensor, matrices: Tensor, padding: Padding, moved: Tensor, mirrors: Tensor
) -> tuple[Tensor, Tensor]:
    """Return images and masks read where (N, 2, 3) matrices take output coordinates; masks stay exactly 0 or 1.

    images:  float32 (N, C, H, W); masks: float32 (N, K, H, W); each may be uint8 instead, as in
             `augkit.training.Batch`. A mask pixel is 1 where the bilinear value exceeds one half, so of several
             disjoint classes at most one wins; of three or more, the largest wins where all together exceed one half,
             so that no gap opens where they meet.
    moved:   bool (N,); false promises that the matrix does no more to a sample than `mirrors`, bool (N, 2), left to
             right and top to bottom. A CPU then copies it; a GPU resamples it all the same, because to find out which
             would make it wait.
    """
    if images.device.type != "cpu":
        return _sampled(images, masks, affine_grid(matrices, images.shape[2], images.shape[3]), padding)
    import cv2

    from augkit_classical.host import BORDER, resampled

    height, width = images.shape[2:]
    rows = in_pixels(matrices.double().numpy(), height, width)
    how = {"flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, "borderMode": BORDER[padding]}

    def read(i: int, both: Pixels, out: Pixels) -> None:
        cv2.warpAffine(both, rows[i], (width, height), dst=out, **how)

    return resampled(images, masks, read, moved, mirrors)


def warp_free_form(
    images: Tensor, masks: Tensor, points: Tensor, splines: tuple[Tensor, Tensor], padding: Padding, moved: Tensor
) -> tuple[Tensor, Tensor]:
    """Return images and masks displaced by a grid of control points; masks stay exactly 0 or 1.

    points:  float32 (N, 2, P, Q): how far, in x and in y, each point moves the position that is read.
    splines: float32 (H, P) and (W, Q): the share of each point in each row and column.
    moved:   as for `warp_affine`; false promises that the points are 0.
    """
    height, width = images.shape[2:]
    down, across = splines
    if images.device.type != "cpu":
        at = down @ points @ across.T
        at[:, 0] += _centres(width, images)
        at[:, 1] += _centres(height, images)[:, None]
        return _sampled(images, masks, at, padding)
    import cv2
    import numpy as np

    from augkit_classical.host import BORDER, resampled

    rows, columns = down.numpy(), across.numpy().T
    moves = points.numpy() * np.array([width / 2, height / 2], np.float32)[:, None, None]
    still_x, still_y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]

    def read(i: int, both: Pixels, out: Pixels) -> None:
        at = rows @ moves[i] @ columns
        at[0] += still_x
        at[1] += still_y
        cv2.remap(both, at[0], at[1], cv2.INTER_LINEAR, dst=out, borderMode=BORDER[padding])

    return resampled(images, masks, read, moved)


def mirror(images: Tensor, masks: Tensor, mirrors: Tensor) -> tuple[Tensor, Tensor]:
    """Return copies of images and masks, of any dtype, mirrored exactly; mirrors: as for `warp_affine`."""
    if images.device.type == "cpu":
        from augkit_classical.host import all_mirrored

        return all_mirrored(images, masks, mirrors)
    return _mirrored(images, mirrors), _mirrored(masks, mirrors)


def _mirrored(pixels: Tensor, mirrors: Tensor) -> Tensor:
    import torch

    across, down = mirrors[:, 0, None, None, None], mirrors[:, 1, None, None, None]
    pixels = torch.where(across, pixels.flip(3), pixels)
    return torch.where(down, pixels.flip(2), pixels)


def affine_grid(matrices: Tensor, height: int, width: int) -> Tensor:
    """Return float32 (n, 2, H, W) for (n, 2, 3) matrices that take output to input coordinates in -1..1.

    The sum of a row and a column per axis: a fifth of the time of a matrix product per pixel.
    """
    across, down = _centres(width, matrices), _centres(height, matrices)
    columns = matrices[:, :, 0, None] * across
    rows = matrices[:, :, 1, None] * down + matrices[:, :, 2, None]
    return rows[:, :, :, None] + columns[:, :, None, :]


def in_pixels(matrices: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Return the same (N, 2, 3) matrices for coordinates in pixels, 0 at the centre of the first one."""
    import numpy as np

    first = np.array([1 / width - 1, 1 / height - 1])  # where the first pixel's centre is
    sides = np.array([width, height])
    turn = matrices[:, :, :2] * sides[:, None] / sides
    shift = ((matrices[:, :, :2] @ first + matrices[:, :, 2] + 1) * sides - 1) / 2
    return np.concatenate([turn, shift[:, :, None]], axis=2)


def _centres(count: int, like: Tensor) -> Tensor:
    """Return float32 (count,): the positions of the pixel centres in -1..1."""
    import torch

    return (torch.arange(count, device=like.device, dtype=torch.float32) * 2 + 1) / count - 1


def _sampled(images: Tensor, masks: Tensor, at: Tensor, padding: Padding) -> tuple[Tensor, Tensor]:
    """Return images and masks read at float32 (N, 2, H, W) positions."""
    import torch
    from torch.nn.functional import grid_sample

    from augkit.training import as_floats

    images, masks = as_floats(images, masks)
    channels = images.shape[1]
    both, grid = torch.cat([images, masks], dim=1), at.permute(0, 2, 3, 1)
    both = grid_sample(both, grid, mode="bilinear", padding_mode=_MODE[padding], align_corners=False)
    labels = both[:, channels:]
    if labels.shape[1] > FEW_CLASSES:
        kinds = torch.arange(labels.shape[1], device=labels.device)[:, None, None]
        open_ = (labels.sum(1, keepdim=True) > 0.5) & (labels.amax(1, keepdim=True) <= 0.5)
        labels.copy_((labels > 0.5) | (open_ & (labels.argmax(1, keepdim=True) == kinds)))
    else:
        labels.copy_(labels > 0.5)
    return both[:, :channels], labels

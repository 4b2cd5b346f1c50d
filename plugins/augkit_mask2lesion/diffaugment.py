"""What the discriminator is shown of a pair: the pair moved, mirrored or hidden in part, in a way it can learn through.

A discriminator that sees few images learns them by heart. It cannot if it sees them changed at random, and if real and
painted pairs are changed alike the changes do not become part of what is painted (Zhao et al. 2020, arXiv:2006.10738).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from augkit import TensorDraws
from augkit_mask2lesion.options import DiffAugment

SHIFT = 1 / 8
"""Largest shift, as a share of the side."""

HIDDEN = 1 / 2
"""Side of the square that is hidden, as a share of the side."""

_BRIGHTNESS, _SATURATION, _CONTRAST = 0.5, (0.0, 2.0), (0.5, 1.5)

Change = Callable[[Tensor], Tensor]


def differentiable(kinds: Sequence[DiffAugment], draws: TensorDraws, size: int) -> Change:
    """Return a change of pairs (N, K, size, size) in -1..1, one for each of the N samples, the same at every call.

    The last three channels are colours, those before them are masks. What is moved in or hidden is 0.
    """
    changes: list[Change] = []
    if "translation" in kinds or "mirror" in kinds:
        changes.append(_moved(kinds, draws, size))
    if "cutout" in kinds:
        changes.append(_hidden(draws, size))
    if "colour" in kinds:
        changes.append(_recoloured(draws))

    def changed(pairs: Tensor) -> Tensor:
        for change in changes:
            pairs = change(pairs)
        return pairs

    return changed


def _moved(kinds: Sequence[DiffAugment], draws: TensorDraws, size: int) -> Change:
    """Return shifts by whole pixels and mirroring in both directions, as products with matrices of zeros and ones.

    Gathering pixels would do, but its derivative adds in an order that a GPU does not repeat.
    """
    along = torch.arange(size, device=draws.keys.device)
    matrices = []
    for axis in ("rows", "columns"):
        source = along.expand(len(draws), size)
        if "translation" in kinds:
            most = int(size * SHIFT)
            source = source + draws.integers(f"diffaugment: shift of {axis}", -most, most + 1)[:, None]
        if "mirror" in kinds:
            source = torch.where(draws.boolean(f"diffaugment: mirror {axis}")[:, None], size - 1 - source, source)
        matrices.append((source[:, :, None] == along).float()[:, None])
    rows, columns = matrices
    return lambda pairs: rows @ pairs @ columns.transpose(2, 3)


def _hidden(draws: TensorDraws, size: int) -> Change:
    """Return the change that hides a square around any place, whose parts beyond the border hide nothing."""
    along = torch.arange(size, device=draws.keys.device)
    half = size * HIDDEN / 2
    centre = draws.integers("diffaugment: cutout", 0, size, shape=(2,))
    near = ((along - centre[:, :, None]).abs() < half)[:, :, None]
    kept = ~(near[:, 0].transpose(1, 2) & near[:, 1])[:, None]
    return lambda pairs: pairs * kept


def _recoloured(draws: TensorDraws) -> Change:
    """Return changes of brightness, saturation and contrast."""
    brighter = draws.uniform("diffaugment: brightness", -_BRIGHTNESS, _BRIGHTNESS)[:, None, None, None]
    saturation = draws.uniform("diffaugment: saturation", *_SATURATION)[:, None, None, None]
    contrast = draws.uniform("diffaugment: contrast", *_CONTRAST)[:, None, None, None]

    def recoloured(pairs: Tensor) -> Tensor:
        masks, colours = pairs[:, :-3], pairs[:, -3:] + brighter
        grey = colours.mean(1, keepdim=True)
        colours = grey + (colours - grey) * saturation
        middle = colours.mean((1, 2, 3), keepdim=True)
        return torch.cat([masks, middle + (colours - middle) * contrast], dim=1)

    return recoloured

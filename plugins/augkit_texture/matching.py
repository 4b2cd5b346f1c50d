"""Choosing donors: a skin on which the mask's object looks right, and an object that fits it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit import Draws
from augkit_texture.filling import Bools, Floats
from augkit_texture.library import OFFSET, Library
from augkit_texture.shapes import Shape, describe, shape_of

Flips = tuple[slice, slice]

_FLIPS: tuple[Flips, ...] = tuple(
    (rows, columns) for rows in (slice(None), slice(None, None, -1)) for columns in (slice(None), slice(None, None, -1))
)
_GRID = 16
_DARK = 50.0
_DARK_COSTS = 10.0
"""What a dark pixel under an object costs, in visible pixels of invented skin."""

_COLOUR = 0.4
"""A clear difference of two skins, in logarithms."""

_SAME = 1e-3


class Matcher:
    """The donors of a library and what makes them alike. `donors`: (frame, label, shape) of every object."""

    def __init__(self, library: Library, choices: int) -> None:
        self._choices = choices
        self._negative = library.negative
        size = library.labels.shape[1:]
        self.donors: list[tuple[int, int, Shape]] = []
        features, colours = [], []
        for frame, labels in enumerate(library.labels):
            for label in np.unique(labels[labels > 0]).tolist():
                mask = labels == label
                shape = shape_of(mask)
                self.donors.append((frame, label, shape))
                features.append(describe(shape, size))
                colours.append(np.log(library.skins[frame][mask].mean(0) + OFFSET))
        self._size = size
        self._features = np.array(features)
        self._colours = np.array(colours)
        self._frames = np.array([frame for frame, _, _ in self.donors])
        dark = library.skins.mean(3) < _DARK
        self._invented = np.stack([_coarse(library.holes[(slice(None), *flips)]) for flips in _FLIPS], axis=1)
        self._dark = np.stack([_coarse(dark[(slice(None), *flips)]) for flips in _FLIPS], axis=1)

    def choose_skin(self, mask: Bools, draws: Draws[NDArray[Any]]) -> tuple[int, Flips]:
        """Return a frame and how to mirror it: of a few drawn, the one that shows least invented skin."""
        drawn = draws.integers("skin", 0, self._invented.shape[0] * len(_FLIPS), shape=(self._choices,))[0]
        covered = _coarse(mask[None])[0]
        frames, flips = np.divmod(drawn, len(_FLIPS))
        shown = self._invented[frames, flips] @ (1 - covered)
        cost = shown + _DARK_COSTS * self._dark[frames, flips] @ covered * ~self._negative[frames]
        best = int(np.argmin(cost))
        return int(frames[best]), _FLIPS[flips[best]]

    def choose_object(self, shape: Shape, skin: Floats, negative: bool, draws: Draws[NDArray[Any]]) -> int:
        """Return the index of a donor: one of those most alike, drawn by key.

        skin: mean colour where the object is to be painted. A donor of the very same shape is the object that the mask
        was drawn from and is left out, unless there is no other: it would be copied, not painted.
        """
        apart = ((self._features - describe(shape, self._size)) ** 2).sum(1)
        unlike = ((self._colours - np.log(skin + OFFSET)) ** 2).sum(1) / _COLOUR**2
        cost = (
            apart
            + unlike
            + np.where(apart < _SAME, 1e6, 0)
            + np.where(self._negative[self._frames] == negative, 0, 1e9)
        )
        nearest = np.argsort(cost, kind="stable")[: self._choices]
        nearest = nearest[cost[nearest] < 1e6] if cost[nearest[0]] < 1e6 else nearest[:1]
        return int(nearest[draws.integers("donor", 0, len(nearest))[0]])


def _coarse(masks: Bools) -> Floats:
    """Return the share of each of 16 x 16 cells that is true, float32 (N, 256)."""
    count, height, width = masks.shape
    edges = [np.linspace(0, side, _GRID + 1).astype(np.int64)[:-1] for side in (height, width)]
    sums = np.add.reduceat(np.add.reduceat(masks.astype(np.float32), edges[0], axis=1), edges[1], axis=2)
    shares: Floats = (sums / (height * width / _GRID**2)).reshape(count, -1).astype(np.float32)
    return shares

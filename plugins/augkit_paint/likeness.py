"""Whether a mask is like those that a generator has seen: of one it has never seen the like of, it makes things up."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from augkit import Format, Masks, class_masks, shows

_SIDE = 32
_MOST = 2048
_RARE = 0.01


class Alike(NamedTuple):
    """How like the training masks a mask is.

    overlap: Dice with the training mask of the most similar shape, both centred, 0..1.
    usual:   what 99 % of the training masks reach with another training mask.
    """

    overlap: float
    usual: float

    @property
    def unlike(self) -> bool:
        """Whether hardly any training mask is so different from all others."""
        return self.overlap < self.usual


class Likeness:
    """Compares masks with training masks by their overlap about their centroids, at 32 x 32 pixels, class by class."""

    def __init__(self, masks: Masks, format: Format) -> None:
        self._format = format
        some = masks if len(masks) <= _MOST else masks[np.linspace(0, len(masks) - 1, _MOST).round().astype(int)]
        some = some[shows(some).any(axis=(1, 2))]
        self._known = self._vectors(some)
        self._usual = float(np.quantile(self._best(self._known, alone=True), _RARE)) if len(some) > 1 else 0.0

    def of(self, mask: Masks) -> Alike:
        """Return how like the training masks (H, W) is."""
        return Alike(float(self._best(self._vectors(mask[None]))[0]), self._usual)

    def _vectors(self, masks: Masks) -> NDArray[np.float32]:
        """Return float32 (N, K * 32 * 32), the masks of all classes with the foreground's centroid in the middle."""
        height, width = masks.shape[1:]
        found = np.zeros((len(masks), len(self._format.classes), _SIDE, _SIDE), np.float32)
        for i, mask in enumerate(masks):
            y, x = np.nonzero(shows(mask))
            if not len(y):
                continue
            rows = np.floor((np.arange(_SIDE) + 0.5) / _SIDE * height - height / 2 + y.mean() + 0.5).astype(int)
            columns = np.floor((np.arange(_SIDE) + 0.5) / _SIDE * width - width / 2 + x.mean() + 0.5).astype(int)
            inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
            picked = mask[rows.clip(0, height - 1)[:, None], columns.clip(0, width - 1)]
            found[i] = class_masks(picked[None], len(self._format.classes))[0] & inside
        return found.reshape(len(masks), -1)

    def _best(self, vectors: NDArray[np.float32], alone: bool = False) -> NDArray[np.float32]:
        """Return the largest Dice of each vector with a known one; with `alone`, with another one than itself."""
        if not len(self._known):
            return np.zeros(len(vectors), np.float32)
        sizes = vectors.sum(axis=1)[:, None] + self._known.sum(axis=1)
        overlap = 2 * (vectors @ self._known.T) / np.maximum(sizes, 1)
        if alone:
            np.fill_diagonal(overlap, -1)
        best: NDArray[np.float32] = overlap.max(axis=1)
        return best

"""``folds: 5`` of a recipe: every sample is tested once, by segmenters that never saw its group."""

from __future__ import annotations

from dataclasses import dataclass

from augkit.data.folds import ALL

FEWEST, MOST = 2, 20
"""Folds that a recipe may ask for."""

FOLD_KEYS = ("count", "of", "only")


@dataclass(frozen=True)
class Folds:
    """What a recipe says of folds.

    count: how many there are.
    of:    `ALL`, or `DEVELOPMENT` for those of the training and validation samples, and no result on test images.
    only:  the folds that are trained and scored.
    """

    count: int
    only: tuple[int, ...]
    of: str = ALL

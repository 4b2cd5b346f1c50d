"""How a set is divided: its samples into folds, of which each is tested once, and a large one into shards."""

from __future__ import annotations

from dataclasses import dataclass

from augkit.data.folds import ALL

FEWEST_FOLDS, MOST_FOLDS = 2, 20
"""Folds that a recipe may ask for."""

FOLD_KEYS = ("count", "of", "only")

SHARD = 8192
"""Images in a shard unless a recipe says otherwise: 403 MB of 128 x 128 pixels."""

BATCH = 256
"""Images that a generator is given at a time; a shard is a multiple of it, or its images came in other batches."""

MOST_SHARDS = 10_000
"""Of one set: each is a stage."""


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


@dataclass(frozen=True)
class Cut:
    """The samples `start` to `stop` - 1 of a set that is made in shards."""

    start: int
    stop: int


def cuts_of(count: int | None, shard: int) -> tuple[Cut, ...]:
    """Return how a set of `count` samples is cut; nothing where it fits into one shard, or its size is not known."""
    if count is None or count <= shard:
        return ()
    return tuple(Cut(start, min(start + shard, count)) for start in range(0, count, shard))

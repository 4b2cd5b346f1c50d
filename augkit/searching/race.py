"""Who leaves a race of candidates, and why: pure functions of the scores of its blocks.

A block is one training of every candidate that is still in, scored on the same images: a fold and a seed. A candidate
leaves as *worse* where it is behind the leader by more than a bound that holds for all candidates and all looks at
once, and *by budget* where it is in the worse half when the time is divided (successive halving: Karnin, Koren & Somekh
2013; Jamieson & Talwalkar 2016). The first says something about the candidate, the second only about the time.
`benchmarks/search.py` simulates both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

LAST = 12
"""Blocks after which a race is over; more trainings of the same images say little that is new."""

LOOKS = (2, 3, 5)
"""Blocks after which the worse half leaves, whatever time there is. By simulation: with looks after 2, 4 and 7
the winner is as good and costs a tenth more; with one after the first block it is worse."""

ERROR = 0.05
"""How often in all races together the best candidate may leave as worse."""

WORSE, BUDGET = "worse", "budget"


@dataclass(frozen=True)
class Block:
    """One training of each candidate that was in, all scored on the same images.

    images: N ids, such as those of a fold; an id that two blocks have is the same image.
    scores: candidate -> Dice, float64 (N,).
    """

    images: tuple[str, ...]
    scores: Mapping[str, Values]


@dataclass(frozen=True)
class Difference:
    """A mean difference over blocks, its standard error over images and trainings, and the degrees of freedom of that.

    error is infinite with one block: how far trainings scatter is not known then.
    """

    mean: float
    error: float
    freedom: float


@dataclass(frozen=True)
class Standing:
    """Where a candidate stands after the blocks it was in.

    mean:   of its Dice over these blocks.
    blocks: how many.
    behind: the leader's mean over the same blocks minus its own.
    bound:  what `behind` must exceed to leave as worse; infinite with one block, 0 for the leader.
    """

    candidate: str
    mean: float
    blocks: int
    behind: float
    bound: float


def mean_of(blocks: Sequence[Block], candidate: str) -> float:
    """Return the mean Dice of a candidate over the blocks that it was in, each block counting alike."""
    return float(np.mean([block.scores[candidate].mean() for block in blocks if candidate in block.scores]))


def ranked(blocks: Sequence[Block]) -> tuple[str, ...]:
    """Return the candidates of the last block, the best first; equal ones stay as they are."""
    racing = list(blocks[-1].scores)
    return tuple(sorted(racing, key=lambda one: -mean_of(blocks, one)))


def difference(blocks: Sequence[Block], one: str, other: str) -> Difference:
    """Return how much `one` is better than `other`, paired by block and image.

    Its error is that of images crossed with trainings. What trainings and the images of a block scatter is pooled over
    all candidates, as the mean square of candidates by blocks; where images come again in later blocks, what they
    prefer for good is added.
    """
    shared = [block for block in blocks if one in block.scores and other in block.scores]
    tables = [block.scores[one] - block.scores[other] for block in shared]
    mean, count = float(np.mean([table.mean() for table in tables])), len(shared)
    square, freedom = _between_blocks(blocks)
    if count < 2 or freedom == 0:
        return Difference(mean, float("inf"), 1.0)
    variance = 2 * square / count + _between_images(shared, tables)
    return Difference(mean, float(np.sqrt(variance)), freedom)


def _between_blocks(blocks: Sequence[Block]) -> tuple[float, float]:
    """Return the mean square of candidates by blocks, of block means, and its degrees of freedom.

    Each block is held against the mean of those before it (Helmert), among those that were in: with all candidates in
    all blocks, that is the mean square of the two-way layout, and none that left is lost for it.
    """
    total, freedom = 0.0, 0
    means = [{one: float(values.mean()) for one, values in block.scores.items()} for block in blocks]
    for place, here in enumerate(means[1:], 1):
        before = {one: np.mean([early[one] for early in means[:place]]) for one in here}
        steps = np.array([here[one] - before[one] for one in here]) * np.sqrt(place / (place + 1))
        total += float(((steps - steps.mean()) ** 2).sum())
        freedom += len(steps) - 1
    return (total / freedom if freedom else 0.0), float(freedom)


def _between_images(blocks: Sequence[Block], tables: Sequence[Values]) -> float:
    """Return the variance of the mean difference that images bring along which were scored more than once.

    Images that were scored once are counted by `_between_blocks` already, with everything else that their block has of
    its own.
    """
    names = np.concatenate([np.array(block.images) for block in blocks])
    _, image = np.unique(names, return_inverse=True)
    values = np.concatenate([table - table.mean() for table in tables])
    times = np.bincount(image)
    means = np.bincount(image, values) / times
    again = times > 1
    if again.sum() < 2:
        return 0.0
    squares = np.bincount(image, (values - means[image]) ** 2)[again] / (times[again] - 1)
    lasting = float(means[again].var(ddof=1) - squares.mean() / times[again].mean())
    return max(lasting, 0.0) / len(times)


def reach(freedom: float, entrants: int) -> float:
    """Return how many standard errors behind the leader is too far: Bonferroni over the others and over all looks."""
    from scipy import special

    return float(-special.stdtrit(freedom, ERROR / (max(entrants - 1, 1) * (LAST - 1))))


def standings(blocks: Sequence[Block]) -> tuple[Standing, ...]:
    """Return where the candidates of the last block stand, the best first."""
    order = ranked(blocks)
    return tuple(_standing(blocks, one, order[0]) for one in order)


def _standing(blocks: Sequence[Block], candidate: str, leader: str) -> Standing:
    found = difference(blocks, leader, candidate)
    count = sum(candidate in block.scores for block in blocks)
    bound = 0.0 if candidate == leader else reach(found.freedom, len(blocks[0].scores)) * found.error
    return Standing(candidate, mean_of(blocks, candidate), count, found.mean, bound)


def leaving(blocks: Sequence[Block], keep: int | None = None) -> Mapping[str, str]:
    """Return who leaves after the last block, and why: `WORSE` or `BUDGET`.

    keep: how many the time is enough for; None for what `kept_by_looks` says. Of two, the worse one stays unless it is
          worse beyond the bound: nothing is saved by guessing.
    """
    found = standings(blocks)
    gone = {one.candidate: WORSE for one in found[1:] if one.behind > one.bound}
    most = kept_by_looks(len(found), len(blocks)) if keep is None else max(keep, 2)
    return gone | {one.candidate: BUDGET for one in found[most:] if one.candidate not in gone}


def kept_by_looks(count: int, blocks: int) -> int:
    """Return how many of some candidates stay after so many blocks, whatever time there is."""
    return half_of(count) if blocks in LOOKS else count


def half_of(count: int) -> int:
    """Return how many stay where the worse half leaves; two always do."""
    return max((count + 1) // 2, min(count, 2))


def smallest_visible_gain(blocks: Sequence[Block], entrants: int) -> float:
    """Return by how much the best of the candidates had to lead the second of the last block to show beyond the bound.

    With a power of 80 %; infinite where trainings were not repeated.
    """
    from scipy import special

    first, second, *_ = *ranked(blocks), *ranked(blocks)
    found = difference(blocks, first, second)
    if not np.isfinite(found.error):
        return float("inf")
    return float((reach(found.freedom, entrants) + special.stdtrit(found.freedom, 0.8)) * found.error)

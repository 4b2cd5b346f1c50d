"""Which fold tests a sample: decided by the names and sizes of groups alone, whatever the arm or the seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from augkit.data.draws import Draws, sample_keys
from augkit.errors import InputError, Problem

ALL, DEVELOPMENT = "all", "development"
"""What folds are made of: all samples of a data set, or those of its training and validation split."""


def deal_folds(groups: Sequence[str], count: int) -> Mapping[str, int]:
    """Return group -> the fold, 0 .. `count` - 1, that tests it.

    groups: of each sample. Large groups are dealt first, each to the fold with the fewest samples so far, and equal
    ones in the order of a number that their name has. `InputError` for fewer groups than folds.
    """
    sizes = Counter(groups)
    if len(sizes) < count:
        what = f"found {len(sizes)} group{'' if len(sizes) == 1 else 's'} for {count} folds"
        allowed = "allowed: at least one group for each, as every fold tests some that it does not train on"
        raise InputError(Problem("folds", f"{what}; {allowed}", "Take fewer folds; without groups, an image is one"))
    names = sorted(sizes)
    order = np.lexsort((_numbers(names, 0, "folds"), np.array([-sizes[name] for name in names])))
    samples, dealt = [0] * count, {}
    for place in order.tolist():
        fold = min(range(count), key=lambda one: samples[one])
        dealt[names[place]] = fold
        samples[fold] += sizes[names[place]]
    return dealt


def choose_validation(groups: Sequence[str], share: float, fold: int) -> set[str]:
    """Return the share of some groups that a fold validates on: at least one and not all, and none for a share of 0."""
    names = sorted(set(groups))
    count = min(max(1, round(share * len(names))), len(names) - 1) if share else 0
    order = np.argsort(_numbers(names, fold, "fold validation"), kind="stable")
    return {names[place] for place in order[:count].tolist()}


def _numbers(names: Sequence[str], seed: int, stream: str) -> NDArray[np.float32]:
    """Return a number of each name, float32 (N,), which no other name changes."""
    return Draws.of(seed, stream, sample_keys(names)).uniform("place")

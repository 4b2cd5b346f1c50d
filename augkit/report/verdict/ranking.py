"""Which arm is best, and how sure that is: every arm against every other, all of it true at once with 95 %.

With K arms there are K (K - 1) / 2 differences. Each has the error over images and seeds that the verdicts' intervals
have, and an interval so wide that all of them hold the true differences together in 95 % of studies: Bonferroni's
bound (Dunn, Journal of the American Statistical Association 1961), whatever the differences have in common.
An arm's true rank then lies between one more than the number of arms that are surely better, and K less the number of
those that are surely worse (Mogstad, Romano, Shaikh & Wilhelm, Review of Economic Studies 2024; Al Mohamad, van Zwet,
Solari & Goeman, Biometrics 2022). No verdict rests on it: that of a planned contrast asks one question, and sees more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from augkit.report.verdict.inference import LEAVE, Values, crossed_error, folded_error, wide_error
from augkit.report.verdict.scores import ArmScores


@dataclass(frozen=True)
class Place:
    """Where an arm stands.

    mean:        its mean Dice, over the seeds that all arms have.
    best, worst: between which its true rank lies; 1 is the highest mean Dice.
    behind:      its mean less that of the first arm, with the ends of the simultaneous 95 % interval; all 0 for that.
    """

    arm: str
    mean: float
    best: int
    worst: int
    behind: tuple[float, float, float]


@dataclass(frozen=True)
class Ranking:
    """All arms, the highest mean first."""

    places: tuple[Place, ...]

    @property
    def sentence(self) -> str:
        """Which arms may be the best, in plain words."""
        first, possible = self.places[0].arm, [place.arm for place in self.places if place.best == 1]
        if len(possible) == 1:
            return f"{first} is the best of the {len(self.places)} arms."
        if len(possible) == len(self.places):
            return f"Any of the {len(self.places)} arms may be the best; {first} had the highest mean."
        others = [name for name in possible if name != first]
        return f"The best of the {len(self.places)} arms is {first}, or {' or '.join(others)}."


def rank(arms: Sequence[ArmScores], least_seeds: int, least_images: int) -> Ranking | None:
    """Return the ranking of three arms or more by mean Dice; None of fewer, or where seeds or images are too few.

    Seeds that only some arms have are left out.
    """
    if len(arms) < 3:
        return None
    common = set.intersection(*(set(arm.seeds) for arm in arms))
    if len(common) < least_seeds or len(arms[0].image_ids) < least_images:
        return None
    tables = [arm.values["dice"][[arm.seeds.index(seed) for seed in sorted(common)]] for arm in arms]
    low, high = intervals(tables, arms[0])
    means = [float(table.mean()) for table in tables]
    order = sorted(range(len(arms)), key=lambda i: -means[i])
    first = order[0]
    return Ranking(
        tuple(
            Place(
                arms[i].arm,
                means[i],
                best=1 + int((low[:, i] > 0).sum()),
                worst=len(arms) - int((high[:, i] < 0).sum()),
                behind=(means[i] - means[first], float(low[i, first]), float(high[i, first])),
            )
            for i in order
        )
    )


def intervals(tables: Sequence[Values], arm: ArmScores) -> tuple[Values, Values]:
    """Return low and high, (K, K): the simultaneous interval of the mean of row's arm less that of column's."""
    from scipy import special

    count = len(tables)
    low, high = np.zeros((count, count)), np.zeros((count, count))
    level = LEAVE / (count * (count - 1))  # two-sided, of K (K - 1) / 2 differences
    for i, j in combinations(range(count), 2):
        table = tables[i] - tables[j]
        error, freedom = crossed_error(table) if arm.fold_count == 1 else folded_error(table, arm.folds)
        error = wide_error(table) if arm.fold_count == 1 else error
        mean, reach = float(table.mean()), float(special.stdtrit(freedom, 1 - level)) * error
        low[i, j], high[i, j] = mean - reach, mean + reach
        low[j, i], high[j, i] = -high[i, j], -low[i, j]
    return low, high

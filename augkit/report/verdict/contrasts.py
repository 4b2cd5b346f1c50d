"""Which arms to compare with which: planned before a score is read, found from what arms are and not from their names.

The four arms of the Mask2Lesion paper are a 2 x 2 design, synthetic images by classical augmentation. Whatever arms
there are, the planned contrasts are: each arm with synthetic images against its control, the arm that is the same
without them; where the same synthetic images stand both with and without an augmentation, their interaction; and, a
question of its own, each arm with classical augmentation and no synthetic images against the same without augmentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from augkit.errors import InputError, Problem
from augkit.report.verdict.scores import ArmScores, Design

Asked = Sequence[tuple[str, str]]
"""Contrasts that somebody asks for: the names of two arms each, the second of which is subtracted."""


@dataclass(frozen=True, eq=False)
class Contrast:
    """A planned difference: the mean score of the arms in `plus` minus that of the arms in `minus`.

    An effect is one arm minus its control. An interaction is the effect with augmentation minus the effect without:
    ``plus`` is (with both, with neither), ``minus`` is (augmentation only, synthetic images only).

    asked: whether somebody asked for it, and it is of any two arms.
    """

    plus: tuple[ArmScores, ...]
    minus: tuple[ArmScores, ...]
    asked: bool = False

    @property
    def is_interaction(self) -> bool:
        """Whether this is a difference of two effects."""
        return len(self.plus) == 2

    @property
    def arms(self) -> tuple[ArmScores, ...]:
        """Every arm that takes part."""
        return self.plus + self.minus

    @property
    def name(self) -> str:
        """The contrast in the names of its arms: ``allaug vs classicaug``."""
        first = f"{self.plus[0].arm} vs {self.minus[0].arm}"
        return f"interaction: ({first}) − ({self.minus[1].arm} vs {self.plus[1].arm})" if self.is_interaction else first

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that every arm was trained with; differences are taken seed by seed."""
        common = set.intersection(*(set(arm.seeds) for arm in self.arms))
        return tuple(seed for seed in self.plus[0].seeds if seed in common)

    @property
    def folds(self) -> NDArray[np.int64]:
        """The fold in which each image was tested, int (N,); the same in every arm that is compared."""
        return self.plus[0].folds

    def table(self, metric: str) -> NDArray[np.float64]:
        """Return the differences of the common seeds: float64 (S, N)."""
        rows = [self._rows(arm, metric) for arm in self.arms]
        signs = [1.0] * len(self.plus) + [-1.0] * len(self.minus)
        return np.tensordot(signs, np.stack(rows), axes=1)

    def _rows(self, arm: ArmScores, metric: str) -> NDArray[np.float64]:
        return arm.values[metric][[arm.seeds.index(seed) for seed in self.seeds]]


@dataclass(frozen=True)
class Planned:
    """The planned contrasts, and the synthetic arms that have no control among the arms.

    contrasts:     about synthetic images, the primary one first; then those that were asked for.
    augmentations: about classical augmentation.
    """

    contrasts: tuple[Contrast, ...]
    augmentations: tuple[Contrast, ...]
    without_control: tuple[str, ...]


def plan_contrasts(arms: Sequence[ArmScores], asked: Asked = ()) -> Planned:
    """Return the contrasts of these arms: effects with augmentation, effects without, interactions; augmentations.

    asked: contrasts besides; one that is planned anyway is not planned twice. Raises `InputError` for unknown names.
    """
    check_asked(asked, [arm.arm for arm in arms])
    effects, alone = [], []
    for arm in sorted((arm for arm in arms if arm.design.synthesis), key=lambda arm: not arm.design.augment):
        control = _find(arms, replace(arm.design, synthesis=""))
        if control is None:
            alone.append(arm.arm)
        else:
            effects.append(Contrast((arm,), (control,)))
    interactions = [found for effect in effects if (found := _interaction(effect, effects)) is not None]
    augmentations = tuple(_augmentations(arms))
    others = _asked(arms, asked, [*effects, *augmentations])
    return Planned((*effects, *interactions, *others), augmentations, tuple(alone))


def check_asked(asked: Asked, names: Sequence[str]) -> None:
    """Raise an `InputError` for contrasts of arms that are not among `names`, and of an arm with itself."""
    problems = []
    for one in asked:
        where, allowed = f"--contrast {':'.join(one)}", ", ".join(names)
        unknown = [name for name in one if name not in names]
        if unknown:
            problems.append(Problem(where, f"no arm is called '{unknown[0]}'; allowed: two of {allowed}"))
        elif one[0] == one[1]:
            problems.append(Problem(where, f"is an arm and itself; allowed: two different ones of {allowed}"))
    if problems:
        raise InputError(*problems)


def _asked(arms: Sequence[ArmScores], asked: Asked, planned: Sequence[Contrast]) -> Iterator[Contrast]:
    named = {arm.arm: arm for arm in arms}
    known = {frozenset(arm.arm for arm in contrast.arms) for contrast in planned}
    for one in asked:
        if frozenset(one) not in known:
            known.add(frozenset(one))
            yield Contrast((named[one[0]],), (named[one[1]],), asked=True)


def _augmentations(arms: Sequence[ArmScores]) -> Iterator[Contrast]:
    for arm in arms:
        control = _find(arms, replace(arm.design, augment=""))
        if arm.design.augment and not arm.design.synthesis and control is not None:
            yield Contrast((arm,), (control,))


def _find(arms: Sequence[ArmScores], design: Design) -> ArmScores | None:
    return next((arm for arm in arms if arm.design == design), None)


def _interaction(effect: Contrast, effects: Sequence[Contrast]) -> Contrast | None:
    """Return the effect with augmentation minus the same effect without; None where there is no such pair."""
    (arm,), (control,) = effect.plus, effect.minus
    plain = replace(arm.design, augment="")
    other = next((one for one in effects if one.plus[0].design == plain), None)
    if not arm.design.augment or other is None:
        return None
    return Contrast((arm, *other.minus), (control, *other.plus))

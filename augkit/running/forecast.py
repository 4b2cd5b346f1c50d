"""Saying, before anything trains, that no verdict can come out of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from augkit.contracts.components import PER_GROUP
from augkit.contracts.events import COMPARISON, Event, RunStarted, StageFinished, StageNoted
from augkit.data.stored import read_names
from augkit.errors import AugkitError
from augkit.planning.plan import Plan
from augkit.planning.tasks import Arm
from augkit.report.arms import expected
from augkit.report.verdict.comparison import foresee
from augkit.report.verdict.contrasts import Asked
from augkit.report.verdict.scores import ArmScores
from augkit.store import Store


class Forecast:
    """What a plan says of its verdicts: of seeds at once, of test images as soon as the data set lies in the store.

    beside: arms of reports that the plan's arms will be compared with.
    asked:  contrasts that somebody asked for.
    """

    def __init__(self, plan: Plan, store: Store, beside: Sequence[ArmScores] = (), asked: Asked = ()) -> None:
        self._asked = asked
        self._plan = plan
        self._beside = beside
        self._datasets = {arm.fold: store.path(arm.dataset.address) for arm in plan.arms}
        self._told: set[str] = set()

    def lines(self) -> tuple[str, ...]:
        """Return why no verdict can come out, one line for each reason that is known by now."""
        ids = _tested_by(self._beside[0]) if self._beside else _test_names(self._plan.arms[0], self._datasets)
        arms: dict[str, ArmScores] = {}
        for arm in (*expected(self._plan.arms, ids), *self._beside):
            known = arms.setdefault(arm.arm, arm)
            arms[arm.arm] = replace(known, seeds=tuple(dict.fromkeys((*known.seeds, *arm.seeds))))
        return tuple(
            f"no verdict can come out of this: {reason}" for reason in foresee(tuple(arms.values()), self._asked)
        )

    def hear(self, event: Event) -> tuple[StageNoted, ...]:
        """Return what to tell after an event of the run, each line once."""
        begins = isinstance(event, RunStarted) and event.stages
        loaded = isinstance(event, StageFinished) and event.folder.parts[-2:] in [
            folder.parts[-2:] for folder in self._datasets.values()
        ]
        new = [line for line in self.lines() if line not in self._told] if begins or loaded else []
        self._told.update(new)
        return tuple(StageNoted(COMPARISON, line) for line in new)


def asks_for_verdict(plan: Plan) -> bool:
    """Tell whether somebody who runs these arms wants them compared: with one seed, they may only be tried out."""
    return len({arm.seed for arm in plan.arms}) > 1


def _tested_by(scores: ArmScores) -> Mapping[int | None, tuple[str, ...]]:
    """Return the name of each score in each fold, which is None where there are none."""
    found: dict[int | None, tuple[str, ...]] = {}
    for name, fold in zip(scores.image_ids, scores.folds.tolist(), strict=True):
        key = fold if scores.design.folds else None
        found[key] = (*found.get(key, ()), name)
    return found


def _test_names(arm: Arm, datasets: Mapping[int | None, Path]) -> Mapping[int | None, tuple[str, ...]]:
    """Return the name of each score to come in each fold; none before all are built, and where one is damaged."""
    with suppress(AugkitError, OSError, ValueError, KeyError):
        found = {fold: read_names(dataset / "test") for fold, dataset in datasets.items()}
        groups = arm.score_per == PER_GROUP
        return {fold: tuple(dict.fromkeys(one.groups)) if groups else one.ids for fold, one in found.items()}
    return dict.fromkeys(datasets, ())

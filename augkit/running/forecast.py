"""Saying, before anything trains, that no verdict can come out of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from augkit.contracts.components import PER_GROUP, HasCounts
from augkit.contracts.events import COMPARISON, Event, RunStarted, StageFinished, StageNoted
from augkit.contracts.manners import contained
from augkit.data.arrays import ImageSet
from augkit.data.folds import DEVELOPMENT
from augkit.data.stored import read_image_set, read_names
from augkit.errors import AugkitError
from augkit.planning.plan import Plan
from augkit.planning.tasks import Arm, HoldOutDevelopment, LoadDataset, TakeFold, TakeShare, in_order
from augkit.report.arms import expected, read_scores
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


def split_sizes(plan: Plan, store: Store) -> tuple[dict[str, int], bool]:
    """Return split -> number of samples of a plan's data set, and whether they were counted; {} where nobody can tell.

    Of folds, the first one's. Counted where the data set lies in the store; otherwise what it says of itself, from
    which a development split, a fold or a share is worked out.
    """
    arm = plan.arms[0]
    with suppress(AugkitError, OSError, ValueError, KeyError):
        folder = store.path(arm.training.address)
        tested = store.path(arm.dataset.address)
        sizes = {split: len(read_names(folder / split).ids) for split in ("train", "validation")}
        return sizes | {"test": len(read_names(tested / "test").ids)}, True
    loading = next(stage.task for stage in in_order((arm.dataset,)) if isinstance(stage.task, LoadDataset))
    if not isinstance(loading.dataset, HasCounts):
        return {}, False
    with contained():
        sizes = dict(loading.dataset.counts())
    return (_cut(sizes, arm) if sizes else {}), False


def _cut(sizes: dict[str, int], arm: Arm) -> dict[str, int]:
    """Return what a development split, a fold and a share of the training groups leave of some sizes, about."""
    train, validation, test = sizes["train"], sizes["validation"], sizes["test"]
    task = arm.dataset.task
    if isinstance(task, HoldOutDevelopment):
        test = min(max(1, round(task.share * train)), train - 1)
        train -= test
    if isinstance(task, TakeFold):
        every = train + validation + (0 if task.of == DEVELOPMENT else test)
        test = -(-every // task.folds)
        kept = round((every - test) * validation / max(train + validation, 1))
        train, validation = every - test - kept, kept
    if isinstance(arm.training.task, TakeShare):
        train = max(1, round(arm.training.task.share * train))
    return {"train": train, "validation": validation, "test": test}


def expected_arms(plan: Plan, store: Store) -> tuple[ArmScores, ...]:
    """Return what is known of a plan's arms before they are trained; as many names as test images, if known."""
    ids = _test_names(plan.arms[0], {arm.fold: store.path(arm.dataset.address) for arm in plan.arms})
    if not any(ids.values()):
        count = split_sizes(plan, store)[0].get("test", 0)
        ids = {fold: tuple(f"{fold} {i}" for i in range(count)) for fold in ids}
    return expected(plan.arms, ids)


def trained_arms(plan: Plan, store: Store) -> tuple[ArmScores, ...]:
    """Return the scores of a plan's arms with those seeds with which every one of them is scored already."""
    seeds = dict.fromkeys(arm.seed for arm in plan.arms)
    there = [s for s in seeds if all(store.has(arm.evaluation.address) for arm in plan.arms if arm.seed == s)]
    arms = [arm for arm in plan.arms if arm.seed in there]
    if len(there) < 2:
        return ()
    folders = dict.fromkeys(store.path(arm.dataset.address) / "test" for arm in arms)
    with suppress(AugkitError, OSError, ValueError, KeyError):
        test = ImageSet.concatenate([read_image_set(folder) for folder in folders])
        names = dict.fromkeys(arm.name for arm in arms)
        return tuple(
            read_scores([arm for arm in arms if arm.name == name], test, lambda stage: store.path(stage.address))
            for name in names
        )
    return ()


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

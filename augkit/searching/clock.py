"""What trainings of a search took and will take, from the seconds that their artifacts record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

from augkit.planning.tasks import Arm, LoadDataset, Stage, TrainSegmenter, in_order
from augkit.running.costs import Estimate
from augkit.running.estimate import total_seconds
from augkit.store import Store


class Clock:
    """Counts the seconds of stages as their manifests have them, whoever built them and whenever.

    So a search that was killed and started again has used what it had used, and decides what it would have decided.
    """

    def __init__(self, store: Store, jobs: int) -> None:
        self._store = store
        self._jobs = jobs
        self._counted: set[Stage] = set()
        self._known: dict[str, list[list[float]]] = {}
        self.spent = 0.0

    def count(self, arms: Sequence[Arm]) -> Mapping[str, float]:
        """Add what some arms took, stages that they share once, and return candidate -> seconds of its own stages."""
        stages = [stage for stage in in_order([arm.evaluation for arm in arms]) if stage not in self._counted]
        seconds = {stage: float(self._store.manifest(stage.address)["seconds"]) for stage in in_order(stages)}
        self._counted.update(stages)
        self.spent += self._together({stage: seconds[stage] for stage in stages})
        found = {}
        for arm in arms:
            own = [0.0 if isinstance(stage.task, LoadDataset) else seconds[stage] for stage in _stages(arm)]
            self._known.setdefault(arm.name, []).append(own)
            found[arm.name] = sum(own)
        return found

    def forecast(self, arms: Sequence[Arm], like: Mapping[str, str] | None = None) -> float:
        """Return what some arms will take, by what their candidates took before; what exists already takes nothing.

        like: candidate that never trained -> the one by which it is judged.
        """
        found: dict[Stage, float] = {}
        for arm in arms:
            rows = self._known[(like or {}).get(arm.name, arm.name)]
            expected = [mean(column) for column in zip(*rows, strict=True)]
            stages = _stages(arm)
            if len(stages) == len(expected):
                found |= dict(zip(stages, expected, strict=True))
            else:  # a control has fewer stages than the candidate it is judged by
                found[stages[-1]] = sum(expected)
        return self._together({stage: one for stage, one in found.items() if stage not in self._counted})

    def _together(self, seconds: Mapping[Stage, float]) -> float:
        return total_seconds({one: Estimate(took, None, None, "measured") for one, took in seconds.items()}, self._jobs)


def first_stages(arms: Sequence[Arm]) -> tuple[Stage, ...]:
    """Return what is tried to know what a first block will take: one segmenter, and all synthetic images."""
    return (arms[0].segmenter, *dict.fromkeys(stage for arm in arms for stage in arm.syntheses))


def first_estimate(
    arms: Sequence[Arm], tried: Mapping[Stage, float], jobs: int
) -> tuple[float, float, Mapping[str, float]]:
    """Return about how many seconds a block of all candidates takes, one of the two dearest arms, and each candidate.

    tried: `first_stages` -> seconds. Augmentation and synthetic images make trainings somewhat slower than the first
    candidate's; a quarter is added to each.
    """
    training = 1.25 * tried[arms[0].segmenter]
    stages = [stage for stage in in_order([arm.evaluation for arm in arms]) if stage.inputs]  # the data set is read
    found = {stage: training if isinstance(stage.task, TrainSegmenter) else tried.get(stage, 0.0) for stage in stages}
    clock = {stage: Estimate(seconds, None, None, "measured") for stage, seconds in found.items()}
    each = {arm.name: sum(found[stage] for stage in _stages(arm) if stage in found) for arm in arms}
    return total_seconds(clock, jobs), (max(each.values()) + training) / min(jobs, 2), each


def _stages(arm: Arm) -> tuple[Stage, ...]:
    return in_order((arm.evaluation,))

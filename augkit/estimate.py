"""What a run will take, from a few steps of each training on this machine.

A training is begun in a folder of its own and interrupted after some seconds, as a person would with Ctrl-C; its speed,
its memory and its checkpoint are what the estimate is made of. Data sets and masks are built for good, for the run.
"""

from __future__ import annotations

import _thread
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from augkit.contracts import ImageSet, Workspace
from augkit.costs import UNKNOWN, Estimate, Estimates, peak_memory
from augkit.engine import Engine
from augkit.errors import AugkitError, InterruptedRunError, Problem, StageError
from augkit.plan import (
    DrawMasks,
    HoldOutDevelopment,
    LoadDataset,
    Plan,
    Stage,
    Synthesise,
    TakeShare,
    TrainGenerator,
    TrainSegmenter,
)
from augkit.stages import compose, read_image_set
from augkit.store import Store, read_array, read_json, remove_folder

SECONDS = 10.0
"""How long each training is tried, if it tells of its steps by then."""

MOST_SECONDS = 6
"""How many times as long a training is tried that does not."""

_BUILT = (LoadDataset, HoldOutDevelopment, TakeShare, DrawMasks)
_STEPS = re.compile(r"step ([0-9]+) of ([0-9]+)")

Fit = Callable[[Workspace], None]


def estimate_plan(plan: Plan, store: Store, engine: Engine) -> Mapping[Stage, Estimate]:
    """Return what each stage that has to be built will take, and keep it beside the artifacts for the report.

    Builds the data sets and masks of the plan. Trainings that differ in nothing but seed are tried once. Call it from
    the main thread, where a signal can reach the training.
    """
    trial = _Trial(store, engine)
    found = {stage: trial.of(stage) for stage in engine.missing(plan) if not isinstance(stage.task, _BUILT)}
    Estimates(store.root).keep({stage.address.fingerprint: estimate for stage, estimate in found.items()})
    return found


@dataclass
class _Trial:
    """Tries trainings, each kind once."""

    store: Store
    engine: Engine
    known: dict[str, Estimate] = field(default_factory=dict)

    def of(self, stage: Stage) -> Estimate:
        task = stage.task
        if isinstance(task, TrainGenerator):
            train = self._real(stage)
            key = f"{task.generator!r} {len(train)}"
            return self._once(key, stage, lambda space: task.generator.fit(train, space))
        if isinstance(task, TrainSegmenter):
            samples = self._samples(stage, task.real)
            validation = read_image_set(self.engine.artifact(stage.inputs[0]) / "validation")
            key = f"{task.segmenter!r} {task.augment!r} {len(samples)}"
            augment = compose(task.augment)
            return self._once(key, stage, lambda space: task.segmenter.fit(samples, validation, augment, space))
        estimate = self._earlier(stage)
        if isinstance(task, Synthesise):
            masks = read_array(self.engine.artifact(stage.inputs[2]) / "masks.npy")
            return Estimate(estimate.seconds, estimate.memory, 4 * masks.size, estimate.basis)
        return estimate

    def _once(self, key: str, stage: Stage, fit: Fit) -> Estimate:
        if key not in self.known:
            self.known[key] = self._measured(stage, fit)
        return self.known[key]

    def _measured(self, stage: Stage, fit: Fit) -> Estimate:
        folder = self.store.root / ".work" / f"estimate-{stage.address.name}"
        remove_folder(folder)
        folder.mkdir(parents=True)
        watch = _Watch()
        try:
            _try(fit, Workspace(folder, 0, self.engine.device, watch), watch, SECONDS)
            disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        except AugkitError:
            raise
        except Exception as error:  # a plugin may raise anything
            what = f"{type(error).__name__}: {error}".split("\n")[0]
            raise StageError(Problem(stage.title, what, "A run would fail in the same way")) from error
        finally:
            remove_folder(folder)
        seconds = watch.estimate()
        return Estimate(seconds, peak_memory(self.engine.device), disk, "unknown" if seconds is None else "measured")

    def _earlier(self, stage: Stage) -> Estimate:
        """Return the middle of what stages of the same kind and label took here; reports count whatever their arms."""
        kind, label = stage.address.kind, stage.address.label
        pattern = "*" if kind == "report" else f"{label}-*"
        manifests = [read_json(file) for file in self.store.root.glob(f"{kind}/{pattern}/artifact.json")]
        same = [one for one in manifests if kind == "report" or one["label"] == label]
        if not same:
            return UNKNOWN
        disk = median(sum(file["bytes"] for file in one["files"].values()) for one in same)
        return Estimate(median(one["seconds"] for one in same), None, int(disk), "earlier runs")

    def _real(self, stage: Stage) -> ImageSet:
        return read_image_set(self.engine.artifact(stage.inputs[0]) / "train")

    def _samples(self, stage: Stage, real: bool) -> ImageSet:
        """Return as many samples as the training will have; real images stand in for synthetic ones."""
        train = self._real(stage)
        masks = [self.engine.artifact(synthesis.inputs[2]) / "masks.npy" for synthesis in stage.inputs[1:]]
        count = sum(len(read_array(file)) for file in masks)
        index = np.arange(count) % len(train)
        extra = ImageSet(
            tuple(f"stand-in-{i}" for i in range(count)),
            train.images[index],
            train.masks[index],
            tuple(train.groups[i] for i in index),
            ("stand-in",) * count,
        )
        return ImageSet.concatenate([part for part in (train if real else None, extra) if part])


class _Watch:
    """A log that notes when which step was reached."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.ended: float | None = None
        self.total: int | None = None
        self.reports: list[tuple[int, float]] = []

    def progress(self, step: int, total: int, values: Mapping[str, float]) -> None:
        """Note the step and the time."""
        self.total = total
        self.reports.append((step, time.monotonic()))

    def note(self, text: str) -> None:
        """Say nothing: what a training tells is for its real run."""

    def stopped_at(self, step: int, total: int) -> None:
        """Note where an interrupted training stopped, unless it reported steps itself."""
        if not self.reports and step > 0:
            self.progress(step, total, {})

    def estimate(self) -> float | None:
        """Return the seconds of the whole training, or None where it told nothing of its steps."""
        if self.ended is not None:
            return self.ended - self.began
        if self.total is None:
            return None
        (first, first_at), (last, last_at) = self.reports[0], self.reports[-1]
        if last > first:  # the first report has the warm-up in it
            per_step = (last_at - first_at) / (last - first)
            return first_at - self.began + per_step * (self.total - first)
        return (first_at - self.began) / first * self.total if first else None


def _try(fit: Fit, space: Workspace, watch: _Watch, seconds: float) -> None:
    """Fit until done or for some seconds; an interruption that a person asks for is passed on."""
    ended, ours = threading.Event(), threading.Event()

    def interrupt() -> None:
        begin = time.monotonic()
        while not ended.wait(0.05):
            tried = time.monotonic() - begin
            if tried > seconds * MOST_SECONDS or (tried > seconds and len(watch.reports) > 1):
                ours.set()
                _thread.interrupt_main()
                return

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    try:
        fit(space)
        ended.set()
        thread.join()  # an interruption that is already on its way must arrive here
        watch.ended = time.monotonic()
    except KeyboardInterrupt:
        if not ours.is_set():
            raise
    except InterruptedRunError as stop:
        if not ours.is_set():
            raise
        if steps := _STEPS.search(str(stop)):
            watch.stopped_at(int(steps[1]), int(steps[2]))
    finally:
        ended.set()

"""What a run will take, from a few steps of each training on this machine.

Every stage that is missing is tried in a folder of its own, by the function that a run builds it with. A training does
steps for some seconds and then its last one, and the stages after it are tried on what it learnt by then: painting,
scoring and reporting cost the same. Data sets and masks are built for good, for the run.
"""

from __future__ import annotations

import _thread
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from augkit.contracts.manners import contained
from augkit.data.arrays import ImageSet
from augkit.data.stored import read_drawn_masks, read_image_set, write_image_set
from augkit.errors import AugkitError, InterruptedRunError, Problem, StageError, said_by
from augkit.planning.plan import Plan
from augkit.planning.tasks import (
    DrawMasks,
    Gather,
    HoldOutDevelopment,
    LoadDataset,
    PoolExternal,
    Stage,
    Synthesise,
    TakeFold,
    TakeShare,
    in_order,
    longest_chain_first,
)
from augkit.running.costs import UNKNOWN, Estimate, Estimates, peak_memory
from augkit.running.engine import Engine, environment
from augkit.running.job import Job
from augkit.running.machine.allocator import keep_freed_memory
from augkit.running.machine.waiting import briefly_beside_others
from augkit.running.stages import run_stage
from augkit.starting import Terminated, end_by_exception
from augkit.store import Store, remove_folder

SECONDS = 10.0
"""How long a stage is tried, if it tells of its steps by then."""

MOST_SECONDS = 6
"""How many times as long a stage is tried that does not."""

_BUILT = (LoadDataset, HoldOutDevelopment, TakeFold, TakeShare, PoolExternal, DrawMasks)


def estimate_plan(plan: Plan, store: Store, engine: Engine) -> Mapping[Stage, Estimate]:
    """Return what each stage that has to be built will take, and keep it beside the artifacts for the report.

    Builds the data sets and masks of the plan. Stages that differ in nothing but seeds and folds are tried once. Call
    it from the main thread, where a signal can reach the training.
    """
    return estimate_stages((plan.report,), store, engine)


def estimate_stages(
    wanted: Sequence[Stage], store: Store, engine: Engine, seconds: float = SECONDS
) -> Mapping[Stage, Estimate]:
    """Return what these stages and all that they need and lack will take, as `estimate_plan` does for a report.

    wanted:  the first one must be no data set and no masks, which are built for good.
    seconds: how long each is tried, if it tells of its steps by then.
    """
    first = wanted[0].address
    scratch = store.make_private("work") / f"estimate-{first.name}"
    with store.lock(first, engine.log(wanted[0]).note):  # or a collection would remove what is being tried
        remove_folder(scratch)
        trial = _Trial(store, engine, scratch, seconds)
        missing = [stage for stage in in_order(wanted, engine.has) if not isinstance(stage.makes, _BUILT)]
        try:
            found = {stage: trial.of(stage) for stage in missing}
        finally:
            remove_folder(scratch)
    Estimates(store.root).keep({stage.address.fingerprint: estimate for stage, estimate in found.items()})
    return found


def total_seconds(found: Mapping[Stage, Estimate], jobs: int) -> float:
    """Return what the stages take together, so many at a time and each after those that it needs; unknown times are 0.

    Stages that share a machine may slow each other down, which nothing here measures.
    """
    ends: dict[Stage, float] = {}
    free = [0.0] * jobs
    waiting, left = longest_chain_first(list(found)), set(found)

    def begin(stage: Stage) -> float:
        return max(free[0], *(ends.get(before, 0.0) for before in stage.inputs.values()), 0.0)

    while waiting:
        free.sort()
        stage = min((one for one in waiting if left.isdisjoint(one.inputs.values())), key=begin)
        waiting.remove(stage)
        left.remove(stage)
        ends[stage] = free[0] = begin(stage) + (found[stage].seconds or 0.0)
    return max(ends.values(), default=0.0)


def earlier(stage: Stage, manifests: Sequence[Mapping[str, Any]]) -> Estimate:
    """Return the middle of what stages of the same kind and label took; reports count whatever their arms.

    manifests: of the artifacts to learn from.
    """
    kind, label = stage.address.kind, stage.address.label
    same = [one for one in manifests if one["kind"] == kind and (kind == "report" or one["label"] == label)]
    if not same:
        return UNKNOWN
    disk = median(sum(file["bytes"] for file in one["files"].values()) for one in same)
    return Estimate(median(one["seconds"] for one in same), None, int(disk), "earlier runs")


def seconds_after_earlier(plan: Plan, store: Store, engine: Engine, jobs: int) -> float | None:
    """Return what is missing of a plan will take by what such stages took in this store; None where one has not been.

    Builds nothing.
    """
    manifests = [facts for _, facts in store.published()]
    found = {stage: earlier(stage, manifests) for stage in engine.missing(plan)}
    return None if UNKNOWN in found.values() else total_seconds(found, jobs)


def is_busy() -> bool:
    """Tell whether more work waited for the processor in the last minute than it can do at once."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > 1.25 * (os.cpu_count() or 1)


@dataclass
class _Trial:
    """Tries stages, each kind once: `estimates` and `folders` are by `_kind`.

    folders: what stages made that came to their end; a synthesis that did not has real images in place of its own.
    """

    store: Store
    engine: Engine
    scratch: Path
    seconds: float
    estimates: dict[str, Estimate] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)

    def of(self, stage: Stage) -> Estimate:
        """Return what a stage takes, all stages before it having been tried."""
        kind = _kind(stage)
        if kind not in self.estimates:
            folder = self.scratch / str(len(self.estimates))
            folder.mkdir(parents=True)
            if isinstance(stage.task, Gather):  # a list, which takes nothing
                self.estimates[kind] = Estimate(0.0, None, 0, "measured")
            else:
                self.estimates[kind] = self._tried(stage, folder) or earlier(
                    stage, [facts for _, facts in self.store.published()]
                )
            if kind not in self.folders and isinstance(stage.makes, Synthesise):
                write_image_set(folder, self._stand_in(stage))
                self.folders[kind] = folder
        return self.estimates[kind]

    def _tried(self, stage: Stage, folder: Path) -> Estimate | None:
        """Return what a few steps tell; None where a stage before it has left nothing, or it told nothing itself."""
        inputs = {name: self._folder(one) for name, one in stage.inputs.items()}
        known = {name: path for name, path in inputs.items() if path is not None}
        if len(known) < len(inputs):
            return None
        manifests = {name: self._manifest(one) for name, one in stage.inputs.items()}
        watch = _Watch()
        job = Job(stage, folder, self.engine.device, watch, known, manifests)
        keep_freed_memory()
        try:
            with contained(), briefly_beside_others():
                _try(lambda: run_stage(job), watch, self.seconds)
        except AugkitError:
            raise
        except (Exception, SystemExit) as error:  # a plugin may raise anything
            what = f"{type(error).__name__}: {said_by(error)}"
            raise StageError(Problem(stage.title, what, "A run would fail in the same way")) from error
        if watch.ended is not None:
            self.folders[_kind(stage)] = folder
        seconds = watch.estimate()
        disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return None if seconds is None else Estimate(seconds, peak_memory(self.engine.device), disk, "measured")

    def _folder(self, stage: Stage) -> Path | None:
        if isinstance(stage.makes, _BUILT) or self.engine.has(stage):
            return self.engine.artifact(stage)
        return self.folders.get(_kind(stage))

    def _manifest(self, stage: Stage) -> Mapping[str, Any]:
        if self.engine.has(stage):
            return self.store.manifest(stage.address)
        return {"seconds": 0.0, "files": {}, "environment": environment(self.engine.device)}

    def _stand_in(self, stage: Stage) -> ImageSet:
        """Return as many real samples as a synthesis would paint; of a set in shards, as many as the first has."""
        train = read_image_set(self.engine.artifact(stage.inputs["dataset"]) / "train")
        task = stage.shards[0].task if stage.shards else stage.task
        assert isinstance(task, Synthesise)
        if task.cut is None:
            count = len(read_drawn_masks(self.engine.artifact(stage.inputs["masks"])).masks)
        else:
            count = task.cut.stop - task.cut.start
        index = np.arange(count) % len(train)
        return ImageSet(
            tuple(f"stand-in-{i}" for i in range(count)),
            train.images[index],
            train.masks[index],
            tuple(train.groups[i] for i in index),
            ("stand-in",) * count,
            train.format,
            None if train.spacing is None else train.spacing[index],
        )


_OF_ONE = ("seed", "fold", "inputs", "start", "stop")


def _kind(stage: Stage) -> str:
    """Return what a stage and all before it are but for their seeds and folds, and of a set in shards which one."""
    own = {key: value for key, value in stage.identity.items() if key not in _OF_ONE}
    alike = set(stage.shards[1:])
    return json.dumps([own, [_kind(one) for one in stage.inputs.values() if one not in alike]])


class _Watch:
    """A log that notes when which step was reached, and what a rehearsal left out."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.ended: float | None = None
        self.left_out = 0.0
        self.total: int | None = None
        self.reports: list[tuple[int, float]] = []

    def progress(self, step: int, total: int, values: Mapping[str, float]) -> None:
        """Note the step and the time."""
        self.total = total
        self.reports.append((step, time.monotonic()))

    def note(self, text: str) -> None:
        """Say nothing: what a training tells is for its real run."""

    def estimate(self) -> float | None:
        """Return the seconds of the whole stage, or None where it was stopped and told nothing of its steps."""
        if self.ended is not None:
            return self.ended - self.began + self.left_out
        if self.total is None:
            return None
        (first, first_at), (last, last_at) = self.reports[0], self.reports[-1]
        if last > first:  # the first report has the warm-up in it
            per_step = (last_at - first_at) / (last - first)
            return first_at - self.began + per_step * (self.total - first)
        return (first_at - self.began) / first * self.total if first else None


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let a trial be interrupted where this process ignores Ctrl-C, as in the background of a script."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN or not _in_main_thread():
        yield
        return
    signal.signal(signal.SIGINT, end_by_exception)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _try(build: Callable[[], None], watch: _Watch, seconds: float) -> None:
    """Build until it is done, or for some seconds where no rehearsal cuts a training of it short.

    An interruption that a person asks for is passed on. In another thread than the main one, which alone can be
    interrupted, the building goes on to its end.
    """
    from augkit.training.rehearsal import Rehearsal, rehearsing

    ended, ours = threading.Event(), threading.Event()

    def interrupt(rehearsal: Rehearsal) -> None:
        begin = time.monotonic()
        while not ended.wait(0.05):
            tried = time.monotonic() - begin
            late = tried > seconds * MOST_SECONDS or (tried > seconds and len(watch.reports) > 1)
            if late and not rehearsal.has_begun:
                ours.set()
                _thread.interrupt_main()
                return

    with _interruptible(), rehearsing(seconds) as rehearsal:
        thread = threading.Thread(target=interrupt, args=(rehearsal,), daemon=True)
        if _in_main_thread():
            thread.start()
        try:
            build()
            ended.set()
            if thread.ident is not None:
                thread.join()  # an interruption that is already on its way must arrive here
            watch.ended = time.monotonic()
            watch.left_out = rehearsal.left_out
        except (KeyboardInterrupt, InterruptedRunError) as end:
            if not ours.is_set() or isinstance(end, Terminated):
                raise
        finally:
            ended.set()

"""Run a plan: build the stages that do not exist yet, reuse those that do, and tell what happens."""

from __future__ import annotations

import os
import platform
import signal
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

from augkit.contracts import events
from augkit.contracts.components import Log
from augkit.contracts.executor import Executor
from augkit.contracts.manners import contained
from augkit.data.stored import read_places
from augkit.errors import AugkitError, ContractError, DamagedArtifactError, Problem, StageError, said_by
from augkit.planning.plan import Plan
from augkit.planning.shards import refuse_without_room
from augkit.planning.tasks import Gather, LoadDataset, Stage, WriteReport, in_order
from augkit.running.cache import forget_run, record_run
from augkit.running.costs import Estimates, peak_memory, short_of_memory
from augkit.running.elsewhere.workers import Workers
from augkit.running.job import RESUMABLE, Job
from augkit.running.machine.allocator import keep_freed_memory
from augkit.running.machine.processor import Usage, crowded, usage
from augkit.running.machine.waiting import briefly_beside_others
from augkit.running.scheduler import Tell, build_side_by_side
from augkit.running.vigil import Vigil
from augkit.store import Address, Digests, Store, write_text

_WITHOUT_DEVICE = (LoadDataset, Gather, WriteReport)


class Engine:
    """Builds artifacts in one store with one kind of device, and tells what happens.

    workers: build the stages of a run; without them, it builds one stage after another in this process.
    digests: what is known of the users' files already.
    """

    def __init__(
        self,
        store: Store,
        device: str,
        tell: Tell = lambda event: None,
        workers: Workers | None = None,
        digests: Digests | None = None,
    ) -> None:
        self._store = store
        self._wanted_device = device
        self._tell = tell
        self._workers = workers
        self._digests = digests or Digests(store.root)
        self._sound: dict[Stage, Path] = {}
        self._expected: set[Address] = set()
        self._estimates = Estimates(store.root)

    def run(self, plan: Plan) -> Path:
        """Build everything the plan's report needs and return the report's folder."""
        return self.build((plan.report,))[0]

    def build(self, stages: Sequence[Stage]) -> tuple[Path, ...]:
        """Build these stages and everything they need, and return the stages' folders."""
        began = time.monotonic()
        missing = in_order(stages, self.has)
        refuse_without_room(missing, self._store.root)
        needs_device = any(not isinstance(stage.task, _WITHOUT_DEVICE) for stage in missing)
        before = usage()
        if needs_device:
            _ = self.device  # a device that is not there must be refused before anything is written
        with ExitStack() as started:
            # Nor must anything be written where the machines that are to build it cannot be had.
            executor = self._start(stages) if needs_device else None
            if executor is not None:
                started.callback(executor.close)
            return self._build_all(stages, missing, executor, before, began)

    def _start(self, stages: Sequence[Stage]) -> Executor | None:
        return None if self._workers is None else self._workers.start(self.device, stages[0].address.name)

    def _build_all(
        self,
        stages: Sequence[Stage],
        missing: Sequence[Stage],
        executor: Executor | None,
        before: Usage | None,
        began: float,
    ) -> tuple[Path, ...]:
        needs_device = any(not isinstance(stage.task, _WITHOUT_DEVICE) for stage in missing)
        if missing:
            record_run(self._store, stages)
        reused = len(in_order(stages)) - len(missing)
        self._tell(events.RunStarted(tuple(stage.title for stage in missing), reused, self._store.root))
        if needs_device and self.device == "cpu" and self._uses_every_core() and (warning := crowded(before)):
            self._tell(events.StageNoted("processor", warning))
        completed = False
        try:
            if executor is not None and (workers := self._workers) is not None:
                resources = workers.resources(self._estimates, self.device)
                build_side_by_side(missing, executor, self._tell, resources, workers.detach)
                self.expect(stage for stage in missing if stage.document is not None)
            folders = tuple(self.artifact(stage) for stage in stages)
            completed = True
            if missing:
                forget_run(self._store, stages)
            return folders
        finally:
            self._tell(events.RunFinished(time.monotonic() - began, completed))

    def _uses_every_core(self) -> bool:
        """Tell whether nobody chose the number of threads."""
        return self._workers is None and "OMP_NUM_THREADS" not in os.environ

    def missing(self, plan: Plan) -> tuple[Stage, ...]:
        """Return the stages that have to be built, in order: what the report needs and the store lacks."""
        return in_order((plan.report,), self.has)

    def has(self, stage: Stage) -> bool:
        """Tell whether the stage's artifact exists."""
        return self._store.has(stage.address)

    def log(self, stage: Stage) -> Log:
        """Return a log that speaks in the stage's name."""
        return _StageLog(stage.title, self._tell)

    @cached_property
    def device(self) -> str:
        """The torch device that was asked for; finding it out imports torch, but for the one that is always there."""
        if self._wanted_device == "cpu":
            return "cpu"
        from augkit.training.precision import choose_device

        return (choose_device if self._workers is None else self._workers.device)(self._wanted_device)

    def artifact(self, stage: Stage) -> Path:
        """Return the folder of the stage's verified artifact, building it and whatever it needs."""
        if stage not in self._sound:
            expected = stage.address in self._expected
            self._ensure(stage)
            try:
                self._sound[stage] = self._open(stage, expected)
            except DamagedArtifactError as damage:
                self._tell(events.StageNoted(stage.title, f"stored artifact was damaged: {damage}"))
                self._mend(stage)
                self._sound[stage] = self._open(stage)
        return self._sound[stage]

    def expect(self, stages: Iterable[Stage]) -> None:
        """Take it from other processes that these are in the store: what is not seen there yet is waited for."""
        self._expected.update(stage.address for stage in stages)

    def _open(self, stage: Stage, expected: bool = False) -> Path:
        """Return the folder of an artifact, verified with all that it lists, which was in the store before it."""
        folder, sound = self._store.open(stage.address), {one.address for one in self._sound}
        places = [place for place in read_places(folder) if place not in sound]
        if expected:
            self._expected.update(places)
        for place in places:
            self._is_there(place, self.log(stage))
            self._store.open(place)
        return folder

    def _mend(self, stage: Stage) -> None:
        """Build an artifact again that was damaged, or whose shards were: these first, and then the list of them."""
        if self._store.has(stage.address):
            for upstream in stage.inputs.values():
                self.artifact(upstream)
            with suppress(DamagedArtifactError):  # shards that were cut in another way are not those of the plan
                self._open(stage)
                return
            with self._store.lock(stage.address, self.log(stage).note):
                self._store.discard(self._store.path(stage.address))
        self._ensure(stage)

    @contextmanager
    def asking(self, stage: Stage) -> Iterator[None]:
        """Let plugins of a stage do something; whatever they raise becomes a sentence that names who made them."""
        try:
            with _no_signal_lost(), contained():
                yield
        except AugkitError as error:
            if not _is_told(error):
                raise self._explained(error, stage) from error
            self._place(error, stage)
            raise
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # a plugin may raise anything, SystemExit included
            raise self._explained(error, stage) from error

    def _ensure(self, stage: Stage) -> None:
        log = self.log(stage)
        if self._is_there(stage.address, log):
            return
        inputs = {name: self.artifact(upstream) for name, upstream in stage.inputs.items()}
        with self._store.lock(stage.address, log.note):
            if not self._store.has(stage.address):
                self._build(stage, inputs, log)

    def _is_there(self, address: Address, log: Log) -> bool:
        """Tell whether an artifact is in the store; wait, once, for what another process said it had built."""
        if address not in self._expected:
            return self._store.has(address)
        self._expected.remove(address)
        if self._store.appears(address):
            return True
        log.note(f"{self._store.path(address)} was built elsewhere, but is not seen here; it is built again")
        return False

    def _build(self, stage: Stage, inputs: Mapping[str, Path], log: Log) -> None:
        from augkit.running.stages import run_stage  # here, because it needs what looking at a plan does not

        # A place to work in; what an interrupted run left there is continued by tasks that can.
        self._tell(events.StageStarted(stage.title))
        began = time.monotonic()
        work = self._store.workplace(stage.address, fresh=not isinstance(stage.task, RESUMABLE))
        device = "cpu" if isinstance(stage.task, _WITHOUT_DEVICE) else self.device
        manifests = {name: self._store.manifest(upstream.address) for name, upstream in stage.inputs.items()}

        # The work, which plugins do.
        keep_freed_memory()
        vigil = _vigil(stage, log)
        with self.asking(stage), vigil.watching(), briefly_beside_others(), _computing(stage):
            run_stage(Job(stage, work, device, _WatchedLog(log, vigil), inputs, manifests))
            self._refuse_changed_files(stage)

        # The result, with what it cost and what decided its bits, published by one rename.
        seconds = time.monotonic() - began
        estimate = self._estimates.of(stage.address.fingerprint)
        facts = {
            "identity": stage.identity,
            "seconds": seconds + sum(manifests[name]["seconds"] for name in _shards_of(stage)),
            "peak_memory": peak_memory(device),
            "estimate": estimate and asdict(estimate),
            "environment": environment(device),
        }
        folder = self._store.publish(stage.address, work, facts)
        self._tell(events.StageFinished(stage.title, seconds, folder))

    def _refuse_changed_files(self, stage: Stage) -> None:
        """Refuse what was made from files that are not those the plan was made for."""
        for planned in stage.components:
            instance = planned.component.instance
            if hasattr(instance, "sources") and self._digests.of(tuple(instance.sources())) != planned.files:
                what = "files that it reads were changed since the run began; nothing of it is kept"
                raise StageError(Problem(type(instance).__name__, what, "Run it again, with the files left alone"))

    def _place(self, error: AugkitError, stage: Stage) -> None:
        """Name the stage in the error; in place, because a plugin's own kind of error may be made otherwise."""
        error.problems = tuple(replace(problem, where=f"{stage.title}: {problem.where}") for problem in error.problems)
        if isinstance(error, ContractError):
            parts = stage.components
            maker = next((part.provider for part in parts if part.name == error.component), parts[0].provider)
            error.problems = tuple(replace(problem, hint=f"Provided by {maker}") for problem in error.problems)
        error.args = ("\n".join(str(problem) for problem in error.problems),)

    def _explained(self, error: BaseException, stage: Stage) -> StageError:
        """Return the failure of a plugin in one sentence, with the traceback in a file for its author."""
        file = self._store.make_private("errors") / f"{stage.address.name}.txt"
        with suppress(AugkitError):
            write_text(file, "".join(traceback.format_exception(error)))
        providers = {component.provider for component in stage.components}
        who = f" in {', '.join(sorted(providers))}" if providers else ""
        said = said_by(error)
        less = "Lower batch_size or width, or run fewer jobs side by side. "
        if type(error).__name__ == "OutOfMemoryError":  # torch's, of which a plan knows nothing
            what, advice = f"the memory of the GPU is used up{who}: {said.partition('. If')[0]}", less
        elif isinstance(error, MemoryError) or _NO_MEMORY in said:
            asked = said.partition(f"{_NO_MEMORY}: ")[2].partition(". Error")[0] or said
            what, advice = f"the memory is used up{who}{': ' if asked else ''}{asked}", less
        else:
            what, short = f"{type(error).__name__}{who}: {said}", short_of_memory()
            advice = f"{short}. {less}" if short else ""
        return StageError(Problem(stage.title, what, f"{advice}The traceback is in {file}"))


_NO_MEMORY = "DefaultCPUAllocator: can't allocate memory"
"""What torch says in a plain RuntimeError."""


def _shards_of(stage: Stage) -> list[str]:
    """Return the names of the inputs that are shards of what a stage stands for: what they took is what it took."""
    shards = set(stage.shards)
    return [name for name, upstream in stage.inputs.items() if upstream in shards]


def _computing(stage: Stage) -> AbstractContextManager[None]:
    """Return the context of a stage's numbers: predictions and synthesis are to be reproducible as training is."""
    if isinstance(stage.task, _WITHOUT_DEVICE):
        return nullcontext()
    from augkit.training.precision import reproducible

    return reproducible()


def _is_told(error: AugkitError) -> bool:
    """Tell whether an error says what is wrong as ours do; a plugin's own kind may have forgotten to."""
    problems = getattr(error, "problems", ())
    return isinstance(problems, tuple) and bool(problems) and all(isinstance(one, Problem) for one in problems)


@contextmanager
def _no_signal_lost() -> Iterator[None]:
    """Raise what the handler of a signal raised, also where the code that it came in made something else of it.

    Compiled code may: Ctrl-C while matplotlib reads a matrix becomes a ValueError.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    raised: list[BaseException] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: FrameType | None) -> None:
        handler = before[signal.Signals(number)]
        assert callable(handler)
        try:
            handler(number, frame)
        except BaseException as error:
            raised.append(error)
            raise

    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, handle)
    try:
        yield
    except BaseException as error:
        if raised and error is not raised[-1]:
            raise raised[-1] from error
        raise
    finally:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)
    if raised:
        raise raised[-1]


def environment(device: str) -> dict[str, Any]:
    """Return what decides bits besides the recipe: versions, device, threads, precision."""
    facts: dict[str, Any] = {
        "augkit": version("augkit"),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "numpy": version("numpy"),
        "scipy": version("scipy"),
        "pillow": version("pillow"),
        "scikit-image": version("scikit-image"),
        "torch": version("torch"),
        "device": device,
    }
    import sys

    if "torch" in sys.modules:
        import torch

        from augkit.training.precision import computes_in_bfloat16

        facts["threads"] = torch.get_num_threads()
        facts["precision"] = "bfloat16" if computes_in_bfloat16(device) else "float32"
        facts["instructions"] = torch.backends.cpu.get_cpu_capability()
        if device.startswith("cuda"):
            facts["gpu"] = torch.cuda.get_device_name(device)
    return facts


def _vigil(stage: Stage, log: Log) -> Vigil:
    packages = {type(part.component.instance).__module__.partition(".")[0] for part in stage.components}
    return Vigil([part.provider for part in stage.components], packages, log.note)


@dataclass(frozen=True)
class _WatchedLog:
    """A log of which every word is a sign of life."""

    log: Log
    vigil: Vigil

    def progress(self, step: int, total: int, values: Mapping[str, float]) -> None:
        self.vigil.hear()
        self.log.progress(step, total, values)

    def note(self, text: str) -> None:
        self.vigil.hear()
        self.log.note(text)


@dataclass(frozen=True)
class _StageLog:
    """The log of one stage: turns a component's words into events."""

    stage: str
    tell: Tell

    def progress(self, step: int, total: int, values: Mapping[str, float]) -> None:
        plain = {str(name): float(value) for name, value in values.items()}
        self.tell(events.StageAdvanced(self.stage, int(step), int(total), plain))

    def note(self, text: str) -> None:
        self.tell(events.StageNoted(self.stage, str(text)))

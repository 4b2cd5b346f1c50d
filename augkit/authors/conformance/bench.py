"""Calling a component as a run would, and noticing what it does besides answering."""

from __future__ import annotations

import io
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, Self, TypeVar

from augkit.authors.conformance.toy import formats_taken
from augkit.authors.conformance.writes import writes_outside
from augkit.contracts.components import ChecksFrame, Frame, Log, SilentLog, Workspace
from augkit.contracts.manners import Settings
from augkit.contracts.rules import (
    BreachError,
    as_array,
    check_random_states,
    check_untouched,
    torch_threads,
)
from augkit.data.formats import Format
from augkit.errors import said_by
from augkit.planning.options import canonical, describe_options, option_model

T = TypeVar("T")


class UnansweredError(Exception):
    """There is nothing to check; the text says which check tells why."""


class _LateError(BaseException):
    """A call took too long; not an `Exception`, so that a component does not swallow it."""


class InterruptingLog(SilentLog):
    """A log that presses Ctrl-C at the first report of progress before the end."""

    interrupted = False

    def progress(self, step: int, total: int, values: Mapping[str, float]) -> None:
        """Take a report of progress."""
        if not self.interrupted and step < total:
            self.interrupted = True
            signal.raise_signal(signal.SIGINT)


class Bench:
    """One component on toy data: its calls, each made once, and what it did wrong while it was called.

    format: of the toy data; if not given, the first that the component takes, which is 8-bit RGB with one class for
            one that does not say.
    """

    noun: ClassVar[str]

    def __init__(self, component: Any, folder: Path, seconds: float = 240.0, format: Format | None = None) -> None:
        self.component = component
        self.format = format or self.formats(component)[0]
        self.folder = folder
        self.seconds = seconds
        self.conduct: dict[str, BreachError] = {}
        self._answers: dict[str, Any] = {}

    @staticmethod
    def formats(component: Any) -> Sequence[Format]:
        """Return the formats to try a component with."""
        return formats_taken(component)

    @cached_property
    def others(self) -> Sequence[Self]:
        """The component on toy data of the other formats that it takes."""
        more = self.formats(self.component)[1:]
        folders = [self.folder / f"format {number}" for number in range(1, len(more) + 1)]
        return [
            type(self)(self.component, folder, self.seconds, format)
            for folder, format in zip(folders, more, strict=True)
        ]

    def exercise(self) -> None:
        """Call everything that the component offers, in the order of a run; raises `UnansweredError` at a failure."""
        raise NotImplementedError

    def once(self, name: str, function: Callable[[], T], writes: Path | None = None, **inputs: Any) -> T:
        """Return the answer of a call, made at the first request; raises `UnansweredError` where there is none.

        writes: the folder that the call may write to; inputs: arrays and tensors that it must leave as they are.
        """
        if name not in self._answers:
            self._answers[name] = self._call(name, function, writes, inputs)
        answer = self._answers[name]
        if isinstance(answer, UnansweredError):
            raise answer
        result: T = answer
        return result

    def space(self, name: str, log: Log | None = None) -> Workspace:
        """Return a workspace whose folder is called `name`, made if need be."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return Workspace(folder, 7, "cpu", log or SilentLog())

    def blame(self, check: str, breach: BreachError) -> None:
        """Remember the first breach that a check of conduct will tell."""
        self.conduct.setdefault(check, breach)

    def _call(self, name: str, function: Callable[[], T], writes: Path | None, inputs: Mapping[str, Any]) -> Any:
        before = {key: as_array(value).copy() for key, value in inputs.items()}
        settings, threads, voice = Settings.now(), torch_threads(), io.StringIO()
        result: Any
        try:
            with writes_outside(writes) as strays, _hearing(voice), time_limit(self.seconds):
                result = function()
        except _LateError:
            self.blame("answers_in_time", BreachError(f"hung: {name} took over {self.seconds:g} s", "return sooner"))
            result = UnansweredError(f"{name} hung; see answers_in_time")
        except SystemExit:
            wanted = "raise an exception that says what is wrong; the process belongs to the user"
            self.blame("never_exits", BreachError(f"called sys.exit in {name}", wanted))
            result = UnansweredError(f"{name} exited; see never_exits")
        except UnansweredError as error:
            result = error
        except BreachError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {said_by(error)}"
            self.blame("raises_nothing", BreachError(f"raised in {name}: {said}", "return an answer"))
            result = UnansweredError(f"{name} raised; see raises_nothing")
        self._judge(name, before, inputs, settings, threads, voice.getvalue())
        if strays:
            allowed = f"write in {'the folder of the workspace' if writes else 'no file'} only"
            self.blame("writes_only_in_its_folder", BreachError(f"wrote {strays[0]} in {name}", allowed))
        return result

    def _judge(
        self,
        name: str,
        before: Mapping[str, Any],
        inputs: Mapping[str, Any],
        settings: Settings,
        threads: tuple[int, int],
        said: str,
    ) -> None:
        rules: Mapping[str, Callable[[], None]] = {
            "leaves_inputs_alone": lambda: check_untouched(before, inputs),
            "leaves_global_randomness_alone": lambda: check_random_states(settings),
            "leaves_threads_alone": lambda: _check_threads(threads),
        }
        for check, rule in rules.items():
            try:
                rule()
            except BreachError as breach:
                self.blame(check, BreachError(f"{breach.found} in {name}", breach.wanted, breach.sample))
        if said:
            found = f"printed '{said.strip()[:40]}' in {name}"
            self.blame("prints_nothing", BreachError(found, "say it with space.log.note, or not at all"))


Check = Callable[[Any], None]
"""A function of a bench; its name and first docstring line say what it demands."""


def _check_threads(before: tuple[int, int]) -> None:
    """Refuse another number of torch threads, and set it back; refuse threads that are still running."""
    now = torch_threads()
    if before[0] and now[0] != before[0]:
        import torch

        torch.set_num_threads(before[0])
        found = f"changed the number of torch threads from {before[0]} to {now[0]}"
        raise BreachError(found, "leave torch.set_num_threads to the user")
    if now[1] > before[1]:
        wanted = "end your threads before you return, or keep them in a ThreadPoolExecutor"
        raise BreachError(f"left {now[1] - before[1]} threads running", wanted)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End the block after `seconds`; only in the main thread of a system with alarm signals, elsewhere it runs on."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise _LateError

    handler = signal.signal(signal.SIGALRM, ring)
    began = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, handler)  # a test runner's own limit goes on
        signal.setitimer(signal.ITIMER_REAL, max(0.001, left - (time.monotonic() - began)) if left else 0, interval)


@contextmanager
def _hearing(voice: io.StringIO) -> Iterator[None]:
    """Collect what is printed; warnings are the libraries' and are not."""
    with redirect_stdout(voice), redirect_stderr(voice), warnings.catch_warnings(record=True):
        yield


# Checks of conduct, for every kind


def options_are_readable(bench: Bench) -> None:
    """The options have types that recipes can be checked by, and come back from a recipe as they were."""
    cls = type(bench.component)
    try:
        describe_options(cls)
        model, written = option_model(cls), canonical(bench.component)
    except Exception as error:
        said = f"{type(error).__name__}: {said_by(error)}"
        raise BreachError(
            f"has options that cannot be read: {said}", "annotate every field with a plain type"
        ) from None
    if not (cls.__doc__ or "").strip() or (cls.__doc__ or "").startswith(f"{cls.__name__}("):
        raise BreachError("has no docstring", "say in its first line what it does; 'augkit plugin list' shows it")
    unknown = set(written) - {field.alias for field in model.model_fields.values()}
    if unknown:
        raise BreachError(f"has options that a recipe cannot set: {', '.join(sorted(unknown))}", "make them fields")


def raises_nothing(bench: Bench) -> None:
    """No call raises an exception."""
    _tell(bench, "raises_nothing")


def answers_in_time(bench: Bench) -> None:
    """No call hangs."""
    _tell(bench, "answers_in_time")


def never_exits(bench: Bench) -> None:
    """No call ends the process."""
    _tell(bench, "never_exits")


def prints_nothing(bench: Bench) -> None:
    """Nothing is printed: the terminal belongs to the progress display."""
    _tell(bench, "prints_nothing")


def leaves_inputs_alone(bench: Bench) -> None:
    """What a call is given is left as it was."""
    _tell(bench, "leaves_inputs_alone")


def leaves_global_randomness_alone(bench: Bench) -> None:
    """No global random generator is used or seeded."""
    _tell(bench, "leaves_global_randomness_alone")


def leaves_threads_alone(bench: Bench) -> None:
    """The number of torch's threads stays, and no thread is left running but those of a ThreadPoolExecutor."""
    _tell(bench, "leaves_threads_alone")


def writes_only_in_its_folder(bench: Bench) -> None:
    """Files are written in the folder of the workspace only."""
    _tell(bench, "writes_only_in_its_folder")


def sizes_are_refused_in_words(bench: Bench) -> None:
    """check_frame(frame), if there is one, takes 32 x 32, and says of any other size that it is taken or what is."""
    if not isinstance(bench.component, ChecksFrame):
        return
    for height, width in ((32, 32), (33, 31), (48, 48), (128, 96), (1, 1)):
        try:
            bench.component.check_frame(Frame(height, width))
        except ValueError as error:
            if (height, width) == (32, 32):
                raise UnansweredError(f"it takes no images of 32 x 32 pixels ({error})") from None
            if "allowed" not in str(error):
                found = f"refused {width} x {height} pixels with '{error}'"
                raise BreachError(found, "say what was found and what is allowed: 'found ...; allowed: ...'") from None
        except Exception as error:
            found = f"raised {type(error).__name__} in check_frame() for {width} x {height} pixels"
            raise BreachError(found, "raise ValueError for a size that it does not take, nothing else") from None


CONDUCT: Sequence[Check] = (
    options_are_readable,
    sizes_are_refused_in_words,
    raises_nothing,
    answers_in_time,
    never_exits,
    prints_nothing,
    leaves_inputs_alone,
    leaves_global_randomness_alone,
    leaves_threads_alone,
    writes_only_in_its_folder,
)
"""The checks that every kind has."""


def _tell(bench: Bench, check: str) -> None:
    with suppress(UnansweredError):  # what kept the component from answering is a breach of its own
        bench.exercise()
    if check in bench.conduct:
        raise bench.conduct[check]


def answers_to(rule: Callable[[], object], see: str) -> None:
    """Raise `UnansweredError` naming the check `see` where an answer does not keep to a rule of its own."""
    try:
        rule()
    except BreachError as breach:
        raise UnansweredError(f"the answer is not usable; see {see}") from breach

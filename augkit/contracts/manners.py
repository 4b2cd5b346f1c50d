"""Keeping a plugin's code from the process around it: what it prints goes to people, and settings stay as they were."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

_SIGNALLED = tuple(128 + number for number in (signal.SIGINT, signal.SIGTERM))
"""Codes with which augkit itself leaves at once, after a second signal."""


@contextmanager
def contained() -> Iterator[None]:
    """Let what is printed in this context go to the standard error, and put `Settings` back after it.

    The standard output is for results, which programs read. `os._exit` raises in here, because it would end a run
    without a word and with any code. All of this belongs to all threads of a process, so in another thread than the
    main one everything is left as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, leave, process = Settings.now(), os._exit, os.getpid()

    def stay(status: int) -> NoReturn:
        if os.getpid() != process or status in _SIGNALLED:  # a child that was forked may end as it likes
            leave(status)
        raise RuntimeError(f"it called os._exit({status}), which would end the whole run")

    os._exit = stay
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os._exit = leave
        before.restore()


@dataclass(frozen=True)
class Settings:
    """What belongs to a whole process and is no plugin's to change; None where it cannot be told, or is not there.

    folder:  the working folder.
    threads: with which torch computes.
    dtype:   torch's default.
    random:  the states of the global random generators, by the name of the module that has them.
    """

    folder: Path | None
    threads: int | None
    dtype: Any
    random: Mapping[str, Any]

    @staticmethod
    def now() -> Settings:
        """Return the settings of this process; torch is not imported for it."""
        folder = None
        with suppress(OSError):  # it was removed
            folder = Path.cwd()
        states: dict[str, Any] = {"numpy.random": np.random.get_state(legacy=True)}  # noqa: NPY002 - it only reads
        if stdlib := sys.modules.get("random"):
            states["random"] = stdlib.getstate()
        torch = sys.modules.get("torch")
        if torch is None or not hasattr(torch, "get_rng_state"):  # it is being imported
            return Settings(folder, None, None, states)
        states["torch"] = torch.get_rng_state()
        return Settings(folder, torch.get_num_threads(), torch.get_default_dtype(), states)

    def restore(self) -> None:
        """Put back what differs."""
        now = Settings.now()
        if self.folder is not None and now.folder != self.folder:
            with suppress(OSError):  # it was removed
                os.chdir(self.folder)
        torch: Any = sys.modules.get("torch")
        if self.threads is not None and now.threads != self.threads:
            torch.set_num_threads(self.threads)
        if now.dtype is not None and now.dtype != (wanted := self.dtype or torch.float32):
            torch.set_default_dtype(wanted)
        for name in self.used_generators(now):
            if name == "torch":
                torch.set_rng_state(self.random[name])
            elif name == "random":
                sys.modules[name].setstate(self.random[name])
            else:
                np.random.set_state(self.random[name])  # noqa: NPY002 - so that nothing has happened to it

    def used_generators(self, now: Settings) -> list[str]:
        """Return the global random generators that have moved since, or were seeded."""
        return [name for name, state in self.random.items() if _plain(now.random[name]) != _plain(state)]

    def changes(self, now: Settings) -> list[str]:
        """Return what was done to the process since, without a subject; of the random generators nothing."""
        told = []
        if self.threads is not None and now.threads != self.threads:
            told.append(f"changed the number of torch threads from {self.threads} to {now.threads}")
        if now.dtype is not None and self.dtype is not None and now.dtype != self.dtype:
            told.append(f"changed torch's default dtype from {_name(self.dtype)} to {_name(now.dtype)}")
        if self.folder is not None and now.folder != self.folder:
            told.append(f"changed the working folder to {now.folder}")
        return told


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _plain(state: Any) -> Any:
    """Return the state of a generator as what can be compared."""
    if isinstance(state, tuple):
        return tuple(one.tobytes() if isinstance(one, np.ndarray) else one for one in state)
    return state.numpy().tobytes()

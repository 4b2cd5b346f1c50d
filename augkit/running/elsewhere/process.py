"""One worker as a process on this machine, whoever started it: this run, or another engine's process on a node."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from augkit.contracts.events import StageNoted, to_plain
from augkit.contracts.executor import Said, Unit

PATIENCE_SECONDS = 5.0
"""How long an idle worker may take to end before it is ended."""

OOM_COUNTER = Path("/proc/vmstat")
"""Where Linux counts the processes that it ended for want of memory."""


def worker_command() -> list[str]:
    """Return the command that starts a worker on this machine, which reads units as lines from its input."""
    return [sys.executable, "-P", "-m", "augkit.running.worker"]


@dataclass
class WorkerProcess:
    """One worker process on this machine; it is spoken to in lines of JSON and answers in such.

    command, environment: what is started, for instance `worker_command` with `Site.environment` in the environment.
    say:                  is handed every word; called in a thread of the process's own.
    gpu:                  the one that it was given, for whoever starts several.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    say: Callable[[Said], None]
    gpu: str = ""
    is_alive: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        self._ooms_before = ooms()
        self._unit: Unit | None = None
        self._told_of_stop = False
        self._turn = threading.Lock()
        """Held while the unit changes, together with what is said about that."""
        self._process = start_out_of_reach(self.command, self.environment)
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    @property
    def is_idle(self) -> bool:
        """Whether no unit is under way."""
        with self._turn:
            return self._unit is None

    def begin(self, unit: Unit, order: Mapping[str, Any]) -> bool:
        """Give the unit to the process, as `Site.order` describes it; false where that has died already."""
        with self._turn:
            if not self.is_alive:
                return False
            self._unit = unit
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):  # it dies just now; who listens to it says so
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        return True

    def tell_if_stopped(self) -> None:
        """Say, once, where somebody has stopped the process (SIGSTOP), which can then say nothing itself."""
        unit, stopped = self._unit, self._is_stopped()
        if stopped and unit is not None and not self._told_of_stop:
            pid = self._process.pid
            text = f"its process {pid} has been stopped by a signal; `kill -CONT {pid}` lets it go on"
            self._pass_on(to_plain(StageNoted(unit.title, text)))
        self._told_of_stop = stopped

    def hang_up(self) -> None:
        """End the input: a busy process saves and ends, an idle one ends."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it has died
            self._process.stdin.close()

    def end(self) -> None:
        """End the process: an idle one by hanging up, a busy one by force."""
        self.hang_up()
        try:
            self._process.wait(PATIENCE_SECONDS if self.is_idle else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(PATIENCE_SECONDS)

    def _is_stopped(self) -> bool:
        if not hasattr(os, "waitid"):
            return False
        try:
            seen = os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # it has ended
            return False
        return seen is not None

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._pass_on(_read(line))
        self._process.stdout.close()
        code = self._process.wait()
        self.hang_up()
        with self._turn:
            self.is_alive = False
        if self._unit is not None:
            self._pass_on({"problems": [[self._unit.title, *self._end_of(code)]], "exit_code": 1, "lost": True})

    def _pass_on(self, facts: Mapping[str, Any]) -> None:
        with self._turn:
            unit = self._unit
            if unit is not None and facts:
                self._unit = None if "problems" in facts else unit
                self.say(Said(unit, facts))

    def _end_of(self, code: int) -> tuple[str, str]:
        """Return what ended the worker, and what to do about it."""
        hint = "The same command continues from what it saved"
        if code >= 0:
            return f"its process ended by itself with exit code {code}", hint
        name = signal.Signals(-code).name
        if code != -signal.SIGKILL:
            return f"its process was ended by {name}", hint
        smaller = "Use fewer --jobs, smaller batches or smaller images; the same command continues from what it saved"
        if ooms() > self._ooms_before:
            return "its process was ended by the system because the memory was full (out-of-memory killer)", smaller
        return f"its process was ended by {name}; the system does that when the memory is full", smaller


def start_out_of_reach(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start a process that Ctrl-C, a closed terminal and SIGTERM do not reach; it is spoken to by its input."""
    may_block = hasattr(signal, "pthread_sigmask")
    if may_block:  # here, because a library of the process could start threads before it comes to that itself
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
    finally:
        if may_block:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _read(line: str) -> Mapping[str, Any]:
    """Return what a worker said; empty for half a line, its last when it was killed."""
    try:
        facts: Mapping[str, Any] = json.loads(line)
    except ValueError:
        return {}
    return facts


def ooms() -> int:
    """Return how many processes the system has ended for want of memory; 0 where it does not say."""
    try:
        lines = OOM_COUNTER.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)

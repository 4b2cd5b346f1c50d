"""Where stages are built other than in the run's own process; so far: worker processes on this machine.

An executor only starts work and passes on what is said. What a worker makes goes into the store, never through here, so
another executor is another way to start the same worker, and losing one loses at most the stages it was building.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from augkit.contracts.executor import Said, Unit
from augkit.contracts.precision import VARIABLE, wanted_precision

PATIENCE_SECONDS = 5.0
"""How long an idle worker may take to end before it is ended."""

OOM_COUNTER = Path("/proc/vmstat")
"""Where Linux counts the processes that it ended for want of memory."""


class LocalExecutor:
    """Worker processes on this machine, as many as `capacity`, each building one stage after another.

    root, device: of the store and of torch, as for `Engine`; ``cuda`` is every GPU there is.
    threads:      of each worker; bits depend on it, so it is the same in all.
    """

    def __init__(self, root: Path, device: str, capacity: int, threads: int) -> None:
        self.capacity = capacity
        self._command = [sys.executable, "-P", "-m", "augkit.running.worker", str(root), device]
        self._environment = {**os.environ, **dict.fromkeys(_THREADS, str(threads)), VARIABLE: wanted_precision()}
        self._gpus = visible_gpus() if device == "cuda" else []
        self._said: queue.Queue[Said] = queue.Queue()
        self._workers: list[_Worker] = []

    def submit(self, unit: Unit) -> None:
        """Give the unit to an idle worker, started if need be."""
        self._workers = [worker for worker in self._workers if worker.is_alive]
        idle = [worker for worker in self._workers if worker.is_idle]
        if not any(worker.begin(unit) for worker in idle):
            self._start().begin(unit)

    def wait(self) -> Said | None:
        """Return the next thing said."""
        while True:
            with suppress(queue.Empty):
                return self._said.get(timeout=0.2)
            if all(worker.is_idle for worker in self._workers) and self._said.empty():
                return None

    def interrupt(self) -> None:
        """Ask the workers to stop, through their input: a signal could reach them twice."""
        for worker in self._workers:
            worker.hang_up()

    def close(self) -> None:
        """End the workers: idle ones by hanging up, the others by force."""
        for worker in self._workers:
            worker.end()
        self._workers = []

    def _start(self) -> _Worker:
        environment = dict(self._environment)
        taken = [worker.gpu for worker in self._workers]
        gpu = min(self._gpus, key=taken.count, default="")
        if gpu:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        worker = _Worker(self._command, environment, gpu, self._said.put)
        self._workers.append(worker)
        return worker


_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass
class _Worker:
    """One worker process; it is spoken to in lines of JSON and answers in such."""

    command: Sequence[str]
    environment: Mapping[str, str]
    gpu: str
    say: Callable[[Said], None]
    is_alive: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        self._ooms = _ooms()
        self._unit: Unit | None = None
        self._turn = threading.Lock()
        """Held while the unit changes, together with what is said about that."""
        self._process = start_out_of_reach(self.command, self.environment)
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    @property
    def is_idle(self) -> bool:
        with self._turn:
            return self._unit is None

    def begin(self, unit: Unit) -> bool:
        """Give the unit to the process; false where that has died already."""
        with self._turn:
            if not self.is_alive:
                return False
            self._unit = unit
        facts = {"document": unit.document, "fingerprint": unit.fingerprint, "title": unit.title}
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):  # it dies just now; who listens to it says so
            self._process.stdin.write(json.dumps(facts) + "\n")
            self._process.stdin.flush()
        return True

    def hang_up(self) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it has died
            self._process.stdin.close()

    def end(self) -> None:
        self.hang_up()
        try:
            self._process.wait(PATIENCE_SECONDS if self.is_idle else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(PATIENCE_SECONDS)

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
            self._pass_on({"problems": [[self._unit.title, *self._end_of(code)]], "exit_code": 1})

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
        if _ooms() > self._ooms:
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


def visible_gpus() -> list[str]:
    """Return the CUDA devices of this process, as CUDA_VISIBLE_DEVICES names them."""
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    if named:
        return named
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def threads_of(jobs: int) -> int:
    """Return each job's share of the cores that this process may use, unless OMP_NUM_THREADS says how many."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // jobs)


def _ooms() -> int:
    """Return how many processes the system has ended for want of memory; 0 where it does not say."""
    try:
        lines = OOM_COUNTER.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)

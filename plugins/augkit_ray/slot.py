"""What runs on a node: an actor that keeps one worker process and passes on what it says."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from augkit.executors import Said, Unit, WorkerProcess, worker_command

LISTENING_SECONDS = 30.0
"""How long one call waits for a word; then the next one is made."""


class Slot:
    """One worker on a node. Ray calls it in several threads.

    The worker leaves the actor's process group, and Ray is told not to end it (`augkit_ray.head.SAVING`): what ends the
    actor leaves it a moment to save its state: its input ends then, which is how it is asked to.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**os.environ, **environment}  # Ray sets OMP_NUM_THREADS where nobody did
        self._said: list[Mapping[str, Any]] = []
        self._heard = 0
        self._changed = threading.Condition()
        self._worker: WorkerProcess | None = None

    def begin(self, order: Mapping[str, Any]) -> None:
        """Give a unit to the worker, started if need be."""
        unit = Unit({}, order["fingerprint"], order["title"])
        if self._worker is None or not self._worker.begin(unit, order):
            self._worker = WorkerProcess(worker_command(), self._environment, self._pass_on)
            self._worker.begin(unit, order)

    def listen(self, heard: int) -> list[Mapping[str, Any]]:
        """Return what was said after the first `heard` words, waiting for one: a call that is lost loses no word."""
        with self._changed:
            del self._said[: heard - self._heard]
            self._heard = heard
            self._changed.wait_for(lambda: self._said, timeout=LISTENING_SECONDS)
            return list(self._said)

    def hang_up(self) -> None:
        """Ask the worker to save its state and end."""
        if self._worker is not None:
            self._worker.hang_up()

    def end(self) -> None:
        """End the worker: an idle one by hanging up, a busy one by force."""
        if self._worker is not None:
            self._worker.end()

    def _pass_on(self, said: Said) -> None:
        with self._changed:
            self._said.append(said.facts)
            self._changed.notify_all()

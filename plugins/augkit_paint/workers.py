"""Work in threads of its own, the newest first; what somebody has replaced meanwhile is never done."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

R = TypeVar("R")

MOST_WAITING = 64
"""Pieces of work that wait; the oldest is dropped for another one."""


class SupersededError(Exception):
    """Something newer was asked for before this was begun."""


class Worker:
    """One thread that does one thing at a time. It ends with the process and is never waited for."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: OrderedDict[str, tuple[Callable[[], Any], Future[Any]]] = OrderedDict()
        self._something = threading.Condition()
        self._thread: threading.Thread | None = None

    def submit(self, lane: str, work: Callable[[], R]) -> Future[R]:
        """Return the future of some work. Earlier work of the same lane that still waits is superseded by it."""
        future: Future[R] = Future()
        dropped = []
        with self._something:
            if lane in self._waiting:
                dropped.append(self._waiting.pop(lane))
            elif len(self._waiting) >= MOST_WAITING:
                dropped.append(self._waiting.popitem(last=False)[1])
            self._waiting[lane] = work, future
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._something.notify()
        for _, stale in dropped:
            if stale.set_running_or_notify_cancel():
                stale.set_exception(SupersededError("something newer was asked for"))
        return future

    def _run(self) -> None:
        while True:
            with self._something:
                self._something.wait_for(lambda: self._waiting)
                _, (work, future) = self._waiting.popitem(last=True)
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # a plugin may raise anything; whoever asked is told
                future.set_exception(error)

"""A training that is cut short, to learn how long the whole one would take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_WARM_UP = 2
"""Steps before the clock starts: the first ones prepare what the others find prepared."""

_current: ContextVar[Rehearsal | None] = ContextVar("rehearsal", default=None)


class Rehearsal:
    """Lets a training do steps for so many seconds, and then its last one.

    The last step is done because what a plugin does after it may need what only that step brings. `left_out` is the
    time in seconds of what was not done: the steps between, and the checkpoints that would have been saved meanwhile.
    `has_begun` tells whether there was a training that can be cut short.
    """

    def __init__(self, seconds: float) -> None:
        self.left_out = 0.0
        self.has_begun = False
        self._seconds = seconds

    def begin(self) -> None:
        """Note that a training begins."""
        self.has_begun = True
        self._began = self._warm_at = time.monotonic()
        self._steps_left_out = 0
        self._pace = 0.0

    def next(self, done: int, steps: int, wait: Callable[[], None]) -> int:
        """Return the number of the step to do after `done` of `steps`; `wait` lets the device finish the last one."""
        if done == _WARM_UP:
            wait()
            self._warm_at = time.monotonic()
        if not _WARM_UP < done < steps - 1 or time.monotonic() - self._began < self._seconds:
            return done
        wait()
        self._pace = (time.monotonic() - self._warm_at) / (done - _WARM_UP)
        self._steps_left_out = steps - 1 - done
        return steps - 1

    def end(self, saving: float) -> None:
        """Note that the training is at its end; `saving`: the share of its time that checkpoints take."""
        self.left_out += self._steps_left_out * self._pace * (1 + saving)


def current() -> Rehearsal | None:
    """Return the rehearsal in whose context this runs, if it is one."""
    return _current.get()


@contextmanager
def rehearsing(seconds: float) -> Iterator[Rehearsal]:
    """Cut every training in this context short after so many seconds."""
    rehearsal = Rehearsal(seconds)
    token = _current.set(rehearsal)
    try:
        yield rehearsal
    finally:
        _current.reset(token)

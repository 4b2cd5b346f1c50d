"""How a training ends early: signals that wait for the end of a step."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from augkit.errors import InterruptedRunError, Problem


@dataclass
class Pending:
    """The number of the signal that asks for the end; 0 for none."""

    signal: int = 0


@contextmanager
def deferred_signals() -> Iterator[Pending]:
    """Let the first Ctrl-C or SIGTERM wait for the end of the step; a second one ends the process at once."""
    pending = Pending()
    if threading.current_thread() is not threading.main_thread():
        yield pending
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if pending.signal:
            os._exit(128 + number)
        pending.signal = number

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield pending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if pending.signal:  # it came after the last step was checked
        signal.raise_signal(pending.signal)


def interrupted(number: int, where: str, what: str) -> InterruptedRunError:
    """Return the error that ends a training after signal `number`."""
    error = InterruptedRunError(Problem(where, what))
    error.exit_code = 128 + number
    return error

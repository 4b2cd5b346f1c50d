"""The observers of a run, each in a thread of its own behind a bounded queue, so that none can harm the run.

A slow observer misses progress, never a beginning, an end or a note. One that raises is reported once and left alone.
One that hangs is left behind when the run has ended.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from augkit.contracts import events
from augkit.contracts.registry import Observer
from augkit.errors import said_by

WAITING = 256
"""Events that may wait for an observer before progress is dropped for it."""

PATIENCE_SECONDS = 5.0
"""How long the end of a run waits for observers that are behind."""


class Audience:
    """Tells every observer every event, in order, without waiting for any of them."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._listeners = [_Listener(name, function, self.tell) for name, function in observers]

    def tell(self, event: events.Event) -> None:
        """Hand an event to every observer; returns at once, and raises nothing that an observer raises."""
        for listener in self._listeners:
            listener.hand(event)

    def __enter__(self) -> Audience:
        return self

    def __exit__(self, *error: object) -> None:
        self.settle()

    def settle(self) -> None:
        """Wait until everybody has heard everything, but not for long; tell who is left behind."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        late = [listener for listener in self._listeners if not listener.wait(deadline)]
        for listener in late:
            listener.leave()
        for listener in late:
            self.tell(events.StageNoted("observers", f"{listener.name} is still busy and is left behind"))
        for listener in self._listeners:  # the others hear of it
            listener.wait(time.monotonic() + PATIENCE_SECONDS)


class _Listener:
    """One observer, the events that wait for it, and the thread that hands them over."""

    def __init__(self, name: str, function: Callable[..., object], tell: Callable[[events.Event], None]) -> None:
        self.name = name
        self._function = function
        self._tell = tell
        self._waiting: deque[events.Event] = deque()
        self._changed = threading.Condition()
        self._busy = False
        self._gone = False
        self._thread: threading.Thread | None = None

    def hand(self, event: events.Event) -> None:
        with self._changed:
            crowded = len(self._waiting) >= WAITING and isinstance(event, events.StageAdvanced)
            if self._gone or crowded:
                return
            self._waiting.append(event)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name=f"observer {self.name}", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def wait(self, deadline: float) -> bool:
        """Tell whether the observer had heard everything before the deadline."""
        with self._changed:
            return self._changed.wait_for(self._has_heard, timeout=max(0.0, deadline - time.monotonic()))

    def leave(self) -> None:
        """Hand over nothing more."""
        with self._changed:
            self._gone = True
            self._waiting.clear()
            self._changed.notify_all()

    def _has_heard(self) -> bool:
        return self._gone or not (self._waiting or self._busy)

    def _listen(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._gone)
                if self._gone:
                    return
                event = self._waiting.popleft()
                self._busy = True
            try:
                self._function(event=event)
            except BaseException as error:  # an observer may raise anything, SystemExit included
                self._tell(events.StageNoted("observers", f"{self.name} failed and is ignored: {said_by(error)}"))
                self.leave()
            with self._changed:
                self._busy = False
                self._changed.notify_all()

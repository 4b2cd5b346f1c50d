"""Watching a stage that says nothing: where it is, and whose code that is."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType

from augkit.amounts import duration

SILENCE_SECONDS = 600.0
"""How long a stage may say nothing before a note tells where it is; the next note comes after twice as long."""


class Vigil:
    """Waits for signs of life of one stage, whose plugins run in the thread that `watching` is entered in.

    It ends nothing: a stage that is slow cannot be told from one that hangs, and Ctrl-C keeps what was saved.
    """

    def __init__(self, providers: Collection[str], packages: Collection[str], note: Callable[[str], None]) -> None:
        """`providers`: of the stage's components, for people; `packages`: those that define them."""
        self._who = " or ".join(dict.fromkeys(providers)) or "augkit"
        self._packages = packages
        self._note = note
        self._heard = time.monotonic()

    def hear(self) -> None:
        """Note a sign of life."""
        self._heard = time.monotonic()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch this thread inside the context."""
        ended, thread = threading.Event(), threading.get_ident()
        self.hear()
        watcher = threading.Thread(target=self._watch, args=(ended, thread), name="vigil", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()

    def _watch(self, ended: threading.Event, thread: int) -> None:
        patience = SILENCE_SECONDS
        while not ended.wait(max(self._heard + patience - time.monotonic(), 0.05)):
            silent = time.monotonic() - self._heard
            if silent < patience:
                continue
            place = _place(sys._current_frames().get(thread), self._packages)
            self._note(f"nothing was heard of {self._who} for {duration(silent)}; it is at {place}. Ctrl-C ends it")
            patience *= 2


def _place(frame: FrameType | None, packages: Collection[str]) -> str:
    """Return the innermost line of some packages that a thread is at; of any where it is in none of these."""
    innermost = frame
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] not in packages:
        frame = frame.f_back
    found = frame or innermost
    if found is None:
        return "its end"
    return f"{found.f_code.co_filename}:{found.f_lineno}, in {found.f_code.co_qualname}"

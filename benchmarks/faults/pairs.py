"""Two runs on one store, equal ones and others that share a part, and runs that come upon one that was killed."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from faults.runs import Tiny, difference, end_of, last_line, noting_publications

OTHER = "--set=segmenter.unet.steps=12"
"""Makes a different recipe, which shares the data set, the generator and the synthetic images."""


def attempts(quick: bool) -> Iterator[str]:
    """50 pairs of equal runs, 20 of different ones, 50 after a holder of locks was killed; 3, 2 and 3 if quick."""
    moments = np.random.Generator(np.random.Philox(key=7))
    with tempfile.TemporaryDirectory() as name:
        tiny = Tiny(Path(name))
        reference = tiny.reference()
        for number in range(3 if quick else 50):
            yield together(tiny, tiny.folder / f"equal-{number}", (), reference)
        for number in range(2 if quick else 20):
            yield together(tiny, tiny.folder / f"different-{number}", (OTHER,), reference)
        for number in range(3 if quick else 50):
            yield after_a_killed_one(tiny, tiny.folder / f"killed-{number}", float(moments.uniform(0, 1.5)), reference)


def together(tiny: Tiny, store: Path, other: tuple[str, ...], reference: dict[str, str]) -> str:
    """Start a run and another one on the same store; return what was wrong."""
    notes = store.with_name(f"{store.name}.published")
    one = tiny.start(store, prepare=noting_publications(notes))
    two = tiny.start(store, *other, log="second", prepare=noting_publications(notes))
    codes = [end_of(one), end_of(two)]
    if codes != [0, 0]:
        return f"exit codes {codes}: {last_line(tiny.log(store))} / {last_line(tiny.log(store, 'second'))}"
    twice = [what for what, times in Counter(notes.read_text().splitlines()).items() if times > 1]
    if twice:
        return f"built by both: {', '.join(twice)}"
    return difference(store, reference, others=bool(other))


def after_a_killed_one(tiny: Tiny, store: Path, after: float, reference: dict[str, str]) -> str:
    """Kill a run while it builds, and let the next one come upon what it left; return what was wrong."""
    holder = tiny.start(store, log="killed")
    until = time.monotonic() + 60
    while not any(store.glob(".augkit/work/*")) and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(after)
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    wrong = tiny.finish(store)
    if "waiting for process" in tiny.log(store).read_text():
        wrong = wrong or "the next run waited for the dead one"
    return wrong or difference(store, reference)

"""Workers of a run side by side that die or stand still, and runs that die under their workers."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

import forked
from faults.runs import Tiny, difference, end_of

TWO = ("--jobs=2", "--threads=1", "--set=segmenter.unet.steps=200")
MARK = "AUGKIT_CAMPAIGN"
"""The variable by which the processes of an attempt are known."""
STOPPED_SECONDS = 3.0
ORPHAN_SECONDS = 5.0
SHARED_MEMORY = Path("/dev/shm")


def attempts(quick: bool) -> Iterator[str]:
    """50 times, 3 if quick, in turn: a worker is killed; one stands still for a while; the run is killed, not they."""
    moments = np.random.Generator(np.random.Philox(key=15))
    with tempfile.TemporaryDirectory() as name:
        tiny = Tiny(Path(name))
        reference = tiny.reference(*TWO)
        ways = (signal.SIGKILL, signal.SIGSTOP, None)
        for number in range(3 if quick else 50):
            seconds = float(moments.uniform(0, 2))
            yield lost(tiny, tiny.folder / f"runs-{number}", ways[number % 3], seconds, moments, reference)


def lost(
    tiny: Tiny,
    store: Path,
    way: signal.Signals | None,
    seconds: float,
    moments: np.random.Generator,
    reference: dict[str, str],
) -> str:
    """Harm a run some seconds after its first worker began to work; return what was wrong.

    way: what one of the workers gets; None kills the run.
    """
    before = set(SHARED_MEMORY.iterdir())
    run = tiny.start(store, *TWO, prepare=lambda: os.environ.update({MARK: store.name}))
    if not (found := workers(store, run)):
        return "the run ended before a worker was seen"
    time.sleep(seconds)
    if way is None:
        os.kill(run, signal.SIGKILL)
        os.waitpid(run, 0)
    else:
        victim = found[int(moments.integers(len(found)))]
        os.kill(victim, way)
        if way == signal.SIGSTOP:
            time.sleep(STOPPED_SECONDS)
            os.kill(victim, signal.SIGCONT)
        if (code := end_of(run)) != 0:
            return f"{way.name}: exit code {code}"
    until = time.monotonic() + ORPHAN_SECONDS
    while left := marked(store):
        if time.monotonic() > until:
            return f"{way}: {len(left)} processes are left: {', '.join(map(command_of, left))}"
        time.sleep(0.1)
    wrong = tiny.finish(store, *TWO) or difference(store, reference)
    if not wrong and (left_over := set(SHARED_MEMORY.iterdir()) - before):
        return f"{len(left_over)} files are left in {SHARED_MEMORY}"
    return wrong


def command_of(process: int) -> str:
    """Return the command and the state of a process."""
    with suppress(OSError):
        command = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        return f"{command[-60:]} ({Path(f'/proc/{process}/wchan').read_text() or 'running'})"
    return "one that has ended by now"


def workers(store: Path, run: int) -> list[int]:
    """Return the workers of a run, as soon as one has begun to work; none where it ends before that."""
    while forked.code_of(run, 0) is None:
        found = marked(store)
        if found and any(store.glob(".augkit/work/*")):
            return found
        time.sleep(0.02)
    return []


def marked(store: Path) -> list[int]:
    """Return the living processes that a run of that store started: what they were started with has the mark."""
    wanted, found = f"{MARK}={store.name}".encode(), []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
        except OSError:
            continue
    return found

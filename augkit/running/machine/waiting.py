"""How long OpenMP's threads keep their cores busy when they have nothing to do.

GNU's OpenMP, which torch uses on Linux, lets a thread that waits for work look for it 300,000 times before it sleeps,
which takes milliseconds. On an idle machine that is right: the next piece of work comes within microseconds, and waking
a thread takes longer. Beside another program it takes the core from the thread that all the others wait for: two
threads of a U-Net's training had 0.5 times the rate of one, and 1.0 where they sleep soon
(`benchmarks/training.py --only busy`, two cores).

The number is fixed when the library is loaded, but for one case: a process with more of its threads than cores looks
100 times (GOMP_SPINCOUNT in the manual of libgomp). So where others need the cores, a few threads that sleep are added
to those of the computation, and they end when the cores are free again. No result changes.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from augkit.running.machine.processor import Usage, others, own_cores, usage

MAPPED = Path("/proc/self/maps")
"""Where Linux lists the libraries of this process."""

LOOK_SECONDS = 0.5
CALM_LOOKS = 4
"""So many looks in a row have to find the cores free before threads keep them busy again."""

ENOUGH = 0.5
"""Of a core: what others have to use beyond the cores that this process leaves them."""

_CHOSEN = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
"""Variables by which a user says how threads wait, which then holds."""


@contextmanager
def briefly_beside_others() -> Iterator[None]:
    """Let OpenMP's threads sleep soon after their work, inside the context, whenever other programs need the cores."""
    if usage() is None or any(name in os.environ for name in _CHOSEN):
        yield
        return
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(ended.wait, more_threads_than_cores), name="waiting", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(ended: Callable[[float], bool], sleepers: Callable[[], AbstractContextManager[None]]) -> None:
    """Look at the cores until `ended`, which waits for some seconds; add sleepers while others need them."""
    before, calm = usage(), 0
    with ExitStack() as added:
        brief = False
        while not ended(LOOK_SECONDS):
            now = usage()
            calm = 0 if _are_needed(before, now) else calm + 1
            if calm == 0 and not brief:
                added.enter_context(sleepers())
                brief = True
            elif calm == CALM_LOOKS and brief:
                added.close()
                brief = False
            before = now


def _are_needed(before: Usage | None, now: Usage | None) -> bool:
    """Tell whether other programs used cores, between two moments, that the threads of this process want."""
    if before is None or now is None:
        return False
    return others(before, now) > own_cores() - threads() + ENOUGH


def threads() -> int:
    """Return with how many threads torch computes; 1 before it is imported."""
    torch: Any = sys.modules.get("torch")
    return torch.get_num_threads() if hasattr(torch, "get_num_threads") else 1  # it may be being imported


@contextmanager
def more_threads_than_cores() -> Iterator[None]:
    """Let this process have more of OpenMP's threads than cores; those added sleep, and end with the context.

    Where there is no room for them nothing is added: OpenMP would end the process.
    """
    team = max(2, own_cores() - threads() + 2)  # with the one that asks, which does not count
    libraries = _libraries()
    asked, ended = threading.Event(), threading.Event()

    def hold() -> None:
        for library in libraries:
            # What each of the team calls does nothing; they are kept for the next team of the thread that asked.
            library.GOMP_parallel(ctypes.cast(library.omp_get_num_threads, ctypes.c_void_p), None, team, 0)
        asked.set()
        ended.wait()

    if not libraries or not _can_start(team * len(libraries)):
        yield
        return
    holder = threading.Thread(target=hold, name="waiting", daemon=True)
    holder.start()
    asked.wait()
    try:
        yield
    finally:
        ended.set()
        holder.join()


def _can_start(count: int) -> bool:
    """Tell whether memory and the system's limits leave room for so many threads more, by starting them."""
    ended, started = threading.Event(), list[threading.Thread]()
    try:
        for _ in range(count):
            started.append(threading.Thread(target=ended.wait, name="waiting", daemon=True))
            started[-1].start()
    except (RuntimeError, MemoryError):
        started.pop()
        return False
    else:
        return True
    finally:
        ended.set()
        for thread in started:
            thread.join()


def _libraries() -> list[ctypes.CDLL]:
    """Return GNU's OpenMP as this process has loaded it, once or more often; empty where torch uses another."""
    paths = {line.split(maxsplit=5)[-1] for line in MAPPED.read_text().splitlines() if "libgomp" in line}
    return [ctypes.CDLL(path) for path in sorted(paths) if Path(path).exists()]  # it may be deleted meanwhile

"""How much of the processor other programs use.

Threads of one computation wait for each other many times per step. Where one of them waits for a core that another
program uses, all stand still. How they wait then is the business of `augkit.running.machine.waiting`.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import NamedTuple

COUNTERS = Path("/proc/stat")
"""Where Linux counts how long all cores have worked."""

SHORTEST_SECONDS = 0.3
"""The counters go in steps of a hundredth of a second, so less tells nothing."""

CROWDED = 0.25
"""Share of the cores that others may keep busy without a word."""

_IDLE, _COUNTED = slice(3, 5), slice(0, 7)
"""Places of idle and waiting, and of all kinds of time that no other place contains."""


class Usage(NamedTuple):
    """Seconds: a moment, and how long all programs and this one had worked until then, over all cores."""

    moment: float
    all: float
    own: float


def usage() -> Usage | None:
    """Return the use of the processor so far; None where the system does not say."""
    try:
        numbers = [int(word) for word in COUNTERS.read_text().split("\n", 1)[0].split()[1:]]
        worked = (sum(numbers[_COUNTED]) - sum(numbers[_IDLE])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None
    times = os.times()
    return Usage(time.monotonic(), worked, times.user + times.system)


def others(since: Usage, now: Usage) -> float:
    """Return how many cores other programs kept busy, on average, between two moments."""
    return (now.all - since.all - (now.own - since.own)) / (now.moment - since.moment)


def own_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def crowded(since: Usage | None) -> str:
    """Return what to tell whoever starts threads on every core; '' where others leave the cores alone.

    since: what `usage` returned a moment ago.
    """
    now = usage()
    if since is None or now is None or now.moment - since.moment < SHORTEST_SECONDS:
        return ""
    cores = os.cpu_count() or 1
    busy = others(since, now)
    if busy < CROWDED * cores:
        return ""
    left = max(1, cores - math.ceil(busy))
    return (
        f"other programs keep {busy:.1f} of {cores} cores busy. Threads wait for each other, so this run may be "
        f"slower than with --threads {left}, which leaves those cores alone"
    )

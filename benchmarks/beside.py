"""What two threads gain, and what is left of them beside a busy program."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext

import torch

from augkit.running.machine.waiting import briefly_beside_others

THREADS = (1, 2)
BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
"""A program that takes a core, as another training would, as long as this one lives."""
WANTED = {"calm": 1.6, "busy": 0.8}
"""How many times the rate of one thread two of them should have: alone, and beside a busy program."""
SETTLED_SECONDS = 3.0
"""After which a run has seen that another program has come or gone."""


def rates(measure: Callable[[int], float], rounds: int) -> dict[str, float]:
    """Return the median rate of one thread and of two, alone and beside one busy program: ``1 thread calm`` and so on.

    measure: called with the number of the round; returns a rate. All four take their turn in every round.
    """
    before = torch.get_num_threads()
    found: dict[str, list[float]] = {_name(threads, how): [] for how, threads in _cases()}
    with briefly_beside_others():  # as in every run
        for number in range(rounds):
            for how in WANTED:
                with busy_program() if how == "busy" else nullcontext():
                    time.sleep(SETTLED_SECONDS)
                    for threads in THREADS:
                        torch.set_num_threads(threads)
                        found[_name(threads, how)].append(measure(number))
    torch.set_num_threads(before)
    return {name: statistics.median(values) for name, values in found.items()}


def _name(threads: int, how: str) -> str:
    return f"{threads} thread{'s' * (threads > 1)} {how}"


def _cases() -> Iterator[tuple[str, int]]:
    return ((how, threads) for how in WANTED for threads in THREADS)


@contextmanager
def busy_program() -> Iterator[None]:
    """Let a program that does nothing useful run beside what is measured."""
    with subprocess.Popen([sys.executable, "-c", BUSY]) as program:
        try:
            yield
        finally:
            program.kill()


def gains(found: Mapping[str, float]) -> dict[str, float]:
    """Return the rate of two threads by that of one, calm and busy."""
    return {how: found[f"2 threads {how}"] / found[f"1 thread {how}"] for how in WANTED}


def tell(title: str, found: Mapping[str, float]) -> None:
    """Print a row: four rates, and what two threads have of one."""
    speeds = "".join(f"{value:>12.1f}" for value in found.values())
    print(f"{title:<32}{speeds}" + "".join(f"{gain:>9.2f}" for gain in gains(found).values()), flush=True)


def tell_head(unit: str) -> None:
    """Print the head of the table."""
    names = (f"{threads} {how}" for how, threads in _cases())
    columns = "".join(f"{name:>12}" for name in names)
    wanted = "".join(f"{how} >={least}".rjust(9) for how, least in WANTED.items())
    print(f"{'threads, ' + unit:<32}{columns}{wanted}", flush=True)

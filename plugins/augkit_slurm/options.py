"""The options of the user's file, and what sbatch is asked for because of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Annotated

from augkit import AtLeast
from augkit.executors import Resources

WARNING = "USR1"
"""The signal by which Slurm tells a job's script that its time is nearly over; no other of Slurm's uses it."""

_GENEROUS = 2
"""Time and memory that are asked for, as a multiple of what was estimated."""


@dataclass(frozen=True)
class SlurmOptions:
    """A cluster that Slurm manages. Each stage is a job, stages of one kind that begin together are a job array.

    Run it where ``sbatch`` works, in an environment and a folder that the nodes see too. What is asked for is written
    into no recipe and does not change what is computed, `threads` excepted.

    partition, account, qos, constraint: as ``sbatch`` has them; '' for the cluster's own.
    gres:         what a stage on a GPU asks for, such as ``gpu:a100:1``.
    threads:      CPU threads of each job, and the cores that it asks for. Decides bits.
    memory:       least main memory of a job in MB; on the CPU, twice the estimate where that is more.
    minutes:      least time of a job; twice the estimate where that is more. A job that does not end in time saves, is
                  requeued and goes on.
    most_minutes: most time of a job, such as the partition's limit.
    save_seconds: how long before its time is over a job saves; Slurm may be a minute early.
    at_once:      jobs of one array that run at the same time.
    queued:       jobs in the queue at the same time; ``--jobs`` replaces it.
    poll_seconds: seconds between two looks at the queue; one look is for all jobs.
    extra:        further options of ``sbatch``, such as ``--exclude=node7``.
    setup:        lines of shell before the work begins, such as ``module load python``.
    """

    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    gres: str = "gpu:1"
    threads: Annotated[int, AtLeast(1)] = 4
    memory: Annotated[int, AtLeast(100)] = 8000
    minutes: Annotated[int, AtLeast(1)] = 60
    most_minutes: Annotated[int, AtLeast(1)] = 1440
    save_seconds: Annotated[int, AtLeast(10)] = 120
    at_once: Annotated[int, AtLeast(1)] = 64
    queued: Annotated[int, AtLeast(1)] = 1000
    poll_seconds: Annotated[float, AtLeast(0.1)] = 5.0
    extra: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.minutes > self.most_minutes:
            raise ValueError(f"minutes is {self.minutes}; allowed: at most most_minutes, {self.most_minutes}")
        if self.save_seconds >= 60 * self.minutes:
            raise ValueError(f"save_seconds is {self.save_seconds}; allowed: less than minutes, {60 * self.minutes} s")
        for option in self.extra:
            if not option.startswith("-"):
                raise ValueError(f"extra has '{option}'; allowed: options of sbatch, such as --exclude=node7")

    def options(self, wanted: Sequence[Resources], grown: int) -> list[str]:
        """Return options of sbatch for jobs of which each may take the most that any of them is expected to.

        grown: how many times as long as otherwise a job may take, because one has shown to need it.
        """
        options = [
            f"--{name}={value}"
            for name in ("partition", "account", "qos", "constraint")
            if (value := getattr(self, name))
        ]
        if self.gres and any(one.gpus for one in wanted):
            options.append(f"--gres={self.gres}")
        return [
            *options,
            f"--cpus-per-task={max(one.threads for one in wanted)}",
            f"--mem={max(self._megabytes(one) for one in wanted)}",
            f"--time={self.time(wanted, grown)}",
            f"--signal=B:{WARNING}@{self.save_seconds}",
            "--nodes=1",
            "--ntasks=1",
            "--requeue",
            "--open-mode=append",
            *self.extra,
        ]

    def time(self, wanted: Sequence[Resources], grown: int) -> int:
        """Return the minutes of such jobs."""
        estimated = max(ceil(_GENEROUS * (one.seconds or 0) / 60) for one in wanted)
        return min(self.most_minutes, grown * max(self.minutes, estimated))

    def _megabytes(self, one: Resources) -> int:
        of_the_main_memory = 0 if one.gpus else one.memory or 0
        return max(self.memory, ceil(_GENEROUS * of_the_main_memory / 1e6))

"""What builds stages other than in the run's own process, and the places where that can be.

An executor only starts work and passes on what is said. What a worker makes goes into the store, never through here, so
another executor is another way to start the same worker, and losing one loses at most the stages it was building.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from augkit.contracts.precision import VARIABLE

LOCAL = "local"
"""The executor that no plugin provides: worker processes on this machine."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""What tells libraries how many threads they may use; each before the library is loaded."""


@dataclass(frozen=True)
class Resources:
    """What a stage is expected to take.

    kind:    of the stage, as folders of the store are called: ``segmenter``, ``dataset``.
    threads: CPU threads.
    gpus:    1 where it computes on a GPU, else 0; how many share one, the user's file says to the executor.
    memory:  peak of the process in bytes, of the GPU where there is one; None where nothing was estimated.
    seconds: from start to finish; None where nothing was estimated.
    """

    kind: str = "stage"
    threads: int = 1
    gpus: float = 0.0
    memory: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Unit:
    """One stage for a worker: how to plan it again, and which one it is.

    document:    the resolved recipe of an arm that has the stage, with its seed.
    fingerprint: the stage's; a worker that plans another one refuses, because code or data changed meanwhile.
    title:       what to call it.
    resources:   what it takes.
    """

    document: Mapping[str, Any]
    fingerprint: str
    title: str
    resources: Resources = Resources()


@dataclass(frozen=True)
class Said:
    """Something that the worker of a unit said: an event as plain data, or its result.

    Empty facts are no word of the unit: only `Executor.capacity` changed.
    """

    unit: Unit
    facts: Mapping[str, Any]


class Executor(Protocol):
    """Builds units beside each other."""

    capacity: int
    """How many units may be under way, 1 or more; it may change at any time."""

    def submit(self, unit: Unit) -> None:
        """Begin a unit, or follow one that is under way from an earlier run; the caller keeps to `capacity`."""

    def wait(self) -> Said | None:
        """Return what is said next, by whichever unit; None when no unit is under way.

        The last word of a unit has the key ``problems``: a list of [where, what, hint], empty when the artifact is in
        the store, and then also ``exit_code`` where there are some. Where the executor says it in the name of a worker
        that is gone without one, it also has ``lost: True``, and ``preempted: True`` where the machine was taken away
        from it; so does a worker say ``lost`` that another one has replaced while it lived. Who called begins the unit
        again, then: twice, and not counting what was taken away. After its last word nothing more is said of a unit
        until it is submitted again.
        """

    def interrupt(self) -> None:
        """Ask every unit under way, once, to save its state and end."""

    def close(self) -> None:
        """End all workers; what is still under way is ended at once, and the next run continues from what it saved.

        May be called again, and then does nothing.
        """


@runtime_checkable
class Detachable(Protocol):
    """What an executor may have besides: its units outlive the run. Never required."""

    def detach(self) -> None:
        """Leave all units that are under way to themselves, so that `close` ends none of them."""


@dataclass(frozen=True)
class Site:
    """What a run has settled, once, for all its workers: where, on what and how they compute.

    root:      the store's folder, absolute; every node sees it at this place.
    device:    ``cpu``, ``cuda`` or ``mps``; ``cuda`` is the GPU that a worker is given.
    precision: ``float32`` or ``bfloat16``.
    threads:   CPU threads of each worker; bits depend on it, so it is the same in all.
    jobs:      how many units may be under way at most; None for as many as there is room for.
    run:       a name for the run; the same command has the same one.
    versions:  of what decides bits, by name, as the run's own process has them.
    nodes:     file beside the artifacts in which the first node notes what it is, for the others to compare with; None
               where nodes may differ.
    """

    root: Path
    device: str
    precision: str
    threads: int
    jobs: int | None = None
    run: str = "run"
    versions: Mapping[str, str] = field(default_factory=dict)
    nodes: Path | None = None

    def environment(self) -> dict[str, str]:
        """Return what has to be in the environment of a worker before it starts."""
        return {**dict.fromkeys(THREADS, str(self.threads)), VARIABLE: self.precision}

    def order(self, unit: Unit) -> dict[str, Any]:
        """Return what a worker is told to build, JSON-ready: a line, or a whole file for ``--unit``."""
        return {
            "document": unit.document,
            "fingerprint": unit.fingerprint,
            "title": unit.title,
            "root": str(self.root),
            "device": self.device,
            "versions": dict(self.versions),
            "nodes": None if self.nodes is None else str(self.nodes),
        }


class Cluster(Protocol):
    """Where stages can be built: what a plugin registers as an executor.

    A frozen dataclass; its fields are the options of its section in the user's file, checked as those of components
    are. What is wrong with the cluster itself is an `InputError` of one sentence with what to do.
    """

    @property
    def threads(self) -> int:
        """CPU threads of each worker where neither ``--threads`` nor OMP_NUM_THREADS says how many; a field will do."""

    def start(self, site: Site) -> Executor:
        """Return an executor for one run; raise `InputError` where the place cannot be reached. Writes nothing else."""

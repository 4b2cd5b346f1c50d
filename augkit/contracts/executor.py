"""What builds stages other than in the run's own process.

An executor only starts work and passes on what is said. What a worker makes goes into the store, never through here, so
another executor is another way to start the same worker, and losing one loses at most the stages it was building.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Unit:
    """One stage for a worker: how to plan it again, and which one it is.

    document:    the resolved recipe of an arm that has the stage, with its seed.
    fingerprint: the stage's; a worker that plans another one refuses, because code or data changed meanwhile.
    title:       what to call it.
    """

    document: Mapping[str, Any]
    fingerprint: str
    title: str


@dataclass(frozen=True)
class Said:
    """Something that the worker of a unit said: an event as plain data, or its result."""

    unit: Unit
    facts: Mapping[str, Any]


class Executor(Protocol):
    """Builds units beside each other."""

    capacity: int
    """How many units may be under way."""

    def submit(self, unit: Unit) -> None:
        """Begin a unit; the caller keeps to `capacity`."""

    def wait(self) -> Said | None:
        """Return what is said next, by whichever unit; None when no unit is under way.

        The last word of a unit has the key ``problems``: a list of [where, what, hint], empty when the artifact is in
        the store, and then also ``exit_code`` where there are some.
        """

    def interrupt(self) -> None:
        """Ask every unit under way, once, to save its state and end."""

    def close(self) -> None:
        """End all workers; what is still under way is ended at once, and the next run continues from what it saved."""

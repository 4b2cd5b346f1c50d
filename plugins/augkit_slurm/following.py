"""One stage under way as a job: what was said of it so far, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from augkit.executors import Unit
from augkit_slurm.arrays import Array
from augkit_slurm.programs import Row

Facts = Mapping[str, Any]


class Words:
    """The lines of JSON that processes append to a file, each read once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._offset = 0
        self._rest = b""

    def new(self) -> list[Facts]:
        """Return what was appended since the last time; half a line, as of a killed process, is left out."""
        data = b""
        with suppress(OSError), self._file.open("rb") as stream:
            stream.seek(self._offset)
            data = stream.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [facts for line in lines if (facts := _read(line))]

    def of_last_attempt(self) -> list[Facts]:
        """Return what was appended since a job began for the last time."""
        facts = self.new()
        began = [place for place, one in enumerate(facts) if one.get("slurm") == "began"]
        return facts[began[-1] :] if began else facts


def _read(line: bytes) -> Facts:
    with suppress(ValueError):
        facts = json.loads(line)
        if isinstance(facts, dict):
            return facts
    return {}


@dataclass
class Job:
    """A stage that is under way, or waits, as a task of an array.

    row:     as the queue last showed it.
    held:    the last word of a worker that saved and ended, until it is known whether it goes on.
    ended:   what the script said when its worker had ended.
    missed:  looks at the queue in which it was not there any more.
    stuck:   whether it needs more time than it gets, because it began no further on than the time before.
    asked:   whether it was asked to save and end.
    told:    the reasons for waiting that were told.
    """

    unit: Unit
    array: Array
    task: int
    row: Row | None = None
    held: Facts | None = None
    ended: Facts | None = None
    missed: int = 0
    stuck: bool = False
    asked: bool = False
    told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.words = Words(self.array.words(self.unit.fingerprint))
        self._began_at: int | None = None
        self._before: int | None = None
        self._attempts = 0

    @property
    def key(self) -> tuple[Path, int]:
        """By which its row in the queue is known."""
        return self.array.script, self.task

    def begin(self) -> None:
        """Note that the script began, for the first time or again."""
        self.held = self.ended = None
        self._before, self._began_at = self._began_at, None
        self._attempts += 1

    def advance(self, step: int) -> None:
        """Note a step that the stage told of."""
        if self._began_at is None:
            self._began_at = step

    def end(self, facts: Facts) -> None:
        """Note that the script ended; where its time was over, tell whether more of the same would help."""
        self.ended = facts
        further = self._began_at is not None and (self._before is None or self._began_at > self._before)
        self.stuck = bool(facts.get("again")) and self._attempts > 1 and not further

    def last_line(self) -> str:
        """Return the last line that the job printed; '' for none."""
        with suppress(OSError):
            text = self.array.log(self.task).read_text(encoding="utf-8", errors="replace")
            return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
        return ""

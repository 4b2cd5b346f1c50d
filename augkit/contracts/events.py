"""What a run tells its observers, in the order in which it happens, and each event as plain data for pipes and logs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

COMPARISON = "comparison"
"""In whose name a run says, before it trains, that no verdict can come out of it."""


@dataclass(frozen=True)
class RunStarted:
    """A run begins.

    stages: the labels of the stages that have to be built, in order.
    reused: how many others exist already.
    root:   the folder of the run's artifacts; an observer that keeps files makes a folder of its own there.
    """

    stages: tuple[str, ...]
    reused: int
    root: Path


@dataclass(frozen=True)
class StageStarted:
    """A stage begins to be built."""

    stage: str


@dataclass(frozen=True)
class StageAdvanced:
    """`step` of `total` steps of a stage are done; `values` are losses and the like."""

    stage: str
    step: int
    total: int
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StageNoted:
    """A stage has one sentence for the user."""

    stage: str
    text: str


@dataclass(frozen=True)
class StageFinished:
    """A stage is built and published at `folder`."""

    stage: str
    seconds: float
    folder: Path


@dataclass(frozen=True)
class RunFinished:
    """The run ended, well or not."""

    seconds: float
    completed: bool


Event = RunStarted | StageStarted | StageAdvanced | StageNoted | StageFinished | RunFinished

_KINDS: Mapping[str, type[Event]] = {
    kind.__name__: kind for kind in (RunStarted, StageStarted, StageAdvanced, StageNoted, StageFinished, RunFinished)
}


def to_plain(event: Event) -> dict[str, Any]:
    """Return an event as JSON knows it: ``{"event": "StageNoted", "stage": ..., "text": ...}``."""
    facts: dict[str, Any] = {"event": type(event).__name__}
    for item in fields(event):
        value = getattr(event, item.name)
        facts[item.name] = str(value) if isinstance(value, Path) else value
    return facts


def from_plain(facts: Mapping[str, Any]) -> Event:
    """Return the event that `to_plain` made plain; raises KeyError or TypeError for anything else."""
    kind = _KINDS[facts["event"]]
    values = {name: value for name, value in facts.items() if name != "event"}
    for item in fields(kind):
        if item.type is Path:
            values[item.name] = Path(values[item.name])
    if kind is RunStarted:
        values["stages"] = tuple(values["stages"])
    return kind(**values)

"""What a run tells its observers, in the order in which it happens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class RunStarted:
    """A run begins; `stages` are the labels of the stages that have to be built, in order."""

    stages: tuple[str, ...]
    reused: int


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

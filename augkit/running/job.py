"""What a stage function is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augkit.contracts.components import Log
from augkit.planning.tasks import DrawMasks, Stage, TrainGenerator, TrainSegmenter

RESUMABLE = (TrainGenerator, DrawMasks, TrainSegmenter)
"""Tasks that find what an interrupted run left in their work folder."""


@dataclass(frozen=True)
class Job:
    """What a stage function is given: a folder to fill, a device, a log, and its inputs' folders and manifests."""

    folder: Path
    device: str
    log: Log
    inputs: Mapping[Stage, Path]
    manifests: Mapping[Stage, Mapping[str, Any]]

    def of_kind(self, kind: str) -> list[Path]:
        """Return the folders of the inputs of one kind, in order."""
        return [folder for stage, folder in self.inputs.items() if stage.address.kind == kind]

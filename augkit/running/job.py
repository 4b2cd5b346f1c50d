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
    """What a stage function is given: the stage, a folder to fill, a device, a log.

    inputs, manifests: the folders of the stage's inputs and what was recorded of each, by the names of `Stage.inputs`.
    """

    stage: Stage
    folder: Path
    device: str
    log: Log
    inputs: Mapping[str, Path]
    manifests: Mapping[str, Mapping[str, Any]]

    def several(self, name: str) -> list[Path]:
        """Return the folders of the inputs ``name 1``, ``name 2`` and so on."""
        return [folder for key, folder in self.inputs.items() if key.rpartition(" ")[0] == name]

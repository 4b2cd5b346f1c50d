"""The components; torch is imported when they train or are opened, not when a recipe is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from augkit import ANYTHING, ImageSet, Synthesizer, Workspace
from augkit_flow.options import DistilledOptions, FlowOptions


@dataclass(frozen=True)
class Flow(FlowOptions):  # noqa: D101 - what it is stands beside its options
    __doc__ = FlowOptions.__doc__
    takes = ANYTHING

    def fit(self, train: ImageSet, space: Workspace) -> None:
        """Train the network on the pairs and keep the average of its weights."""
        from augkit_flow.training import fit

        fit(self, train, space)

    def open(self, folder: Path, device: str) -> Synthesizer:
        """Return the painter."""
        from augkit_flow.painter import open_painter

        return open_painter(folder, self.solver, self.solver_steps, self.guidance, device)


@dataclass(frozen=True)
class DistilledFlow(DistilledOptions):  # noqa: D101 - what it is stands beside its options
    __doc__ = DistilledOptions.__doc__
    takes = ANYTHING

    def fit(self, train: ImageSet, space: Workspace) -> None:
        """Train a flow on the pairs, and on what it paints the student, the average of whose weights is kept."""
        from augkit_flow.distillation import fit

        fit(self, train, space)

    def open(self, folder: Path, device: str) -> Synthesizer:
        """Return the painter."""
        from augkit_flow.painter import open_student

        return open_student(folder, device)

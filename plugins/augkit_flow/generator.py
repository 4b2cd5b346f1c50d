"""The `flow` component; torch is imported when it trains or is opened, not when a recipe is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from augkit import ImageSet, Synthesizer, Workspace
from augkit_flow.options import FlowOptions


@dataclass(frozen=True)
class Flow(FlowOptions):  # noqa: D101 - what it is stands beside its options
    __doc__ = FlowOptions.__doc__

    def fit(self, train: ImageSet, space: Workspace) -> None:
        """Train the network on the pairs and keep the average of its weights."""
        from augkit_flow.training import fit

        fit(self, train, space)

    def open(self, folder: Path, device: str) -> Synthesizer:
        """Return the painter."""
        from augkit_flow.painter import open_painter

        return open_painter(folder, self.solver, self.solver_steps, self.guidance, device)

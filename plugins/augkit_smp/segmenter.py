"""The `smp` component; the package is asked for when a recipe names it, and imported when it trains or is opened."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from augkit import ANYTHING, Augment, ImageSet, Predictor, Workspace
from augkit_smp.options import SmpOptions


@dataclass(frozen=True)
class Smp(SmpOptions):  # noqa: D101 - what it is stands beside its options
    __doc__ = SmpOptions.__doc__
    takes = ANYTHING

    def __post_init__(self) -> None:
        if find_spec("segmentation_models_pytorch") is None:
            raise ValueError("needs segmentation_models.pytorch; pip install 'augkit[smp]'")

    def fit(self, train: ImageSet, validation: ImageSet, augment: Augment, space: Workspace) -> None:
        """Train on augmented batches until the budget is spent and keep the weights; `validation` is not used."""
        from augkit_smp.training import fit

        fit(self, train, augment, space)

    def open(self, folder: Path, device: str) -> Predictor:
        """Return the predictor."""
        from augkit_smp.predictor import open_predictor

        return open_predictor(folder, self.architecture, self.encoder, device)

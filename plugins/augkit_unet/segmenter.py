"""The `unet` component; torch is imported when it trains or is opened, not when a recipe is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from augkit import ANYTHING, Augment, ImageSet, Predictor, Workspace
from augkit_unet.options import UnetOptions


@dataclass(frozen=True)
class Unet(UnetOptions):  # noqa: D101 - what it is stands beside its options
    __doc__ = UnetOptions.__doc__
    takes = ANYTHING

    def fit(self, train: ImageSet, validation: ImageSet, augment: Augment, space: Workspace) -> None:
        """Train on augmented batches until the budget is spent and keep the weights; `validation` is not used."""
        from augkit_unet.training import fit

        fit(self, train, augment, space)

    def open(self, folder: Path, device: str) -> Predictor:
        """Return the predictor."""
        from augkit_unet.predictor import open_predictor

        return open_predictor(folder, self.width, device)

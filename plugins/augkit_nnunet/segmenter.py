"""The `nnunet` component; nnunetv2 is asked for when a recipe names it, and imported when it trains or is opened."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from augkit import ANYTHING, Augment, ImageSet, Predictor, Workspace
from augkit_nnunet.options import NnunetOptions


@dataclass(frozen=True)
class Nnunet(NnunetOptions):  # noqa: D101 - what it is stands beside its options
    __doc__ = NnunetOptions.__doc__
    takes = ANYTHING
    augments_with: ClassVar[str] = "nnU-Net's own augmentation"

    def __post_init__(self) -> None:
        if find_spec("nnunetv2") is None:
            raise ValueError("needs nnunetv2; pip install 'augkit[nnunet]'")

    def fit(self, train: ImageSet, validation: ImageSet, augment: Augment, space: Workspace) -> None:
        """Plan, preprocess and train; `validation` gives the Dice of each epoch, `augment` is never called."""
        from augkit_nnunet.training import fit

        fit(self, train, validation, space)

    def open(self, folder: Path, device: str) -> Predictor:
        """Return the predictor."""
        from augkit_nnunet.predictor import open_predictor

        return open_predictor(folder, self.mirror, device)

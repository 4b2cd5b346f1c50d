"""The `smp` component: options, and where its weights are kept."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from augkit import AtLeast, Augment, ImageSet, Predictor, Workspace

WEIGHTS = "smp.safetensors"


@dataclass(frozen=True)
class Smp:
    """An architecture and encoder of segmentation_models.pytorch, trained with AdamW and a cosine schedule.

    Needs ``pip install 'augkit[smp]'``. Image sides must be multiples of 32.

    architecture: its decoder.
    encoder:    a name from the package's list, such as ``resnet34``, ``efficientnet-b0`` or ``mit_b0``.
    encoder_weights: null starts from random weights; a name such as ``imagenet`` downloads them, and the encoder then
                gets the colours it was trained with instead of those of the training set.
    steps:      optimiser steps, the same in every arm whatever its number of images.
    batch_size: images per step.
    learning_rate: of AdamW at the first step; weight decay is 0.01.
    loss:       binary cross-entropy, alone or with the soft Dice loss added.
    """

    architecture: Literal["unet", "unetplusplus", "fpn", "deeplabv3plus", "segformer"] = "unet"
    encoder: str = "resnet34"
    encoder_weights: str | None = None
    steps: Annotated[int, AtLeast(1)] = 6300
    batch_size: Annotated[int, AtLeast(2)] = 32
    learning_rate: Annotated[float, AtLeast(1e-8)] = 1e-3
    loss: Literal["bce", "bce_dice"] = "bce_dice"

    def __post_init__(self) -> None:
        if find_spec("segmentation_models_pytorch") is None:
            raise ValueError("needs segmentation_models.pytorch; pip install 'augkit[smp]'")

    def fit(self, train: ImageSet, validation: ImageSet, augment: Augment, space: Workspace) -> None:
        """Train on augmented batches for `steps` steps and keep the last weights; `validation` is not used."""
        from augkit_smp.training import fit

        fit(self, train, augment, space, space.folder / WEIGHTS)

    def open(self, folder: Path, device: str) -> Predictor:
        """Return the predictor."""
        from augkit_smp.training import SmpPredictor

        return SmpPredictor(self, folder / WEIGHTS, device)

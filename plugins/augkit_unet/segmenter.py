"""The `unet` component: options, and where its weights are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from augkit import AtLeast, Augment, ImageSet, Predictor, Within, Workspace

WEIGHTS = "unet.safetensors"


@dataclass(frozen=True)
class Unet:
    """U-Net trained from scratch; the defaults are the paper's setting.

    width:      channels at full resolution; 64 is the original network.
    budget:     what ends the training: ``steps``, the same optimiser steps in every arm whatever its number of images,
                or ``epochs``, which gives an arm with more images more steps.
    steps:      optimiser steps of the budget ``steps``.
    epochs:     passes through the training set of the budget ``epochs``, each rounded up to whole batches.
    batch_size: images per step.
    optimizer:  ``sgd`` with momentum 0.9, or ``adamw`` with weight decay 0.01.
    learning_rate: at the first step.
    schedule:   ``constant``, or ``cosine`` from the learning rate to zero.
    loss:       binary cross-entropy, alone or with the soft Dice loss added.
    development: 0 keeps the last step's weights; otherwise this share of the training groups is not trained on, and the
                weights that score best on them (mean Dice, 20 looks) are kept. Evaluation images are never looked at.
                Generators have seen these groups: where there are synthetic images, the choice leans towards them.
    finetune:   share of the steps, the last ones, that see real images only, so that synthetic ones shape the weights
                without having the last word; changes nothing where all images are real.
    reduction:  how several processes add their gradients: ``fast``, or ``ordered``, which cuts every batch into four
                parts and gives the same bits for 1, 2 and 4 processes.
    """

    width: Annotated[int, AtLeast(2)] = 64
    budget: Literal["steps", "epochs"] = "steps"
    steps: Annotated[int, AtLeast(1)] = 6300
    epochs: Annotated[int, AtLeast(1)] = 100
    batch_size: Annotated[int, AtLeast(1)] = 32
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Annotated[float, AtLeast(1e-8)] = 0.01
    schedule: Literal["constant", "cosine"] = "constant"
    loss: Literal["bce", "bce_dice"] = "bce"
    development: Annotated[float, Within(0, 0.5)] = 0.0
    finetune: Annotated[float, Within(0, 0.9)] = 0.0
    reduction: Literal["fast", "ordered"] = "fast"

    def fit(self, train: ImageSet, validation: ImageSet, augment: Augment, space: Workspace) -> None:
        """Train on augmented batches until the budget is spent and keep the weights; `validation` is not used."""
        from augkit_unet.training import fit

        fit(self, train, augment, space, space.folder / WEIGHTS)

    def open(self, folder: Path, device: str) -> Predictor:
        """Return the predictor."""
        from augkit_unet.training import UnetPredictor

        return UnetPredictor(self.width, folder / WEIGHTS, device)

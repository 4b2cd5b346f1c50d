"""The options of the U-Net, and the file of its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from augkit import AtLeast, Frame, Within

Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["constant", "cosine"]
Loss = Literal["bce", "bce_dice"]

WEIGHTS = "unet.safetensors"

DEPTH = 4
"""How often the image is halved; its sides must be multiples of 2**DEPTH."""


@dataclass(frozen=True)
class UnetOptions:
    """U-Net trained from scratch; the defaults are the paper's setting.

    Sides of images must be multiples of 16 pixels.

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
    optimizer: Optimizer = "sgd"
    learning_rate: Annotated[float, AtLeast(1e-8)] = 0.01
    schedule: Schedule = "constant"
    loss: Loss = "bce"
    development: Annotated[float, Within(0, 0.5)] = 0.0
    finetune: Annotated[float, Within(0, 0.9)] = 0.0
    reduction: Literal["fast", "ordered"] = "fast"

    def check_frame(self, frame: Frame) -> None:
        """Refuse images that cannot be halved four times."""
        if frame.height % 2**DEPTH or frame.width % 2**DEPTH:
            raise ValueError(f"found images of {frame}; allowed: sides that are multiples of {2**DEPTH} pixels")

"""The options of segmentation_models.pytorch's networks, and the file of their weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from augkit import AtLeast, Frame

Architecture = Literal["unet", "unetplusplus", "fpn", "deeplabv3plus", "segformer"]

WEIGHTS = "smp.safetensors"

MULTIPLE = 32
"""Sides of an image must be multiples of this many pixels."""


@dataclass(frozen=True)
class SmpOptions:
    """An architecture and encoder of segmentation_models.pytorch, trained with AdamW and a cosine schedule.

    Needs ``pip install 'augkit[smp]'``. Image sides must be multiples of 32.

    architecture: its decoder.
    encoder:    a name from the package's list, such as ``resnet34``, ``efficientnet-b0`` or ``mit_b0``.
    encoder_weights: null starts from random weights; a name such as ``imagenet`` downloads them, which
                ``allow_download`` must allow, and the encoder then gets the colours it was trained with instead of
                those of the training set.
    allow_download: whether this recipe may use the network, for ``encoder_weights``; nothing else of augkit does.
    budget:     what ends the training: ``steps``, the same optimiser steps in every arm whatever its number of images,
                or ``epochs``, which gives an arm with more images more steps.
    steps:      optimiser steps of the budget ``steps``.
    epochs:     passes through the training set of the budget ``epochs``, each rounded up to whole batches.
    batch_size: images per step.
    learning_rate: of AdamW at the first step; weight decay is 0.01.
    loss:       binary cross-entropy, alone or with the soft Dice loss added.
    reduction:  how several processes add their gradients: ``fast``, or ``ordered``, which cuts every batch into four
                parts and gives the same bits for 1, 2 and 4 processes.
    """

    architecture: Architecture = "unet"
    encoder: str = "resnet34"
    encoder_weights: str | None = None
    allow_download: bool = False
    budget: Literal["steps", "epochs"] = "steps"
    steps: Annotated[int, AtLeast(1)] = 6300
    epochs: Annotated[int, AtLeast(1)] = 100
    batch_size: Annotated[int, AtLeast(2)] = 32
    learning_rate: Annotated[float, AtLeast(1e-8)] = 1e-3
    loss: Literal["bce", "bce_dice"] = "bce_dice"
    reduction: Literal["fast", "ordered"] = "fast"

    def __post_init__(self) -> None:
        if self.encoder_weights is not None and not self.allow_download:
            what = f"encoder_weights is {self.encoder_weights}, which is downloaded, and allow_download is false"
            raise ValueError(f"{what}; allowed: encoder_weights: null, or allow_download: true")

    def check_frame(self, frame: Frame) -> None:
        """Refuse images that the encoders cannot halve."""
        if frame.height % MULTIPLE or frame.width % MULTIPLE:
            raise ValueError(f"found images of {frame}; allowed: sides that are multiples of {MULTIPLE} pixels")

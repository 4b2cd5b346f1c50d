"""Presets: `Unet` with every option spelt out, under names of their own. Every option can still be set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from augkit import AtLeast
from augkit_unet.options import Loss, Optimizer, Schedule
from augkit_unet.segmenter import Unet


@dataclass(frozen=True)
class UnetPaper(Unet):
    """The segmenter of the Mask2Lesion paper: mini-batch SGD on batches of 32, for 100 epochs of ISIC 2017.

    The paper names optimiser and batch size; width 64 is the original network's, learning rate 0.01 and momentum 0.9
    are chosen here. 6,300 steps are 100 epochs of ceil(2000 / 32) batches, for every arm alike. Options as for `unet`.
    """

    width: Annotated[int, AtLeast(2)] = 64
    steps: Annotated[int, AtLeast(1)] = 6300
    batch_size: Annotated[int, AtLeast(1)] = 32
    optimizer: Optimizer = "sgd"
    learning_rate: Annotated[float, AtLeast(1e-8)] = 0.01
    schedule: Schedule = "constant"
    loss: Loss = "bce"


@dataclass(frozen=True)
class UnetStrong(Unet):
    """The same network trained better: AdamW from 0.001 to zero along a cosine, soft Dice loss added, twice the steps.

    A source that helps the paper's segmenter and not this one only made up for its training. Goes with images that are
    resized by ``area``. Options as for `unet`.
    """

    width: Annotated[int, AtLeast(2)] = 64
    steps: Annotated[int, AtLeast(1)] = 12600
    batch_size: Annotated[int, AtLeast(1)] = 32
    optimizer: Optimizer = "adamw"
    learning_rate: Annotated[float, AtLeast(1e-8)] = 1e-3
    schedule: Schedule = "cosine"
    loss: Loss = "bce_dice"

"""The options of nnU-Net, and its files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from augkit import AtLeast, Frame, Within

Planner = Literal["standard", "resenc_m", "resenc_l", "resenc_xl"]

WEIGHTS = "nnunet.safetensors"
PLANS = "plans.json"
DATASET = "dataset.json"
FINGERPRINT = "dataset_fingerprint.json"
INFERENCE = "inference.json"

CONFIGURATION = "2d"
"""The only configuration: what recipes feed are pictures and slices."""

SMALLEST = 16
"""Sides of an image have at least this many pixels, or the network has no two resolutions to be supervised at."""


@dataclass(frozen=True)
class NnunetOptions:
    """nnU-Net v2 with its own fingerprint, plans, preprocessing, augmentation, training and inference.

    Needs ``pip install 'augkit[nnunet]'``. It augments as nnU-Net does, so a recipe that also has ``augment`` is
    refused. Its configuration is 2d. Real and synthetic images are trained on together, in patches drawn from all of
    them alike. The defaults are nnU-Net's: 250,000 steps, which are for a GPU.

    planner:    ``standard``, or a residual encoder of nnU-Net's presets M, L and XL.
    plan_from:  what fingerprint and plans are made from: ``real`` images, so that arms with and without synthetic
                ones train the same network on as many images per step, or ``all`` that the arm has.
    epochs:     of `iterations` steps; the learning rate falls from epoch to epoch.
    iterations: optimiser steps of an epoch, whatever the number of images.
    batch_size: images per step; null as planned.
    features:   channels of the network at full resolution; null as planned, which is 32.
    gpu_memory: gigabytes that batch and patch are planned for; null is what the planner is made for.
    workers:    processes that draw and augment batches ahead, for a GPU that would wait; they change no bit.
    mirror:     predict each image in its four mirrored forms, and average, as nnU-Net does.
    """

    planner: Planner = "standard"
    plan_from: Literal["real", "all"] = "real"
    epochs: Annotated[int, AtLeast(1)] = 1000
    iterations: Annotated[int, AtLeast(1)] = 250
    batch_size: Annotated[int, AtLeast(2)] | None = None
    features: Annotated[int, Within(2, 512)] | None = None
    gpu_memory: Annotated[float, AtLeast(0.1)] | None = None
    workers: Annotated[int, Within(0, 64)] = 0
    mirror: bool = True

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self.epochs * self.iterations

    def check_frame(self, frame: Frame) -> None:
        """Refuse images that are too small for its planner."""
        if min(frame.height, frame.width) < SMALLEST:
            raise ValueError(f"found images of {frame}; allowed: sides of {SMALLEST} pixels or more")

"""Presets: `Mask2Lesion` with other defaults, under names of their own. Every option can still be set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from augkit import AtLeast, Within
from augkit_mask2lesion.generator import Mask2Lesion
from augkit_mask2lesion.options import Adversarial, DiffAugment, Dropout, MaskResample, Network, Norm, Upsample


@dataclass(frozen=True)
class Released256(Mask2Lesion):
    """What the command published with Mask2Lesion does, with the defaults of the pix2pix code it calls.

    Instance normalisation, dropout of the PyTorch release, three mask channels; pairs of any size enlarged to 286
    pixels and cropped to 256, masks too, bicubically. Options as for `mask2lesion`.
    """

    norm: Norm = "instance"
    dropout: Dropout = "torch_port"
    mask_channels: Literal[1, 3] = 3
    size: Literal[128, 256] | None = 256
    mask_resample: MaskResample = "bicubic"


@dataclass(frozen=True)
class Fast128(Mask2Lesion):
    """The same model in a sixteenth of the steps: instance normalisation and batches of 16 at 128 pixels.

    With instance normalisation a sample does not depend on its batch, so a larger batch is the same model trained in
    fewer steps with less noise. The learning rate is pix2pix's times the square root of 16, the rule for Adam of
    Malladi et al. 2022 (arXiv:2205.10287) without its changes of the betas. Options as for `mask2lesion`.
    """

    norm: Norm = "instance"
    size: Literal[128, 256] | None = 128
    batch_size: Annotated[int, AtLeast(1)] = 16
    learning_rate: Annotated[float, AtLeast(1e-8)] = 8e-4


@dataclass(frozen=True)
class Spade(Mask2Lesion):
    """Not the paper's: what later work has made of such GANs, for small data sets and varied images.

    A decoder that sees the mask at every scale, style codes, enlargement without grids, hinge loss, feature matching,
    differentiable augmentation, a faster discriminator and an average of weights. Options as for `mask2lesion`.
    """

    norm: Norm = "instance"
    dropout: Dropout = "none"
    patch_layers: Annotated[int, Within(1, 4)] = 2
    batch_size: Annotated[int, AtLeast(1)] = 8
    learning_rate: Annotated[float, AtLeast(1e-8)] = 5e-4
    adversarial: Adversarial = "hinge"
    lambda_l1: Annotated[float, AtLeast(0)] = 10.0
    jitter: bool = False
    network: Network = "spade"
    upsample: Upsample = "nearest"
    style: Annotated[int, Within(0, 256)] = 16
    lambda_kl: Annotated[float, AtLeast(0)] = 0.05
    lambda_features: Annotated[float, AtLeast(0)] = 10.0
    diffaugment: tuple[DiffAugment, ...] = ("translation", "mirror")
    discriminator_rate: Annotated[float, AtLeast(1e-8)] = 2.0
    ema: Annotated[float, Within(0, 0.99999)] = 0.995

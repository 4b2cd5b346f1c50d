"""Networks of segmentation_models.pytorch, with their colours normalised."""

from __future__ import annotations

from typing import cast

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from augkit import Format, InputError, Problem
from augkit.training import logits_for


class NormalisedNetwork(nn.Module):
    """Images in 0..1 -> logits of each pixel; the channels' mean and standard deviation are part of the weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, body: nn.Module, channels: int) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, as many per pixel as `augkit.training.logits_for` says, of images (N, C, H, W) in 0..1."""
        return cast(Tensor, self.body((images - self.mean) / self.std))


def build(architecture: str, encoder: str, encoder_weights: str | None, format: Format) -> NormalisedNetwork:
    """Return the network; `InputError` for an encoder or weights that the package does not know."""
    channels, logits = len(format.channels), logits_for(format)
    try:
        body = smp.create_model(
            architecture, encoder, encoder_weights=encoder_weights, in_channels=channels, classes=logits
        )
    except (KeyError, ValueError) as error:
        what = f"segmentation_models.pytorch cannot build this network: {str(error).strip(chr(34))[:300]}"
        raise InputError(
            Problem("smp", what, "Correct the options architecture, encoder and encoder_weights")
        ) from error
    return NormalisedNetwork(body, channels)

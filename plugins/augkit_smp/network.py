"""Networks of segmentation_models.pytorch, with their colours normalised."""

from __future__ import annotations

from typing import cast

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from augkit import InputError, Problem


class NormalisedNetwork(nn.Module):
    """RGB in 0..1 -> one logit per pixel; the colours' mean and standard deviation are part of the weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.register_buffer("std", torch.ones(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 1, H, W) for images (N, 3, H, W) in 0..1."""
        return cast(Tensor, self.body((images - self.mean) / self.std))


def build(architecture: str, encoder: str, encoder_weights: str | None) -> NormalisedNetwork:
    """Return the network; `InputError` for an encoder or weights that the package does not know."""
    try:
        body = smp.create_model(architecture, encoder, encoder_weights=encoder_weights, in_channels=3, classes=1)
    except (KeyError, ValueError) as error:
        what = f"segmentation_models.pytorch cannot build this network: {str(error).strip(chr(34))[:300]}"
        raise InputError(
            Problem("smp", what, "Correct the options architecture, encoder and encoder_weights")
        ) from error
    return NormalisedNetwork(body)

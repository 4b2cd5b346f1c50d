"""U-Net (Ronneberger, Fischer & Brox 2015, arXiv:1505.04597), same-padded and batch-normalised."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from augkit import Format
from augkit.training import logits_for
from augkit_unet.options import DEPTH


class UnetNetwork(nn.Module):
    """Images in 0..1 -> logits of each pixel: (N, C, H, W) -> (N, 1, H, W), or (N, K + 1, H, W) for K > 1 classes.

    `width` channels at full resolution, doubled at each of four halvings. Colours are normalised by the training
    set's per-channel mean and standard deviation, which are part of the weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, format: Format) -> None:
        super().__init__()
        channels = len(format.channels)
        widths = [width * 2**level for level in range(DEPTH + 1)]
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))
        self.down = nn.ModuleList(_double(i, o) for i, o in zip([channels, *widths[:-1]], widths, strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1]))
        self.merge = nn.ModuleList(_double(2 * w, w) for w in reversed(widths[:-1]))
        self.head = nn.Conv2d(width, logits_for(format), 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of images (N, C, H, W) in 0..1."""
        x = (images - self.mean) / self.std
        skips = []
        for level, block in enumerate(self.down):
            x = block(nn.functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for up, merge, skip in zip(self.up, self.merge, reversed(skips[:-1]), strict=True):
            x = merge(torch.cat([skip, _enlarged(x, up)], dim=1))
        return cast(Tensor, self.head(x))


def _enlarged(x: Tensor, up: nn.Module) -> Tensor:
    """Return ``up(x)`` for a transposed 2x2 convolution of stride 2: (N, C, H, W) -> (N, C / 2, 2 H, 2 W).

    Its outputs do not overlap, so it is one matrix product per pixel. Where the channels of a pixel lie together, a CPU
    does that in half the time of the convolution; the values are the same.
    """
    if not (x.is_cpu and x.is_contiguous(memory_format=torch.channels_last)):
        return cast(Tensor, up(x))
    n, inputs, height, width = x.shape
    weight, bias = cast(Tensor, up.weight), cast(Tensor, up.bias)
    outputs = weight.shape[1]
    flat = weight.permute(2, 3, 1, 0).reshape(4 * outputs, inputs)
    pixels = nn.functional.linear(x.permute(0, 2, 3, 1).reshape(-1, inputs), flat, bias.repeat(4))
    quads = pixels.view(n, height, width, 2, 2, outputs).transpose(2, 3)
    return quads.reshape(n, 2 * height, 2 * width, outputs).permute(0, 3, 1, 2)


def _double(inputs: int, outputs: int) -> nn.Sequential:
    """Return two 3x3 convolutions, each with batch normalisation and ReLU.

    They have no bias, which the normalisation would take away again: a sixth of a GPU's step went into adding biases
    and summing their gradients.
    """
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )

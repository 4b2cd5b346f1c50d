"""Two convolutions that pix2pix does not have: one that enlarges without a grid, and one of bounded gain."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, normalize, pad

from augkit_mask2lesion.options import Upsample

_FIRST_ROUNDS = 10


def enlarging(how: Upsample, inputs: int, outputs: int, bias: bool) -> nn.Module:
    """Return the layer (N, inputs, h, w) -> (N, outputs, 2 h, 2 w)."""
    if how == "nearest":
        return ResizeConv2d(inputs, outputs, bias)
    return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=bias)


class ResizeConv2d(nn.Conv2d):
    """Every pixel fourfold (nearest neighbour), then a 3x3 convolution (Odena et al. 2016, distill.pub 00003).

    Four equal pixels in a 3x3 window need two products and not three per direction, so both together are one
    transposed convolution whose 4x4 filters are sums of the 3x3 ones: the same numbers, two to four times as fast on a
    CPU.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """Return (N, outputs, 2 h, 2 w) for (N, inputs, h, w)."""
        wide = pad(self.weight.flip(2, 3), (1, 1, 1, 1))
        tall = wide[:, :, 1:] + wide[:, :, :-1]
        filters = tall[..., 1:] + tall[..., :-1]
        return conv_transpose2d(input, filters.transpose(0, 1), self.bias, stride=2, padding=1)


class SpectralConv2d(nn.Conv2d):
    """A convolution divided by the largest singular value of its filters, read as a matrix (Miyato et al. 2018).

    The singular vectors change by `renew` alone and not with every forward pass as in torch, so that they do not tell
    into how many parts a batch was cut.
    """

    left: Tensor
    right: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding, bias=bias)
        self.register_buffer("left", normalize(nn.init.normal_(torch.empty(outputs)), dim=0))
        self.register_buffer("right", torch.zeros(self.weight[0].numel()))
        for _ in range(_FIRST_ROUNDS):
            self.renew()

    @torch.no_grad()
    def renew(self) -> None:
        """Move the singular vectors nearer to those of the filters: one round of the power iteration."""
        matrix = self.weight.flatten(1)
        self.right.copy_(normalize(matrix.T @ self.left, dim=0))
        self.left.copy_(normalize(matrix @ self.right, dim=0))

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution with filters of spectral norm 1."""
        largest = (self.left[:, None] * self.weight.flatten(1) * self.right).sum()
        return cast(Tensor, self._conv_forward(input, self.weight / largest, self.bias))


def renew_spectra(network: nn.Module) -> None:
    """Renew the singular vectors of all spectral convolutions; once per step."""
    for module in network.modules():
        if isinstance(module, SpectralConv2d):
            module.renew()


def convolution(spectral: bool) -> type[nn.Conv2d]:
    """Return the class of a network's convolutions."""
    return cast(type[nn.Conv2d], SpectralConv2d) if spectral else nn.Conv2d

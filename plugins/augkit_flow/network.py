"""The velocity network: a U-Net on 2x2 patches with time, mask and one layer of attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, layer_norm, pixel_shuffle, pixel_unshuffle, silu

from augkit import Format
from augkit_flow.spectrum import Spectrum

PATCH = 2
_GROUPS = 8
_FREQUENCIES = 32

Norm = Callable[[int], nn.Module]
"""Builds the normalisation of so many channels."""


class MaskedUnet(nn.Module):
    """A U-Net on patches of `PATCH` pixels, of what is seen and a code that scales and shifts in every block."""

    def __init__(self, width: int, size: tuple[int, int], format: Format, encoder: nn.Module, norm: Norm) -> None:
        """`size`: height and width of the images. `encoder`: returns codes, (N, 4 width). `norm`: builds a
        normalisation.
        """
        super().__init__()
        self.spectrum = Spectrum(*size, format)
        channels = len(format.channels)
        widths = [width, 2 * width, 4 * width, 4 * width]
        code = 4 * width
        self.encoder = encoder
        seen = 2 * channels + masks_of(format)
        self.stem = nn.Conv2d(seen * PATCH**2, width, 3, padding=1)
        inputs = [width, *widths[:-1]]
        self.down = nn.ModuleList(Block(i, o, code, norm) for i, o in zip(inputs, widths, strict=True))
        middle = [Block(code, code, code, norm), Attention(code, norm), Block(code, code, code, norm)]
        self.middle = nn.ModuleList(middle)
        above = [*widths[1:], widths[-1]]
        self.up = nn.ModuleList(Block(a + w, w, code, norm) for a, w in reversed([*zip(above, widths, strict=True)]))
        self.norm = norm(width)
        self.head = nn.Conv2d(width, channels * PATCH**2, 3, padding=1)
        _start_at_zero(self.head)

    def _correct(self, seen: Tensor, code: Tensor) -> Tensor:
        """Return (N, C, H, W), zero before training, of what is seen, (N, 2 C + K, H, W), and (N, 4 width)."""
        x = self.stem(pixel_unshuffle(seen, PATCH).contiguous(memory_format=torch.channels_last))
        skips = []
        for level, block in enumerate(self.down):
            x = block(avg_pool2d(x, 2) if level else x, code)
            skips.append(x)
        first, attention, second = self.middle
        x = second(attention(first(x, code)), code)
        for level, block in enumerate(self.up):
            x = block(torch.cat([interpolate(x, scale_factor=2) if level else x, skips.pop()], dim=1), code)
        return pixel_shuffle(self.head(silu(self.norm(x))), PATCH)


class FlowNetwork(MaskedUnet):
    """(x_t, masks, t) -> velocity: (N, C, H, W), (N, K, H, W) in {-1, 1} or 0 where hidden, (N, 1, 1, 1) -> as x_t.

    It sees x_t and the linear guess of the image, and adds to the linear guess of the velocity; see `Spectrum`. It is
    told how much of the frame each mask covers: of a mask that fills the frame a group norm leaves little.
    """

    def __init__(self, width: int, size: tuple[int, int], format: Format) -> None:
        code = 4 * width
        encoder = nn.Sequential(nn.Linear(2 * _FREQUENCIES, code), nn.SiLU(), nn.Linear(code, code), nn.SiLU())
        super().__init__(width, size, format, encoder, _group_norm)
        self.area = nn.Linear(masks_of(format), code)
        _start_at_zero(self.area)

    def forward(self, x: Tensor, masks: Tensor, times: Tensor) -> Tensor:
        """Return the velocity, float32; `times` (N, 1, 1, 1) in 0..1, or (1, 1, 1, 1) for all."""
        with torch.autocast(x.device.type, enabled=False):
            image, velocity, deviation = self.spectrum.guess(x, times)
        seen = torch.cat([x * (times**2 + (1 - times) ** 2).rsqrt(), image, masks], dim=1)
        # One time for all is encoded once: the rows of a matrix product need not agree in their last bits.
        code = self.encoder(_waves(times.view(-1))).expand(len(x), -1) + self.area(masks.mean((2, 3)))
        return velocity + deviation * self._correct(seen, code).float()


class StudentNetwork(MaskedUnet):
    """(noise, masks) -> images, at once: (N, C, H, W), (N, K, H, W) in {-1, 1} -> as the noise.

    It sees the noise and what the flow would make of it were images Gaussian, and adds to the latter; see
    `Spectrum.colour`. It is told how much of the frame each mask covers.
    """

    def __init__(self, width: int, size: tuple[int, int], format: Format) -> None:
        super().__init__(width, size, format, nn.Linear(masks_of(format), 4 * width), ChannelNorm)

    def forward(self, noise: Tensor, masks: Tensor) -> Tensor:
        """Return images, float32, in the coordinates of `Spectrum.normalise`."""
        with torch.autocast(noise.device.type, enabled=False):
            image = self.spectrum.colour(noise)
        seen = torch.cat([noise, image, masks], dim=1)
        return image + self._correct(seen, self.encoder(masks.mean((2, 3)))).float()


class Block(nn.Module):
    """Residual block of two 3x3 convolutions; time scales and shifts the second normalisation."""

    def __init__(self, inputs: int, outputs: int, code: int, norm: Norm) -> None:
        super().__init__()
        self.norm_1 = norm(inputs)
        self.convolve_1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulate = nn.Linear(code, 2 * outputs)
        self.norm_2 = norm(outputs)
        self.convolve_2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        _start_at_zero(self.convolve_2)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """Return (N, outputs, h, w) for (N, inputs, h, w)."""
        y = self.convolve_1(silu(self.norm_1(x)))
        scale, shift = self.modulate(code)[:, :, None, None].chunk(2, dim=1)
        y = self.convolve_2(silu(self.norm_2(y) * (1 + scale) + shift))
        return cast(Tensor, self.skip(x) + y)


class Attention(nn.Module):
    """Every place of the coarsest grid looks at every other, so that colours agree over the whole image."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.project = nn.Conv2d(channels, 3 * channels, 1)
        self.merge = nn.Conv2d(channels, channels, 1)
        _start_at_zero(self.merge)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, h, w) for (N, C, h, w)."""
        query, key, value = self.project(self.norm(x)).flatten(2).chunk(3, dim=1)
        weights = torch.softmax(query.transpose(1, 2) @ key * query.shape[1] ** -0.5, dim=2)
        return cast(Tensor, x + self.merge((value @ weights.transpose(1, 2).to(value.dtype)).reshape(x.shape)))


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each place (Ba et al. 2016, arXiv:1607.06450), as ConvNeXt has it.

    A mask that fills the frame is the same everywhere, and of what is the same everywhere a group norm, whose mean and
    spread are those of the image, leaves little.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, h, w) for (N, C, h, w)."""
        return layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias).permute(0, 3, 1, 2)


def _waves(times: Tensor) -> Tensor:
    """Return cosines and sines, (N, 2 F), of times (N,)."""
    frequencies = torch.exp(torch.arange(_FREQUENCIES, device=times.device) * (math.log(1000) / _FREQUENCIES))
    angles = times[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def masks_of(format: Format) -> int:
    """Return how many masks say what an image shows: one a class, and the background's where pixels may be ignored."""
    return len(format.classes) + format.ignore


def _group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(_GROUPS, channels)


def _start_at_zero(layer: nn.Conv2d | nn.Linear) -> None:
    """Let a layer add nothing before training, so that a block begins as the identity."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)

"""The velocity network: a U-Net on 2x2 patches with time, mask and one layer of attention."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pixel_shuffle, pixel_unshuffle, silu

from augkit_flow.spectrum import Spectrum

PATCH = 2
_GROUPS = 8
_FREQUENCIES = 32


class FlowNetwork(nn.Module):
    """(x_t, mask, t) -> velocity: (N, 3, H, W), (N, 1, H, W) in {-1, 1} or 0 where hidden, (N, 1, 1, 1) -> as x_t.

    It sees x_t and the linear guess of the image, and adds to the linear guess of the velocity; see `Spectrum`.
    """

    def __init__(self, width: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.spectrum = Spectrum(*size)
        widths = [width, 2 * width, 4 * width, 4 * width]
        code = 4 * width
        self.time = nn.Sequential(nn.Linear(2 * _FREQUENCIES, code), nn.SiLU(), nn.Linear(code, code), nn.SiLU())
        self.stem = nn.Conv2d(7 * PATCH**2, width, 3, padding=1)
        inputs = [width, *widths[:-1]]
        self.down = nn.ModuleList(Block(i, o, code) for i, o in zip(inputs, widths, strict=True))
        self.middle = nn.ModuleList([Block(code, code, code), Attention(code), Block(code, code, code)])
        above = [*widths[1:], widths[-1]]
        self.up = nn.ModuleList(Block(a + w, w, code) for a, w in reversed([*zip(above, widths, strict=True)]))
        self.norm = nn.GroupNorm(_GROUPS, width)
        self.head = nn.Conv2d(width, 3 * PATCH**2, 3, padding=1)
        _start_at_zero(self.head)

    def forward(self, x: Tensor, masks: Tensor, times: Tensor) -> Tensor:
        """Return the velocity, float32; `times` (N, 1, 1, 1) in 0..1, or (1, 1, 1, 1) for all."""
        with torch.autocast(x.device.type, enabled=False):
            image, velocity, deviation = self.spectrum.guess(x, times)
        seen = torch.cat([x * (times**2 + (1 - times) ** 2).rsqrt(), image, masks], dim=1)
        # One time for all is encoded once: the rows of a matrix product need not agree in their last bits.
        code = self._encode(times.view(-1)).expand(len(x), -1)
        return velocity + deviation * self._correct(seen, code).float()

    def _correct(self, seen: Tensor, code: Tensor) -> Tensor:
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

    def _encode(self, times: Tensor) -> Tensor:
        """Return the code (N, 4 width) of times (N,)."""
        frequencies = torch.exp(torch.arange(_FREQUENCIES, device=times.device) * (math.log(1000) / _FREQUENCIES))
        angles = times[:, None] * frequencies
        return cast(Tensor, self.time(torch.cat([angles.cos(), angles.sin()], dim=1)))


class Block(nn.Module):
    """Residual block of two 3x3 convolutions; time scales and shifts the second normalisation."""

    def __init__(self, inputs: int, outputs: int, code: int) -> None:
        super().__init__()
        self.norm_1 = nn.GroupNorm(_GROUPS, inputs)
        self.convolve_1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulate = nn.Linear(code, 2 * outputs)
        self.norm_2 = nn.GroupNorm(_GROUPS, outputs)
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

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_GROUPS, channels)
        self.project = nn.Conv2d(channels, 3 * channels, 1)
        self.merge = nn.Conv2d(channels, channels, 1)
        _start_at_zero(self.merge)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, h, w) for (N, C, h, w)."""
        query, key, value = self.project(self.norm(x)).flatten(2).chunk(3, dim=1)
        weights = torch.softmax(query.transpose(1, 2) @ key * query.shape[1] ** -0.5, dim=2)
        return cast(Tensor, x + self.merge((value @ weights.transpose(1, 2).to(value.dtype)).reshape(x.shape)))


def _start_at_zero(layer: nn.Conv2d) -> None:
    """Let a block begin as the identity."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)

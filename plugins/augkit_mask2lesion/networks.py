"""The networks of pix2pix (Isola et al. 2017, arXiv:1611.07004): U-Net generator and PatchGAN discriminator.

Every convolution has 4x4 filters. There is no normalisation in the first and innermost encoder blocks, the last decoder
block, and the first and last discriminator layers, and no dropout in encoder and discriminator.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from augkit import TensorDraws
from augkit_mask2lesion.convolutions import convolution, enlarging
from augkit_mask2lesion.options import Dropout, Norm, Upsample

SLOPE = 0.2
_EPS = 1e-5
_PLANE = (2, 3)
_WORD = 64


class UnetGenerator(nn.Module):
    """Masks in {-1, 1} -> image in -1..1: (N, conditions, S, S) -> (N, channels, S, S), S = 2**downs.

    Noise is dropout of 0.5, as in the paper, and stays on at synthesis: each sample's dropout comes from its draws.
    """

    def __init__(
        self,
        size: int,
        width: int,
        norm: Norm,
        conditions: int,
        dropout: Dropout = "lua",
        upsample: Upsample = "transposed",
        channels: int = 3,
    ) -> None:
        super().__init__()
        downs = size.bit_length() - 1
        widths = [width * min(2**level, 8) for level in range(downs)]
        bias = norm != "batch"
        inputs = [conditions, *widths[:-1]]
        self.down = nn.ModuleList(nn.Conv2d(i, o, 4, 2, 1, bias=bias) for i, o in zip(inputs, widths, strict=True))
        self.down_norm = nn.ModuleList(
            _norm(norm, w) if 0 < level < downs - 1 else nn.Identity() for level, w in enumerate(widths)
        )
        outputs = [*reversed(widths[:-1]), channels]
        joined = [widths[-1], *(2 * w for w in outputs[:-1])]
        self.up = nn.ModuleList(
            enlarging(upsample, i, o, bias=bias or level == downs - 1)
            for level, (i, o) in enumerate(zip(joined, outputs, strict=True))
        )
        self.up_norm = nn.ModuleList(_norm(norm, w) for w in outputs[:-1])
        self._noisy = dropout_blocks(dropout, downs)

    def forward(self, masks: Tensor, draws: TensorDraws) -> Tensor:
        """Return images in -1..1; `draws` are those of the N samples."""
        x, skips = masks, []
        for level, (convolve, norm) in enumerate(zip(self.down, self.down_norm, strict=True)):
            x = norm(convolve(nn.functional.leaky_relu(x, SLOPE) if level else x))
            skips.append(x)
        skips.pop()
        for level, up in enumerate(self.up):
            x = up(nn.functional.relu(x))
            if level < len(self.up_norm):
                x = self.up_norm[level](x)
                x = _dropout(x, draws, f"dropout {level}") if level in self._noisy else x
                x = torch.cat([x, skips.pop()], dim=1)
        return torch.tanh(x)


def dropout_blocks(dropout: Dropout, downs: int) -> range:
    """Return the decoder blocks with dropout, counted from the innermost, of a U-Net with `downs` halvings.

    lua: the three innermost. torch_port: none in the innermost, then ``downs - 5`` blocks; so none at all at 32 pixels.
    """
    return {"lua": range(3), "torch_port": range(1, downs - 4), "none": range(0)}[dropout]


class PatchDiscriminator(nn.Module):
    """(masks, image) -> one logit per patch: (N, conditions + channels, S, S) -> (N, 1, P, P), P = S / 2**layers - 2.

    With 1, 2, 3, 4 `layers` each logit sees 16, 34, 70, 142 pixels.
    """

    def __init__(
        self, width: int, layers: int, norm: Norm, conditions: int, spectral: bool = False, channels: int = 3
    ) -> None:
        super().__init__()
        bias = norm != "batch"
        layer = convolution(spectral)
        blocks: list[nn.Module] = [layer(conditions + channels, width, 4, 2, 1), nn.LeakyReLU(SLOPE)]
        for level in range(1, layers + 1):
            inputs, outputs = (width * min(2**n, 8) for n in (level - 1, level))
            stride = 2 if level < layers else 1
            blocks += [layer(inputs, outputs, 4, stride, 1, bias=bias), _norm(norm, outputs), nn.LeakyReLU(SLOPE)]
        blocks.append(layer(width * min(2**layers, 8), 1, 4, 1, 1))
        self.layers = nn.Sequential(*blocks)

    def forward(self, masks: Tensor, images: Tensor) -> Tensor:
        """Return logits; above zero means real."""
        return self.judge(torch.cat([masks, images], dim=1))

    def judge(self, pairs: Tensor, features: list[Tensor] | None = None) -> Tensor:
        """Return the logits of mask and image in one tensor; add what every layer before them finds to `features`."""
        x = pairs
        for layer in self.layers:
            x = layer(x)
            if features is not None and isinstance(layer, nn.LeakyReLU):
                features.append(x)
        return x


class SampleNorm(nn.BatchNorm2d):
    """Batch normalisation that, outside training, normalises each sample by its own statistics.

    pix2pix synthesises with the statistics of the test batch, which it takes at batch size 1 (instance
    normalisation with a learnt affine part); so an image must not depend on its neighbours in a batch.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=_EPS, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise over the batch while training, over each sample otherwise."""
        return super().forward(x) if self.training else normalise_each(x, self.weight, self.bias)


class InstanceNorm(nn.Module):
    """Normalisation of each sample by its own statistics, without weights."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x with mean 0 and variance 1 over each sample's channel."""
        return normalise_each(x, None, None)


def normalise_each(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Return instance normalisation of (N, C, H, W).

    On a CPU, torch's own leaves the channels-last layout, and batch normalisation of single samples, which does not, is
    up to five times faster. It sums less carefully (errors of 1e-5), so it is for training and for bfloat16. On a GPU
    torch's leaves that layout, too, and every convolution after it has to turn its input round again.
    """
    if x.is_cuda and weight is None and bias is None:
        return cast(Tensor, EachNormalised.apply(x)[0])  # type: ignore[no-untyped-call]
    if x.is_cpu and (x.requires_grad or x.dtype == torch.bfloat16):
        single = torch.split(x, 1)
        return torch.cat([nn.functional.batch_norm(one, None, None, weight, bias, True, eps=_EPS) for one in single])
    return nn.functional.instance_norm(x, weight=weight, bias=bias, eps=_EPS)


class EachNormalised(torch.autograd.Function):
    """Instance normalisation without weights, out of sums and products that leave (N, C, H, W) in its layout.

    Sums are at least float32. Of y = (x - mean) / deviation the gradient is (g - mean(g) - y mean(g y)) / deviation,
    means being those of a sample's channel. It can be differentiated twice, as a gradient penalty does; for that alone
    1 / deviation is returned, too.
    """

    @staticmethod
    def forward(context: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return y and 1 / deviation, (N, C, 1, 1)."""
        exact = torch.promote_types(x.dtype, torch.float32)
        with torch.autocast(x.device.type, enabled=False):
            mean = x.mean(_PLANE, keepdim=True, dtype=exact)
            length = torch.linalg.vector_norm(x, 2, _PLANE, keepdim=True, dtype=exact)
            variance = torch.addcmul(length.square() / x[0, 0].numel(), mean, mean, value=-1)
            scale = torch.rsqrt(variance.clamp(min=0) + _EPS)
            y = torch.addcmul(-mean * scale, x, scale, out=torch.empty_like(x))  # without a copy in float32
        context.save_for_backward(y, scale)
        context.set_materialize_grads(False)
        return y, scale

    @staticmethod
    def backward(context: Any, along_y: Tensor | None, along_scale: Tensor | None) -> Tensor | None:
        """Return the gradient of x."""
        y, scale = context.saved_tensors
        found: Tensor | None = None
        if along_y is not None:
            mean = along_y.mean(_PLANE, keepdim=True, dtype=scale.dtype)
            common = (along_y * y).mean(_PLANE, keepdim=True, dtype=scale.dtype)
            found = (along_y - torch.addcmul(mean, y, common)).mul(scale)
        if along_scale is not None:
            of_scale = along_scale * scale.square() * y / -y[0, 0].numel()
            found = of_scale if found is None else found + of_scale
        return None if found is None else found.to(y.dtype)


def initialise(network: nn.Module) -> None:
    """Set convolutions to N(0, 0.02) with bias 0 and norm scales to N(1, 0.02), as pix2pix does."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)


def _norm(kind: Norm, channels: int) -> nn.Module:
    if kind == "batch":
        return SampleNorm(channels)
    return InstanceNorm() if kind == "instance" else nn.Identity()


def _dropout(x: Tensor, draws: TensorDraws, name: str) -> Tensor:
    """Return x with half of its elements set to 0 and the others doubled; 64 coins come out of one drawn number."""
    channels, height, width = x.shape[1:]
    count = channels * height * width
    words = draws.bits(name, shape=(-(-count // _WORD),))
    coins = words.view(torch.uint8)[..., None] >> torch.arange(8, dtype=torch.uint8, device=x.device)
    factors = ((coins & 1) << 1).view(len(x), -1)[:, :count].to(x.dtype)
    return x * factors.view(len(x), height, width, channels).permute(0, 3, 1, 2)

"""A generator that sees the mask at every scale and takes its colours and lights from a style code.

A decoder grows 4x4 pixels to S x S. Each block enlarges, convolves, normalises, and is then scaled and shifted by the
mask at its own size, so that no normalisation washes the mask away (spatially-adaptive normalisation; Park et al. 2019,
arXiv:1903.07291), and by the style code (Perez et al. 2018, arXiv:1709.07871). The code is what an encoder finds in an
image: a Gaussian of `style` dimensions, as in a variational autoencoder (Kingma & Welling 2014, arXiv:1312.6114).
"""

from __future__ import annotations

import itertools
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, group_norm, leaky_relu

from augkit import TensorDraws
from augkit_mask2lesion.convolutions import enlarging
from augkit_mask2lesion.networks import SLOPE
from augkit_mask2lesion.options import StyleFrom, Upsample

START = 4
"""Side of the smallest map."""

_LEAST_LOG, _MOST_LOG = -10.0, 4.0


class SpadeDecoder(nn.Module):
    """Masks in -1..1, style code -> image in -1..1: (N, conditions, S, S), (N, style) -> (N, channels, S, S)."""

    def __init__(
        self, size: int, width: int, conditions: int, style: int, upsample: Upsample, channels: int = 3
    ) -> None:
        super().__init__()
        doublings = (size // START).bit_length() - 1
        widths = [width * min(2**level, 8) for level in range(doublings, -1, -1)]
        self.start = nn.Parameter(nn.init.normal_(torch.empty(widths[0], START, START)))
        self.first = Modulation(widths[0], conditions, style)
        self.blocks = nn.ModuleList(
            SpadeBlock(i, o, conditions, style, upsample) for i, o in itertools.pairwise(widths)
        )
        self.head = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, masks: Tensor, codes: Tensor, draws: TensorDraws) -> Tensor:
        """Return images in -1..1; `draws` are those of the N samples."""
        sizes = [masks]
        while sizes[-1].shape[2] > START:
            sizes.append(avg_pool2d(sizes[-1], 2))
        scales = [torch.cat([mask, _noise(draws, mask)], dim=1) for mask in sizes]
        x = self.start.expand(len(masks), -1, -1, -1)
        x = self.first(x, scales.pop(), codes)
        for block in self.blocks:
            x = block(x, scales.pop(), codes)
        return torch.tanh(self.head(x))


class SpadeBlock(nn.Module):
    """(N, inputs, h, w) -> (N, outputs, 2 h, 2 w)."""

    def __init__(self, inputs: int, outputs: int, conditions: int, style: int, upsample: Upsample) -> None:
        super().__init__()
        self.enlarge = enlarging(upsample, inputs, outputs, bias=False)
        self.modulate = Modulation(outputs, conditions, style)

    def forward(self, x: Tensor, masks: Tensor, codes: Tensor) -> Tensor:
        """`masks` have the size of what is returned."""
        return cast(Tensor, self.modulate(self.enlarge(x), masks, codes))


class Modulation(nn.Module):
    """Normalisation of each sample, scaled and shifted by mask and code, and a leaky ReLU.

    One group of all channels: normalising each channel by itself took a CPU four times as long, and what it takes away,
    how bright a channel is on the whole, is what colours are made of.
    """

    def __init__(self, channels: int, conditions: int, style: int) -> None:
        super().__init__()
        self.by_mask = nn.Conv2d(conditions + 1, 2 * channels, 3, padding=1)
        by_code = torch.empty(2 * channels, style)
        self.by_code = nn.Parameter(nn.init.normal_(by_code, 0, 0.1)) if style else None
        with torch.no_grad():
            assert self.by_mask.bias is not None
            self.by_mask.bias[:channels] = 1

    def forward(self, x: Tensor, masks: Tensor, codes: Tensor) -> Tensor:
        """Return (N, C, h, w) for x (N, C, h, w), masks (N, conditions, h, w), codes (N, style)."""
        factors = self.by_mask(masks)
        if self.by_code is not None:
            factors = factors + linear(codes, self.by_code)[:, :, None, None].to(factors.dtype)
        scale, shift = factors.chunk(2, dim=1)
        return leaky_relu(torch.addcmul(shift, group_norm(x, 1).to(shift.dtype), scale), SLOPE)


class StyleEncoder(nn.Module):
    """(image, mask), both in -1..1 -> mean and logarithm of the variance of a code: (N, style) each."""

    def __init__(self, size: int, width: int, inputs: int, style: int) -> None:
        super().__init__()
        halvings = (size // START).bit_length() - 2
        widths = [inputs, *(width * min(2**level, 8) for level in range(halvings))]
        self.layers = nn.ModuleList(nn.Conv2d(i, o, 4, 2, 1) for i, o in itertools.pairwise(widths))
        self.head = nn.Conv2d(widths[-1], 2 * style, START)

    def forward(self, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Fine detail is no part of a style, so it looks at half the size."""
        x = avg_pool2d(torch.cat([images, masks], dim=1), 2)
        for layer in self.layers:
            x = leaky_relu(layer(x), SLOPE)
        mean, log_variance = self.head(x).float().flatten(1).chunk(2, dim=1)
        return mean, log_variance.clamp(_LEAST_LOG, _MOST_LOG)


def _noise(draws: TensorDraws, like: Tensor) -> Tensor:
    """Return standard normal noise (N, 1, h, w) of the size of `like`."""
    side = like.shape[2]
    return draws.field(f"noise {side}", (1, side, side)).to(like.dtype)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """Return x @ weight.T as sums of their own: a row of a matrix product may depend on its place in a batch."""
    return (x[:, None, :] * weight).sum(2)


class SpadeGenerator(nn.Module):
    """What paints after training: a decoder, and the style codes of the images it was trained on.

    styles: float32 (M, 2, style), mean and standard deviation of each image's code; a buffer, so part of the weights.
    """

    styles: Tensor

    def __init__(self, decoder: SpadeDecoder, styles: Tensor, style_from: StyleFrom) -> None:
        super().__init__()
        self.decoder = decoder
        self.register_buffer("styles", styles)
        self._style_from = style_from

    def forward(self, masks: Tensor, draws: TensorDraws) -> Tensor:
        """Return images in -1..1; the code of each is drawn from its sample's key."""
        return cast(Tensor, self.decoder(masks, self._codes(draws), draws))

    def _codes(self, draws: TensorDraws) -> Tensor:
        """Return float32 (N, style): those of training images drawn at random, or the prior's."""
        count, _, style = self.styles.shape
        if not style:
            return torch.zeros(len(draws), 0, device=self.styles.device)
        codes = draws.normal("style", shape=(style,))
        if self._style_from == "training":
            mean, deviation = self.styles[draws.integers("style of image", 0, count)].unbind(1)
            codes = mean + deviation * codes
        return codes


class StyleTransfer(nn.Module):
    """Encoder and decoder in training: half of a batch is painted anew with its own styles, half with those of others.

    Its own style lets an image be compared with what it should be; a style from elsewhere, which is what painting
    needs, only the discriminator can judge.
    """

    def __init__(
        self, size: int, width: int, conditions: int, style: int, upsample: Upsample, channels: int = 3
    ) -> None:
        super().__init__()
        self.decoder = SpadeDecoder(size, width, conditions, style, upsample, channels)
        self.encoder = StyleEncoder(size, width, conditions + channels, style)

    def forward(self, images: Tensor, masks: Tensor, draws: TensorDraws) -> tuple[Tensor, Tensor]:
        """Return images in -1..1, painted for all masks, and the codes' divergence from the prior, (owned(N),).

        The first `owned(N)` have their own styles, and the others the styles of these.
        """
        own = owned(len(images))
        mean, log_variance = self.encoder(images[:own], masks[:own])
        codes = mean + (0.5 * log_variance).exp() * draws.normal("style", shape=(mean.shape[1],))[:own]
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        return self.decoder(masks, torch.cat([codes, codes[: len(images) - own]]), draws), divergence

    @torch.no_grad()
    def styles(self, images: Tensor, masks: Tensor) -> Tensor:
        """Return float32 (N, 2, style): mean and standard deviation of the images' codes."""
        mean, log_variance = self.encoder(images, masks)
        return torch.stack([mean, (0.5 * log_variance).exp()], dim=1)


def owned(count: int) -> int:
    """Return how many of a batch are painted with their own styles: one half, rounded up."""
    return (count + 1) // 2

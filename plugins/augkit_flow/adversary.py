"""A discriminator beside the energy score: it sees what the score is blind to, and its features are scored, too.

Scores of patches leave what is long and thin, such as hairs, to chance. A discriminator learns what tells draws from
images (Goodfellow et al. 2014, arXiv:1406.2661), and the energy score is taken of what its layers find as well as of
pixels, so that draws of one mask stay as different as images are (Bellemare et al. 2017, arXiv:1705.10743).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, leaky_relu, softplus

from augkit import Format, TensorDraws
from augkit_flow.network import masks_of
from augkit_flow.scoring import energy

FEATURES = 4.0
"""Weight of the score of features beside the adversarial loss."""

PENALTY_EVERY = 8
"""Steps from one gradient penalty to the next, which weighs as much more (Karras et al. 2020, arXiv:1912.04958)."""

_PENALTY = 0.25
_SHIFT = 1 / 8
"""Largest shift, as a share of the side."""

_SLOPE = 0.2
_SPREAD = 1e-3
"""Added to the spread of features, which may be alike in a batch."""

Change = Callable[[Tensor], Tensor]


class Discriminator(nn.Module):
    """(images, masks) -> logits of places at 1/4 and 1/16, above 0 where real, and the features of four layers.

    Images are normalised, (N, C, H, W), and masks (N, K, H, W) in {-1, 1}, which every layer sees.
    """

    def __init__(self, width: int, format: Format) -> None:
        """`width`: channels of the first layer."""
        super().__init__()
        widths = [len(format.channels), width, 2 * width, 4 * width, 4 * width]
        masks = masks_of(format)
        self.layers = nn.ModuleList(nn.Conv2d(i + masks, o, 4, 2, 1) for i, o in pairwise(widths))
        for layer in self.layers:
            assert isinstance(layer, nn.Conv2d)
            assert layer.bias is not None
            nn.init.kaiming_normal_(layer.weight, _SLOPE)
            nn.init.zeros_(layer.bias)
        self.near = nn.Conv2d(widths[2], 1, 3, padding=1)
        self.far = nn.Conv2d(widths[4], 1, 3, padding=1)

    def forward(self, images: Tensor, masks: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return logits, float32, and features."""
        features: list[Tensor] = []
        x = images
        for layer in self.layers:
            x = leaky_relu(layer(torch.cat([x, masks], dim=1)), _SLOPE)
            masks = avg_pool2d(masks, 2)
            features.append(x)
        return [self.near(features[1]).float(), self.far(features[3]).float()], features


@dataclass(frozen=True)
class Seen:
    """What a discriminator is shown of a batch: images and masks, all of them moved alike.

    view: how they are moved, which it can learn through (Zhao et al. 2020, arXiv:2006.10738).
    """

    images: Tensor
    masks: Tensor
    view: Change

    @staticmethod
    def of(images: Tensor, masks: Tensor, draws: TensorDraws) -> Seen:
        """`images`: normalised, (N, C, H, W), and masks, (N, K, H, W) in {-1, 1}."""
        view = shifted(draws, (images.shape[2], images.shape[3]))
        return Seen(view(images), view(masks), view)


def discriminate(judge: Discriminator, seen: Seen, drawn: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the discriminator's loss, and the share of places judged rightly; real and drawn weigh the same."""
    fakes = torch.cat([seen.view(one.detach()) for one in drawn])
    logits, _ = judge(torch.cat([seen.images, fakes]), seen.masks.repeat(1 + len(drawn), 1, 1, 1))
    n = len(seen.images)
    losses = [softplus(-part[:n]).mean() + softplus(part[n:]).mean() for part in logits]
    right = [((part[:n] > 0).float().mean() + (part[n:] <= 0).float().mean()) / 2 for part in logits]
    return torch.stack(losses).mean(), torch.stack(right).mean().detach()


def penalty(judge: Discriminator, seen: Seen) -> Tensor:
    """Return the squared length of the logits' gradient at images: R1 of Mescheder et al. 2018 (arXiv:1801.04406)."""
    images = seen.images.detach().requires_grad_()
    logits, _ = judge(images, seen.masks)
    total = torch.stack([part.mean((1, 2, 3)).sum() for part in logits]).sum()
    (gradient,) = torch.autograd.grad(total, images, create_graph=True)
    return PENALTY_EVERY * _PENALTY * gradient.square().sum((1, 2, 3)).mean()


def deceive(judge: Discriminator, seen: Seen, drawn: Sequence[Tensor]) -> Tensor:
    """Return the adversarial loss of draws, and `FEATURES` times the energy score of what the layers find in them."""
    with torch.no_grad():
        _, real = judge(seen.images, seen.masks)
    fakes = torch.cat([seen.view(one) for one in drawn])
    logits, found = judge(fakes, seen.masks.repeat(len(drawn), 1, 1, 1))
    spreads = [layer.float().std((0, 2, 3), keepdim=True) + _SPREAD for layer in real]
    in_units = [layer.float() / spread for layer, spread in zip(real, spreads, strict=True)]
    parts = [(layer.float() / spread).chunk(len(drawn)) for layer, spread in zip(found, spreads, strict=True)]
    each = [list(layers) for layers in zip(*parts, strict=True)]
    deceived = torch.stack([softplus(-part).mean() for part in logits]).mean()
    return deceived + FEATURES * energy(each, in_units, _apart)


def shifted(draws: TensorDraws, size: tuple[int, int]) -> Change:
    """Return shifts of (N, C, H, W) by whole pixels, one for each sample; what is moved in is 0.

    They are products with matrices of zeros and ones: the derivative of gathering pixels adds in an order that a GPU
    does not repeat.
    """
    matrices = []
    for axis, side in zip(("rows", "columns"), size, strict=True):
        along, most = torch.arange(side, device=draws.keys.device), int(side * _SHIFT)
        source = along + draws.integers(f"shift of {axis}", -most, most + 1)[:, None]
        matrices.append((source[:, :, None] == along).float()[:, None])
    rows, columns = matrices[0], matrices[1].transpose(2, 3)
    return lambda images: rows @ images @ columns


def _apart(some: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """Return the mean distance of features, over places and layers."""
    distances = [((one - other).square().mean(1) + 1e-6).sqrt().mean() for one, other in zip(some, others, strict=True)]
    return torch.stack(distances).mean()

"""The adversarial losses, on logits (N, 1, P, P); each is the mean of the losses of single patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from augkit_mask2lesion.options import Adversarial


def discriminator_loss(kind: Adversarial, on_real: Tensor, on_fake: Tensor) -> Tensor:
    """Return the discriminator's loss, halved as in pix2pix, float32 scalar.

    vanilla: binary cross-entropy (Goodfellow et al. 2014). lsgan: squares, 1 for real and 0 for fake (Mao et al. 2017).
    hinge: nothing to gain beyond 1 for real and -1 for fake (Lim & Ye 2017).
    """
    if kind == "lsgan":
        return 0.5 * ((on_real - 1).square().mean() + on_fake.square().mean())
    if kind == "hinge":
        return 0.5 * (relu(1 - on_real).mean() + relu(1 + on_fake).mean())
    return 0.5 * (softplus(-on_real).mean() + softplus(on_fake).mean())


def generator_loss(kind: Adversarial, on_fake: Tensor) -> Tensor:
    """Return the generator's adversarial loss, float32 scalar; vanilla is the non-saturating one."""
    if kind == "lsgan":
        return (on_fake - 1).square().mean()
    return -on_fake.mean() if kind == "hinge" else softplus(-on_fake).mean()


def share_right(kind: Adversarial, on_real: Tensor, on_fake: Tensor) -> Tensor:
    """Return the share of patches that the discriminator judges rightly, 0..1; real and fake weigh the same."""
    boundary = 0.5 if kind == "lsgan" else 0.0
    return 0.5 * ((on_real > boundary).float().mean() + (on_fake <= boundary).float().mean())


def feature_distance(of_real: Sequence[Tensor], of_fake: Sequence[Tensor]) -> Tensor:
    """Return the mean over layers of the mean absolute difference of the discriminator's features, float32 scalar.

    Feature matching (Wang et al. 2018, arXiv:1711.11585).
    """
    pairs = zip(of_real, of_fake, strict=True)
    return torch.stack([(real.float() - fake.float()).abs().mean() for real, fake in pairs]).mean()


def gradient_penalty(judge: Callable[[Tensor], Tensor], pairs: Tensor) -> Tensor:
    """Return half the squared length of the logits' gradient at real pairs, mean over them, float32 scalar.

    R1 of Mescheder et al. 2018 (arXiv:1801.04406), of the mean logit of each pair, in float32.
    """
    pairs = pairs.detach().requires_grad_()
    logits = judge(pairs).mean((1, 2, 3))
    (gradient,) = torch.autograd.grad(logits.sum(), pairs, create_graph=True)
    return 0.5 * gradient.square().sum((1, 2, 3)).mean()

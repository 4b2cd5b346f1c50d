"""The learner: pix2pix's step, with what later work has added to it as options."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from augkit import ImageSet, InputError, Problem, TensorDraws, Workspace
from augkit.training import (
    Batch,
    Batches,
    Ema,
    Gradients,
    Inputs,
    Recorded,
    autocast,
    in_unit_range,
    learning_rate,
    memory_layout,
    one_hot,
    seeded,
    set_learning_rate,
    settle,
)
from augkit_mask2lesion.architecture import Architecture
from augkit_mask2lesion.convolutions import renew_spectra
from augkit_mask2lesion.diffaugment import Change, differentiable
from augkit_mask2lesion.losses import (
    discriminator_loss,
    feature_distance,
    generator_loss,
    gradient_penalty,
    share_right,
)
from augkit_mask2lesion.networks import PatchDiscriminator, UnetGenerator, initialise
from augkit_mask2lesion.options import Mask2LesionOptions
from augkit_mask2lesion.resampling import enlarge_and_crop, resize_images, resize_masks
from augkit_mask2lesion.spade import SpadeGenerator, StyleTransfer, owned

M = TypeVar("M", bound=nn.Module)

PENALTY_EVERY = 16
"""Steps from one gradient penalty to the next, which weighs as much more (Karras et al. 2020, arXiv:1912.04958)."""

_ENCODED = 32
"""Images whose style codes are found at a time."""


@dataclass(frozen=True)
class Part:
    """A part of a batch at the working size, in -1..1: images (B, C, S, S), masks (B, K, S, S) and draws.

    view: how the discriminator sees its pairs.
    """

    images: Tensor
    masks: Tensor
    draws: TensorDraws
    view: Change


@dataclass(frozen=True)
class Painted:
    """What was painted of a part, (B, C, S, S); the first `own` images ought to be the real ones.

    divergence: of the style codes from the prior, one for each encoded image; None without codes.
    """

    images: Tensor
    own: int
    divergence: Tensor | None


class PixToPix:
    """Alternating steps of discriminator and generator on one batch."""

    def __init__(self, options: Mask2LesionOptions, samples: ImageSet, space: Workspace) -> None:
        self._options = options
        self._device = space.device
        self.size = options.size or samples.size[0]
        self._format = samples.format
        self._architecture = Architecture.of(options, self.size, samples.format)
        self._batches = Batches(samples, options.batch_size, space.seed, space.device)
        self._gradients = Gradients(options.reduction, options.batch_size)
        _check_parts(options, self._gradients)
        self.steps_per_epoch = math.ceil(len(samples) / options.batch_size)
        self.steps = self.steps_per_epoch * (options.epochs + options.decay_epochs)

        # pix2pix's networks train fastest channels-last wherever it was measured, others as the device has it.
        self._layout = torch.channels_last if options.network == "unet" else memory_layout(space.device)
        with seeded(space.seed):
            generator = _new_generator(self._architecture)
            discriminator = _new_discriminator(options, self._architecture)
            if options.network == "unet":
                initialise(generator)
            if not options.spectral_norm:
                initialise(discriminator)
        self.generator = _settle(generator, space.device, self._layout)
        self.discriminator = _settle(discriminator, space.device, self._layout)

        self._average = Ema(self.generator) if options.ema else None
        average = {"average": self._average} if self._average else {}
        self.networks: Mapping[str, nn.Module] = {"G": self.generator, "D": self.discriminator, **average}
        self._rates = {"G": options.learning_rate, "D": options.learning_rate * options.discriminator_rate}
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {
            name: _adam(self.networks[name], rate, space.device) for name, rate in self._rates.items()
        }
        self._descents = {
            penalise: Recorded(partial(self._descend, penalise), list(self.optimizers.values()), space)
            for penalise in (False, True)
        }

    def step(self, number: int) -> Mapping[str, Tensor]:
        """Update D, then G, on batch `number`; returns losses and the share of patches that D judges rightly.

        Each value has one entry per part of the batch.
        """
        self._set_learning_rates(number)
        batches = [self._batches.at(number, part) for part in self._gradients.parts]
        penalise = self._options.lambda_r1 > 0 and number % PENALTY_EVERY == 0
        seen = self._descents[penalise]([batch.tensors() for batch in batches])
        if self._average is not None:  # it forgets the first steps sooner than the option says
            self._average.update(self.generator, min(self._options.ema, (1 + number) / (10 + number)))
        return seen

    def _descend(self, penalise: bool, batches: Inputs) -> Mapping[str, Tensor]:
        """Do `step` on the parts of a batch, each as `Batch.tensors` has it."""
        parts = [self._prepare(Batch.of(tensors)) for tensors in batches]
        renew_spectra(self.discriminator)
        with autocast(self._device):
            painted = [self._paint(part) for part in parts]
        seen: dict[str, list[Tensor]] = {"D": [], "G": [], "L1": [], "D right": []}

        # Update D; it can still be fixed where recording this was tried and given up.
        self.discriminator.requires_grad_(True)
        both = zip(parts, painted, strict=True)
        losses = (self._discriminate(part, fakes.images.detach(), penalise, seen) for part, fakes in both)
        self._gradients.descend(self.discriminator, self.optimizers["D"], losses)

        # Update G, with D held fixed.
        self.discriminator.requires_grad_(False)
        losses = (self._generate(part, fakes, seen) for part, fakes in zip(parts, painted, strict=True))
        self._gradients.descend(self.generator, self.optimizers["G"], losses)
        self.discriminator.requires_grad_(True)
        return {name: torch.stack(values) for name, values in seen.items()}

    def trained(self, samples: ImageSet) -> tuple[UnetGenerator | SpadeGenerator, Architecture]:
        """Return what paints: the average if there is one, with the styles of `samples` if there are style codes."""
        network = self._average.network if self._average is not None else self.generator
        if isinstance(network, StyleTransfer):
            styles = [self._styles(network, samples, begin) for begin in range(0, len(samples), _ENCODED)]
            network = SpadeGenerator(network.decoder, torch.cat(styles), self._options.style_from)
        assert isinstance(network, UnetGenerator | SpadeGenerator)
        return network, Architecture.of(self._options, self.size, self._format, len(samples))

    def _styles(self, network: StyleTransfer, samples: ImageSet, begin: int) -> Tensor:
        """Return the styles of up to `_ENCODED` samples, from `begin` on."""
        some = slice(begin, begin + _ENCODED)
        images = in_unit_range(samples.images[some], self._format, self._device)
        labels = torch.from_numpy(np.array(samples.masks[some])).to(self._device)
        masks = one_hot(labels, len(self._format.classes), background=self._format.ignore).float()
        masks = resize_masks(masks, self.size, self._options.mask_resample)
        pair = self._scaled(resize_images(images, self.size), masks)
        with autocast(self._device):
            return network.styles(*pair)

    def _paint(self, part: Part) -> Painted:
        """Return what G makes of the masks of one part."""
        if isinstance(self.generator, StyleTransfer):
            images, divergence = self.generator(part.images, part.masks, part.draws)
            return Painted(images, owned(len(images)), divergence)
        return Painted(self.generator(part.masks, part.draws), len(part.images), None)

    def _discriminate(self, part: Part, fakes: Tensor, penalise: bool, seen: dict[str, list[Tensor]]) -> Tensor:
        """Return D's loss on one part."""
        kind = self._options.adversarial
        on_real, on_fake = self._judge(part, fakes)
        loss = discriminator_loss(kind, on_real, on_fake)
        seen["D"].append(loss.detach())
        seen["D right"].append(share_right(kind, on_real, on_fake))
        if penalise:
            pairs = part.view(torch.cat([part.masks, part.images], dim=1))
            loss = loss + PENALTY_EVERY * self._options.lambda_r1 * gradient_penalty(self.discriminator.judge, pairs)
        return loss

    def _generate(self, part: Part, painted: Painted, seen: dict[str, list[Tensor]]) -> Tensor:
        """Return G's loss on one part."""
        options, own, fakes = self._options, painted.own, painted.images
        on_fake, distance = self._meet(part, painted)
        l1 = (part.images[:own] - fakes[:own].float()).abs().mean()
        loss = generator_loss(options.adversarial, on_fake)
        seen["G"].append(loss.detach())
        seen["L1"].append(l1.detach())
        loss = loss + options.lambda_l1 * l1
        if distance is not None:
            loss = loss + options.lambda_features * distance
        if painted.divergence is not None:
            seen.setdefault("KL", []).append(painted.divergence.detach().mean())
            loss = loss + options.lambda_kl * painted.divergence.mean()
        return loss

    def _meet(self, part: Part, painted: Painted) -> tuple[Tensor, Tensor | None]:
        """Return D's logits on what was painted, and how far its features there are from those of the real images."""
        fakes, own = part.view(torch.cat([part.masks, painted.images.to(part.masks.dtype)], dim=1)), painted.own
        if not self._options.lambda_features:
            with autocast(self._device):
                return self.discriminator.judge(fakes).float(), None
        of_real: list[Tensor] = []
        of_fake: list[Tensor] = []
        with autocast(self._device):
            with torch.no_grad():
                self.discriminator.judge(part.view(torch.cat([part.masks, part.images], dim=1))[:own], of_real)
            verdict = self.discriminator.judge(fakes, of_fake).float()
        return verdict, feature_distance(of_real, [found[:own] for found in of_fake])

    def _prepare(self, batch: Batch) -> Part:
        """Return images and masks in -1..1 at the working size, enlarged, cropped and mirrored together."""
        options, size = self._options, self.size
        images, masks, draws = batch.images, batch.masks, batch.draws
        if options.jitter:
            images, masks = enlarge_and_crop(images, masks, draws, size, options.mask_resample)
        else:
            images, masks = resize_images(images, size), resize_masks(masks, size, options.mask_resample)
        if options.flip:
            mirrored = draws.boolean("flip")[:, None, None, None]
            images = torch.where(mirrored, images.flip(3), images)
            masks = torch.where(mirrored, masks.flip(3), masks)
        return Part(*self._scaled(images, masks), draws, differentiable(options.diffaugment, draws, size))

    def _scaled(self, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Return images and masks, of as many channels as the networks are given, in -1..1 instead of 0..1."""
        masks = masks.expand(-1, self._architecture.conditions, -1, -1)
        images, masks = images * 2 - 1, masks * 2 - 1
        return images.contiguous(memory_format=self._layout), masks.contiguous(memory_format=self._layout)

    def _judge(self, part: Part, fakes: Tensor) -> tuple[Tensor, Tensor]:
        """Return D's logits on real and fake pairs; one pass for both unless batch statistics would mix them."""
        real = part.view(torch.cat([part.masks, part.images], dim=1))
        fake = part.view(torch.cat([part.masks, fakes.to(part.masks.dtype)], dim=1))
        with autocast(self._device):
            if self._options.norm == "batch":
                on_real, on_fake = self.discriminator.judge(real), self.discriminator.judge(fake)
            else:
                on_real, on_fake = self.discriminator.judge(torch.cat([real, fake])).chunk(2)
        return on_real.float(), on_fake.float()

    def _set_learning_rates(self, number: int) -> None:
        epoch = number // self.steps_per_epoch + 1
        decay = max(0, epoch - self._options.epochs) / (self._options.decay_epochs + 1)
        for name, optimizer in self.optimizers.items():
            set_learning_rate(optimizer, self._rates[name] * (1 - decay))


def _adam(network: nn.Module, rate: float, device: str) -> torch.optim.Optimizer:
    lr = learning_rate(rate, device)
    capturable = isinstance(lr, Tensor)
    return torch.optim.Adam(network.parameters(), lr=lr, betas=(0.5, 0.999), fused=True, capturable=capturable)


def _new_generator(wanted: Architecture) -> nn.Module:
    """Return the generator that is trained, with torch's initial weights."""
    if wanted.style:
        return StyleTransfer(
            wanted.size, wanted.width, wanted.conditions, wanted.style, wanted.upsample, wanted.channels
        )
    return wanted.build()


def _new_discriminator(options: Mask2LesionOptions, wanted: Architecture) -> PatchDiscriminator:
    return PatchDiscriminator(
        options.width,
        options.patch_layers,
        options.norm,
        wanted.conditions,
        options.spectral_norm,
        wanted.channels,
    )


def _settle(network: M, device: str, layout: torch.memory_format) -> M:
    """Return the network on the device in the layouts that train fastest there."""
    network = settle(network, device, layout)
    if device == "cpu":  # its gradients of transposed convolutions are not channels-last, and Adam would copy them
        for module in network.modules():
            if isinstance(module, nn.ConvTranspose2d):
                module.weight.data = module.weight.data.contiguous()
    return network


def _check_parts(options: Mask2LesionOptions, gradients: Gradients) -> None:
    """Raise `InputError` where styles cannot be exchanged because each part of a batch is a single image."""
    part = gradients.parts[0].stop - gradients.parts[0].start
    if options.style and part < 2:
        what = f"batch_size is {options.batch_size}, which leaves parts of {part} image, and style is {options.style}"
        raise InputError(
            Problem("mask2lesion", f"{what}; allowed: two images or more, which exchange their style codes")
        )

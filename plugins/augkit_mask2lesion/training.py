"""Training Mask2Lesion: the pix2pix step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from augkit import ImageSet, TensorDraws, Workspace
from augkit.training import Batch, Batches, Gradients, autocast, seeded, settle, train
from augkit_mask2lesion.checkpoint import describe, import_checkpoint
from augkit_mask2lesion.losses import discriminator_loss, generator_loss, share_right
from augkit_mask2lesion.networks import Architecture, PatchDiscriminator, initialise
from augkit_mask2lesion.options import Mask2LesionOptions
from augkit_mask2lesion.painter import Painter, open_painter, save_generator
from augkit_mask2lesion.resampling import enlarge_and_crop, resize_images, resize_masks
from augkit_mask2lesion.watch import Alarm, Watch, Watched, sampled_epochs, shown_samples

M = TypeVar("M", bound=nn.Module)


def fit(options: Mask2LesionOptions, samples: ImageSet, space: Workspace) -> None:
    """Train, or import, and write the generator's weights, its samples and its health."""
    file = options.weights_file()
    if file is None:
        _train(options, samples, space)
    else:
        _import(file, options, samples, space)


def _train(options: Mask2LesionOptions, samples: ImageSet, space: Workspace) -> None:
    learner = PixToPix(options, samples, space)
    shown = shown_samples(samples)
    resizing = options.mask_resample, options.out_resize
    watch = Watch(Painter(learner.generator, learner.architecture, *resizing, space.device, len(shown)), shown, space)
    epochs = sampled_epochs(options.epochs + options.decay_epochs, options.sample_every, learner.steps_per_epoch)
    rows = {epoch * learner.steps_per_epoch: f"epoch-{epoch:04d}" for epoch in epochs}
    _tell_coarseness(learner.architecture.size, samples, space)
    train(Watched(learner, watch, rows), replace(space, log=Alarm(space.log)), learner.steps)
    save_generator(learner.generator, learner.architecture, space.folder, {})
    watch.conclude(list(rows.values()))


def _import(file: Path, options: Mask2LesionOptions, samples: ImageSet, space: Workspace) -> None:
    facts = import_checkpoint(file, space.folder)
    for sentence in describe(facts):
        space.log.note(sentence)
    _tell_coarseness(facts["size"], samples, space)
    shown = shown_samples(samples)
    resizing = options.mask_resample, options.out_resize
    watch = Watch(open_painter(space.folder, options.dropout, *resizing, space.device, len(shown)), shown, space)
    watch.paint("imported")
    watch.conclude(["imported"])


def _tell_coarseness(size: int, samples: ImageSet, space: Workspace) -> None:
    if max(samples.size) > size:
        sides = f"{samples.size[0]} x {samples.size[1]}"
        what = f"synthetic images are painted at {size} x {size} pixels and enlarged to {sides}"
        space.log.note(f"{what}; they are coarser than the real ones, which a segmenter may notice")


class PixToPix:
    """Alternating steps of discriminator and generator on one batch."""

    def __init__(self, options: Mask2LesionOptions, samples: ImageSet, space: Workspace) -> None:
        self._options = options
        self._device = space.device
        size = options.size or samples.size[0]
        self.architecture = Architecture(size, options.width, options.norm, options.mask_channels, options.dropout)
        self._batches = Batches(samples, options.batch_size, space.seed, space.device)
        self._gradients = Gradients(options.reduction, options.batch_size)
        self.steps_per_epoch = math.ceil(len(samples) / options.batch_size)
        self.steps = self.steps_per_epoch * (options.epochs + options.decay_epochs)
        with seeded(space.seed):
            generator = self.architecture.build()
            discriminator = PatchDiscriminator(options.width, options.patch_layers, options.norm, options.mask_channels)
            initialise(generator)
            initialise(discriminator)
        self.generator = _settle(generator, space.device)
        self.discriminator = _settle(discriminator, space.device)
        self.networks: Mapping[str, nn.Module] = {"G": self.generator, "D": self.discriminator}
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(network.parameters(), lr=options.learning_rate, betas=(0.5, 0.999), fused=True)
            for name, network in self.networks.items()
        }

    def step(self, number: int) -> Mapping[str, Tensor]:
        """Update D, then G, on batch `number`; returns losses and the share of patches that D judges rightly.

        Each value has one entry per part of the batch.
        """
        parts = [self._prepare(self._batches.at(number, part)) for part in self._gradients.parts]
        self._set_learning_rate(number)
        with autocast(self._device):
            fakes = [self.generator(masks, draws) for _, masks, draws in parts]
        seen: dict[str, list[Tensor]] = {"D": [], "G": [], "L1": [], "D right": []}

        # Update D.
        on_parts = zip(parts, fakes, strict=True)
        losses = (self._discriminate(images, masks, painted, seen) for (images, masks, _), painted in on_parts)
        self._gradients.descend(self.discriminator, self.optimizers["D"], losses)

        # Update G, with D held fixed.
        self.discriminator.requires_grad_(False)
        on_parts = zip(parts, fakes, strict=True)
        losses = (self._generate(images, masks, painted, seen) for (images, masks, _), painted in on_parts)
        self._gradients.descend(self.generator, self.optimizers["G"], losses)
        self.discriminator.requires_grad_(True)

        return {name: torch.stack(values) for name, values in seen.items()}

    def _discriminate(self, images: Tensor, masks: Tensor, fakes: Tensor, seen: dict[str, list[Tensor]]) -> Tensor:
        """Return D's loss on one part."""
        kind = self._options.adversarial
        on_real, on_fake = self._judge(masks, images, fakes.detach())
        loss = discriminator_loss(kind, on_real, on_fake)
        seen["D"].append(loss.detach())
        seen["D right"].append(share_right(kind, on_real, on_fake))
        return loss

    def _generate(self, images: Tensor, masks: Tensor, fakes: Tensor, seen: dict[str, list[Tensor]]) -> Tensor:
        """Return G's loss on one part."""
        with autocast(self._device):
            verdict = self.discriminator(masks, fakes)
        l1 = (images - fakes.float()).abs().mean()
        loss = generator_loss(self._options.adversarial, verdict.float())
        seen["G"].append(loss.detach())
        seen["L1"].append(l1.detach())
        return loss + self._options.lambda_l1 * l1

    def _prepare(self, batch: Batch) -> tuple[Tensor, Tensor, TensorDraws]:
        """Return images and masks in -1..1 at the working size, enlarged, cropped and mirrored together, and draws."""
        options, size = self._options, self.architecture.size
        images, masks, draws = batch.images, batch.masks, batch.draws
        if options.jitter:
            images, masks = enlarge_and_crop(images, masks, draws, size, options.mask_resample)
        else:
            images, masks = resize_images(images, size), resize_masks(masks, size, options.mask_resample)
        if options.flip:
            mirrored = draws.boolean("flip")[:, None, None, None]
            images = torch.where(mirrored, images.flip(3), images)
            masks = torch.where(mirrored, masks.flip(3), masks)
        masks = masks.expand(-1, options.mask_channels, -1, -1)
        layout = torch.channels_last
        images, masks = images * 2 - 1, masks * 2 - 1
        return images.contiguous(memory_format=layout), masks.contiguous(memory_format=layout), draws

    def _judge(self, masks: Tensor, images: Tensor, fakes: Tensor) -> tuple[Tensor, Tensor]:
        """Return D's logits on real and fake pairs; one pass for both unless batch statistics would mix them."""
        with autocast(self._device):
            if self._options.norm == "batch":
                on_real, on_fake = self.discriminator(masks, images), self.discriminator(masks, fakes)
            else:
                pairs = torch.cat([masks, masks]), torch.cat([images, fakes.to(images.dtype)])
                on_real, on_fake = self.discriminator(*pairs).chunk(2)
        return on_real.float(), on_fake.float()

    def _set_learning_rate(self, number: int) -> None:
        epoch = number // self.steps_per_epoch + 1
        decay = max(0, epoch - self._options.epochs) / (self._options.decay_epochs + 1)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self._options.learning_rate * (1 - decay)


def _settle(network: M, device: str) -> M:
    """Return the network on the device in the layouts that train fastest there."""
    network = settle(network, device, torch.channels_last)
    if device == "cpu":  # its gradients of transposed convolutions are not channels-last, and Adam would copy them
        for module in network.modules():
            if isinstance(module, nn.ConvTranspose2d):
                module.weight.data = module.weight.data.contiguous()
    return network

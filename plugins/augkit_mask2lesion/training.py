"""Training Mask2Lesion: the pix2pix step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, mse_loss

from augkit import ImageSet, Workspace
from augkit.contracts import TensorDraws
from augkit.store import write_bytes, write_json
from augkit.training import Batches, autocast, seeded, settle, train
from augkit_mask2lesion.generator import FACTS, WEIGHTS
from augkit_mask2lesion.networks import PatchDiscriminator, UnetGenerator, initialise

if TYPE_CHECKING:
    from augkit_mask2lesion.generator import Mask2Lesion

SIZES = (32, 64, 128, 256)
MASK_CHANNELS = 1
ENLARGED = 286 / 256
"""pix2pix crops 256 pixels out of 286; other sizes keep the ratio."""


def fit(options: Mask2Lesion, samples: ImageSet, space: Workspace) -> None:
    """Train and write the generator's weights and size."""
    size = samples.size[0]
    if size not in SIZES or samples.size[1] != size:
        allowed = ", ".join(map(str, SIZES))
        raise ValueError(f"images are {samples.size} pixels; mask2lesion needs square images of {allowed} pixels")
    learner = PixToPix(options, samples, space)
    train(learner, space, learner.steps)
    state = {key: value.contiguous().cpu() for key, value in learner.generator.state_dict().items()}
    write_bytes(space.folder / WEIGHTS, save(state))
    write_json(space.folder / FACTS, {"size": size})


class PixToPix:
    """Alternating steps of discriminator and generator on one batch."""

    def __init__(self, options: Mask2Lesion, samples: ImageSet, space: Workspace) -> None:
        self._options = options
        self._device = space.device
        self._batches = Batches(samples, options.batch_size, space.seed, space.device)
        self._steps_per_epoch = math.ceil(len(samples) / options.batch_size)
        self.steps = self._steps_per_epoch * (options.epochs + options.decay_epochs)
        with seeded(space.seed):
            generator = UnetGenerator(samples.size[0], options.width, options.norm, MASK_CHANNELS)
            discriminator = PatchDiscriminator(options.width, options.patch_layers, options.norm, MASK_CHANNELS)
            initialise(generator)
            initialise(discriminator)
        self.generator = settle(generator, space.device)
        self.discriminator = settle(discriminator, space.device)
        self.networks: Mapping[str, nn.Module] = {"G": self.generator, "D": self.discriminator}
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(network.parameters(), lr=options.learning_rate, betas=(0.5, 0.999), fused=True)
            for name, network in self.networks.items()
        }

    def step(self, number: int) -> Mapping[str, Tensor]:
        """Update D, then G, on batch `number`; returns losses and the share of patches that D judges rightly."""
        batch = self._batches.at(number)
        images, masks = self._prepare(batch.images, batch.masks, batch.draws)
        self._set_learning_rate(number)
        with autocast(self._device):
            fakes = self.generator(masks, batch.draws)

        # Update D.
        on_real, on_fake = self._judge(masks, images, fakes.detach())
        d_loss = 0.5 * (self._adversarial(on_real, True) + self._adversarial(on_fake, False))
        self._descend("D", d_loss)

        # Update G, with D held fixed.
        self.discriminator.requires_grad_(False)
        with autocast(self._device):
            verdict = self.discriminator(masks, fakes)
        l1 = (images - fakes.float()).abs().mean()
        g_loss = self._adversarial(verdict.float(), True)
        self._descend("G", g_loss + self._options.lambda_l1 * l1)
        self.discriminator.requires_grad_(True)

        threshold = 0.5 if self._options.adversarial == "lsgan" else 0.0
        right = 0.5 * ((on_real > threshold).float().mean() + (on_fake <= threshold).float().mean())
        return {"D": d_loss, "G": g_loss, "L1": l1, "D right": right}

    def _prepare(self, images: Tensor, masks: Tensor, draws: TensorDraws) -> tuple[Tensor, Tensor]:
        """Return images in -1..1 and masks in {-1, 1}, enlarged, cropped and mirrored together."""
        if self._options.jitter:
            images, masks = _enlarge_and_crop(images, masks, draws)
        if self._options.flip:
            mirrored = draws.boolean("flip")[:, None, None, None]
            images = torch.where(mirrored, images.flip(3), images)
            masks = torch.where(mirrored, masks.flip(3), masks)
        layout = torch.channels_last
        return (images * 2 - 1).contiguous(memory_format=layout), (masks * 2 - 1).contiguous(memory_format=layout)

    def _judge(self, masks: Tensor, images: Tensor, fakes: Tensor) -> tuple[Tensor, Tensor]:
        """Return D's logits on real and fake pairs; one pass for both unless batch statistics would mix them."""
        with autocast(self._device):
            if self._options.norm == "batch":
                on_real, on_fake = self.discriminator(masks, images), self.discriminator(masks, fakes)
            else:
                pairs = torch.cat([masks, masks]), torch.cat([images, fakes.to(images.dtype)])
                on_real, on_fake = self.discriminator(*pairs).chunk(2)
        return on_real.float(), on_fake.float()

    def _adversarial(self, logits: Tensor, real: bool) -> Tensor:
        """Return the loss of calling these logits real or fake: the mean of per-patch losses."""
        target = torch.full_like(logits, float(real))
        if self._options.adversarial == "lsgan":
            return mse_loss(logits, target)
        return binary_cross_entropy_with_logits(logits, target)

    def _descend(self, name: str, loss: Tensor) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def _set_learning_rate(self, number: int) -> None:
        epoch = number // self._steps_per_epoch + 1
        decay = max(0, epoch - self._options.epochs) / (self._options.decay_epochs + 1)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self._options.learning_rate * (1 - decay)


def _enlarge_and_crop(images: Tensor, masks: Tensor, draws: TensorDraws) -> tuple[Tensor, Tensor]:
    """Return crops of the original size out of pairs enlarged by 286/256; masks stay in {0, 1}."""
    size = images.shape[-1]
    large = round(size * ENLARGED)
    big_images = interpolate(images, size=(large, large), mode="bicubic", align_corners=False).clamp(0, 1)
    big_masks = interpolate(masks, size=(large, large), mode="nearest-exact")
    corner = draws.integers("crop", 0, large - size + 1, shape=(2,))
    along = torch.arange(size, device=images.device)
    rows = (corner[:, :1] + along)[:, :, None]
    columns = (corner[:, 1:] + along)[:, None, :]
    each = torch.arange(len(images), device=images.device)[:, None, None]
    crops = [big.permute(0, 2, 3, 1)[each, rows, columns].permute(0, 3, 1, 2) for big in (big_images, big_masks)]
    return crops[0], crops[1]

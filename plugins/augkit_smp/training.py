"""Training a network of segmentation_models.pytorch and predicting with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from augkit import Augment, Images, ImageSet, InputError, Problem, Scores, Workspace
from augkit.store import write_bytes
from augkit.training import Batches, autocast, memory_layout, score_images, seeded, settle, train

if TYPE_CHECKING:
    from augkit_smp.segmenter import Smp

MULTIPLE = 32


class NormalisedNetwork(nn.Module):
    """RGB in 0..1 -> one logit per pixel; the colours' mean and standard deviation are part of the weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.register_buffer("std", torch.ones(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 1, H, W) for images (N, 3, H, W) in 0..1."""
        return cast(Tensor, self.body((images - self.mean) / self.std))


def fit(options: Smp, samples: ImageSet, augment: Augment, space: Workspace, weights: Path) -> None:
    """Train the network and write its weights."""
    if any(side % MULTIPLE for side in samples.size):
        what = f"images are {samples.size} pixels; these encoders need sides that are multiples of {MULTIPLE}"
        raise InputError(Problem("smp", what, "Choose another size in the data set's options"))
    learner = SmpLearner(options, samples, augment, space)
    train(learner, space, options.steps)
    state = {key: value.contiguous().cpu() for key, value in learner.network.state_dict().items()}
    write_bytes(weights, save(state))


class SmpLearner:
    """One training step: augment a batch, predict, descend."""

    def __init__(self, options: Smp, samples: ImageSet, augment: Augment, space: Workspace) -> None:
        self._options = options
        self._augment = augment
        self._device = space.device
        self._batches = Batches(samples, options.batch_size, space.seed, space.device)
        with seeded(space.seed):
            network = build(options, options.encoder_weights)
        mean, std = _colours(options, samples.images)
        network.mean.copy_(mean)
        network.std.copy_(std)
        self.network = settle(network, space.device).train()
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=options.learning_rate, weight_decay=0.01, fused=True
        )
        self.networks: Mapping[str, nn.Module] = {"smp": self.network}
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {"smp": self.optimizer}

    def step(self, number: int) -> Mapping[str, Tensor]:
        """Descend once on batch `number`; returns the loss."""
        batch = self._batches.at(number)
        images, masks = batch.augmented(self._augment)
        rate = self._options.learning_rate * 0.5 * (1 + math.cos(math.pi * number / self._options.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with autocast(self._device):
            logits = self.network(images.contiguous(memory_format=memory_layout(self._device)))
        loss = _loss(logits.float(), masks, self._options.loss)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return {"loss": loss}


class SmpPredictor:
    """Scores images with trained weights; they are read from the file, never downloaded."""

    def __init__(self, options: Smp, weights: Path, device: str) -> None:
        with seeded(0):  # initial weights are drawn before they are replaced
            network = build(options, None)
        network.load_state_dict(load_file(weights))
        self._network = settle(network, device).eval()
        self._device = device

    def __call__(self, images: Images) -> Scores:
        """Return float32 (N, 1, H, W) in 0..1."""
        return score_images(self._network, images, self._device)


def build(options: Smp, encoder_weights: str | None) -> NormalisedNetwork:
    """Return the network; `InputError` for an encoder or weights that the package does not know."""
    try:
        body = smp.create_model(
            options.architecture, options.encoder, encoder_weights=encoder_weights, in_channels=3, classes=1
        )
    except (KeyError, ValueError) as error:
        what = f"segmentation_models.pytorch cannot build this network: {str(error).strip(chr(34))[:300]}"
        raise InputError(
            Problem("smp", what, "Correct the options architecture, encoder and encoder_weights")
        ) from error
    return NormalisedNetwork(body)


def _colours(options: Smp, images: Images) -> tuple[Tensor, Tensor]:
    """Return per-channel mean and standard deviation, float32 (3, 1, 1), for pixels in 0..1."""
    if options.encoder_weights is not None:
        known = smp.encoders.get_preprocessing_params(options.encoder, options.encoder_weights)
        return _column(known["mean"]), _column(known["std"])
    flat: Any = images.reshape(-1, 3)
    total, squares = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for begin in range(0, len(flat), 1 << 22):  # whole numbers in slices: any size fits, and order does not matter
        part = flat[begin : begin + (1 << 22)].astype(np.int64)
        total += part.sum(0)
        squares += (part * part).sum(0)
    mean = total / len(flat)
    std = np.sqrt(np.maximum(squares / len(flat) - mean**2, 1.0))
    return _column(mean / 255), _column(std / 255)


def _column(values: Any) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32)[:, None, None]


def _loss(logits: Tensor, masks: Tensor, kind: str) -> Tensor:
    loss = binary_cross_entropy_with_logits(logits, masks)
    if kind == "bce_dice":
        scores = torch.sigmoid(logits)
        overlap = 2 * (scores * masks).sum((1, 2, 3)) + 1
        loss = loss + (1 - overlap / (scores.sum((1, 2, 3)) + masks.sum((1, 2, 3)) + 1)).mean()
    return loss

"""What segmenters share that descend on augmented batches: how long, how fast, along which loss.

A plugin brings a network, float32 (N, C, H, W) in 0..1 -> logits, and says the rest in words. With one class there is
one logit per pixel, (N, 1, H, W); with K > 1, which exclude each other, there are K + 1, the background's first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

from augkit.contracts.components import Augment, Workspace
from augkit.data.arrays import Images, ImageSet, Scores
from augkit.data.formats import Format, in_unit
from augkit.training.batches import Batch, Batches, as_scores, score_images
from augkit.training.graphs import Inputs, Recorded, learning_rate, set_learning_rate
from augkit.training.precision import autocast, memory_layout, settle
from augkit.training.ranks import Gradients, Reduction

BudgetKind = Literal["steps", "epochs"]
OptimizerKind = Literal["sgd", "adamw"]
Schedule = Literal["constant", "cosine"]
LossKind = Literal["bce", "bce_dice"]

_CHUNK = 64
"""Images whose statistics are taken at a time."""


@dataclass(frozen=True)
class Budget:
    """How much training that is.

    kind:       what was asked for: ``steps``, the same in every arm whatever its number of images, or ``epochs``,
                which gives an arm with more images more steps.
    steps:      optimiser steps.
    batch_size: images per step.
    images:     in the training set.
    """

    kind: BudgetKind
    steps: int
    batch_size: int
    images: int

    @staticmethod
    def of(kind: BudgetKind, steps: int, epochs: int, batch_size: int, images: int) -> Budget:
        """Return the budget of so many steps, or of so many epochs, each rounded up to whole batches."""
        if kind == "epochs":
            steps = epochs * math.ceil(images / batch_size)
        return Budget(kind, steps, batch_size, images)

    def facts(self) -> dict[str, str | int | float]:
        """Return what ``budget.json`` holds: ``budget``, ``steps``, ``batch_size``, ``images``, and ``epochs``."""
        return {
            "budget": self.kind,
            "steps": self.steps,
            "batch_size": self.batch_size,
            "images": self.images,
            "epochs": round(self.steps * self.batch_size / self.images, 3),
        }


class SegmentationLearner:
    """One training step: augment a batch, predict, descend.

    part_size: images in one forward pass of the network.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        samples: ImageSet,
        augment: Augment,
        space: Workspace,
        *,
        budget: Budget,
        optimizer: OptimizerKind,
        learning_rate: float,
        schedule: Schedule,
        loss: LossKind,
        reduction: Reduction,
        finetune: float = 0.0,
    ) -> None:
        """`name`: of the network, in checkpoints. `finetune`: share of the steps, the last, that see real images only.

        Raises `InputError` where a batch cannot be cut as `reduction` wants it.
        """
        self.budget = budget
        self._augment = augment
        self._ignore = samples.format.ignore
        self._device = space.device
        self._learning_rate = learning_rate
        self._schedule = schedule
        self._kind_of_loss = loss
        self._batches = Batches(samples, budget.batch_size, space.seed, space.device)
        self._last_batches = self._batches
        self._last_from = budget.steps * (1 - finetune)
        real = [i for i, origin in enumerate(samples.origins) if origin == "real"]
        if finetune > 0 and len(real) not in (0, len(samples)):
            self._last_batches = Batches(samples.take(real), budget.batch_size, space.seed, space.device)
        self._gradients = Gradients(reduction, budget.batch_size)
        part = self._gradients.parts[0]
        self.part_size = part.stop - part.start
        self.network = settle(network, space.device).train()
        self.optimizer = _optimizer(optimizer, self.network, learning_rate, space.device)
        self.networks: Mapping[str, nn.Module] = {name: self.network}
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {name: self.optimizer}
        self._whole_step = Recorded(self._augment_and_descend, [self.optimizer], space)
        self._descend = Recorded(self._descend_on, [self.optimizer], space)

    def step(self, number: int) -> Mapping[str, Tensor]:
        """Descend once on batch `number`; returns the loss of each part of it."""
        set_learning_rate(self.optimizer, self._rate(number))
        batches = self._last_batches if number >= self._last_from else self._batches
        return self._whole_step([batches.at(number, part).tensors() for part in self._gradients.parts])

    def _augment_and_descend(self, parts: Inputs) -> Mapping[str, Tensor]:
        """Descend once on the parts of a batch, each as `Batch.tensors` has it."""
        augmented = [Batch.of(part).augmented(self._augment, self._ignore) for part in parts]
        return self._descend([[pixels for pixels in part if pixels is not None] for part in augmented])

    def _descend_on(self, parts: Inputs) -> Mapping[str, Tensor]:
        """Descend once on the parts of a batch: images, masks, and if there are any the counts, as in `Augmented`."""
        losses: list[Tensor] = []
        self._gradients.descend(self.network, self.optimizer, self._losses(parts, losses))
        return {"loss": torch.stack(losses)}

    def _losses(self, parts: Inputs, seen: list[Tensor]) -> Iterator[Tensor]:
        """Yield the loss of each part of a batch, and add it to those `seen`."""
        for images, masks, *counts in parts:
            loss = self._loss(images, masks, *counts)
            seen.append(loss.detach())
            yield loss

    def _loss(self, images: Tensor, masks: Tensor, counts: Tensor | None = None) -> Tensor:
        with autocast(self._device):
            logits = self.network(images.contiguous(memory_format=memory_layout(self._device)))
        return segmentation_loss(logits.float(), masks, self._kind_of_loss, counts)

    def _rate(self, number: int) -> float:
        if self._schedule == "constant":
            return self._learning_rate
        return self._learning_rate * 0.5 * (1 + math.cos(math.pi * number / self.budget.steps))


class SegmentationPredictor:
    """Scores images with a trained network."""

    def __init__(self, network: nn.Module, format: Format, device: str) -> None:
        """`format`: of the images that it was trained on and will see."""
        self._network = settle(network, device).eval()
        self._format = format
        self._device = device

    def __call__(self, images: Images) -> Scores:
        """Return float32 (N, K, H, W) in 0..1 for images (N, H, W, C)."""
        return score_images(self._network, images, self._format, self._device)


def logits_for(format: Format) -> int:
    """Return how many logits per pixel a network gives: one for one class, K + 1 for K > 1."""
    classes = len(format.classes)
    return 1 if classes == 1 else classes + 1


def segmentation_loss(logits: Tensor, masks: Tensor, kind: LossKind, counts: Tensor | None = None) -> Tensor:
    """Return the mean loss of logits (N, 1, H, W), float32 scalar; masks, likewise, may be anything in 0..1.

    bce: cross-entropy per pixel. bce_dice: with 1 - soft Dice per image added. Logits (N, K + 1, H, W), background
    first, are held against masks (N, K, H, W): the cross-entropy is then over classes, and the Dice the mean over them.
    counts: float32 (N, 1, H, W) in 0..1, the weight of each pixel within its image; None where all are equal. Images
            have equal weights however many of their pixels count.
    """
    several = logits.shape[1] > 1
    if several:
        loss = _cross_entropy(logits, masks, counts)
    elif counts is None:
        loss = binary_cross_entropy_with_logits(logits, masks)
    else:
        each = binary_cross_entropy_with_logits(logits, masks, weight=counts, reduction="none").sum((1, 2, 3))
        loss = (each / counts.sum((1, 2, 3)).clamp(min=1)).mean()
    if kind == "bce_dice":
        scores = as_scores(logits) if counts is None else as_scores(logits) * counts
        over = (2, 3) if several else (1, 2, 3)
        overlap = 2 * (scores * masks).sum(over) + 1
        loss = loss + (1 - overlap / (scores.sum(over) + masks.sum(over) + 1)).mean()
    return loss


def _cross_entropy(logits: Tensor, masks: Tensor, counts: Tensor | None) -> Tensor:
    """Return the mean cross-entropy of logits (N, K + 1, H, W) and soft masks (N, K, H, W), weighted by `counts`."""
    total = 1 if counts is None else counts
    shares = torch.cat([(total - masks.sum(dim=1, keepdim=True)).clamp(min=0), masks], dim=1)
    each = -(shares * log_softmax(logits, dim=1)).sum(dim=1)
    if counts is None:
        return each.mean()
    return (each.sum((1, 2)) / counts.sum((1, 2, 3)).clamp(min=1)).mean()


def colour_statistics(images: Images, format: Format) -> tuple[Tensor, Tensor]:
    """Return per-channel mean and standard deviation, float32 (C, 1, 1), of images scaled to 0..1; at least 1/255."""
    if not format.bytes_to_unit:
        return _statistics_in_unit(images, format)
    channels, pixels = images.shape[-1], images.shape[1] * images.shape[2]
    n, step = len(images) * pixels, max(1, (1 << 22) // pixels)
    # Exact integer sums, in slices, so that a set larger than memory is fine and the order does not matter.
    total, squares = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    for begin in range(0, len(images), step):
        part = images[begin : begin + step].reshape(-1, channels).astype(np.int64)
        total += part.sum(0)
        squares += (part * part).sum(0)
    mean = total / n
    std = np.sqrt(np.maximum(squares / n - mean**2, 1.0))
    return per_channel(mean / 255), per_channel(std / 255)


def _statistics_in_unit(images: Images, format: Format) -> tuple[Tensor, Tensor]:
    total, squares, count = np.zeros(len(format.channels)), np.zeros(len(format.channels)), 0
    for begin in range(0, len(images), _CHUNK):
        part = in_unit(images[begin : begin + _CHUNK], format).reshape(-1, len(total)).astype(np.float64)
        total, squares, count = total + part.sum(0), squares + (part * part).sum(0), count + len(part)
    mean = total / count
    return per_channel(mean), per_channel(np.sqrt(np.maximum(squares / count - mean**2, 1 / 255**2)))


def per_channel(values: Any) -> Tensor:
    """Return one number per channel as float32 (C, 1, 1), which fits images (N, C, H, W)."""
    return torch.tensor(values, dtype=torch.float32)[:, None, None]


def _optimizer(kind: OptimizerKind, network: nn.Module, rate: float, device: str) -> torch.optim.Optimizer:
    weights, lr = network.parameters(), learning_rate(rate, device)
    if kind == "sgd":
        return torch.optim.SGD(weights, lr=lr, momentum=0.9, fused=True)
    return torch.optim.AdamW(weights, lr=lr, weight_decay=0.01, fused=True, capturable=isinstance(lr, Tensor))

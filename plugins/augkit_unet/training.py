"""Training the U-Net and predicting with it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.flop_counter import FlopCounterMode

from augkit import Augment, Images, ImageSet, InputError, Problem, Scores, Workspace
from augkit.store import write_bytes, write_json
from augkit.training import (
    Batch,
    Batches,
    Gradients,
    autocast,
    compile_if_repaid,
    memory_layout,
    score_images,
    seeded,
    settle,
    train,
)
from augkit_unet.network import DEPTH, UnetNetwork
from augkit_unet.selection import SelectingLearner, cut_development

if TYPE_CHECKING:
    from augkit_unet.segmenter import Unet


def fit(options: Unet, samples: ImageSet, augment: Augment, space: Workspace, weights: Path) -> None:
    """Train the network and write its weights."""
    if any(side % 2**DEPTH for side in samples.size):
        what = f"images are {samples.size} pixels; the U-Net needs sides that are multiples of {2**DEPTH}"
        raise InputError(Problem("unet", what, "Choose another size in the data set's options"))
    fitted = _train_and_select if options.development else _train_to_the_end
    state = fitted(options, samples, augment, space).state_dict()
    write_bytes(weights, save({key: value.contiguous().cpu() for key, value in state.items()}))


def _train_to_the_end(options: Unet, samples: ImageSet, augment: Augment, space: Workspace) -> nn.Module:
    learner = UnetLearner(options, samples, augment, space)
    train(learner, space, learner.steps)
    write_json(space.folder / "budget.json", learner.budget())
    return learner.network


def _train_and_select(options: Unet, samples: ImageSet, augment: Augment, space: Workspace) -> nn.Module:
    samples, development = cut_development(samples, options.development, space.seed)
    if len(set(samples.origins)) > 1:
        space.log.note("the generators saw the development images, too: the choice of the weights leans towards them")
    inner = UnetLearner(options, samples, augment, space)
    learner = SelectingLearner(inner, inner.network, development, inner.steps, space.device)
    train(learner, space, inner.steps)
    write_json(space.folder / "budget.json", inner.budget())
    return learner.best.network


class UnetLearner:
    """One training step: augment a batch, predict, descend."""

    def __init__(self, options: Unet, samples: ImageSet, augment: Augment, space: Workspace) -> None:
        self._options = options
        self._augment = augment
        self._device = space.device
        self._batches = Batches(samples, options.batch_size, space.seed, space.device)
        self._last_batches = _real_batches(options, samples, space) or self._batches
        self._gradients = Gradients(options.reduction, options.batch_size)
        epoch = math.ceil(len(samples) / options.batch_size)
        self.steps = options.steps if options.budget == "steps" else options.epochs * epoch
        with seeded(space.seed):
            network = UnetNetwork(options.width)
        mean, std = _colour_statistics(samples.images)
        network.mean.copy_(mean)
        network.std.copy_(std)
        self.network = settle(network, space.device)
        planned = self.steps * options.batch_size * operations(options.width, samples.size)
        part = self._gradients.parts[0]
        compile_if_repaid(self.network, (part.stop - part.start, 3, *samples.size), planned, space)
        self.optimizer = _optimizer(options, self.network)
        self.networks: Mapping[str, nn.Module] = {"unet": self.network}
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {"unet": self.optimizer}

    def step(self, number: int) -> Mapping[str, Tensor]:
        """Descend once on batch `number`; returns the loss of each part of it."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(number)
        losses: list[Tensor] = []
        self._gradients.descend(self.network, self.optimizer, self._losses(number, losses))
        return {"loss": torch.stack(losses)}

    def budget(self) -> Mapping[str, str | int | float]:
        """Return how much training that is: ``budget``, ``steps``, ``batch_size``, ``images``, and ``epochs``."""
        images, size = len(self._batches), self._options.batch_size
        return {
            "budget": self._options.budget,
            "steps": self.steps,
            "batch_size": size,
            "images": images,
            "epochs": round(self.steps * size / images, 3),
        }

    def _losses(self, number: int, seen: list[Tensor]) -> Iterator[Tensor]:
        """Yield the loss of each part of batch `number`, and add it to those `seen`."""
        finetunes = number >= self.steps * (1 - self._options.finetune)
        batches = self._last_batches if finetunes else self._batches
        for part in self._gradients.parts:
            loss = self._loss(batches.at(number, part))
            seen.append(loss.detach())
            yield loss

    def _loss(self, batch: Batch) -> Tensor:
        images, masks = batch.augmented(self._augment)
        with autocast(self._device):
            logits = self.network(images.contiguous(memory_format=memory_layout(self._device)))
        return _loss(logits.float(), masks, self._options.loss)

    def _learning_rate(self, number: int) -> float:
        if self._options.schedule == "constant":
            return self._options.learning_rate
        return self._options.learning_rate * 0.5 * (1 + math.cos(math.pi * number / self.steps))


class UnetPredictor:
    """Scores images with trained weights."""

    def __init__(self, width: int, weights: Path, device: str) -> None:
        with torch.device("meta"):  # no memory and no random numbers for weights that are about to be loaded
            network = UnetNetwork(width)
        network.load_state_dict(load_file(weights), assign=True)
        self._network = settle(network, device).eval()
        self._device = device

    def __call__(self, images: Images) -> Scores:
        """Return float32 (N, 1, H, W) in 0..1."""
        return score_images(self._network, images, self._device)


def operations(width: int, size: tuple[int, int]) -> float:
    """Return the multiplications and additions of one training step per image."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        UnetNetwork(width)(torch.empty(1, 3, *size)).sum().backward()
    return float(counter.get_total_flops())


def _real_batches(options: Unet, samples: ImageSet, space: Workspace) -> Batches | None:
    """Return batches of the real images alone where the last steps shall see no others and there are both."""
    real = [i for i, origin in enumerate(samples.origins) if origin == "real"]
    if options.finetune == 0 or len(real) in (0, len(samples)):
        return None
    return Batches(samples.take(real), options.batch_size, space.seed, space.device)


def _optimizer(options: Unet, network: nn.Module) -> torch.optim.Optimizer:
    if options.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), lr=options.learning_rate, momentum=0.9, fused=True)
    return torch.optim.AdamW(network.parameters(), lr=options.learning_rate, weight_decay=0.01, fused=True)


def _loss(logits: Tensor, masks: Tensor, kind: str) -> Tensor:
    loss = binary_cross_entropy_with_logits(logits, masks)
    if kind == "bce_dice":
        scores = torch.sigmoid(logits)
        overlap = 2 * (scores * masks).sum((1, 2, 3)) + 1
        loss = loss + (1 - overlap / (scores.sum((1, 2, 3)) + masks.sum((1, 2, 3)) + 1)).mean()
    return loss


def _colour_statistics(images: Images) -> tuple[Tensor, Tensor]:
    """Return per-channel mean and standard deviation, float32 (3, 1, 1), of uint8 images scaled to 0..1."""
    flat: Any = images.reshape(-1, 3)
    n = len(flat)
    # Exact integer sums, in slices, so that a set larger than memory is fine and the order does not matter.
    total, squares = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for begin in range(0, n, 1 << 22):
        part = flat[begin : begin + (1 << 22)].astype(np.int64)
        total += part.sum(0)
        squares += (part * part).sum(0)
    mean = total / n
    std = np.sqrt(np.maximum(squares / n - mean**2, 1.0))
    return _column(mean / 255), _column(std / 255)


def _column(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None]

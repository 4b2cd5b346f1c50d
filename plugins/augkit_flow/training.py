"""Training of the velocity network: straight lines from noise to images, at random times."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from augkit import ImageSet, TensorDraws, Workspace
from augkit.training import (
    Batch,
    Batches,
    Ema,
    Inputs,
    Recorded,
    autocast,
    learning_rate,
    seeded,
    set_learning_rate,
    settle,
    train,
)
from augkit_flow.network import FlowNetwork
from augkit_flow.options import FlowOptions
from augkit_flow.painter import save_network

_WARM_UP = 200
"""Steps, at most a tenth of all, over which the learning rate rises."""


def fit(options: FlowOptions, samples: ImageSet, space: Workspace) -> None:
    """Train and write the average of the weights."""
    learner = FlowLearner(options, samples, space)
    train(learner, space, options.steps)
    save_network(learner.average.network, options.width, samples.size, space.folder)


class FlowLearner:
    """One training step: a point on the line from noise to each image, and the velocity there."""

    def __init__(self, options: FlowOptions, samples: ImageSet, space: Workspace) -> None:
        self._options = options
        self._device = space.device
        self._batches = Batches(samples, options.batch_size, space.seed, space.device)
        with seeded(space.seed):
            network = FlowNetwork(options.width, samples.size)
        network.spectrum.measure(samples.images)
        self.network = settle(network, space.device, torch.channels_last)
        self.average = Ema(self.network)
        self.networks: Mapping[str, nn.Module] = {"flow": self.network, "average": self.average}
        lr = learning_rate(options.learning_rate, space.device)
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=lr,
            betas=(0.9, 0.99),
            weight_decay=0.0,
            fused=True,
            capturable=isinstance(lr, Tensor),
        )
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {"flow": self._optimizer}
        self._descend = Recorded(self._descend_on, [self._optimizer], space)

    def step(self, number: int) -> Mapping[str, Tensor]:
        """Descend once on batch `number`; returns the mean squared error of the velocity."""
        set_learning_rate(self._optimizer, self._options.learning_rate * _rate(number, self._options.steps))
        seen = self._descend([self._batches.at(number).tensors()])
        # The average forgets the first steps sooner than its option says.
        self.average.update(self.network, min(self._options.ema, (1 + number) / (10 + number)))
        return seen

    def _descend_on(self, batches: Inputs) -> Mapping[str, Tensor]:
        """Do `step` on a batch, as `Batch.tensors` has it."""
        batch = Batch.of(batches[0])
        images, masks = self._prepare(batch.images, batch.masks, batch.draws)
        # Times near the middle are the hard ones: the logit-normal law of Esser et al. 2024, arXiv:2403.03206.
        times = torch.sigmoid(batch.draws.normal("time", shape=(1, 1, 1)))
        noise = batch.draws.normal("noise", shape=tuple(images.shape[1:]))
        x = torch.lerp(noise, images, times)

        with autocast(self._device):
            velocity = self.network(x, masks, times)
        loss = (velocity - (images - noise)).square().mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return {"velocity error": loss.detach()}

    def _prepare(self, images: Tensor, masks: Tensor, draws: TensorDraws) -> tuple[Tensor, Tensor]:
        """Return normalised images and masks in {-1, 1}, mirrored together; hidden masks are 0."""
        if self._options.flip:
            for axis in (2, 3):
                mirrored = draws.boolean(f"flip {axis}")[:, None, None, None]
                images = torch.where(mirrored, images.flip(axis), images)
                masks = torch.where(mirrored, masks.flip(axis), masks)
        hidden = draws.boolean("hide", self._options.mask_dropout)[:, None, None, None]
        return self.network.spectrum.normalise(images), torch.where(hidden, 0.0, masks * 2 - 1)


def _rate(number: int, steps: int) -> float:
    """Return the share of the peak learning rate at a step: a linear rise, then half a cosine down to zero."""
    rise = min(_WARM_UP, max(steps // 10, 1))
    return min(1.0, (number + 1) / rise) * 0.5 * (1 + math.cos(math.pi * number / steps))

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

_EARLY = 1 / 3
"""Share of times that lie nearer to noise."""


def fit(options: FlowOptions, samples: ImageSet, space: Workspace) -> None:
    """Train a velocity network and write the average of its weights."""
    learner = FlowLearner(options, samples, space)
    train(learner, space, options.steps)
    save_network(learner.average.network, options.width, samples.size, samples.format, space.folder)


class FlowLearner:
    """Learns the velocity at a random point of each line from noise to an image."""

    def __init__(self, options: FlowOptions, samples: ImageSet, space: Workspace) -> None:
        self.options = options
        self._device = space.device
        self._batches = Batches(samples, options.batch_size, space.seed, space.device)
        with seeded(space.seed):
            network = FlowNetwork(options.width, samples.size, samples.format)
        network.spectrum.measure(samples.images)
        self.network = settle(network, space.device, torch.channels_last)
        self._emerging = -network.spectrum.power.max().log().clamp_min(0) / 2
        self.average = Ema(self.network)
        self.networks: Mapping[str, nn.Module] = {"flow": self.network, "average": self.average}
        self._optimizer = adam(self.network, options.learning_rate, space.device)
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {"flow": self._optimizer}
        self._descend = Recorded(self._descend_on, [self._optimizer], space)

    def step(self, number: int) -> Mapping[str, Tensor]:
        """Descend once on batch `number`; returns the loss."""
        set_learning_rate(self._optimizer, self.options.learning_rate * rate(number, self.options.steps))
        seen = self._descend([self._batches.at(number).tensors()])
        self.average.update(self.network, decay(number, self.options.ema))
        return seen

    def _descend_on(self, batches: Inputs) -> Mapping[str, Tensor]:
        """Do `step` on a batch, as `Batch.tensors` has it."""
        batch = Batch.of(batches[0])
        images, masks = batch.images, self._masks(batch)
        if self.options.flip:
            images = mirrored(images, batch.draws)
        loss = self._loss(self.network.spectrum.normalise(images), masks, batch.draws)
        descend(self._optimizer, loss)
        return {"velocity error": loss.detach()}

    def _masks(self, batch: Batch) -> Tensor:
        """Return masks in {-1, 1}, mirrored at random."""
        return (mirrored(batch.masks, batch.draws) if self.options.flip else batch.masks) * 2 - 1

    def _loss(self, images: Tensor, masks: Tensor, draws: TensorDraws) -> Tensor:
        """Return the mean squared error of the velocity on the lines to normalised images."""
        times = _times(draws, self._emerging)
        noise = draws.normal("noise", shape=tuple(images.shape[1:]))
        with autocast(self._device):
            velocity: Tensor = self.network(torch.lerp(noise, images, times), self._some_hidden(masks, draws), times)
        return (velocity - (images - noise)).square().mean()

    def _some_hidden(self, masks: Tensor, draws: TensorDraws) -> Tensor:
        """Return masks in {-1, 1}, the hidden ones 0."""
        return torch.where(draws.boolean("hide", self.options.mask_dropout)[:, None, None, None], 0.0, masks)


def adam(network: nn.Module, peak: float, device: str) -> torch.optim.Optimizer:
    """Return the optimizer of a network whose learning rate is at most `peak`."""
    lr = learning_rate(peak, device)
    capturable = isinstance(lr, Tensor)
    return torch.optim.AdamW(
        network.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=0.0, fused=True, capturable=capturable
    )


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take one step."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def rate(number: int, steps: int) -> float:
    """Return the share of the peak learning rate at a step: a linear rise, then half a cosine down to zero."""
    rise = min(_WARM_UP, max(steps // 10, 1))
    return min(1.0, (number + 1) / rise) * 0.5 * (1 + math.cos(math.pi * number / steps))


def decay(number: int, ema: float) -> float:
    """Return how much of itself the average keeps at a step: it forgets the first ones sooner than its option says."""
    return min(ema, (1 + number) / (10 + number))


def mirrored(pixels: Tensor, draws: TensorDraws) -> Tensor:
    """Return images or masks (N, C, H, W), half of them mirrored left to right and half top to bottom."""
    for axis in (2, 3):
        pixels = torch.where(draws.boolean(f"flip {axis}")[:, None, None, None], pixels.flip(axis), pixels)
    return pixels


def _times(draws: TensorDraws, emerging: Tensor) -> Tensor:
    """Return float32 (N, 1, 1, 1) in 0..1; `emerging`: logit of the time when the strongest coefficient emerges."""
    # Times near the middle are the hard ones: the logit-normal law of Esser et al. 2024, arXiv:2403.03206. But colours
    # and large shapes are decided long before it, when their coefficients emerge from noise.
    early = draws.boolean("early", _EARLY)[:, None, None, None]
    shift = torch.where(early, draws.uniform("shift", high=2.0, shape=(1, 1, 1)), 0.0) * emerging
    return torch.sigmoid(draws.normal("time", shape=(1, 1, 1)) + shift)

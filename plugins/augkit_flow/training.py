"""Training of the networks: straight lines from noise to images, at random times."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

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
from augkit_flow.network import DistributionalNetwork, FlowNetwork
from augkit_flow.options import DistributionalOptions, FlowOptions
from augkit_flow.painter import save_network
from augkit_flow.scoring import EnergyScore

_WARM_UP = 200
"""Steps, at most a tenth of all, over which the learning rate rises."""


def fit(options: FlowOptions, samples: ImageSet, space: Workspace) -> None:
    """Train a velocity network and write the average of its weights."""
    _fit(FlowLearner(options, samples, space), samples, space)


def fit_distributional(options: DistributionalOptions, samples: ImageSet, space: Workspace) -> None:
    """Train a network that draws images and write the average of its weights."""
    _fit(DistributionalLearner(options, samples, space), samples, space)


def _fit(learner: _Learner[Any], samples: ImageSet, space: Workspace) -> None:
    train(learner, space, learner.options.steps)
    save_network(learner.average.network, learner.options.width, samples.size, samples.format, space.folder)


N = TypeVar("N", FlowNetwork, DistributionalNetwork)


class _Learner(ABC, Generic[N]):
    """One training step of a network at points on the lines from noise to images."""

    watched: ClassVar[str]
    """Name of the loss."""

    def __init__(
        self, network: type[N], options: FlowOptions | DistributionalOptions, samples: ImageSet, space: Workspace
    ) -> None:
        self.options = options
        self._device = space.device
        self._batches = Batches(samples, options.batch_size, space.seed, space.device)
        with seeded(space.seed):
            self.network: N = network(options.width, samples.size, samples.format)
        self.network.spectrum.measure(samples.images)
        self.network = settle(self.network, space.device, torch.channels_last)
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
        """Descend once on batch `number`; returns the loss."""
        set_learning_rate(self._optimizer, self.options.learning_rate * _rate(number, self.options.steps))
        seen = self._descend([self._batches.at(number).tensors()])
        # The average forgets the first steps sooner than its option says.
        self.average.update(self.network, min(self.options.ema, (1 + number) / (10 + number)))
        return seen

    @abstractmethod
    def _loss(self, images: Tensor, masks: Tensor, draws: TensorDraws) -> Tensor:
        """Return the loss of images and masks in 0..1, and of what is drawn for them."""

    def _descend_on(self, batches: Inputs) -> Mapping[str, Tensor]:
        """Do `step` on a batch, as `Batch.tensors` has it."""
        batch = Batch.of(batches[0])
        images, masks = batch.images, batch.masks
        if self.options.flip:
            images, masks = _mirrored(images, masks, batch.draws)
        loss = self._loss(self.network.spectrum.normalise(images), masks * 2 - 1, batch.draws)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return {self.watched: loss.detach()}


class FlowLearner(_Learner[FlowNetwork]):
    """Learns the velocity at a random point of each line."""

    watched = "velocity error"

    def __init__(self, options: FlowOptions, samples: ImageSet, space: Workspace) -> None:
        super().__init__(FlowNetwork, options, samples, space)
        self._hidden = options.mask_dropout

    def _loss(self, images: Tensor, masks: Tensor, draws: TensorDraws) -> Tensor:
        """Return the mean squared error of the velocity."""
        times = _times(draws)
        noise = draws.normal("noise", shape=tuple(images.shape[1:]))
        with autocast(self._device):
            velocity: Tensor = self.network(torch.lerp(noise, images, times), self._some_hidden(masks, draws), times)
        return (velocity - (images - noise)).square().mean()

    def _some_hidden(self, masks: Tensor, draws: TensorDraws) -> Tensor:
        """Return masks in {-1, 1}, the hidden ones 0."""
        return torch.where(draws.boolean("hide", self._hidden)[:, None, None, None], 0.0, masks)


class DistributionalLearner(_Learner[DistributionalNetwork]):
    """Learns what each line's image could be, seen from a random point of the line, by several draws at once."""

    watched = "energy score"

    def __init__(self, options: DistributionalOptions, samples: ImageSet, space: Workspace) -> None:
        super().__init__(DistributionalNetwork, options, samples, space)
        self._samples = options.samples
        self._noise_share = options.noise_share
        self._score = EnergyScore(self.network.spectrum, samples.images, space.device)

    def _loss(self, images: Tensor, masks: Tensor, draws: TensorDraws) -> Tensor:
        """Return the mean energy score."""
        # Painting begins at pure noise, so many of the draws begin there.
        begins = draws.boolean("begins", self._noise_share)[:, None, None, None]
        times = torch.where(begins, 0.0, _times(draws))
        shape, n = tuple(images.shape[1:]), self._samples
        x = torch.lerp(draws.normal("noise", shape=shape), images, times)
        noise = torch.cat([draws.normal(f"sample {k}", shape=shape) for k in range(n)])
        with autocast(self._device):
            drawn = self.network(x.repeat(n, 1, 1, 1), noise, masks.repeat(n, 1, 1, 1), times.repeat(n, 1, 1, 1))
        return self._score(drawn.chunk(n), images)


def _times(draws: TensorDraws) -> Tensor:
    """Return float32 (N, 1, 1, 1) in 0..1."""
    # Times near the middle are the hard ones: the logit-normal law of Esser et al. 2024, arXiv:2403.03206.
    return torch.sigmoid(draws.normal("time", shape=(1, 1, 1)))


def _mirrored(images: Tensor, masks: Tensor, draws: TensorDraws) -> tuple[Tensor, Tensor]:
    """Return images and masks, half of them mirrored left to right and half top to bottom."""
    for axis in (2, 3):
        mirrored = draws.boolean(f"flip {axis}")[:, None, None, None]
        images = torch.where(mirrored, images.flip(axis), images)
        masks = torch.where(mirrored, masks.flip(axis), masks)
    return images, masks


def _rate(number: int, steps: int) -> float:
    """Return the share of the peak learning rate at a step: a linear rise, then half a cosine down to zero."""
    rise = min(_WARM_UP, max(steps // 10, 1))
    return min(1.0, (number + 1) / rise) * 0.5 * (1 + math.cos(math.pi * number / steps))

"""Training of the networks: straight lines from noise to images, at random times."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
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
from augkit_flow.adversary import PENALTY_EVERY, Discriminator, Seen, deceive, discriminate, penalty
from augkit_flow.network import DistributionalNetwork, FlowNetwork
from augkit_flow.options import DistributionalOptions, FlowOptions
from augkit_flow.painter import save_network
from augkit_flow.scoring import EnergyScore

_WARM_UP = 200
"""Steps, at most a tenth of all, over which the learning rate rises."""

_BETAS = 0.9, 0.99

_ADVERSARIAL_BETAS = 0.0, 0.99
"""Against an adversary no momentum is gathered."""

_FINISHING_RATE = 0.3
"""Peak of the learning rate beside a discriminator, as a multiple of the option; the discriminator's is twice that."""

_FINISHING_NOISE = 0.5
"""Least share of draws beside a discriminator that begin at noise."""


def fit(options: FlowOptions, samples: ImageSet, space: Workspace) -> None:
    """Train a velocity network and write the average of its weights."""
    _fit(FlowLearner(options, samples, space), samples, space)


def fit_distributional(options: DistributionalOptions, samples: ImageSet, space: Workspace) -> None:
    """Train a network that draws images and write the average of its weights."""
    _fit(DistributionalLearner(options, samples, space), samples, space)


def _fit(learner: _Learner[Any], samples: ImageSet, space: Workspace) -> None:
    train(learner, space, learner.steps)
    save_network(learner.average.network, learner.options.width, samples.size, samples.format, space.folder)


N = TypeVar("N", FlowNetwork, DistributionalNetwork)


class _Learner(ABC, Generic[N]):
    """One training step of a network at points on the lines from noise to images."""

    watched: ClassVar[str]
    """Name of the loss."""

    steps: int
    """Of the whole training."""

    def __init__(
        self, network: type[N], options: FlowOptions | DistributionalOptions, samples: ImageSet, space: Workspace
    ) -> None:
        self.options = options
        self.steps = options.steps
        self._device = space.device
        self._batches = Batches(samples, options.batch_size, space.seed, space.device)
        with seeded(space.seed):
            self.network: N = network(options.width, samples.size, samples.format)
        self.network.spectrum.measure(samples.images)
        self.network = settle(self.network, space.device, torch.channels_last)
        self.average = Ema(self.network)
        self.networks: Mapping[str, nn.Module] = {"flow": self.network, "average": self.average}
        self._optimizer = _adam(self.network, options.learning_rate, _BETAS, space.device)
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
        """Return the loss of normalised images and masks in {-1, 1}, and of what is drawn for them."""

    def _descend_on(self, batches: Inputs) -> Mapping[str, Tensor]:
        """Do `step` on a batch, as `Batch.tensors` has it."""
        batch = Batch.of(batches[0])
        loss = self._loss(*self._prepared(batch), batch.draws)
        _descend(self._optimizer, loss)
        return {self.watched: loss.detach()}

    def _prepared(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return normalised images and masks in {-1, 1}, mirrored at random."""
        images, masks = batch.images, batch.masks
        if self.options.flip:
            images, masks = _mirrored(images, masks, batch.draws)
        return self.network.spectrum.normalise(images), masks * 2 - 1


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
    """Learns what each line's image could be, seen from a random point of the line, by several draws at once.

    The last `adversarial_steps` begin at the average of the weights; in each of them a discriminator descends first.
    """

    watched = "energy score"

    def __init__(self, options: DistributionalOptions, samples: ImageSet, space: Workspace) -> None:
        super().__init__(DistributionalNetwork, options, samples, space)
        self._plan = options
        self._score = EnergyScore(self.network.spectrum, samples.images, space.device)
        if not options.adversarial_steps:
            return
        self.steps = options.steps + options.adversarial_steps
        with seeded(space.seed):
            judge = Discriminator(2 * options.width, samples.format)
        self._judge = settle(judge, space.device, torch.channels_last)
        self._judging = _adam(self._judge, options.learning_rate, _ADVERSARIAL_BETAS, space.device)
        self._finishing = _adam(self.network, options.learning_rate, _ADVERSARIAL_BETAS, space.device)
        self.networks = {**self.networks, "discriminator": self._judge}
        self.optimizers = {**self.optimizers, "finishing": self._finishing, "discriminator": self._judging}
        self._finish = {
            penalise: Recorded(partial(self._finish_on, penalise), [self._judging, self._finishing], space)
            for penalise in (False, True)
        }

    def step(self, number: int) -> Mapping[str, Tensor]:
        """Descend once on batch `number`; returns the score, and which share the discriminator judges rightly."""
        done = number - self._plan.steps
        if done < 0:
            return super().step(number)
        if done == 0:
            self.network.load_state_dict(self.average.network.state_dict())
        rate = self._plan.learning_rate * _FINISHING_RATE * _late(done, self._plan.adversarial_steps)
        set_learning_rate(self._finishing, rate)
        set_learning_rate(self._judging, 2 * rate)
        seen = self._finish[done % PENALTY_EVERY == 0]([self._batches.at(number).tensors()])
        self.average.update(self.network, self._plan.ema)
        return seen

    def _finish_on(self, penalise: bool, batches: Inputs) -> Mapping[str, Tensor]:
        """Do `step` beside the discriminator on a batch, as `Batch.tensors` has it."""
        batch = Batch.of(batches[0])
        images, masks = self._prepared(batch)
        drawn = self._draw(images, masks, batch.draws, max(_FINISHING_NOISE, self._plan.noise_share))
        seen = Seen.of(images, masks, batch.draws)

        self._judge.requires_grad_(True)
        with autocast(self._device):
            loss, right = discriminate(self._judge, seen, drawn)
        _descend(self._judging, loss + penalty(self._judge, seen) if penalise else loss)

        self._judge.requires_grad_(False)
        with autocast(self._device):
            deceiving = deceive(self._judge, seen, drawn)
        score = self._score(drawn, images)
        _descend(self._finishing, score + deceiving)
        self._judge.requires_grad_(True)
        return {self.watched: score.detach(), "discriminator right": right}

    def _loss(self, images: Tensor, masks: Tensor, draws: TensorDraws) -> Tensor:
        """Return the mean energy score."""
        return self._score(self._draw(images, masks, draws, self._plan.noise_share), images)

    def _draw(self, images: Tensor, masks: Tensor, draws: TensorDraws, noise_share: float) -> Sequence[Tensor]:
        """Return several draws, each (N, C, H, W), for points on the lines from noise to images, some of them noise."""
        # Painting begins at pure noise, so many of the draws begin there.
        begins = draws.boolean("begins", noise_share)[:, None, None, None]
        times = torch.where(begins, 0.0, _times(draws))
        shape, n = tuple(images.shape[1:]), self._plan.samples
        x = torch.lerp(draws.normal("noise", shape=shape), images, times)
        noise = torch.cat([draws.normal(f"sample {k}", shape=shape) for k in range(n)])
        with autocast(self._device):
            drawn: Tensor = self.network(
                x.repeat(n, 1, 1, 1), noise, masks.repeat(n, 1, 1, 1), times.repeat(n, 1, 1, 1)
            )
        return drawn.chunk(n)


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _adam(network: nn.Module, rate: float, betas: tuple[float, float], device: str) -> torch.optim.Optimizer:
    lr = learning_rate(rate, device)
    capturable = isinstance(lr, Tensor)
    return torch.optim.AdamW(
        network.parameters(), lr=lr, betas=betas, weight_decay=0.0, fused=True, capturable=capturable
    )


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


def _late(number: int, steps: int) -> float:
    """Return the share of the peak learning rate beside a discriminator: it stays for one half, then falls."""
    half = steps // 2
    rise = min(_WARM_UP, max(steps // 10, 1)) / 2
    return min(1.0, (number + 1) / rise) * 0.5 * (1 + math.cos(math.pi * max(0, number - half) / (steps - half)))

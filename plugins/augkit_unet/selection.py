"""Choosing a training's weights on a development split that is cut from the training data, never on evaluation images.

The best weights so far are one more network of the learner, so a checkpoint holds them and a resumed training chooses
as an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn

from augkit import Draws, ImageSet, InputError, Problem, sample_keys
from augkit.metrics import decided, dice
from augkit.training import Learner, score_images

LOOKS = 20
"""How often in a training the development images are scored, evenly spaced; the last time after the last step."""

_AT_A_TIME = 256
"""Images that are in memory with their scores; a multiple of the batches in which a network predicts."""


def cut_development(samples: ImageSet, share: float, seed: int) -> tuple[ImageSet, ImageSet]:
    """Return what is left to train on, and the development images.

    Every group has its own number and those with the smallest ones, `share` of all, are cut: the same groups in every
    arm of a seed. A segmenter is trained on nothing of a cut group, synthetic images of its masks included; its real
    images are the development images (its synthetic ones where the whole set is synthetic). A generator was fitted
    before, on all groups, so something of the cut ones may be in the synthetic images that are left.
    """
    real = any(origin == "real" for origin in samples.origins)
    usable = [origin == "real" or not real for origin in samples.origins]
    groups = sorted({group for group, use in zip(samples.groups, usable, strict=True) if use})
    numbers = Draws.of(seed, "development", sample_keys(groups)).uniform("place")
    count = max(1, round(share * len(groups)))
    if count >= len(groups):
        what = f"development: {share} of {len(groups)} groups leaves none to train on; allowed: at least one group left"
        raise InputError(Problem("unet", what, "Choose a smaller share, or 0 to keep the last weights"))
    cut = {groups[i] for i in np.argsort(numbers, kind="stable")[:count]}
    kept = [i for i, group in enumerate(samples.groups) if group not in cut]
    shown = [i for i, group in enumerate(samples.groups) if group in cut and usable[i]]
    return samples.take(kept), samples.take(shown)


class Best(nn.Module):
    """The best weights so far with their score, the mean Dice of the development images; the earliest of equals."""

    score: Tensor
    steps: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = deepcopy(network)
        self.register_buffer("score", torch.tensor(-1.0))
        self.register_buffer("steps", torch.tensor(0))

    def offer(self, network: nn.Module, score: float, steps: int) -> None:
        """Keep the network's weights if they score better than those kept."""
        if float(np.float32(score)) > float(self.score):  # as it is kept, or an equal one could seem better
            self.network.load_state_dict(network.state_dict())
            self.score.fill_(score)
            self.steps.fill_(steps)


class SelectingLearner:
    """A learner that scores its network on development images now and then, and keeps the best weights."""

    def __init__(self, inner: Learner, network: nn.Module, development: ImageSet, steps: int, device: str) -> None:
        self._inner = inner
        self._network = network
        self._development = development
        self._every = max(1, steps // LOOKS)
        self._steps = steps
        self._device = device
        self.best = Best(network).to(device)
        self.networks: Mapping[str, nn.Module] = {**inner.networks, "best": self.best}
        self.optimizers = inner.optimizers

    def step(self, number: int) -> Mapping[str, Tensor]:
        """Do the inner step, and look at the development images after some."""
        values = self._inner.step(number)
        done = number + 1
        if done == self._steps or done % self._every == 0:
            self.best.offer(self._network, self._dice(), done)
        return {**values, "development_dice": self.best.score}

    def _dice(self) -> float:
        """Return the mean Dice of the network as it is, in 0..1, predicting as it will after training."""
        was_training = self._network.training
        self._network.eval()
        samples, values = self._development, []
        for begin in range(0, len(samples), _AT_A_TIME):
            part = samples.part(slice(begin, begin + _AT_A_TIME))
            scores = score_images(self._network, part.images, part.format, self._device)
            found = np.stack([decided(one, part.format) for one in scores])
            values.append(dice(found, np.asarray(part.masks), len(part.format.classes)))
        self._network.train(was_training)
        return float(np.concatenate(values).mean())

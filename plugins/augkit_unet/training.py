"""Training the U-Net."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from augkit import Augment, Format, ImageSet, Workspace
from augkit.store import write_json
from augkit.training import (
    Budget,
    SegmentationLearner,
    colour_statistics,
    compile_if_repaid,
    save_weights,
    seeded,
    train,
    write_format,
)
from augkit_unet.network import UnetNetwork
from augkit_unet.options import WEIGHTS, UnetOptions
from augkit_unet.selection import SelectingLearner, cut_development


def fit(options: UnetOptions, samples: ImageSet, augment: Augment, space: Workspace) -> None:
    """Train the network and write its weights, what images it takes, and ``budget.json``."""
    write_format(space.folder, samples.format)
    fitted = _train_and_select if options.development else _train_to_the_end
    save_weights(fitted(options, samples, augment, space), space.folder / WEIGHTS)


def _train_to_the_end(options: UnetOptions, samples: ImageSet, augment: Augment, space: Workspace) -> nn.Module:
    learner = UnetLearner(options, samples, augment, space)
    train(learner, space, learner.budget.steps)
    write_json(space.folder / "budget.json", learner.budget.facts())
    return learner.network


def _train_and_select(options: UnetOptions, samples: ImageSet, augment: Augment, space: Workspace) -> nn.Module:
    samples, development = cut_development(samples, options.development, space.seed)
    if len(set(samples.origins)) > 1:
        space.log.note("the generators saw the development images, too: the choice of the weights leans towards them")
    inner = UnetLearner(options, samples, augment, space)
    learner = SelectingLearner(inner, inner.network, development, inner.budget.steps, space.device)
    train(learner, space, inner.budget.steps)
    write_json(space.folder / "budget.json", inner.budget.facts())
    return learner.best.network


class UnetLearner(SegmentationLearner):
    """The learner of the U-Net, which is compiled where the training is long enough."""

    def __init__(self, options: UnetOptions, samples: ImageSet, augment: Augment, space: Workspace) -> None:
        with seeded(space.seed):
            network = UnetNetwork(options.width, samples.format)
        mean, std = colour_statistics(samples.images, samples.format)
        network.mean.copy_(mean)
        network.std.copy_(std)
        super().__init__(
            "unet",
            network,
            samples,
            augment,
            space,
            budget=Budget.of(options.budget, options.steps, options.epochs, options.batch_size, len(samples)),
            optimizer=options.optimizer,
            learning_rate=options.learning_rate,
            schedule=options.schedule,
            loss=options.loss,
            reduction=options.reduction,
            finetune=options.finetune,
        )
        planned = self.budget.steps * options.batch_size * operations(options.width, samples.format, samples.size)
        shape = (self.part_size, len(samples.format.channels), *samples.size)
        compile_if_repaid(self.network, shape, planned, space)


def operations(width: int, format: Format, size: tuple[int, int]) -> float:
    """Return the multiplications and additions of one training step per image."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        UnetNetwork(width, format)(torch.empty(1, len(format.channels), *size)).sum().backward()
    return float(counter.get_total_flops())

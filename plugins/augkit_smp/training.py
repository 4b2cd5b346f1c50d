"""Training a network of segmentation_models.pytorch."""

from __future__ import annotations

import segmentation_models_pytorch as smp
from torch import Tensor

from augkit import Augment, ImageSet, InputError, Problem, Workspace
from augkit.store import write_json
from augkit.training import (
    Budget,
    SegmentationLearner,
    colour_statistics,
    per_channel,
    save_weights,
    seeded,
    train,
    write_format,
)
from augkit_smp.network import build
from augkit_smp.options import WEIGHTS, SmpOptions


def fit(options: SmpOptions, samples: ImageSet, augment: Augment, space: Workspace) -> None:
    """Train the network and write its weights, what images it takes, and ``budget.json``."""
    write_format(space.folder, samples.format)
    learner = SmpLearner(options, samples, augment, space)
    train(learner, space, learner.budget.steps)
    write_json(space.folder / "budget.json", learner.budget.facts())
    save_weights(learner.network, space.folder / WEIGHTS)


class SmpLearner(SegmentationLearner):
    """The learner of these networks: AdamW along a cosine."""

    def __init__(self, options: SmpOptions, samples: ImageSet, augment: Augment, space: Workspace) -> None:
        with seeded(space.seed):
            network = build(options.architecture, options.encoder, options.encoder_weights, samples.format)
        mean, std = _colours(options.encoder, options.encoder_weights, samples)
        network.mean.copy_(mean)
        network.std.copy_(std)
        super().__init__(
            "smp",
            network,
            samples,
            augment,
            space,
            budget=Budget.of(options.budget, options.steps, options.epochs, options.batch_size, len(samples)),
            optimizer="adamw",
            learning_rate=options.learning_rate,
            schedule="cosine",
            loss=options.loss,
            reduction=options.reduction,
        )
        if self.part_size < 2:  # their batch normalisation also meets feature maps of one pixel
            what = f"found {options.batch_size}, cut into parts of one image; allowed: at least two images in each part"
            raise InputError(Problem("batch_size", what))


def _colours(encoder: str, encoder_weights: str | None, samples: ImageSet) -> tuple[Tensor, Tensor]:
    """Return per-channel mean and standard deviation, float32 (C, 1, 1), for pixels in 0..1."""
    if encoder_weights is None or not samples.format.rgb:  # what the encoder saw says nothing of other channels
        return colour_statistics(samples.images, samples.format)
    known = smp.encoders.get_preprocessing_params(encoder, encoder_weights)
    return per_channel(known["mean"]), per_channel(known["std"])

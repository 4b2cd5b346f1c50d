"""An augmented sample again, and what was drawn for it, from its key alone: seed, epoch, sample id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from augkit.contracts.components import Augment
from augkit.data.arrays import Images, ImageSet, Scores
from augkit.data.draws import Draws, sample_keys
from augkit.training.pipeline import Pipeline, drawn_parameters


@dataclass(frozen=True)
class Replay:
    """Samples as training saw them in one epoch.

    images:     (N, H, W, C) of the samples' dtype, rounded from what training is given.
    masks:      float32 (N, H, W) of one class, (N, K, H, W) of several; 0 or 1, or shares where samples were blended.
    counts:     float32 (N, H, W) in 0..1, how much each pixel counts in the loss; None where all count.
    parameters: per sample, per augmentation of the recipe, what was drawn by name; empty where one does not say.
    """

    images: Images
    masks: Scores
    counts: Scores | None
    parameters: tuple[tuple[Mapping[str, Any], ...], ...]


def replay(augment: Sequence[tuple[str, Augment]], samples: ImageSet, seed: int, epoch: int) -> Replay:
    """Return samples as the training of a segmenter sees them in an epoch.

    augment: (name, component) pairs in the recipe's order: ``augment`` of the arm's `TrainSegmenter`.
    samples: any samples of the training set, in any order: each depends on its own id only. Where an augmentation
             blends samples (mixup, cutmix, paste), exactly those of one batch.
    seed:    ``seed`` of the arm's `TrainSegmenter`.

    A GPU may differ in the last bits of the pixels; what is drawn does not differ.
    """
    import torch

    from augkit.training.batches import Batch
    from augkit.training.pixels import as_stored, as_tensor, pair_in_flight

    format = samples.format
    pixels, classes = pair_in_flight(as_tensor(samples.images), as_tensor(samples.masks), format)
    draws = Draws.on_device(seed, "batch", torch.from_numpy(sample_keys(samples.ids)), epoch)
    changed, moved, counts = Batch(pixels, classes, draws).augmented(Pipeline(augment, format.ignore), format.ignore)
    drawn = drawn_parameters(augment, draws)
    return Replay(
        as_stored(changed, format),
        moved[:, 0].numpy() if len(format.classes) == 1 else moved.numpy(),
        None if counts is None else counts[:, 0].numpy(),
        tuple(tuple({key: values[i] for key, values in one.items()} for one in drawn) for i in range(len(samples))),
    )

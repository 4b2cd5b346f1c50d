"""Evaluations: what a segmenter finds in the test split, scored."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from augkit.contracts.components import HasNativeMasks
from augkit.contracts.rules import check_native_count, check_native_mask, contract
from augkit.data.arrays import ImageSet, Masks
from augkit.data.formats import decided
from augkit.data.resizing import upsample_scores
from augkit.data.stored import Evaluation, read_image_set, write_evaluation
from augkit.metrics import class_confusion, class_surface_distance
from augkit.planning.tasks import Evaluate
from augkit.running.job import Job
from augkit.running.stages.predictions import scores_of


def evaluate(task: Evaluate, job: Job) -> None:
    """Score the test split.

    Writes what `Evaluation` holds: masks, the counts of `class_confusion`, and `class_surface_distance`. Predictions
    have the images' size; at native size, scores are interpolated to the size of each mask file before they are cut,
    and counts and distances are of that size.
    """
    test = read_image_set(job.inputs["dataset"] / "test")
    predict = task.segmenter.open(job.inputs["segmenter"], job.device)
    classes = len(test.format.classes)
    predictions = np.empty_like(test.masks)
    counts, distances = np.empty((len(test), classes, 4), np.int64), np.empty((len(test), classes), np.float64)
    truth = (test.masks[i] for i in range(len(test))) if task.native is None else _native_masks(*task.native, test)
    scores = scores_of(predict, test.images, test.format, test.ids)
    for i, (score, mask) in enumerate(zip(scores, truth, strict=True)):
        found = predictions[i] = decided(score, test.format)
        if task.native is not None:
            found = decided(np.stack([upsample_scores(one, *mask.shape) for one in score]), test.format)
        counts[i] = class_confusion(found[None], mask[None], classes)[0]
        distances[i] = class_surface_distance(found[None], mask[None], classes)[0]
    write_evaluation(job.folder, Evaluation(predictions, counts, distances))


def _native_masks(name: str, dataset: HasNativeMasks, samples: ImageSet) -> Iterator[Masks]:
    """Yield the native mask of each sample, held to its contract."""
    given = 0
    with contract("the data set", samples.ids, name):
        for native in dataset.native_masks(samples.ids):
            if given < len(samples):
                yield check_native_mask(native, samples.masks[given], given)
            given += 1
        check_native_count(given, len(samples))

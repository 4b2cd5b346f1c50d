"""Evaluations: what a segmenter finds in the test split, scored."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from augkit.contracts.components import HasNativeMasks
from augkit.contracts.rules import check_native_count, check_native_mask, contract
from augkit.data.arrays import ImageSet, Masks
from augkit.data.resizing import upsample_scores
from augkit.data.stored import Evaluation, read_image_set, write_evaluation
from augkit.metrics import confusion, surface_distance
from augkit.planning.tasks import Evaluate
from augkit.running.job import Job
from augkit.running.stages.predictions import FOREGROUND, scores_of


def evaluate(task: Evaluate, job: Job) -> None:
    """Score the test split.

    Writes ``predictions.npy`` bool (N, H, W), ``counts.npy`` int64 (N, 4) of `confusion`, and ``nsd.npy`` float64 (N,)
    of `surface_distance`, which counts do not decide. Predictions have the images' size; at native size, scores are
    interpolated to the size of each mask file before they are cut, and counts and distances are of that size.
    """
    test = read_image_set(job.inputs["dataset"] / "test")
    predict = task.segmenter.open(job.inputs["segmenter"], job.device)
    predictions = np.empty(test.masks.shape, np.bool_)
    counts, distances = np.empty((len(test), 4), np.int64), np.empty(len(test), np.float64)
    truth = (test.masks[i] for i in range(len(test))) if task.native is None else _native_masks(*task.native, test)
    for i, (score, mask) in enumerate(zip(scores_of(predict, test.images, test.ids), truth, strict=True)):
        predictions[i] = score > FOREGROUND
        found = predictions[i] if task.native is None else upsample_scores(score, *mask.shape) > FOREGROUND
        counts[i], distances[i] = confusion(found[None], mask[None])[0], surface_distance(found[None], mask[None])[0]
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

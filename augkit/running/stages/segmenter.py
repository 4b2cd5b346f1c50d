"""Segmenters: fitted on real and synthetic samples with the recipe's augmentations."""

from __future__ import annotations

import numpy as np

from augkit.contracts.components import Workspace
from augkit.contracts.rules import refusal_of_masks
from augkit.data.arrays import ImageSet
from augkit.data.stored import read_image_set
from augkit.errors import DivergedError, InputError, Problem
from augkit.planning.tasks import TrainSegmenter
from augkit.running.job import Job
from augkit.running.stages.trainings import refuse_data, training


def train_segmenter(task: TrainSegmenter, job: Job) -> None:
    """Let the segmenter fit real and synthetic samples together, augmented as the recipe says."""
    from augkit.training.pipeline import Checked, Pipeline

    with training(job):
        dataset = job.inputs["dataset"]
        real = read_image_set(dataset / "train")
        synthetic = [read_image_set(folder) for folder in job.several("synthesis")]
        train = ImageSet.concatenate([real, *synthetic] if task.real else synthetic)
        for pixels in (train.images, train.masks):
            if isinstance(pixels, np.ndarray):
                pixels.flags.writeable = False  # as they are when nothing is concatenated
        _check_masks(task, train)
        refuse_data(job, train.size, train.format)
        space = Workspace(job.folder, task.seed, job.device, job.log)
        augment = [(name, Checked(name, augmentation)) for name, augmentation in task.augment]
        pipeline = Pipeline(augment, train.format.ignore)
        try:
            task.segmenter.fit(train, read_image_set(dataset / "validation"), pipeline, space)
        except DivergedError:
            pipeline.conclude()  # what an augmentation returned may be why
            raise
        pipeline.conclude()


def _check_masks(task: TrainSegmenter, train: ImageSet) -> None:
    """Refuse augmentations that could never change anything."""
    problems = [
        Problem(f"augmentation '{name}'", what, "Look at the masks, 'augkit preview' shows them, or leave it out")
        for name, augmentation in task.augment
        if (what := refusal_of_masks(augmentation, train.masks))
    ]
    if problems:
        raise InputError(*problems)

"""Generators: fitted on the training split."""

from __future__ import annotations

from augkit.contracts.components import Workspace
from augkit.data.stored import read_image_set
from augkit.planning.tasks import TrainGenerator
from augkit.running.job import Job
from augkit.running.stages.trainings import refuse_data, training


def train_generator(task: TrainGenerator, job: Job) -> None:
    """Let the generator fit the training split."""
    with training(job):
        train = read_image_set(job.inputs["dataset"] / "train")
        refuse_data(job, train.size, train.format)
        task.generator.fit(train, Workspace(job.folder, task.seed, job.device, job.log))

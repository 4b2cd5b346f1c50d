"""Masks: drawn by a mask source from the training masks."""

from __future__ import annotations

import numpy as np

from augkit.contracts.components import Workspace
from augkit.contracts.rules import check_masks, contract, harmless
from augkit.data.draws import Draws
from augkit.data.stored import read_format, read_training_masks, write_drawn_masks
from augkit.planning.tasks import DrawMasks
from augkit.running.job import Job
from augkit.running.stages.trainings import refuse_data, training


def draw_masks(task: DrawMasks, job: Job) -> None:
    """Write ``masks.npy`` (count, H, W), as training masks are, and ``records.json``."""
    with training(job):
        real = read_training_masks(job.inputs["dataset"])
        format = read_format(job.inputs["dataset"] / "train")
        refuse_data(job, real.shape[1:], format)
        count = task.count or max(1, round((task.per_real or 0) * len(real)))
        draws = Draws.of(task.seed, "masks", np.arange(count, dtype=np.int64))
        with contract("the mask source"), harmless():
            drawn = task.masks.draw(real, count, draws, Workspace(job.folder, task.seed, job.device, job.log))
            check_masks(drawn, count, real.shape, format)
        write_drawn_masks(job.folder, drawn)

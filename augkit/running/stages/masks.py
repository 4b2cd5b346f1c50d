"""Masks: drawn by a mask source from the training masks."""

from __future__ import annotations

import numpy as np

from augkit.contracts.components import DrawsParts, Workspace
from augkit.contracts.rules import check_masks, contract, harmless
from augkit.data.draws import Draws
from augkit.data.stored import read_format, read_training_masks, write_drawn_masks
from augkit.planning.tasks import DrawMasks
from augkit.running.job import Job
from augkit.running.stages.trainings import refuse_data, training


def draw_masks(task: DrawMasks, job: Job) -> None:
    """Write ``masks.npy`` (count, H, W), as training masks are, and ``records.json``; of a shard, those of it."""
    with training(job):
        real = read_training_masks(job.inputs["dataset"])
        format = read_format(job.inputs["dataset"] / "train")
        refuse_data(job, real.shape[1:], format)
        count = task.count or max(1, round((task.per_real or 0) * len(real)))
        draws = Draws.of(task.seed, "masks", np.arange(count, dtype=np.int64))
        space = Workspace(job.folder, task.seed, job.device, job.log)
        with contract("the mask source"), harmless():
            if task.cut is None:
                drawn = task.masks.draw(real, count, draws, space)
            else:
                assert isinstance(task.masks, DrawsParts)
                start, stop = task.cut.start, task.cut.stop
                drawn = task.masks.draw_part(real, count, start, stop, draws, space)
                count = stop - start
            check_masks(drawn, count, real.shape, format)
        write_drawn_masks(job.folder, drawn)

"""Synthetic images that follow their masks, selected by a segmenter."""

from __future__ import annotations

import numpy as np

from augkit.data.stored import read_image_set, read_shards, write_image_set, write_shards
from augkit.errors import Problem, StageError
from augkit.metrics import dice
from augkit.planning.tasks import SelectAdherent
from augkit.running.job import Job
from augkit.running.stages.predictions import CHUNK, EVERY, segmented
from augkit.store import write_json


def select_adherent(task: SelectAdherent, job: Job) -> None:
    """Write the samples of a synthetic set whose mask the segmenter finds, and ``adherence.json`` about all of them.

    Of a set in shards, which of its samples these are.
    """
    from augkit.training.rehearsal import current

    samples = read_image_set(job.inputs["synthesis"])
    predict = task.segmenter.open(job.inputs["segmenter"], job.device)
    adherence = np.empty(len(samples))
    for begin in range(0, len(samples), CHUNK * EVERY):  # a million masks at once would fill the memory
        part = samples.part(slice(begin, begin + CHUNK * EVERY))
        found = segmented(predict, part.images, part.format, part.ids)
        adherence[begin : begin + len(part)] = dice(found, np.asarray(part.masks), len(part.format.classes))
        job.log.progress(begin + len(part), len(samples), {})
    kept = np.flatnonzero(adherence >= task.min_adherence)
    if current() is not None:  # what a rehearsal trains judges nothing
        kept = np.arange(len(samples))
    if not len(kept):
        what = f"no image of {len(samples)} reaches {task.min_adherence:g}; the best has {adherence.max():.3f}"
        raise StageError(Problem("min_adherence", what, "Allow less, or look at the generator with 'augkit preview'"))
    job.log.note(f"{len(kept)} of {len(samples)} images follow their masks (Dice {task.min_adherence:g} or more)")
    write_json(job.folder / "adherence.json", dict(zip(samples.ids, adherence.tolist(), strict=True)))
    if (shards := read_shards(job.inputs["synthesis"])) is not None:
        write_shards(job.folder, shards.contents, shards.places, kept)
    else:
        write_image_set(job.folder, samples.take(kept))

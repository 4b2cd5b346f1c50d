"""External sets: all samples of a data set that nothing is trained or chosen on, without copies of training images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from augkit.contracts.components import Frame
from augkit.contracts.rules import unlike
from augkit.data.arrays import ImageSet
from augkit.data.formats import Format, shows
from augkit.data.stored import read_splits, write_excluded, write_image_set
from augkit.errors import Problem, StageError
from augkit.planning.tasks import PoolExternal
from augkit.quality.copies import near_copies
from augkit.running.job import Job


def pool_external(task: PoolExternal, job: Job) -> None:
    """Write all samples as ``test``, in the format of the data set that segmenters are trained on.

    ``excluded.json`` lists the ids of those that were left out: copies of images that are trained or chosen on.
    """
    known, given = read_splits(job.inputs["dataset"]), read_splits(job.inputs["external"])
    where = f"external set '{task.name}'"
    train, other = known.train, given.train
    if said := unlike(Frame(*other.size), other.format, Frame(*train.size), _any_window(train.format)):
        raise StageError(Problem(where, said, "Segmenters are trained on images like that"))
    parts = [part for part in (given.train, given.validation, given.test) if len(part)]
    samples = replace(ImageSet.concatenate(parts), format=train.format)

    # What was learned from, or chosen on, says nothing about other images.
    copied = np.zeros(len(samples), np.bool_)
    for seen in (known.train, known.validation, *([known.test] if task.all_trained else [])):
        copied |= near_copies(samples.images, seen.images, train.format)
    left_out = [name for name, copy in zip(samples.ids, copied, strict=True) if copy]
    if left_out:
        count = f"{len(left_out)} of {len(samples)} images left out"
        job.log.note(f"{where}: {count}, copies of training or validation images: {', '.join(left_out)}")
    rest = samples.take([i for i, copy in enumerate(copied) if not copy])
    if not len(rest):
        what = f"all {len(samples)} images are copies of training or validation images; allowed: a set with others"
        raise StageError(Problem(where, what, "Look whether it is the data set itself, under another name"))
    if not shows(rest.masks).any():
        what = f"none of the {len(rest)} masks shows anything; allowed: at least one with foreground"
        raise StageError(Problem(where, what, "Look at the mask files"))
    write_excluded(job.folder, left_out)
    write_image_set(job.folder / "test", rest)


def _any_window(format: Format) -> Format:
    """Return the format with windows that are still to be found: each data set finds its own in its pixels."""
    return replace(format, channels=tuple(replace(one, low=None, high=None) for one in format.channels))

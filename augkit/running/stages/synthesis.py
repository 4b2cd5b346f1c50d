"""Synthetic images: painted by a generator for drawn masks, shuffled on request."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from augkit.contracts.rules import SAMPLES, STATELESS, check_images, check_same, contract, harmless
from augkit.data.arrays import DrawnMasks, Masks, Record
from augkit.data.draws import ArrayDraws, Draws
from augkit.data.stored import (
    Names,
    images_file,
    read_drawn_masks,
    read_format,
    read_names,
    read_spacing,
    write_samples,
)
from augkit.errors import Problem, StageError
from augkit.planning.tasks import Synthesise
from augkit.running.job import Job
from augkit.running.stages.predictions import CHUNK, EVERY


def synthesise(task: Synthesise, job: Job) -> None:
    """Write the synthetic image set, or a shard of it; a sample drawn from a real mask joins that mask's group."""
    drawn, first = _drawn(task, job)
    masks = drawn.masks
    groups = read_names(job.inputs["dataset"] / "train").groups
    ids = tuple(f"{task.prefix}-{i:06d}" for i in range(first, first + len(masks)))
    paint = task.generator.open(job.inputs["generator"], job.device)
    draws = Draws.of(task.seed, "synthesis", np.arange(first, first + len(masks), dtype=np.int64))
    format = read_format(job.inputs["dataset"] / "train")
    grey_level = float(np.subtract(*reversed(format.windows)).max() / 255)
    with images_file(job.folder, masks.shape, format) as add:
        for begin in range(0, len(masks), CHUNK):
            part = slice(begin, begin + CHUNK)
            with contract("the generator", ids[part]):
                with harmless():
                    images = check_images(paint(masks[part], draws[part]), masks[part].shape, format)
                if begin % (CHUNK * EVERY) == 0:
                    few = slice(min(SAMPLES, CHUNK))
                    with harmless():
                        check_same(
                            images[few],
                            paint(masks[part][few], draws[part][few]),
                            "in another batch",
                            STATELESS,
                            grey_level,
                        )
            add(images)
            job.log.progress(min(begin + CHUNK, len(masks)), len(masks), {})
    parents = tuple(_group(record, groups, name) for record, name in zip(drawn.records, ids, strict=True))
    if task.shuffled:
        masks = np.asarray(masks)
        masks = masks[other_masks(masks, draws)]
    spacing = _spacing(drawn.records, read_spacing(job.inputs["dataset"] / "train"))
    write_samples(job.folder, Names(ids, parents, (task.origin,) * len(masks)), masks, format, spacing)


def _drawn(task: Synthesise, job: Job) -> tuple[DrawnMasks, int]:
    """Return the masks to paint, and the number of the first one in the whole set."""
    drawn = read_drawn_masks(job.inputs["masks"])
    if task.cut is None:
        return drawn, 0
    if len(drawn.masks) > task.cut.stop - task.cut.start:  # those of all shards
        part = slice(task.cut.start, task.cut.stop)
        drawn = DrawnMasks(drawn.masks[part], drawn.records[part])
    return drawn, task.cut.start


def other_masks(masks: Masks, draws: ArrayDraws) -> NDArray[np.int64]:
    """Return int64 (N,): for each sample another one whose mask differs; every sample is chosen once.

    Equal masks stand side by side in a keyed order, and everybody takes the mask as many places on as the commonest
    mask is frequent, which is a different one. Raises `StageError` where one mask is more than half of all.
    """
    flat = masks.reshape(len(masks), -1)
    packed = np.packbits(flat, axis=1) if masks.dtype == np.bool_ else flat
    _, kinds, counts = np.unique(packed, axis=0, return_inverse=True, return_counts=True)
    kinds = kinds.reshape(-1)  # NumPy 2.0 gives it another shape
    step = int(counts.max())
    if 2 * step > len(masks):
        what = f"masks cannot be shuffled: {step} of {len(masks)} are equal; allowed: up to half"
        raise StageError(Problem("pair", what, "Draw more masks, or from another source"))
    places = draws.fork("shuffle").uniform("place")
    first = np.full(len(counts), 2.0, np.float32)
    np.minimum.at(first, kinds, places)  # a kind stands where the first of its samples does
    order = np.lexsort((places, kinds, first[kinds]))
    partners = np.empty(len(masks), np.int64)
    partners[order] = np.roll(order, -step)
    return partners


def _spacing(records: Sequence[Record], spacing: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    """Return the spacing of each sample: its parent's, for the frame is the same; NaN where it has none."""
    if spacing is None:
        return None
    unknown = np.full(2, np.nan, np.float32)
    parents = [record.get("parent") for record in records]
    return np.stack([spacing[parent] if type(parent) is int else unknown for parent in parents])


def _group(record: Record, groups: Sequence[str], name: str) -> str:
    parent = record.get("parent")
    return groups[parent] if type(parent) is int else name

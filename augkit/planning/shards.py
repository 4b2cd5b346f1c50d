"""Cutting a synthetic set that is too large for one artifact into shards, each a stage of its own.

Draws belong to the number of a sample in the whole set, and a generator is given the same batches, so a shard has the
bytes of that slice of the whole, however it was cut. What stands for the whole has therefore the very name that it has
where it is made at once: nothing that comes after it is built anew when it is cut in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from augkit.amounts import bytes_text
from augkit.contracts.components import HasFrame
from augkit.contracts.rules import format_of
from augkit.errors import InputError, Problem
from augkit.planning.divisions import Cut
from augkit.planning.tasks import DrawMasks, Gather, LoadDataset, Stage, Synthesise
from augkit.store import free_bytes

MakeStage = Callable[[str, str, Mapping[str, Stage], "DrawMasks | Synthesise", Mapping[str, int]], Stage]


def in_shards(whole: Stage, cuts: Sequence[Cut], inputs: Sequence[Mapping[str, Stage]], make: MakeStage) -> Stage:
    """Return the stage that stands for `whole` and lists its shards.

    inputs: of each shard.
    make:   makes the stage of a shard from its kind, a note for people, its inputs, its task, and where it is cut.
    """
    task = whole.task
    assert isinstance(task, (DrawMasks, Synthesise))
    shards = {}
    for number, (cut, needed) in enumerate(zip(cuts, inputs, strict=True), 1):
        note, place = f" · {number} of {len(cuts)}", {"start": cut.start, "stop": cut.stop}
        kind = f"{whole.address.kind}-shard"
        shards[f"shard {number}"] = make(kind, note, needed, replace(task, cut=cut), place)
    return replace(whole, task=Gather(task), inputs={**whole.inputs, **shards})


def refuse_without_room(stages: Sequence[Stage], root: Path) -> None:
    """Refuse to begin what the disk under `root` cannot hold: shards that are to be built, as far as sizes are known.

    Raises `InputError`; nothing is written.
    """
    needed, free = sum(map(_bytes_of, stages)), free_bytes(root)
    if needed > free:
        what = f"shards of synthetic sets need {bytes_text(needed)}, and {bytes_text(free)} are free"
        hint = "Lower count, free some space, or choose another folder with --out"
        raise InputError(Problem(str(root), what, hint))


def _bytes_of(stage: Stage) -> int:
    """Return the bytes of the pixels of a shard; 0 for other stages, and where nobody tells the size of images."""
    task = stage.task
    if not isinstance(task, (DrawMasks, Synthesise)) or task.cut is None:
        return 0
    read = stage.inputs["dataset"]
    while not isinstance(read.task, LoadDataset):
        read = read.inputs["dataset"]
    dataset = read.task.dataset
    if not isinstance(dataset, HasFrame):
        return 0
    frame, format = dataset.frame(), format_of(dataset)
    image = len(format.channels) * np.dtype(format.dtype).itemsize if isinstance(task, Synthesise) else 0
    return (task.cut.stop - task.cut.start) * frame.height * frame.width * (1 + image)

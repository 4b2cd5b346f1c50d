"""Cutting a synthetic set that is too large for one artifact into shards, each a stage of its own.

Draws belong to the number of a sample in the whole set, and a generator is given the same batches, so a shard has the
bytes of that slice of the whole, however it was cut. What stands for the whole has therefore the very name that it has
where it is made at once: nothing that comes after it is built anew when it is cut in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from augkit.planning.cuts import Cut
from augkit.planning.tasks import DrawMasks, Gather, Stage, Synthesise

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

"""Drawn masks: ``masks.npy`` (count, H, W), bool or label maps, and ``records.json``, one mapping per mask.

Or a list of shards that hold them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast, overload

import numpy as np

from augkit.data.arrays import DrawnMasks, Masks, Record
from augkit.data.joined import Joined
from augkit.data.stored.shards import read_shards
from augkit.store import read_array, read_json, write_array, write_json


def write_drawn_masks(folder: Path, drawn: DrawnMasks) -> None:
    """Write what a mask source drew."""
    write_array(folder / "masks.npy", drawn.masks)
    write_json(folder / "records.json", list(drawn.records))


def read_drawn_masks(folder: Path) -> DrawnMasks:
    """Return what a mask source drew; the masks are mapped from disk, read-only, and those in shards read by index."""
    if (shards := read_shards(folder)) is not None:
        parts = [read_array(part / "masks.npy") for part in shards.folders]
        return DrawnMasks(cast("Masks", Joined(parts)), _Records(shards.folders, [len(part) for part in parts]))
    return DrawnMasks(read_array(folder / "masks.npy"), tuple(read_json(folder / "records.json")))


def read_training_masks(dataset: Path) -> Masks:
    """Return the training masks of a dataset artifact, as in `ImageSet`, mapped from disk; no image is read."""
    return read_array(dataset / "train" / "masks.npy")


class _Records(Sequence[Record]):
    """The records of masks in shards; those of one shard are in memory at a time, for a million would fill it."""

    def __init__(self, folders: Sequence[Path], counts: Sequence[int]) -> None:
        self._folders = folders
        self._begins = np.cumsum([0, *counts])
        self._read: tuple[int, Sequence[Record]] = (-1, ())

    def __len__(self) -> int:
        return int(self._begins[-1])

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        place = range(len(self))[index]
        shard = int(np.searchsorted(self._begins, place, side="right")) - 1
        if shard != self._read[0]:
            self._read = shard, read_json(self._folders[shard] / "records.json")
        return self._read[1][place - int(self._begins[shard])]

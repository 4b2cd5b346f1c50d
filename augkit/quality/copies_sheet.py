"""Look a data set over before it is used: copies of one photograph, listed and drawn side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from augkit.data.arrays import Splits
from augkit.data.formats import as_shown
from augkit.figures import Row, Tile, gallery
from augkit.quality.copies import SPLITS, Copy, find_copies
from augkit.store import write_bytes, write_json

_PER_ROW = 8
_MOST_DRAWN = 96


def check_copies(splits: Splits, folder: Path) -> tuple[Copy, ...]:
    """Return all pairs of copies; write ``copies.json`` and, where there are any, ``copies.png`` for a person's eyes.

    The picture shows up to 96 pairs, those across splits first.
    """
    copies = find_copies(splits)
    write_json(folder / "copies.json", [vars(copy) for copy in copies])
    if copies:
        write_bytes(folder / "copies.png", _sheet(splits, copies[:_MOST_DRAWN]))
    return copies


def _sheet(splits: Splits, copies: Sequence[Copy]) -> bytes:
    parts = {name: getattr(splits, name) for name in SPLITS}
    places = {name: {sample: i for i, sample in enumerate(part.ids)} for name, part in parts.items()}

    def tile(split: str, name: str, note: str) -> Tile:
        samples = parts[split]
        return Tile(as_shown(samples.images[places[split][name]], samples.format), note=note)

    rows = []
    for begin in range(0, len(copies), _PER_ROW):
        some = copies[begin : begin + _PER_ROW]
        first = tuple(tile(copy.first_split, copy.first, copy.first) for copy in some)
        second = tuple(tile(copy.second_split, copy.second, copy.second) for copy in some)
        across = sum(copy.crosses for copy in some)
        label = f"pairs {begin + 1} to {begin + len(some)}; {across} across splits, {len(some) - across} within"
        rows += [Row(label, first), Row("", second)]
    return gallery(rows)

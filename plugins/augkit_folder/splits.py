"""Which split a sample goes to: decided by its group alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from augkit import Problem
from augkit.images import Pair, draw_splits, empty_splits, read_groups

Parts = tuple[list[Pair], list[Pair], list[Pair]]


def assign_groups(pairs: Sequence[Pair], groups: Path | None) -> tuple[list[Pair], list[Problem]]:
    """Return the pairs with the groups that the CSV file gives them, and a problem for each bad line or missing id.

    Without a file, a pair keeps its group, and is a group of its own where it has none.
    """
    if groups is None:
        return [pair._replace(group=pair.group or pair.id) for pair in pairs], []
    group_of, problems = read_groups(groups, {pair.id: pair.image.name for pair in pairs})
    return [pair._replace(group=group_of.get(pair.id, pair.id)) for pair in pairs], problems


def cut(pairs: Sequence[Pair], test: float, validation: float, seed: int, root: Path) -> tuple[Parts, list[Problem]]:
    """Return (train, validation, test) and a problem for every split that should not be empty but is.

    A group goes where its own uniform number falls: test below `test`, validation below `test` + `validation`.
    """
    groups = [pair.group for pair in pairs]
    places = draw_splits(groups, test, validation, seed)
    train, held, scored = ([pairs[i] for i in part] for part in places)
    return (train, held, scored), empty_splits(root, groups, places, test, validation)


def grouped_by_folder(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs, each in the group that its first sub-folder names; one that lies in none has no group."""
    return [pair._replace(group=pair.id.split("/")[0] if "/" in pair.id else "") for pair in pairs]


def crossing_groups(parts: Parts, root: Path, hint: str) -> list[Problem]:
    """Return a problem where groups are in two splits."""
    owner: dict[str, str] = {}
    crossing: dict[str, str] = {}
    for name, pairs in zip(("train", "validation", "test"), parts, strict=True):
        for pair in pairs:
            if owner.setdefault(pair.group, name) != name:
                crossing.setdefault(pair.group, f"{pair.group} in {owner[pair.group]} and {name}")
    if not crossing:
        return []
    count = "1 group is" if len(crossing) == 1 else f"{len(crossing)} groups are"
    what = f"{count} in two splits, such as {next(iter(crossing.values()))}; allowed: each in one"
    return [Problem(str(root), what, hint)]

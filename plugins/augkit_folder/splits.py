"""Which split a sample goes to: decided by its group alone."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from augkit import Problem
from augkit.images import Pair, draw_splits

Parts = tuple[list[Pair], list[Pair], list[Pair]]


_NAMED = 5
"""Images that a message names before it counts."""


def assign_groups(pairs: Sequence[Pair], groups: Path | None) -> tuple[list[Pair], list[Problem]]:
    """Return the pairs with the groups that the CSV file gives them, and a problem for each bad line or missing id.

    Without a file, a pair keeps its group, and is a group of its own where it has none.
    """
    if groups is None:
        return [pair._replace(group=pair.group or pair.id) for pair in pairs], []
    group_of, problems = _read_groups(groups)
    without = [pair for pair in pairs if pair.id not in group_of]
    if without and not problems:
        names = ", ".join(pair.image.name for pair in without[:_NAMED])
        others = f" and {len(without) - _NAMED} others" if len(without) > _NAMED else ""
        hint = f"Add '{without[0].id},<group>'{' and the like' if len(without) > 1 else ''}"
        problems = [Problem(str(groups), f"has no line for {names}{others}", hint)]
    return [pair._replace(group=group_of.get(pair.id, pair.id)) for pair in pairs], problems


def cut(pairs: Sequence[Pair], test: float, validation: float, seed: int, root: Path) -> tuple[Parts, list[Problem]]:
    """Return (train, validation, test) and a problem for every split that should not be empty but is.

    A group goes where its own uniform number falls: test below `test`, validation below `test` + `validation`.
    """
    train, held, scored = draw_splits([pair.group for pair in pairs], test, validation, seed)
    parts: Parts = ([pairs[i] for i in train], [pairs[i] for i in held], [pairs[i] for i in scored])
    shares = {"train": 1 - test - validation, "validation": validation, "test": test}
    count = len({pair.group for pair in pairs})
    problems = [
        Problem(str(root), f"the {name} split is empty: of {count} groups, its share of {share:.3g} gives "
                f"{share * count:.2g} on average, and none was drawn for it; allowed: at least one",
                "Add groups, choose another seed, or change test_fraction and validation_fraction")
        for (name, share), part in zip(shares.items(), parts, strict=True)
        if not part and (share > 0 or name != "validation")
    ]  # fmt: skip
    return parts, problems


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


def _read_groups(path: Path) -> tuple[dict[str, str], list[Problem]]:
    """Return id -> group of a CSV file, and a problem for each line that cannot be used."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [name or "" for name in reader.fieldnames or []]
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        return {}, [Problem(str(path), f"cannot be read ({error})", "Save it as a CSV file in UTF-8")]
    if not {"id", "group"} <= set(columns):
        what = f"has the columns {', '.join(columns) or '(none)'}; allowed: id and group, separated by a comma"
        return {}, [Problem(f"{path}:1", what, "Name them in the first line")]
    group_of: dict[str, str] = {}
    problems = []
    for line, row in rows:
        name, group = (row["id"] or "").strip(), (row["group"] or "").strip()
        if not name or not group:
            problems.append(Problem(f"{path}:{line}", "has an empty id or group; allowed: both in every line"))
        elif group_of.setdefault(name, group) != group:
            what = f"puts {name} in the group {group}, an earlier line in {group_of[name]}; allowed: one group per id"
            problems.append(Problem(f"{path}:{line}", what))
    return group_of, problems

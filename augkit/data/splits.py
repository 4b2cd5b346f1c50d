"""Which split a sample goes to: decided by its group alone. What data sets of files share."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from augkit.data.draws import Draws, sample_keys
from augkit.errors import Problem

Parts = tuple[list[int], list[int], list[int]]
"""Places in a list that go to train, validation and test."""

_NAMED = 5
"""Names that a message spells before it counts."""


def draw_splits(groups: Sequence[str], test: float, validation: float, seed: int) -> Parts:
    """Return the places in `groups` that go to train, validation and test.

    A group goes where its own uniform number falls: test below `test`, validation below `test` + `validation`. So
    shares are met on average, and adding a group never moves another one.
    """
    places = Draws.of(seed, "folder split", sample_keys(groups)).uniform("place").tolist()
    parts: Parts = ([], [], [])
    for index, place in enumerate(places):
        parts[2 if place < test else 1 if place < test + validation else 0].append(index)
    return parts


def fraction_faults(test: float, validation: float) -> list[str]:
    """Return what is wrong with the options test_fraction and validation_fraction, for a ValueError."""
    faults = []
    if test == 0:
        faults.append("test_fraction: found 0; allowed: above 0, as arms are compared on the test split")
    if test + validation >= 1:
        faults.append("test_fraction + validation_fraction: found 1 or more; allowed: below 1, the rest is to train on")
    return faults


def empty_splits(where: Path, groups: Sequence[str], parts: Parts, test: float, validation: float) -> list[Problem]:
    """Return a problem for every split of `draw_splits` that should not be empty but is; `where` the data lie."""
    shares = {"train": 1 - test - validation, "validation": validation, "test": test}
    count = len(set(groups))
    return [
        Problem(str(where), f"the {name} split is empty: of {count} groups, its share of {share:.3g} gives "
                f"{share * count:.2g} on average, and none was drawn for it; allowed: at least one",
                "Add groups, choose another seed, or change test_fraction and validation_fraction")
        for (name, share), part in zip(shares.items(), parts, strict=True)
        if not part and (share > 0 or name != "validation")
    ]  # fmt: skip


def read_groups(path: Path, samples: Mapping[str, str]) -> tuple[dict[str, str], list[Problem]]:
    """Return id -> group from a CSV file with the columns ``id,group``, and a problem for each line that is wrong.

    samples: id -> what a message calls the sample. Where lines are right, every sample needs one.
    """
    group_of, problems = _read_lines(path)
    without = [name for name in samples if name not in group_of]
    if without and not problems:
        names = ", ".join(samples[name] for name in without[:_NAMED])
        others = f" and {len(without) - _NAMED} others" if len(without) > _NAMED else ""
        hint = f"Add '{without[0]},<group>'{' and the like' if len(without) > 1 else ''}"
        problems = [Problem(str(path), f"has no line for {names}{others}", hint)]
    return group_of, problems


def _read_lines(path: Path) -> tuple[dict[str, str], list[Problem]]:
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

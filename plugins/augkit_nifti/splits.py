"""Which volumes, or which slabs of each, are trained on and which are scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from augkit import Problem
from augkit.images import draw_splits, empty_splits
from augkit_nifti.volumes import Case, Slab

GAP = 5
"""Slices that are left out between two slabs of one volume; neighbours are nearly the same picture."""

Part = list[tuple[Case, Slab | None]]
"""Volumes, or slabs of them."""

SLABS = "Write 'split: slabs' to try out recipes on it, for its scores say nothing of other patients; or add volumes"


def by_group(
    cases: Sequence[Case], test: float, validation: float, seed: int, root: Path
) -> tuple[list[Part], list[Problem]]:
    """Return train, validation and test, and a problem for each that should not be empty but is."""
    groups = [case.group for case in cases]
    count = len(set(groups))
    if count == 1:
        volumes = "1 volume" if len(cases) == 1 else f"{len(cases)} volumes of one group"
        what = f"holds {volumes}; allowed: two groups (patients) or more, as none may be in training and test"
        return [], [Problem(str(root), what, SLABS)]
    places = draw_splits(groups, test, validation, seed)
    problems = empty_splits(root, groups, places, test, validation)
    return [[(cases[i], None) for i in part] for part in places], problems


def by_slab(
    cases: Sequence[Case], depths: Sequence[int], test: float, validation: float
) -> tuple[list[Part], list[Problem]]:
    """Return train, validation and test as slabs of every volume, with `GAP` slices between them that are in none.

    The first slices are to train on, the last ones are the test. A slab is a group of its own.
    """
    parts: list[Part] = [[], [], []]
    problems = []
    for case, count in zip(cases, depths, strict=True):
        scored, held = round(count * test), round(count * validation)
        begin_test = count - scored
        end_held = begin_test - GAP
        begin_held = end_held - held
        end_train = begin_held - GAP if held else end_held
        slabs = (Slab(0, end_train), Slab(begin_held, end_held), Slab(begin_test, count))
        if end_train < 1 or not scored:
            allowed = f"one or more to train on and to test, and {GAP} between"
            what = f"has {count} slices; allowed with 'split: slabs': {allowed}"
            problems.append(Problem(str(case.labels), what, "Choose another axis, or other fractions"))
        for part, name, slab in zip(parts, ("train", "validation", "test"), slabs, strict=True):
            if name != "validation" or held:
                part.append((case._replace(group=f"{case.group}/{name}"), slab))
    return parts, problems

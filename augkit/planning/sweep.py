"""``sweep: {path: [numbers]}`` -> one ordinary document per number: the points of a curve."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import yaml

from augkit.errors import Problem
from augkit.planning.document import Document, Override, Value, apply_override, unused_override

MOST_POINTS = 32


@dataclass(frozen=True)
class SweepPoint:
    """Where an arm stands on a curve.

    curve: the name of the recipe that sweeps.
    path:  what is swept, such as ``synthesize.0.per_real``.
    value: what this arm has there.
    """

    curve: str
    path: str
    value: float


def expand_sweep(document: Document, problems: list[Problem]) -> list[tuple[Document, SweepPoint | None]]:
    """Return one document per number of the sweep, named ``<name>-<number>``; the document itself without a sweep.

    A mistake in the sweep is added to `problems`, and the document without its sweep is returned for the other checks.
    """
    root = document.root
    if not isinstance(root, dict) or "sweep" not in root:
        return [(document, None)]
    sweep = root.pop("sweep")
    found = _read(document, sweep, problems)
    if found is None:
        return [(document, None)]
    path, values = found
    points = [_point(document, path, i, value) for i, value in enumerate(values)]
    if None in points:
        change = Override(tuple(path.split(".")), values[0], path)
        problem = unused_override([document], change)
        problems.append(replace(problem, where=document.place("sweep", path)))
        return [(document, None)]
    return [point for point in points if point is not None]


def swept_recipe(points: Sequence[str], point: SweepPoint) -> str:
    """Return the recipe that sweeps, from the YAML texts of its points; `point` is one of them."""
    recipes = [yaml.safe_load(text) for text in points]
    values = [_value_at(recipe, point.path.split(".")) for recipe in recipes]
    together = {**recipes[0], "name": point.curve, "sweep": {point.path: values}}
    return yaml.safe_dump(together, sort_keys=False, allow_unicode=True)


def _value_at(node: Any, path: Sequence[str]) -> Any:
    for step in path:
        node = node[int(step)] if isinstance(node, list) else node[step]
    return node


def _read(document: Document, sweep: Value, problems: list[Problem]) -> tuple[str, list[float]] | None:
    allowed = "one path with a list of numbers, as in '{training_share: [0.1, 0.25, 0.5, 1]}'"
    if not isinstance(sweep, dict) or len(sweep) != 1:
        problems.append(Problem(document.place("sweep"), f"sweep; allowed: {allowed}"))
        return None
    ((path, values),) = sweep.items()
    where = document.place("sweep", path)
    numbers = [value for value in values if _is_number(value)] if isinstance(values, list) else []
    if not isinstance(values, list) or len(numbers) < len(values) or not 2 <= len(numbers) <= MOST_POINTS:
        problems.append(Problem(where, f"sweep; allowed: {allowed}, 2 to {MOST_POINTS} of them"))
        return None
    if len(set(numbers)) < len(numbers):
        problems.append(Problem(where, "sweep has a number twice; allowed: each once"))
        return None
    if not all(path.split(".")) or path.split(".")[0] in (
        "name",
        "seed",
        "dataset",
        "development_share",
        "folds",
        "sweep",
    ):
        what = f"'{path}' cannot be swept; allowed: a value of synthesize, augment or segmenter, or training_share"
        hint = "Arms are compared on the same data; seeds are given with --seeds"
        problems.append(Problem(where, what, hint))
        return None
    return path, [value for value in numbers if isinstance(value, (int, float))]


def _point(document: Document, path: str, position: int, value: float) -> tuple[Document, SweepPoint] | None:
    """Return the document with `value` at `path`, or None where there is no such place in it."""
    changed = Document(document.file, deepcopy(document.root), dict(document.places), document.text)
    change = Override(tuple(path.split(".")), value, path)
    if not apply_override(changed, change):
        return None
    where = document.place("sweep", path, position)
    places = {way: where if place == change.where else place for way, place in changed.places.items()}
    root = changed.root
    assert isinstance(root, dict)
    name = root.get("name")
    if isinstance(name, str):
        root["name"] = f"{name}-{value:g}"
    return Document(document.file, root, places, document.text), SweepPoint(str(name), path, float(value))


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

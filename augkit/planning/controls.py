"""The recipe that another one is held against: the same without synthetic images, in the same folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from augkit.planning.document import Value
from augkit.planning.recipe import Recipe, read_recipes


def missing_controls(recipes: Sequence[Recipe], changes: Sequence[str] = ()) -> tuple[Path, ...] | None:
    """Return the files beside some recipes that hold their controls, without those that are among them.

    None where the control of one of them is nowhere. A recipe without synthetic images needs none.

    changes: as given to ``--set``, which apply to both.
    """
    found: dict[Path, None] = {}
    for recipe in recipes:
        if not recipe.synthesize or any(_is_control(other, recipe) for other in recipes):
            continue
        beside = sorted(Path(recipe.file).parent.glob("*.yaml"))
        file = next((file for file in beside if any(_is_control(o, recipe) for o in _read(file, changes))), None)
        if file is None:
            return None
        found[file] = None
    return tuple(found)


def _read(file: Path, changes: Sequence[str]) -> tuple[Recipe, ...]:
    """Return the recipes of a file, none where something is wrong with it."""
    reading = read_recipes([file], changes)
    return () if reading.problems else reading.recipes


def _is_control(other: Recipe, recipe: Recipe) -> bool:
    return not other.synthesize and _rest(other) == _rest(recipe)


def _rest(recipe: Recipe) -> Mapping[str, Value]:
    """Return what both have to have in common."""
    return {key: value for key, value in recipe.document.items() if key not in ("name", "synthesize")}

"""Recipe files -> checked recipes, with every problem of every file at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from augkit.contracts.registry import Registry, load_registry
from augkit.errors import InputError, Problem
from augkit.planning.components import CheckedRecipe, check_parts, check_recipes
from augkit.planning.recipe import read_recipes
from augkit.planning.shipped import find_recipe


def load_checked(files: Sequence[Path], changes: Sequence[str] = ()) -> tuple[tuple[CheckedRecipe, ...], Registry]:
    """Return the recipes of some files with their components, and what is installed.

    files:   paths, or names of shipped recipes.
    changes: as given to ``--set``. Raises `InputError` with every problem of every file, of structure and of options
    alike.
    """
    reading = read_recipes([find_recipe(file) for file in files], changes)
    registry = load_registry()
    problems = [*reading.problems, *check_parts(reading.parts, registry)]
    try:
        checked = check_recipes(reading.recipes, registry)
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(*_in_reading_order(dict.fromkeys(problems)))
    return checked, registry


def _in_reading_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems file by file and from top to bottom, whichever check found them."""
    files: dict[str, int] = {}

    def place(problem: Problem) -> tuple[int, int]:
        found = re.match(r"(.+?):([0-9]+)(?=:|$)", problem.where)
        file, line = found.groups() if found else (problem.where, "0")
        return files.setdefault(file, len(files)), int(line)

    return sorted(problems, key=place)

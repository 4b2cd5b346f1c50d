"""A component from its registered class and ``option=value`` texts, without a recipe around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from augkit.contracts.registry import Entry
from augkit.errors import InputError, Problem
from augkit.planning.document import Steps, Value, parse_overrides
from augkit.planning.options import build_component
from augkit.planning.recipe import Reference


def build_alone(entry: Entry, changes: Sequence[str]) -> Any:
    """Return the component with the options that `changes` set. Raises `InputError` with every problem at once."""
    problems: list[Problem] = []
    options: dict[str, Value] = {}
    places: dict[Steps, str] = {}
    for change in parse_overrides(changes, problems):
        if len(change.path) > 1:
            what = f"found '{'.'.join(change.path)}'; allowed: the name of an option"
            problems.append(Problem(change.where, what, "Write nested options as a mapping, as in mix=[{shapes: {}}]"))
            continue
        options[change.path[0]] = change.value
        places[change.path[0],] = change.where
    component = build_component(entry, Reference(entry.name, options, entry.name, places), problems)
    if problems:
        raise InputError(*problems)
    return component

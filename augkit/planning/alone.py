"""Components without a recipe around them: from ``option=value`` texts, from a mapping, from a line of YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from augkit.contracts.registry import Entry, Registry
from augkit.errors import InputError, Problem
from augkit.planning.document import Steps, Value, parse, parse_overrides
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


def build_with(entry: Entry, options: Mapping[str, Value], where: str) -> Any:
    """Return the component with these options; `where` is for messages. Raises `InputError`."""
    problems: list[Problem] = []
    component = build_component(entry, Reference(entry.name, options, where, {}), problems)
    if problems:
        raise InputError(*problems)
    return component


def build_from_text(kind: str, text: object, registry: Registry) -> tuple[tuple[str, Any], ...]:
    """Return (name, component) of what a recipe would name in one place of it: ``elastic: {degree: 4}``, or a list.

    text: YAML, or the mapping or list that it stands for. Raises `InputError` with every problem at once.
    """
    problems: list[Problem] = []
    document = parse(text if isinstance(text, str) else json.dumps(text), kind, problems, numbered=False)
    named = document.root if document is not None else None
    found = []
    for part in named if isinstance(named, list) else [named]:
        if isinstance(part, dict) and len(part) == 1:
            ((name, options),) = part.items()
            entry = registry.find(kind, name, kind)
            if isinstance(entry, Problem):
                problems.append(entry)
            elif options is None or isinstance(options, dict):
                reference = Reference(name, options or {}, f"{kind} {name}", {})
                found.append((name, build_component(entry, reference, problems)))
            else:
                problems.append(Problem(f"{kind} {name}", f"found {options!r}; allowed: a mapping of options"))
        elif not problems:
            what = f"found {part!r}; allowed: a name with options, as in 'name: {{option: value}}', or a list of such"
            problems.append(Problem(kind, what))
    if problems:
        raise InputError(*problems)
    return tuple(found)

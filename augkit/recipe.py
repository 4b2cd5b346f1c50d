"""A document -> Recipe: the structure of a recipe, with the place of every part; knows no plugin."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from augkit.document import Document, Steps, Value, apply_override, parse_overrides, read_document, unused_override
from augkit.errors import InputError, Problem, did_you_mean


@dataclass(frozen=True)
class Reference:
    """A component named in a recipe: ``name: {options}``, and where each option stands."""

    name: str
    options: Mapping[str, Value]
    where: str
    places: Mapping[Steps, str]

    def place(self, path: Steps) -> str:
        """Return ``file:line`` of an option, or of the nearest thing around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, self.where)


@dataclass(frozen=True)
class Source:
    """One entry of `synthesize`: a generator, where its masks come from, and how many images."""

    generator: Reference
    masks: Reference
    per_real: float | None
    count: int | None
    where: str


@dataclass(frozen=True)
class Recipe:
    """A recipe as written; components are names and options, not yet checked against plugins."""

    file: str
    name: str
    seed: int
    dataset: Reference
    synthesize: tuple[Source, ...]
    augment: tuple[Reference, ...]
    segmenter: Reference
    document: Mapping[str, Value]


def load_recipes(files: Sequence[Path], overrides: Sequence[str] = ()) -> tuple[Recipe, ...]:
    """Read recipes and apply overrides. Raises `InputError` with the problems of all files at once.

    An override applies to every recipe that has the thing it changes; one that applies to none is a problem.
    """
    problems: list[Problem] = []
    changes = parse_overrides(overrides, problems)
    documents = [document for file in files if (document := read_document(file, problems)) is not None]
    for change in changes:
        applied = [apply_override(document, change) for document in documents]
        if documents and not any(applied):
            problems.append(unused_override(documents[0], change))
    recipes = [recipe for document in documents if (recipe := _structure(document, problems)) is not None]
    problems += _equal_names(recipes)
    if problems:
        raise InputError(*dict.fromkeys(problems))
    return tuple(recipes)


_KEYS = ("name", "seed", "dataset", "synthesize", "augment", "segmenter")
_SOURCE_KEYS = ("generator", "masks", "per_real", "count")


def _structure(document: Document, problems: list[Problem]) -> Recipe | None:
    before = len(problems)
    root = document.root
    if not isinstance(root, dict):
        problems.append(Problem(document.place(), f"found {_kind(root)}; allowed: a mapping with {', '.join(_KEYS)}"))
        return None
    _refuse_unknown(root, _KEYS, (), document, problems)
    name = _name(document, problems)
    seed = _seed(document, problems)
    dataset = _required(document, "dataset", problems)
    segmenter = _required(document, "segmenter", problems)
    synthesize = [
        _source(document, i, item, problems) for i, item in enumerate(_list(document, "synthesize", problems))
    ]
    augment = [
        _reference(document, ("augment", i), item, problems)
        for i, item in enumerate(_list(document, "augment", problems))
    ]
    if len(problems) > before or dataset is None or segmenter is None:
        return None
    sources = tuple(source for source in synthesize if source is not None)
    steps = tuple(reference for reference in augment if reference is not None)
    return Recipe(document.file, name, seed, dataset, sources, steps, segmenter, root)


def _name(document: Document, problems: list[Problem]) -> str:
    assert isinstance(document.root, dict)
    name = document.root.get("name")
    if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        return name
    found = "missing" if "name" not in document.root else f"found {_kind(name)}"
    what = f"name: {found}; allowed: up to 64 letters, digits, '_', '.', '-'"
    problems.append(Problem(document.place("name"), what, "As in 'name: allaug'"))
    return ""


def _seed(document: Document, problems: list[Problem]) -> int:
    assert isinstance(document.root, dict)
    seed = document.root.get("seed", 0)
    if isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 2**63:
        return seed
    problems.append(Problem(document.place("seed"), f"seed: found {_kind(seed)}; allowed: a whole number, 0 or more"))
    return 0


def _required(document: Document, key: str, problems: list[Problem]) -> Reference | None:
    assert isinstance(document.root, dict)
    if key not in document.root:
        problems.append(Problem(document.place(), f"'{key}' is missing", f"Add '{key}: {{name: {{options}}}}'"))
        return None
    return _reference(document, (key,), document.root[key], problems)


def _list(document: Document, key: str, problems: list[Problem]) -> list[Value]:
    assert isinstance(document.root, dict)
    value = document.root.get(key, [])
    if isinstance(value, list):
        return value
    problems.append(Problem(document.place(key), f"{key}: found {_kind(value)}; allowed: a list, '[]' for none"))
    return []


def _source(document: Document, i: int, value: Value, problems: list[Problem]) -> Source | None:
    path: Steps = ("synthesize", i)
    where = document.place(*path)
    if not isinstance(value, dict):
        problems.append(Problem(where, f"found {_kind(value)}; allowed: a mapping with {', '.join(_SOURCE_KEYS)}"))
        return None
    before = len(problems)
    _refuse_unknown(value, _SOURCE_KEYS, path, document, problems)
    references = {}
    for key in ("generator", "masks"):
        if key in value:
            references[key] = _reference(document, (*path, key), value[key], problems)
        else:
            problems.append(Problem(where, f"'{key}' is missing", f"Add '{key}: {{name: {{options}}}}'"))
    per_real, count = value.get("per_real"), value.get("count")
    if ("per_real" in value) == ("count" in value):
        problems.append(Problem(where, "allowed: exactly one of 'per_real' (as in 1.0) and 'count' (as in 500)"))
    elif "per_real" in value and not (_is_number(per_real) and 0 < float(per_real) <= 1000):  # type: ignore[arg-type]
        what = f"per_real: found {_kind(per_real)}; allowed: 0 < number <= 1000"
        problems.append(Problem(document.place(*path, "per_real"), what))
    elif "count" in value and not (isinstance(count, int) and _is_number(count) and 0 < count <= 10**9):
        what = f"count: found {_kind(count)}; allowed: a whole number 1 .. 10^9"
        problems.append(Problem(document.place(*path, "count"), what))
    generator, masks = references.get("generator"), references.get("masks")
    if len(problems) > before or generator is None or masks is None:
        return None
    ratio = float(per_real) if isinstance(per_real, (int, float)) else None
    return Source(generator, masks, ratio, count if isinstance(count, int) else None, where)


def _reference(document: Document, path: Steps, value: Value, problems: list[Problem]) -> Reference | None:
    where = document.place(*path)
    if isinstance(value, str):
        problems.append(Problem(where, f"found the word '{value}'; allowed: a mapping", f"Write '{value}: {{}}'"))
        return None
    if not isinstance(value, dict) or len(value) != 1:
        found = f"{len(value)} keys ({', '.join(value)})" if isinstance(value, dict) else _kind(value)
        problems.append(Problem(where, f"found {found}; allowed: one component as 'name: {{options}}'"))
        return None
    ((name, options),) = value.items()
    inside = (*path, name)
    if not isinstance(options, dict):
        hint = f"Write '{name}: {{}}' for the defaults"
        what = f"{name}: found {_kind(options)}; allowed: a mapping of options"
        problems.append(Problem(document.place(*inside), what, hint))
        return None
    places = {p[len(inside) :]: place for p, place in document.places.items() if p[: len(inside)] == inside}
    return Reference(name, options, document.place(*inside), places)


def _refuse_unknown(
    value: dict[str, Value], known: tuple[str, ...], path: Steps, document: Document, problems: list[Problem]
) -> None:
    for key in value:
        if key not in known:
            problems.append(Problem(document.place(*path, key), f"unknown key '{key}'", did_you_mean(key, known)))


def _equal_names(recipes: Sequence[Recipe]) -> list[Problem]:
    seen: dict[str, str] = {}
    problems = []
    for recipe in recipes:
        if recipe.name in seen:
            what = f"name '{recipe.name}' is also that of {seen[recipe.name]}; allowed: a different name per recipe"
            problems.append(Problem(recipe.file, what))
        seen[recipe.name] = recipe.file
    return problems


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _kind(value: Value) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, str):
        return f"the text '{value[:40]}'"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    return "a list" if isinstance(value, list) else "a mapping"

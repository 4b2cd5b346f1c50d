"""The recipe that another one is held against, the same without synthetic images; and controls that take more away."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import yaml

from augkit.errors import InputError, Problem
from augkit.planning.document import Value
from augkit.planning.recipe import Recipe, is_name, read_recipes
from augkit.store import write_text


@dataclass(frozen=True)
class Control:
    """What a control is called, what it tells, and what it puts in place of parts of a recipe and of its sources."""

    name: str
    tells: str
    top: Mapping[str, Value]
    source: Mapping[str, Value]


CONTROLS = (
    Control("plain", "The same without synthetic images: what a verdict holds the recipe against.", {}, {}),
    Control(
        "repeat",
        "Real images again in place of synthetic ones. Must score as plain, but for the luck of training.",
        {},
        {"generator": {"repeat": {}}, "masks": {"training": {}}},
    ),
    Control(
        "noise",
        "Mean colours and noise in place of synthetic images. What gains as much gains from masks alone.",
        {},
        {"generator": {"noise": {}}},
    ),
    Control(
        "shuffled",
        "Every synthetic image with the mask of another one. Must harm; if it does not, masks were not learnt from.",
        {},
        {"pair": "shuffled"},
    ),
    Control(
        "synthonly",
        "Trained on synthetic images only. Tells how much of the real images a generator carries.",
        {"real_images": False},
        {},
    ),
)
"""In the order in which they are written; `recipes/controls` has those of the phantom's arms."""


def write_controls(recipe: Recipe, folder: Path) -> tuple[Path, ...]:
    """Write every control of a recipe into `folder`, as recipes of their own; returns the files.

    Raises `InputError` for a recipe without synthetic images, or one of a sweep, and where a file is there already.
    """
    problems = list(_without_controls(recipe))
    files = {folder / f"{recipe.name}-{control.name}.yaml": control for control in CONTROLS}
    hint = "Choose another folder with --to, or remove it"
    problems += [Problem(str(file), "is there already; allowed: a new file", hint) for file in files if file.exists()]
    if problems:
        raise InputError(*problems)
    for file, control in files.items():
        write_text(file, _text(recipe, control, file))
    return tuple(files)


def _without_controls(recipe: Recipe) -> Iterator[Problem]:
    if not recipe.synthesize:
        what = "has no synthetic images, so there is nothing to control; allowed: at least one source"
        yield Problem(recipe.file, what)
    if recipe.sweep is not None:
        yield Problem(recipe.file, "has a sweep; allowed: one value", f"Write a recipe with one {recipe.sweep.path}")
    longest = max(CONTROLS, key=lambda control: len(control.name)).name
    if not is_name(f"{recipe.name}-{longest}"):
        what = f"name '{recipe.name}' is too long for '-{longest}' behind it; allowed: 64 characters in all"
        yield Problem(recipe.file, what)


def _text(recipe: Recipe, control: Control, file: Path) -> str:
    beside = dict.fromkeys((file.with_name(f"{recipe.name}-{CONTROLS[0].name}.yaml"), file))
    together = shlex.join(["augkit", "compare", recipe.file, *map(str, beside), "--seeds", "0..5"])
    body = yaml.safe_dump(_controlled(recipe, control), sort_keys=False, allow_unicode=True, width=120)
    return f"# Control of {recipe.name}. {control.tells}\n# {together}\n{body}"


def _controlled(recipe: Recipe, control: Control) -> Mapping[str, Value]:
    """Return the tree of a control; it keeps images of low adherence, as leaving them out would change their number."""
    document = recipe.document
    written = document["synthesize"]
    assert isinstance(written, list)
    sources = [{**source, **deepcopy(dict(control.source))} for source in written if isinstance(source, dict)]
    for source in sources:
        source.pop("min_adherence", None)
    kept: list[Value] = [] if control is CONTROLS[0] else [*sources]
    return {**document, "name": f"{recipe.name}-{control.name}", **control.top, "synthesize": kept}


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

"""Who takes part in a search: the portfolio for a folder or for one recipe's data set, or one's own recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from augkit.contracts.components import HasFrame
from augkit.contracts.registry import Registry, load_registry
from augkit.contracts.rules import format_of
from augkit.data.reading import read_header
from augkit.errors import AugkitError, InputError, Problem, did_you_mean
from augkit.planning.components import CheckedRecipe, check_recipes
from augkit.planning.document import Document, Value, apply_override, parse_overrides, unused_override
from augkit.planning.loading import load_checked
from augkit.planning.recipe import recipe_of
from augkit.searching.portfolio import Numbers, document_of, portfolio, segmenter

LARGEST_SIDE = {"cpu": 64}
"""Device -> the size at which images of a folder are trained on unless somebody sets another; 128 elsewhere."""

_HEADERS = 40
"""Files whose sizes are looked at."""

_OWN = ("name", "seed", "synthesize", "augment", "sweep", "folds", "development_share", "real_images")
"""What a recipe whose data set is taken does not share with the portfolio."""


@dataclass(frozen=True)
class Field:
    """The candidates of a search.

    entries:   at least two, on the same data with the same segmenter and budget.
    why:       name -> what it is, in words; nothing for one's own recipes.
    left_out:  name -> why it does not take part.
    drawn:     whether the test split is one that augkit draws, so that it may be drawn otherwise.
    registry:  what is installed.
    """

    entries: tuple[CheckedRecipe, ...]
    why: Mapping[str, str]
    left_out: Mapping[str, str]
    drawn: bool
    registry: Registry

    @property
    def names(self) -> tuple[str, ...]:
        """The candidates in order."""
        return tuple(entry.recipe.name for entry in self.entries)


def read_field(sources: Sequence[Path], changes: Sequence[str], without: Sequence[str], device: str) -> Field:
    """Return the candidates for a folder of images, for one recipe's data set, or the recipes given.

    changes: as given to ``--set``; they hold for every candidate that has what they change.
    without: names of candidates that are not to take part.

    Raises `InputError` where the data cannot be read, where recipes differ in more than their augmentation, and where
    fewer than two candidates are left.
    """
    folders = [source for source in sources if source.is_dir()]
    if folders and len(sources) > 1:
        what = f"found {len(sources)} sources, among them this folder; allowed: one folder, or recipes"
        raise InputError(Problem(str(folders[0]), what))
    if folders:
        field = _of_folder(folders[0], changes, device)
    else:
        checked, registry = load_checked(sources, changes)
        field = Field(checked, {}, {}, False, registry) if len(checked) > 1 else _of_recipe(checked[0], registry)
    field = _without(field, without)
    _refuse_unequal(field)
    return field


def _of_folder(folder: Path, changes: Sequence[str], device: str) -> Field:
    registry = load_registry()
    probe: dict[str, Value] = {"name": "probe", "dataset": {"folder": {"root": str(folder), "size": 32}}}
    _apply([probe], [change for change in changes if change.startswith("dataset")], folder)
    (read,) = check_recipes([recipe_of(probe, str(folder))], registry)
    most = max(32, min(_side_of(read.dataset.files), LARGEST_SIDE.get(device, 128)))
    side = next(size for size in (128, 64, 32) if size <= most)
    options: dict[str, Value] = {"root": str(folder), "size": side, "test_fraction": 0.3}
    numbers = Numbers(len(read.dataset.files) // 2, side, len(format_of(read.dataset.instance).classes))
    rest: dict[str, Value] = {"exclude_copies": True, "segmenter": segmenter(numbers)}
    return _of_portfolio({"folder": options}, rest, numbers, registry, changes, folder, drawn=True)


def _of_recipe(checked: CheckedRecipe, registry: Registry) -> Field:
    document = checked.recipe.document
    frame = checked.dataset.instance.frame() if isinstance(checked.dataset.instance, HasFrame) else None
    side = 64 if frame is None else min(frame.height, frame.width)
    images = len(checked.dataset.files) // 2 or 200  # a data set without files does not tell
    numbers = Numbers(images, side, len(format_of(checked.dataset.instance).classes))
    rest = {key: value for key, value in document.items() if key not in (*_OWN, "dataset")}
    rest.setdefault("segmenter", segmenter(numbers))
    dataset = document["dataset"]
    assert isinstance(dataset, dict)
    return _of_portfolio(dataset, rest, numbers, registry, (), Path(checked.recipe.file), drawn=False)


def _of_portfolio(
    dataset: Mapping[str, Value],
    rest: Mapping[str, Value],
    numbers: Numbers,
    registry: Registry,
    changes: Sequence[str],
    source: Path,
    drawn: bool,
) -> Field:
    """Return the portfolio on a data set; what its format refuses is left out, unless it is the plain candidate."""
    offered = portfolio(numbers)
    documents = [deepcopy(document_of(entry, dataset, rest)) for entry in offered]
    _apply(documents, changes, source)
    entries: list[CheckedRecipe] = []
    left_out: dict[str, str] = {}
    for entry, document in zip(offered, documents, strict=True):
        try:
            entries += check_recipes([recipe_of(document, f"candidate '{entry.name}'")], registry)
        except InputError as error:
            if not entries:  # the data itself
                raise
            left_out[entry.name] = "; ".join(dict.fromkeys(problem.what for problem in error.problems))
    return Field(tuple(entries), {entry.name: entry.why for entry in offered}, left_out, drawn, registry)


def _apply(documents: Sequence[dict[str, Value]], changes: Sequence[str], source: Path) -> None:
    problems: list[Problem] = []
    drafts = [Document(str(source), document, {}) for document in documents]
    for change in parse_overrides(changes, problems):
        applied = [apply_override(draft, change) for draft in drafts]
        if not any(applied):
            problems.append(unused_override(drafts, change))
    if problems:
        raise InputError(*problems)


def _side_of(files: Sequence[Path]) -> int:
    """Return the median of the shorter sides of some files, in pixels; 64 where no header tells."""
    sides = []
    for file in files[:: max(1, len(files) // _HEADERS)]:
        try:
            header = read_header(file)
        except AugkitError:
            continue
        sides.append(min(header.size))
    return int(median(sides)) if sides else 64


def _without(field: Field, names: Sequence[str]) -> Field:
    unknown = [name for name in names if name not in field.names and name not in field.left_out]
    if unknown:
        what = "is no candidate of this search"
        raise InputError(*(Problem(f"--without {name}", what, did_you_mean(name, field.names)) for name in unknown))
    entries = tuple(entry for entry in field.entries if entry.recipe.name not in names)
    if len(entries) < 2:
        what = f"found {len(entries)} candidate{'' if len(entries) == 1 else 's'}; allowed: two or more"
        raise InputError(Problem("augkit search", what, "; ".join(f"{a}: {b}" for a, b in field.left_out.items())))
    left_out = {**field.left_out, **dict.fromkeys(names, "left out by --without")}
    return replace(field, entries=entries, left_out=left_out)


def _refuse_unequal(field: Field) -> None:
    """Refuse candidates that train other segmenters: more steps or another network would win for no other reason."""
    first = field.entries[0]
    unlike = [entry for entry in field.entries if _trained(entry) != _trained(first)]
    if unlike:
        what = f"has another segmenter or budget than '{first.recipe.name}'; allowed: the same in every candidate"
        hint = "Candidates differ in 'synthesize' and 'augment', so that the best one is best because of them"
        raise InputError(*(Problem(f"recipe '{entry.recipe.name}'", what, hint) for entry in unlike))
    folded = [entry for entry in field.entries if entry.recipe.folds or entry.recipe.development_share]
    if folded:
        what = "has 'folds' or 'development_share'; a search divides the data itself; allowed: neither"
        raise InputError(*(Problem(f"recipe '{entry.recipe.name}'", what) for entry in folded))


def _trained(entry: CheckedRecipe) -> Any:
    segmenter = entry.segmenter
    return None if segmenter is None else (segmenter.name, segmenter.instance)


def control_of(entry: CheckedRecipe, others: Sequence[CheckedRecipe]) -> CheckedRecipe | None:
    """Return what a candidate is held against: the same without synthetic images; without these, without augmentation.

    By the name of the candidate that is the same, if there is one; None for one that has neither.
    """
    if not entry.sources and not entry.augment:
        return None
    key = "synthesize" if entry.sources else "augment"
    left = {name: value for name, value in entry.recipe.document.items() if name not in (key, "real_images", "name")}
    same = next((one for one in others if _rest(one) == left), None)
    if same is not None:
        return same
    name = f"{entry.recipe.name[:50]}-without"
    recipe = replace(entry.recipe, name=name, document={"name": name, **left}, sweep=None, real_images=True)
    if entry.sources:
        return replace(entry, recipe=replace(recipe, synthesize=()), sources=())
    return replace(entry, recipe=replace(recipe, augment=()), augment=())


def _rest(entry: CheckedRecipe) -> Mapping[str, Value]:
    return {name: value for name, value in entry.recipe.document.items() if name != "name"}

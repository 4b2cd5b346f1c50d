"""Recipe + Registry -> CheckedRecipe: its components validated, and every problem of them at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from augkit.contracts.components import NATIVE_SIZE, TRAINING_SIZE, HasFrame, HasNativeMasks, HasRemarks
from augkit.contracts.manners import contained
from augkit.contracts.registry import Entry, Registry
from augkit.contracts.rules import format_of, own_augmentation, refusal_of, takes_of, unlike
from augkit.data.formats import Format
from augkit.errors import AugkitError, InputError, Problem, said_by
from augkit.planning.divisions import SHARD
from augkit.planning.options import build_component, canonical
from augkit.planning.recipe import Part, Recipe, Reference, Source
from augkit.store import Digests

_LONGEST_NAME = 160


@dataclass(frozen=True)
class Component:
    """A validated component, where it comes from, and the files that decide what it does."""

    entry: Entry
    instance: Any
    files: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """The name used in recipes."""
        return self.entry.name

    def identify(self, digests: Digests) -> Identified:
        """Return the component with what its artifacts depend on.

        A file counts by its name and content; where it lies does not matter.
        """
        options = canonical(self.instance, places=not self.files)
        return Identified(self, options, _digest(self.files, digests), self.entry.source_hash())


@dataclass(frozen=True)
class Identified:
    """A component with what its artifacts depend on: options with defaults, its files, what its code does."""

    component: Component
    options: Any
    files: str
    source: str

    @property
    def name(self) -> str:
        """The name used in recipes."""
        return self.component.name

    @property
    def provider(self) -> str:
        """The plugin that provides it, with its version."""
        return str(self.component.entry.provider)

    def facts(self) -> dict[str, Any]:
        """Return what is hashed and recorded of it, JSON-ready."""
        return {
            "name": self.name,
            "options": self.options,
            "files": self.files,
            "provider": self.provider,
            "source": self.source,
        }


@dataclass(frozen=True)
class CheckedSource:
    """A synthetic source of a recipe whose components are validated."""

    generator: Component
    masks: Component
    per_real: float | None
    count: int | None
    shuffled: bool = False
    min_adherence: float = 0.0
    shard: int = SHARD


@dataclass(frozen=True)
class CheckedRecipe:
    """A recipe whose components are validated."""

    recipe: Recipe
    dataset: Component
    sources: tuple[CheckedSource, ...]
    augment: tuple[Component, ...]
    segmenter: Component | None
    external: Mapping[str, Component] = field(default_factory=dict)

    @property
    def data(self) -> tuple[tuple[Component, Reference], ...]:
        """Every data set with where it is named: the one that arms are trained on, then the external ones."""
        others = [(component, self.recipe.external[name]) for name, component in self.external.items()]
        return ((self.dataset, self.recipe.dataset), *others)


def check_recipes(recipes: Sequence[Recipe], registry: Registry) -> tuple[CheckedRecipe, ...]:
    """Return the recipes with their components. Raises `InputError` with the problems of all of them at once."""
    problems: list[Problem] = []
    checked = [_check(recipe, registry, problems) for recipe in recipes]
    if problems:
        raise InputError(*dict.fromkeys(problems))
    return tuple(recipe for recipe in checked if recipe is not None)


def check_parts(parts: Sequence[Part], registry: Registry) -> tuple[Problem, ...]:
    """Return what is wrong with the components of recipes whose structure is not right."""
    problems: list[Problem] = []
    for kind, reference in parts:
        _component(kind, reference, registry, problems)
    return tuple(dict.fromkeys(problems))


def used_sources(checked: CheckedRecipe) -> list[CheckedSource]:
    """Return the sources that make images: ``per_real: 0`` leaves one out."""
    return [source for source in checked.sources if source.per_real != 0]


def remarks_of(checked: Sequence[CheckedRecipe]) -> tuple[str, ...]:
    """Return what the data sets of some recipes say of their files, each sentence once, with its place."""
    return tuple(dict.fromkeys(line for one in checked for part in one.data for line in _remarks(*part)))


def _remarks(component: Component, reference: Reference) -> list[str]:
    entry, instance, where = component.entry, component.instance, reference.where
    if not isinstance(instance, HasRemarks):
        return []
    try:
        return [f"{where}: {sentence}" for sentence in instance.remarks()]
    except AugkitError:
        raise
    except (Exception, SystemExit) as error:  # a plugin may raise anything
        what = f"{entry.kind} '{entry.name}' failed to tell of its files: {type(error).__name__}: {said_by(error)}"
        raise InputError(Problem(where, what, f"Provided by {entry.provider}")) from error


def _component(kind: str, reference: Reference, registry: Registry, problems: list[Problem]) -> Component | None:
    entry = registry.find(kind, reference.name, reference.where)
    if isinstance(entry, Problem):
        problems.append(entry)
        return None
    instance = build_component(entry, reference, problems)
    return None if instance is None else Component(entry, instance, _files(entry, instance, reference, problems))


def _check(recipe: Recipe, registry: Registry, problems: list[Problem]) -> CheckedRecipe | None:
    def build(kind: str, reference: Reference) -> Component | None:
        return _component(kind, reference, registry, problems)

    def build_source(source: Source) -> CheckedSource | None:
        generator, masks = build("generator", source.generator), build("mask source", source.masks)
        if generator is None or masks is None:
            return None
        return CheckedSource(
            generator, masks, source.per_real, source.count, source.shuffled, source.min_adherence, source.shard
        )

    dataset = build("dataset", recipe.dataset)
    built = {name: build("dataset", reference) for name, reference in recipe.external.items()}
    external = {name: component for name, component in built.items() if component is not None}
    sources = [build_source(source) for source in recipe.synthesize]
    augment = [build("augmentation", reference) for reference in recipe.augment]
    segmenter = None if recipe.segmenter is None else build("segmenter", recipe.segmenter)
    scored = [(dataset, recipe.dataset), *((external.get(name), one) for name, one in recipe.external.items())]
    for component, reference in scored if recipe.score_at == NATIVE_SIZE else ():
        if component is not None and not isinstance(component.instance, HasNativeMasks):
            problems.append(_without_native_masks(reference, registry))
    if segmenter is not None and recipe.augment and (own := own_augmentation(segmenter.instance)):
        what = f"segmenter '{segmenter.name}' augments by itself ({own}); allowed: no 'augment' in its recipes"
        problems.append(Problem(recipe.augment[0].where, what, "It would not be applied, so leave it out"))
    if dataset is not None:
        problems += _refused_data(recipe, dataset, sources, augment, segmenter, registry)
        for name, component in external.items():
            problems += _refused_external(name, component, recipe.external[name], dataset, recipe.dataset)
    if dataset is None or (segmenter is None and recipe.segmenter is not None) or None in sources or None in augment:
        return None
    if len(external) < len(recipe.external):
        return None
    found_sources = tuple(source for source in sources if source is not None)
    found_augment = tuple(component for component in augment if component is not None)
    return CheckedRecipe(recipe, dataset, found_sources, found_augment, segmenter, external)


def _refused_external(
    name: str, external: Component, reference: Reference, dataset: Component, of_dataset: Reference
) -> list[Problem]:
    """Return the problem of an external set that is the data set itself, or of other images than segmenters take."""
    if external.entry == dataset.entry and external.instance == dataset.instance:
        what = f"external set '{name}' is the data set itself ({of_dataset.where}); allowed: another one"
        return [Problem(reference.where, what)]
    try:
        with contained():
            mine, theirs = (
                (one.instance.frame() if isinstance(one.instance, HasFrame) else None, format_of(one.instance))
                for one in (external, dataset)
            )
    except InputError:  # the files are not there, which listing them has told
        return []
    except (Exception, SystemExit) as error:  # a plugin may raise anything
        what = f"{external.entry.kind} '{external.name}' failed to tell of its images: {type(error).__name__}: {error}"
        return [Problem(reference.where, what, f"Provided by {external.entry.provider}")]
    if said := unlike(*mine, *theirs):
        hint = f"Segmenters are trained on the images of data set '{dataset.name}' ({of_dataset.where})"
        return [Problem(reference.where, f"external set '{name}': {said}", hint)]
    return []


def _refused_data(
    recipe: Recipe,
    dataset: Component,
    sources: Sequence[CheckedSource | None],
    augment: Sequence[Component | None],
    segmenter: Component | None,
    registry: Registry,
) -> list[Problem]:
    """Return the problem of every component in use that does not take images of the data set's size and format."""
    asked: list[tuple[Reference, Component | None]] = []
    for written, source in zip(recipe.synthesize, sources, strict=True):
        if source is not None and source.per_real != 0:
            asked += [(written.generator, source.generator), (written.masks, source.masks)]
    asked += zip(recipe.augment, augment, strict=True)
    if recipe.segmenter is not None:
        asked.append((recipe.segmenter, segmenter))
    data = f"data set '{dataset.name}' ({recipe.dataset.where})"
    problems = []
    where, entry = recipe.dataset.where, dataset.entry
    try:
        with contained():
            frame = dataset.instance.frame() if isinstance(dataset.instance, HasFrame) else None
            found = format_of(dataset.instance)
            for reference, component in asked:
                if component is None:
                    continue
                where, entry = reference.where, component.entry
                if said := refusal_of(component.instance, frame, found):
                    hint = f"The images are those of {data}{_others_that_take(found, component, dataset, registry)}"
                    problems.append(Problem(where, f"{entry.kind} '{entry.name}': {said}", hint))
    except InputError:  # the files are not there, which listing them has told
        return problems
    except (Exception, SystemExit) as error:  # a plugin may raise anything
        what = f"{entry.kind} '{entry.name}' failed to tell of its images: {type(error).__name__}: {said_by(error)}"
        problems.append(Problem(where, what, f"Provided by {entry.provider}"))
    return problems


def _others_that_take(found: Format, component: Component, dataset: Component, registry: Registry) -> str:
    """Return what may be used instead of a component that does not take a format, if that is why it was refused."""
    if not takes_of(component.instance).refuses(found):
        return ""
    kind = component.entry.kind
    names = [name for name in registry.names(kind) if not takes_of(registry.entries[kind, name].cls).refuses(found)]
    instead = f"; these take them: {', '.join(names)}" if names else f"; no {kind} that is installed takes them"
    as_rgb = hasattr(dataset.instance, "as_rgb") and not found.rgb
    return instead + ("; or show them as RGB by the data set's 'as_rgb: [LOW, HIGH]'" if as_rgb else "")


def _without_native_masks(reference: Reference, registry: Registry) -> Problem:
    names = [
        name for name in registry.names("dataset") if hasattr(registry.entries["dataset", name].cls, "native_masks")
    ]
    what = f"data set '{reference.name}' has no native masks; allowed with it: score_at: {TRAINING_SIZE}"
    return Problem(reference.where, what, f"Data sets that have some: {', '.join(names) or 'none'}")


def _files(entry: Entry, instance: Any, reference: Reference, problems: list[Problem]) -> tuple[Path, ...]:
    if not hasattr(instance, "sources"):
        return ()
    try:
        with contained():
            files = tuple(instance.sources())
        problems += _unreadable_names(files, reference)
        return files
    except InputError as error:
        problems += [replace(problem, where=f"{reference.where}: {problem.where}") for problem in error.problems]
    except OSError as error:
        what = f"{_shown(error.filename or entry.name)}: cannot be read: {error.strerror}"
        problems.append(Problem(reference.where, what, f"Asked for by {entry.kind} '{entry.name}' of {entry.provider}"))
    except (Exception, SystemExit) as error:  # a plugin may raise anything
        what = f"{entry.kind} '{entry.name}' failed to list its files: {type(error).__name__}: {said_by(error)}"
        problems.append(Problem(reference.where, what, f"Provided by {entry.provider}"))
    return ()


def _unreadable_names(files: Sequence[Path], reference: Reference) -> list[Problem]:
    """Return the problem of names that are bytes without a meaning: in no text, so in no id and no report."""
    bad = [file for file in files if not _is_text(file)]
    if not bad:
        return []
    such = f"{len(bad)} such file{'' if len(bad) == 1 else 's'}"
    what = f"{_shown(bad[0])}: the name is not UTF-8 ({such}); allowed: file names in UTF-8"
    hint = "Rename images and masks alike, as 'convmv -r -f latin1 -t utf8 --notest FOLDER' does"
    return [Problem(reference.where, what, hint)]


def _is_text(file: Path) -> bool:
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(name: object) -> str:
    """Return a file's name with bytes that are not UTF-8 spelt out, and not more of it than a line takes."""
    text = os.fsencode(str(name)).decode("utf-8", "backslashreplace")
    return text if len(text) <= _LONGEST_NAME else text[:_LONGEST_NAME] + "…"


def _digest(paths: Sequence[Path], digests: Digests) -> str:
    try:
        return digests.of(paths)
    except OSError as error:
        raise InputError(Problem(str(error.filename), f"cannot be read: {error.strerror}")) from error

"""From recipes and folders to a studio."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from augkit import (
    Format,
    GeneratorPart,
    ImageSet,
    InputError,
    MaskPart,
    Parts,
    Problem,
    generator,
    load_recipe,
    other_masks,
    part_of_folder,
)
from augkit.store import MANIFEST
from augkit_paint.studio import Generator, Studio, disc

if TYPE_CHECKING:
    from augkit import Study

ALONE = 128
"""Side in pixels for a generator whose training images are gone, if nobody names another."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for, read and checked.

    recipes: each with how it is named on a command line; `start` of them is the one of the package.
    folders: of trained generators.
    """

    recipes: tuple[tuple[str, Study], ...]
    folders: tuple[Path, ...]
    changes: tuple[str, ...]
    size: int | None
    start: bool


def read_recipes(what: Sequence[Path], changes: Sequence[str], size: int | None) -> Wanted:
    """Return what was asked for. Raises `InputError` with what is wrong with recipes."""
    folders = tuple(path for path in what if path.is_dir())
    files = [path for path in what if not path.is_dir()]
    start = not what
    named = [(shlex.quote(str(file)), file) for file in files]
    if changes and folders and not files:
        raise InputError(Problem(f"--set {changes[0]}", "found no recipe; allowed with one", "Name a recipe"))
    studies = tuple((name, _study(file, changes)) for name, file in named)
    if start:
        with resources.as_file(resources.files("augkit_paint").joinpath("start.yaml")) as file:
            studies = (("augkit paint", _study(file, changes)),)
    problems = []
    for folder in folders:
        if not (folder / MANIFEST).is_file():
            said = f"is no generator's folder (it has no {MANIFEST}); allowed: such as runs/generator/mask2lesion-..."
            problems.append(Problem(str(folder), said))
    sources = [source for _, study in studies for recipe in study.recipes for source in recipe.sources]
    if not folders and all(source.per_real == 0 for source in sources):
        said = "has no generator; allowed: a recipe with at least one source under 'synthesize'"
        problems.append(Problem(", ".join(name for name, _ in studies), said))
    if problems:
        raise InputError(*problems)
    return Wanted(studies, folders, tuple(changes), size, start)


def _study(file: Path, changes: Sequence[str]) -> Study:
    return load_recipe(file, changes=changes)


def open_studio(wanted: Wanted, seed: int | None, out: Path, drawings: Path, device: str, scratch: Path) -> Studio:
    """Return the studio. Raises `InputError` where there is nothing to paint with, or no two things fit together."""
    generators: list[Generator] = []
    found: list[Parts] = []
    for name, study in wanted.recipes:
        for parts in study.parts(seed, out=out, device=device, train=wanted.start):
            command = _command("run" if parts.compared else "quality", name, wanted.changes, seed, out)
            generators += [Generator(part, command, device) for part in parts.generators]
            found.append(parts)
    alone = [part_of_folder(folder, seed or 0) for folder in wanted.folders]
    generators += [Generator(part, "", device) for part, _ in alone]
    trained = [one for one in generators if one.part.folder is not None]
    if not trained:
        what = f"{_named(generators[0].part)} is not trained yet"
        raise InputError(Problem("augkit paint", what, f"Run: {generators[0].command}"))

    # All of one size and format, those of the first.
    train = next((one.train for one in found), next((images for _, images in alone if images is not None), None))
    format, size = _frame(train, alone, wanted)
    problems = [*_unlike_sets(found, train), *_unlike_folders(alone, format, size)]
    if problems:
        raise InputError(*problems)
    first = found[0] if found else None
    use_seed = first.seed if first else (seed or 0)
    masks = _masks(first, train, format, size, use_seed)
    ordered = sorted(_once(generators), key=lambda one: one.part.folder is None)
    judge = next((one.segmenter for one in found if one.segmenter is not None), None)
    return Studio(ordered, masks, format, size, use_seed, scratch, drawings, train, first, judge, device)


def _frame(
    train: ImageSet | None, alone: Sequence[tuple[GeneratorPart, ImageSet | None]], wanted: Wanted
) -> tuple[Format, tuple[int, int]]:
    if train is not None:
        if wanted.size is not None and (wanted.size, wanted.size) != train.size:
            what = f"the training images have {train.size[1]} x {train.size[0]} pixels; allowed: that size"
            raise InputError(Problem(f"--size {wanted.size}", what, "Leave --size out"))
        return train.format, train.size
    side = wanted.size or ALONE
    folder = alone[0][0].folder
    assert folder is not None
    return generator(folder, "cpu").format, (side, side)


def _masks(
    first: Parts | None, train: ImageSet | None, format: Format, size: tuple[int, int], seed: int
) -> tuple[MaskPart, ...]:
    if first is not None:
        return first.masks
    if train is not None:
        found = other_masks(set(), seed, np.asarray(train.masks), format)
        return tuple(sorted(found, key=lambda one: one.name != "training"))
    return other_masks({"training", "elastic", "pca"}, seed, disc(size, format)[None], format)


def _once(generators: Sequence[Generator]) -> list[Generator]:
    """Return each generator once, though several arms have it; those of folders by the folder."""
    kept: dict[object, Generator] = {}
    for one in generators:
        part = one.part
        key = part.folder.resolve() if part.folder else (part.name, repr(part.options), part.seed)
        kept.setdefault(key, one)
    return list(kept.values())


def _unlike_sets(found: Sequence[Parts], train: ImageSet | None) -> list[Problem]:
    return [
        Problem(f"recipe '{one.name}'", _differs(one.train, train), "Paint with one data set at a time")
        for one in found
        if train is not None and (one.train.size, one.train.format) != (train.size, train.format)
    ]


def _unlike_folders(
    alone: Sequence[tuple[GeneratorPart, ImageSet | None]], format: Format, size: tuple[int, int]
) -> list[Problem]:
    problems = []
    for part, images in alone:
        assert part.folder is not None
        if images is not None and (images.size, images.format) != (size, format):
            has = f"{images.size[1]} x {images.size[0]} pixels, {images.format}"
            what = f"was trained on images of {has}; allowed: {size[1]} x {size[0]} pixels, {format}"
            problems.append(Problem(str(part.folder), what, "Paint with it alone"))
    return problems


def _differs(found: ImageSet, first: ImageSet) -> str:
    has = f"{found.size[1]} x {found.size[0]} pixels, {found.format}"
    return f"has images of {has}; allowed: {first.size[1]} x {first.size[0]} pixels, {first.format}, as the first one"


def _command(verb: str, recipe: str, changes: Sequence[str], seed: int | None, out: Path) -> str:
    words = ["augkit", verb, recipe, *(f"--set {shlex.quote(change)}" for change in changes)]
    words += [] if seed is None else [f"--seeds {seed}"]
    words += [] if out == Path("runs") else [f"--out {shlex.quote(str(out))}"]
    return " ".join(words)


def _named(part: GeneratorPart) -> str:
    return f"generator '{part.name}'"

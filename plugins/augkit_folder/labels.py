"""Label maps of several classes: what a file holds where a class is, a number or a colour, becomes its label."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from augkit import InputError, Problem
from augkit.images import IGNORED, check_mask, read_image, read_levels
from augkit_folder.tiff import is_tiff, read_tiff_labels

BACKGROUND = "background"
"""The name in `classes` that is no class but label 0."""

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")

_NUMBERS = "Add a class for it, or correct the labels; where a resize has blurred edges, redo it with nearest neighbour"
_COLOURS = (
    "Add a class for it, or export the labels without smoothed edges (anti-aliasing), best as numbers, not colours"
)


class Labels(NamedTuple):
    """What label maps hold: the number or colour (as 0xRRGGBB) of each name, and the label it becomes."""

    names: tuple[str, ...]
    values: tuple[int, ...]
    labels: tuple[int, ...]
    colours: bool

    @staticmethod
    def of(classes: Mapping[str, int | str], ignore: int | str | None) -> Labels:
        """Return the table of the options `classes` and `ignore`."""
        colours = any(isinstance(value, str) for value in classes.values())
        table: list[tuple[str, int | str, int]] = [(BACKGROUND, classes.get(BACKGROUND, 0), 0)]
        table += [(name, classes[name], label) for label, name in enumerate(class_names(classes), 1)]
        table += [] if ignore is None else [("ignored", ignore, IGNORED)]
        names, values, labels = zip(*table, strict=True)
        return Labels(names, tuple(map(_number, values)), labels, colours)

    def __str__(self) -> str:
        spelt = [f"{self.spell(value)} ({name})" for name, value in zip(self.names[:9], self.values[:9], strict=True)]
        return ", ".join(spelt) + (", ..." if len(self.names) > 9 else "")

    def spell(self, value: int) -> str:
        """Return a number of a label map as the recipe writes it."""
        return f"#{value:06x}" if self.colours else str(value)


def class_names(classes: Mapping[str, int | str]) -> tuple[str, ...]:
    """Return the names of the classes, in the order of their labels."""
    return tuple(name for name in classes if name != BACKGROUND)


def faults_of_classes(classes: Mapping[str, int | str], ignore: int | str | None) -> list[str]:
    """Return what is wrong with the options `classes` and `ignore`."""
    written = {**classes, **({} if ignore is None else {"ignore": ignore})}
    if not 1 <= len(class_names(classes)) < IGNORED:
        return [f"classes: found {len(class_names(classes))}; allowed: 1 to {IGNORED - 1} beside {BACKGROUND}"]
    if "ignore" in classes:
        return ["classes: found the name ignore; allowed: the option ignore instead"]
    kinds = {isinstance(value, str) for value in written.values()}
    if len(kinds) > 1:
        return ["classes and ignore: found numbers beside colours; allowed: one of the two"]
    wrong = [f"{name}: {value}" for name, value in written.items() if not _fits(value)]
    if wrong:
        allowed = 'whole numbers 0..65535, or colours such as "#ff0000"'
        return [f"classes: found {', '.join(wrong)}; allowed: {allowed}"]
    table = Labels.of(classes, ignore)
    owner: dict[int, str] = {}
    twice = [
        f"{table.spell(value)} for {owner[value]} and {name}"
        for name, value in zip(table.names, table.values, strict=True)
        if owner.setdefault(value, name) != name
    ]
    return [f"classes: found {', '.join(twice)}; allowed: another number or colour for each"] if twice else []


def check_labels_header(path: Path, table: Labels) -> tuple[int, int]:
    """Return width and height of a label map; raises `InputError` for what its header tells will not be read."""
    header = check_mask(path)
    if table.colours and header.bits > 8:
        what = f"is a {header.bits}-bit image; allowed with colours in classes: 8 bits"
        raise InputError(Problem(str(path), what, "Write the numbers of the classes instead of their colours"))
    return header.size


def read_labels(path: Path, table: Labels) -> NDArray[np.uint8]:
    """Return a label map, uint8 (H, W): 0 background, k class k, 255 ignored.

    Raises `InputError` for the first number or colour that no class has, with its place.
    """
    check_labels_header(path, table)
    held = _packed(read_image(path)) if table.colours else _numbers(path, table)
    values, labels = np.array(table.values), np.array(table.labels, np.uint8)
    order = np.argsort(values)
    at = np.minimum(np.searchsorted(values[order], held), len(values) - 1)
    strange = values[order][at] != held
    if strange.any():
        raise InputError(_strange(path, held, strange, table))
    return labels[order][at]


def _numbers(path: Path, table: Labels) -> NDArray[Any]:
    held = read_tiff_labels(path) if is_tiff(path) else read_levels(path)
    if held.dtype.kind == "f":
        broken = ~(held == np.rint(held))  # NaN is no whole number either
        if broken.any():
            row, column = (int(axis[0]) for axis in np.nonzero(broken))
            what = f"holds {held[row, column]:g} at row {row}, column {column}; allowed: whole numbers: {table}"
            raise InputError(Problem(str(path), what, "It was interpolated; resample with nearest neighbour"))
    return held.astype(np.int64)


def _strange(path: Path, held: NDArray[Any], strange: NDArray[np.bool_], table: Labels) -> Problem:
    row, column = (int(axis[0]) for axis in np.nonzero(strange))
    kinds = len(np.unique(held[strange]))
    noun = "colour" if table.colours else "label"
    count = (
        f"{int(strange.sum())} pixel{'' if strange.sum() == 1 else 's'} of {kinds} {noun}{'' if kinds == 1 else 's'}"
    )
    such = f"{table.spell(int(held[row, column]))} at row {row}, column {column}"
    what = f"holds {count} that no class has, such as {such}; allowed: {table}"
    return Problem(str(path), what, _COLOURS if table.colours else _NUMBERS)


def _packed(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    red, green, blue = np.moveaxis(image.astype(np.int64), -1, 0)
    packed: NDArray[np.int64] = red << 16 | green << 8 | blue
    return packed


def _number(value: int | str) -> int:
    return value if isinstance(value, int) else int(value.removeprefix("#"), 16)


def _fits(value: int | str) -> bool:
    return bool(_COLOUR.fullmatch(value)) if isinstance(value, str) else 0 <= value <= 65535

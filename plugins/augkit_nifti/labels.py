"""Values of label files and the classes they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from augkit import InputError, Problem
from augkit.images import IGNORED

Others = Literal["refuse", "background", "ignored"]

MOST = 65535
"""The largest value that may stand for a class."""

_UNKNOWN = -1

_INTERPOLATED = "It was interpolated; resample with nearest neighbour"


@dataclass(frozen=True)
class Labelling:
    """Which values of label files stand for which class; 0 is the background.

    classes: name and values of each class, class 1 first.
    ignored: values of pixels that do not count.
    others:  what a value is that is none of these.
    hint:    what to do about a value that is refused.
    """

    classes: tuple[tuple[str, tuple[int, ...]], ...]
    ignored: tuple[int, ...] = ()
    others: Others = "refuse"
    hint: str = "Correct the labels"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(name for name, _ in self.classes)

    @property
    def ignores(self) -> bool:
        """Whether pixels may not count."""
        return bool(self.ignored) or self.others == "ignored"

    @property
    def allowed(self) -> str:
        """The values that are allowed, with their names, for messages."""
        values = [value for _, those in self.classes for value in those]
        names = ["background", *self.names]
        if values == list(range(1, len(self.classes) + 1)):
            spelt = f"whole numbers 0..{len(values)} ({', '.join(names)})"
        else:
            named = (f"{_runs(those)} ({name})" for name, those in self.classes)
            spelt = ", ".join(("whole numbers 0 (background)", *named))
        return spelt + (f", {_runs(self.ignored)} (ignored)" if self.ignored else "")

    def faults(self) -> list[str]:
        """Return what is wrong with it, for a `ValueError`."""
        faults = []
        owner: dict[int, str] = {0: "the background"}
        for name, values in (*self.classes, ("ignored", self.ignored)):
            if not values and name != "ignored":
                faults.append(f"classes.{name}: found no value; allowed: one or more")
            for value in values:
                if not 0 <= value <= MOST:
                    faults.append(f"classes.{name}: found {value}; allowed: 1..{MOST}")
                elif owner.setdefault(value, name) != name:
                    faults.append(
                        f"classes.{name}: found {value}, which is {owner[value]}; allowed: one class per value"
                    )
        return faults

    def decode(self, plane: NDArray[Any], where: Path, place: int) -> NDArray[np.uint8]:
        """Return the labels of one plane (X, Y) of values, uint8; `InputError` for what stands for nothing.

        place: of the plane along the third axis of the file.
        """
        values = plane
        if plane.dtype.kind == "f":
            fractions = plane != np.rint(plane)  # not a number is none, either
            if fractions.any():
                raise self._refused(plane, fractions, where, place, "", _INTERPOLATED)
            values = np.clip(plane, -1, MOST + 1).astype(np.int64)
        within = (values >= 0) & (values <= MOST)
        labels = self._table[np.where(within, values, 0)]
        unknown = ~within | (labels == _UNKNOWN)
        if unknown.any():
            if self.others == "refuse":
                raise self._refused(plane, unknown, where, place, "the label ", self.hint)
            labels = np.where(unknown, IGNORED if self.others == "ignored" else 0, labels)
        return labels.astype(np.uint8)

    @cached_property
    def _table(self) -> NDArray[np.int16]:
        table = np.full(MOST + 1, _UNKNOWN, np.int16)
        table[0] = 0
        for label, (_, values) in enumerate(self.classes, 1):
            table[list(values)] = label
        table[list(self.ignored)] = IGNORED
        return table

    def _refused(
        self, plane: NDArray[Any], wrong: NDArray[np.bool_], where: Path, place: int, noun: str, hint: str
    ) -> InputError:
        i, j = (int(axis[0]) for axis in np.nonzero(wrong))
        what = f"holds {noun}{plane[i, j]:g} at [{i}, {j}, {place}]; allowed: {self.allowed}"
        return InputError(Problem(str(where), what, hint))


def _runs(values: Sequence[int]) -> str:
    """Return whole numbers as text, those that follow each other as 71..76."""
    runs: list[list[int]] = []
    for value in sorted(values):
        if runs and runs[-1][1] == value - 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ", ".join(str(low) if low == high else f"{low}..{high}" for low, high in runs)

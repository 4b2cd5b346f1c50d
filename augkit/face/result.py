"""What a run found, for Python and for notebooks, read from its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from augkit.report.recorded import Recorded, find_report, read_report
from augkit.report.tables import table_rows, table_title


@dataclass(frozen=True)
class Verdict:
    """What may be said of one planned contrast.

    word:     helps, harms, no evidence, equivalent, or no verdict; for interactions positive or negative.
    sentence: the same with its figures.
    facts:    every number behind it, as in report.json.
    """

    contrast: str
    word: str
    sentence: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class External:
    """The same segmenters on an external set."""

    recorded: Recorded

    @property
    def table(self) -> list[list[str]]:
        """Its scores as text, as Table 1 has those of the test images."""
        return table_rows(self.recorded.arms)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The planned contrasts on mean Dice; p is adjusted over all external sets."""
        return _verdicts(self.recorded)

    @property
    def scores(self) -> list[dict[str, Any]]:
        """One row per arm, seed and image, as in `Result.scores`."""
        return _scores(self.recorded)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Which images were left out and why, and what its data set says of itself, in sentences."""
        return self.recorded.warnings


@dataclass(frozen=True)
class Result:
    """A run's report: Table 1, the verdicts, every score, and the page. Shown as such in a notebook.

    folder: of the report, or a folder of runs that holds one; a path or text.
    """

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", find_report(Path(self.folder)))

    @property
    def report(self) -> Path:
        """The page, which opens in any browser without a network."""
        return self.folder / "report.html"

    @cached_property
    def recorded(self) -> Recorded:
        """What the report recorded; its bytes are verified."""
        return read_report(self.folder)

    @property
    def table(self) -> list[list[str]]:
        """Table 1 as text, header row first: mean ± standard error over the test images."""
        return table_rows(self.recorded.arms)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The planned contrasts on mean Dice."""
        return _verdicts(self.recorded)

    @property
    def answer(self) -> str:
        """What the arms come to in plain words, as the page begins."""
        return str(self.recorded.comparison["answer"]["sentence"])

    @property
    def external(self) -> Mapping[str, External]:
        """Name -> what was found on each external set of the recipes."""
        return {name: External(found) for name, found in self.recorded.external.items()}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against the arms and their scores."""
        return (*self.recorded.comparison["cautions"], *self.recorded.warnings)

    @property
    def scores(self) -> list[dict[str, Any]]:
        """One row per arm, seed and image: ``arm``, ``seed``, ``image_id`` and every metric; for `pandas.DataFrame`.

        Where groups are scored, ``image_id`` is the group. Where there are folds, ``fold`` is the one that tested it.
        """
        return _scores(self.recorded)

    def __repr__(self) -> str:
        lines = [line for one in (self.recorded, *self.recorded.external.values()) for line in _lines(one)]
        return "\n".join([*lines, f"Report: {self.report}"])

    def _repr_html_(self) -> str:
        from augkit.report.embedded import embed_report

        return embed_report(self.recorded)


def _verdicts(recorded: Recorded) -> tuple[Verdict, ...]:
    contrasts = recorded.comparison["contrasts"]
    return tuple(Verdict(one["name"], one["verdict"], one["sentence"], one) for one in contrasts)


def _scores(recorded: Recorded) -> list[dict[str, Any]]:
    return [
        {"arm": arm.arm, "seed": seed, "image_id": name}
        | ({"fold": int(arm.folds[i])} if arm.design.folds else {})
        | {m: float(arm.values[m][s, i]) for m in arm.metrics}
        for arm in recorded.arms
        for s, seed in enumerate(arm.seeds)
        for i, name in enumerate(arm.image_ids)
    ]


def _lines(recorded: Recorded) -> list[str]:
    """Return the answer, table, sentences, remarks and warnings."""
    table = table_rows(recorded.arms)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    answer = recorded.comparison["answer"]
    return [
        answer["title"],
        answer["sentence"],
        *([answer["settle"]] if answer["settle"] else []),
        table_title(recorded.arms[0]),
        *("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table),
        *(verdict.sentence for verdict in _verdicts(recorded)),
        *recorded.comparison["remarks"],
        *(f"⚠ {warning}" for warning in (*recorded.comparison["cautions"], *recorded.warnings)),
    ]

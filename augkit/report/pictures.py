"""Pictures of a report that are plots, each in its variants for screens and print."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from augkit import figures
from augkit.figures import DARK, LIGHT, Form, Line, Look
from augkit.report.curves import Curve, curve_figure
from augkit.report.evidence import ArmEvidence
from augkit.report.tables import DENSITY_METRICS, metric_title
from augkit.report.verdict.comparison import Comparison
from augkit.report.verdict.scores import ArmScores
from augkit.store import write_bytes


@dataclass(frozen=True)
class Picture:
    """A picture in its variants; `dark`, `narrow` and `narrow_dark` may be empty.

    stem: file name without ending; alt: what it shows, for readers who do not see it.
    """

    stem: str
    alt: str
    png: bytes
    dark: bytes = b""
    narrow: bytes = b""
    narrow_dark: bytes = b""
    svg: bytes = b""

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the name and bytes of each file that is kept beside the page."""
        yield f"{self.stem}.png", self.png
        if self.svg:
            yield f"{self.stem}.svg", self.svg

    def sources(self) -> Iterator[tuple[str, str]]:
        """Yield (media query, data URL) of the variants, the most specific first."""
        narrow, dark = "(max-width: 700px)", "(prefers-color-scheme: dark)"
        variants = ((f"{narrow} and {dark}", self.narrow_dark), (narrow, self.narrow), (dark, self.dark))
        yield from ((media, _data_url(data)) for media, data in variants if data)

    @property
    def url(self) -> str:
        """The picture as a data URL."""
        return _data_url(self.png)

    @property
    def width(self) -> int:
        """The width on the page in CSS pixels: line plots at their size in inches, galleries pixel by pixel."""
        pixels = int.from_bytes(self.png[16:20], "big")
        return pixels * 96 // figures.DPI if self.svg else pixels


def write_pictures(folder: Path, pictures: Iterable[Picture]) -> None:
    """Write the files of pictures into ``folder/figures``."""
    for picture in pictures:
        for name, data in picture.files():
            write_bytes(folder / "figures" / name, data)


def effects_picture(comparison: Comparison) -> Picture | None:
    """Return the Dice differences of the planned contrasts; None where none has a value."""
    rows = []
    for finding in comparison.findings:
        dice = finding.estimates.get("dice")
        interval = None if dice is None else (dice.mean, dice.low, dice.high)
        if finding.by_seed:
            rows.append(figures.Effect(finding.contrast.name, finding.by_seed, interval))
    if not rows:
        return None

    def draw(look: Look, columns: int, form: Form) -> bytes:
        return figures.effects(rows, comparison.margin, "difference in mean Dice", look, columns, form)

    alt = "Dice differences of the planned contrasts: each seed, the mean and its 95 % interval"
    return _lines_picture("effects", alt, len(rows) + 1, draw)


def sweep_picture(curves: Sequence[Curve]) -> Picture | None:
    """Return the curves of all sweeps, one panel per swept path; None without a sweep."""
    if not curves:
        return None

    def draw(look: Look, columns: int, form: Form) -> bytes:
        return curve_figure(curves, look, columns, form)

    alt = "Mean Dice over what was swept, one line per recipe, with its band over seeds"
    return _lines_picture("curves", alt, len({curve.path for curve in curves}), draw)


def density(arms: Sequence[ArmScores]) -> Picture:
    """Return the densities of Figure 5: one panel per metric, one line per arm, scores averaged over seeds."""
    panels = {
        metric_title(metric): {arm.arm: arm.values[metric].mean(axis=0) for arm in arms} for metric in DENSITY_METRICS
    }

    def draw(look: Look, columns: int, form: Form) -> bytes:
        return figures.densities(panels, look, columns, form)

    images = arms[0].design.scored
    alt = f"Densities of Dice, sensitivity and specificity over the {images}, one line per arm"
    return _lines_picture("densities", alt, len(panels), draw)


@dataclass(frozen=True)
class Curves:
    """The training curves of one stage."""

    stage: str
    picture: Picture


def training_curves(arms: Sequence[ArmEvidence]) -> tuple[Curves, ...]:
    """Return the curves of every stage that recorded some, those that several arms share only once."""
    return tuple(_curves(i, *stage) for i, stage in enumerate(_trainings(arms).items(), 1))


@dataclass(frozen=True)
class _Training:
    """The recorded rows of one training, the arms that share it, and the place of the first of them."""

    arms: list[str]
    order: int
    rows: Sequence[Mapping[str, float]]


def _trainings(arms: Sequence[ArmEvidence]) -> Mapping[str, list[_Training]]:
    """Return stage label -> its trainings, one that several arms share only once."""
    stages: dict[str, list[_Training]] = {}
    for order, arm in enumerate(arms):
        for label, rows in arm.history.items():
            known = stages.setdefault(label, [])
            same = next((training for training in known if list(training.rows) == list(rows)), None)
            if same is not None:
                same.arms.append(arm.scores.arm)
            elif any(key != "step" for row in rows for key in row):
                known.append(_Training([arm.scores.arm], order, rows))
    return {label: trainings for label, trainings in stages.items() if trainings}


def _curves(number: int, stage: str, trainings: Sequence[_Training]) -> Curves:
    names = dict.fromkeys(key for training in trainings for row in training.rows for key in row if key != "step")
    panels = {name: [_line(training, name) for training in trainings] for name in names}

    def draw(look: Look, columns: int, form: Form) -> bytes:
        return figures.curves(panels, look, columns, form)

    stem, alt = f"curves-{number}-{slug(stage)}", f"Training curves of {stage}"
    return Curves(stage, _lines_picture(stem, alt, len(panels), draw))


def _line(training: _Training, name: str) -> Line:
    points = [(row["step"], row[name]) for row in training.rows if name in row]
    x, y = np.array(points, dtype=np.float64).reshape(-1, 2).T
    return Line(", ".join(training.arms), training.order, x, y)


def _lines_picture(stem: str, alt: str, panels: int, draw: Callable[[Look, int, Form], bytes]) -> Picture:
    """Return a line plot in its variants; one panel looks the same on narrow and wide screens."""
    return Picture(
        stem,
        alt,
        draw(LIGHT, 3, "png"),
        dark=draw(DARK, 3, "png"),
        narrow=draw(LIGHT, 1, "png") if panels > 1 else b"",
        narrow_dark=draw(DARK, 1, "png") if panels > 1 else b"",
        svg=draw(LIGHT, 3, "svg"),
    )


def slug(text: str) -> str:
    """Return a text as a part of a file name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:48] or "unnamed"


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"

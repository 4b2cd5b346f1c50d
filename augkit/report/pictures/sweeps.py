"""A sweep as a curve: the mean score over what was swept, with a band over seeds; numbers, table and figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from augkit.data.tables import csv_text
from augkit.figures import LIGHT, Form, Line, Look, line_plot
from augkit.planning.sweep import SweepPoint
from augkit.report.pictures.picture import Picture, plotted
from augkit.report.tables import metric_title
from augkit.report.verdict.inference import t_interval
from augkit.report.verdict.scores import ArmScores
from augkit.store import write_json, write_text

SHOWN = "dice"
"""The metric of figure and table; the files have all of them."""


@dataclass(frozen=True)
class CurvePoint:
    """One arm of a sweep in one metric.

    value: what was swept; seeds: S of them; means: the mean over images of each seed.
    mean:  over seeds.
    low, high: the ends of its 95 % interval over seeds (Student's t, S - 1 degrees of freedom), within 0..1; None for
           one seed, where nothing is known about other trainings. It holds for these test images.
    """

    value: float
    arm: str
    seeds: tuple[int, ...]
    means: tuple[float, ...]
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Curve:
    """One recipe's sweep in one metric, its points in the order of what was swept."""

    name: str
    path: str
    metric: str
    points: tuple[CurvePoint, ...]


def curves_of(arms: Iterable[tuple[SweepPoint, ArmScores]]) -> tuple[Curve, ...]:
    """Return one curve per sweeping recipe and metric."""
    sweeps: dict[tuple[str, str], list[tuple[float, ArmScores]]] = {}
    for place, scores in arms:
        sweeps.setdefault((place.curve, place.path), []).append((place.value, scores))
    return tuple(
        Curve(name, path, metric, tuple(_point(value, scores, metric) for value, scores in sorted(found, key=_value)))
        for (name, path), found in sweeps.items()
        for metric in found[0][1].metrics
    )


def sweep_picture(curves: Sequence[Curve]) -> Picture | None:
    """Return the curves of all sweeps, one panel per swept path; None without a sweep."""
    if not curves:
        return None

    def draw(columns: int, form: Form) -> bytes:
        return curve_figure(curves, LIGHT, columns, form)

    alt = "Mean Dice over what was swept, one line per recipe, with its band over seeds"
    return plotted("curves", alt, draw)


def curve_figure(curves: Sequence[Curve], look: Look = LIGHT, columns: int = 2, form: Form = "png") -> bytes:
    """Return a picture with one panel per swept path, one line per recipe, and its 95 % band over seeds."""
    panels: dict[str, list[Line]] = {}
    for order, curve in enumerate(shown(curves)):
        panels.setdefault(curve.path, []).append(_line(curve, order))
    return line_plot(panels, ("swept value; band: 95 % over seeds", f"mean {metric_title(SHOWN)}"), look, columns, form)


def shown(curves: Sequence[Curve]) -> tuple[Curve, ...]:
    """Return the curves of the metric that figure and table show."""
    return tuple(curve for curve in curves if curve.metric == SHOWN)


def write_curves(curves: Sequence[Curve], folder: Path) -> None:
    """Write curves.json and curves.csv (one row per seed); nothing without a curve."""
    if not curves:
        return
    write_json(folder / "curves.json", {"curves": [asdict(curve) for curve in curves]})
    write_text(folder / "curves.csv", _csv(curves))


def _point(value: float, scores: ArmScores, metric: str) -> CurvePoint:
    means = scores.values[metric].mean(axis=1)
    low, high = _interval(means)
    return CurvePoint(value, scores.arm, scores.seeds, tuple(means.tolist()), float(means.mean()), low, high)


def _interval(means: NDArray[np.float64]) -> tuple[float | None, float | None]:
    if len(means) < 2:
        return None, None
    error = float(means.std(ddof=1) / np.sqrt(len(means)))
    low, high = t_interval(float(means.mean()), error, len(means) - 1)
    return max(0.0, low), min(1.0, high)


def _line(curve: Curve, order: int) -> Line:
    x = np.array([point.value for point in curve.points])
    y = np.array([point.mean for point in curve.points])
    low = [point.mean if point.low is None else point.low for point in curve.points]
    high = [point.mean if point.high is None else point.high for point in curve.points]
    of_seeds = [point.means for point in curve.points]
    points = np.array(of_seeds).T if len({len(means) for means in of_seeds}) == 1 and len(of_seeds[0]) > 1 else None
    return Line(curve.name, order, x, y, (np.array(low), np.array(high)), points)


def _csv(curves: Sequence[Curve]) -> str:
    rows = [
        (curve.name, curve.path, f"{point.value:g}", point.arm, seed, curve.metric, repr(mean))
        for curve in curves
        for point in curve.points
        for seed, mean in zip(point.seeds, point.means, strict=True)
    ]
    return csv_text(("recipe", "swept", "value", "arm", "seed", "metric", "mean"), rows)


def _value(found: tuple[float, ArmScores]) -> float:
    return found[0]

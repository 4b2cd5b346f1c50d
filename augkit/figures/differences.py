"""Differences: each effect with its seeds and interval, and pairs of scores image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from augkit.figures.lettering import legible, shorten
from augkit.figures.lines import inches_wide, inside, title_panel
from augkit.figures.looks import (
    COLUMN,
    DARK,
    DPI,
    LABELS,
    LIGHT,
    PAGE,
    TICKS,
    Form,
    Look,
    Values,
    encoded,
    own_settings,
    plain_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW = 0.42
_PANEL_HEIGHT = 2.1
_MOST_OUTLINED = 400
"""Points of an SVG that are drawn one by one; more are a picture in it, so that the file stays small."""


@dataclass(frozen=True)
class Effect:
    """One difference: its name, its value for every seed, and its mean with an interval, or None without one."""

    name: str
    by_seed: Sequence[float]
    interval: tuple[float, float, float] | None


@dataclass(frozen=True)
class Pair:
    """Scores of the same images, float64 (N,) each, with the names of both: ``plus`` is compared with ``minus``."""

    name: str
    minus: Values
    plus: Values


def effects(
    rows: Sequence[Effect], margin: float, label: str, look: Look = LIGHT, columns: int = 3, form: Form = "png"
) -> bytes:
    """Return differences one below the other: a ring per seed, a line from low to high, a diamond at the mean.

    interval: (mean, low, high), written out where there is room. The band is the margin of equivalence. One column
    makes a picture as wide as a column of a paper, more one as wide as its page.
    """
    from matplotlib.figure import Figure

    width = COLUMN if columns == 1 else PAGE
    size = (width, _ROW * len(rows) + 0.5)
    with own_settings():
        figure = Figure(figsize=size, dpi=DPI)
        axes = figure.add_axes((0.25 / width, 0.42 / size[1], 1 - 0.5 / width, _ROW * len(rows) / size[1]))
        axes.axvspan(-margin, margin, color=look.faint, linewidth=0, alpha=0.6)
        axes.axvline(0, color=look.ink, linewidth=0.8)
        for place, row in enumerate(rows):
            _draw_effect(axes, row, place, look)
            _write_effect(axes, row, place, look, columns > 1)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks([])
        axes.locator_params(axis="x", nbins=5 if columns == 1 else 9)
        axes.set_xlabel(legible(label), color=look.ink, fontsize=LABELS, labelpad=2)
        axes.tick_params(colors=look.ink, labelsize=TICKS, width=0.6, length=2.5)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set(color=look.ink, linewidth=0.6)
        return encoded(figure, form)


def paired(pairs: Sequence[Pair], score: str, look: Look = LIGHT, columns: int = 3, form: Form = "png") -> bytes:
    """Return a panel per pair, a point per image: the difference of its two scores over their mean.

    The way of Bland & Altman (Lancet 1986). The line is the mean difference, the dashed ones lie 1.96 standard
    deviations (ddof 1) of the differences to either side: the limits within which most images are.
    """
    from matplotlib.figure import Figure

    width, columns = COLUMN if columns == 1 else PAGE, max(1, min(columns, len(pairs)))
    panel = (width / columns, _PANEL_HEIGHT)
    size = (width, panel[1] * -(-len(pairs) // columns))
    farthest = 1.06 * max(float(np.abs(pair.plus - pair.minus).max()) for pair in pairs) or 0.01
    with own_settings():
        figure = Figure(figsize=size, dpi=DPI)
        for place, pair in enumerate(pairs):
            row, column = divmod(place, columns)
            corner = (panel[0] * column, size[1] - panel[1] * (row + 1))
            axes = figure.add_axes(inside(corner, panel, size))
            _draw_pair(axes, pair, score, look)
            axes.set_ylim(-farthest, farthest)  # the same in all panels
        return encoded(figure, form)


def _draw_effect(axes: Axes, row: Effect, place: int, look: Look) -> None:
    below = place + 0.14
    places = [below] * len(row.by_seed)
    if row.interval is not None:
        mean, low, high = row.interval
        axes.plot([low, high], [below, below], color=look.palette[0], linewidth=2, solid_capstyle="butt")
        axes.plot([mean], [below], "D", markersize=5.5, color=look.palette[0])
    axes.plot(row.by_seed, places, "o", markersize=4, markerfacecolor="none", markeredgecolor=look.ink, alpha=0.8)


def _write_effect(axes: Axes, row: Effect, place: int, look: Look, with_numbers: bool) -> None:
    room, above = int(inches_wide(axes) / 0.07) - (28 if with_numbers else 0), place - 0.26
    across = axes.get_yaxis_transform()
    name = shorten(legible(row.name), room)
    axes.text(0, above, name, color=look.ink, fontsize=LABELS, transform=across, va="center")
    if with_numbers and row.interval is not None:
        mean, low, high = (f"{value:+.4f}".replace("-", "−") for value in row.interval)
        numbers = f"{mean} ({low} to {high})"
        axes.text(1, above, numbers, color=look.ink, fontsize=LABELS, transform=across, va="center", ha="right")


def _draw_pair(axes: Axes, pair: Pair, score: str, look: Look) -> None:
    difference, mean = pair.plus - pair.minus, (pair.plus + pair.minus) / 2
    axes.axhline(0, color=look.ink, linewidth=0.8)
    many = len(mean) > _MOST_OUTLINED
    colour = DARK.palette[0] if many else look.palette[0]  # pixels are not recoloured; this one is seen on any paper
    axes.plot(mean, difference, "o", ms=2.6, mfc="none", mec=colour, mew=0.8, alpha=0.85, rasterized=many)
    middle = float(difference.mean())
    axes.axhline(middle, color=look.palette[1], linewidth=1.3)
    if len(difference) > 1:
        spread = 1.96 * float(np.std(difference, ddof=1))
        for limit in (middle - spread, middle + spread):
            axes.axhline(limit, color=look.palette[1], linewidth=0.9, linestyle=(0, (4, 2)))
    axes.locator_params(axis="both", nbins=5)
    title_panel(axes, pair.name, (f"mean {score} of both", f"difference in {score}"), look)
    plain_axes(axes, look)

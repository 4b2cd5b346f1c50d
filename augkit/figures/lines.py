"""Lines: densities of scores, training curves, sweeps; panels side by side under one legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from augkit.figures.lettering import LONGEST_NAME, legible, shorten
from augkit.figures.looks import (
    COLUMN,
    DPI,
    LABELS,
    LIGHT,
    MARKERS,
    PAGE,
    TITLES,
    Form,
    Look,
    Values,
    encoded,
    own_settings,
    plain_axes,
    stroke,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRID: Values = np.linspace(0.0, 1.0, 401)
"""Where densities of scores are evaluated: float64 (401,) over the whole range of a score."""

_MOST_POINTS = 150
_HEIGHT = 1.85


@dataclass(frozen=True)
class Line:
    """One line of a panel: x and y float64 (n,); `order` chooses colour and dashes, equal in every panel.

    band:   lower and upper ends float64 (n,) of what is shaded around a line of few points, which are then marked.
    points: float64 (S, n), what the line is the mean of, drawn as small rings.
    """

    name: str
    order: int
    x: Values
    y: Values
    band: tuple[Values, Values] | None = None
    points: Values | None = None


def density(values: Values) -> Values | None:
    """Return the Gaussian kernel density of scores on `GRID`: float64 (n,) -> float64 (401,).

    The bandwidth is Scott's factor n^(-1/5) times the standard deviation (ddof 1), as in SciPy's `gaussian_kde`; the
    sum is written out because importing scipy.stats takes longer than all densities of a report. The part outside
    0..1 is cut off and the rest is not scaled up, as in Figure 5 of the paper. None where the scores are too alike
    for a density: one score, or a bandwidth below the grid's spacing.
    """
    width = float(values.std(ddof=1)) * len(values) ** -0.2 if len(values) > 1 else 0.0
    if width < GRID[1]:
        return None
    kernels = np.exp(-0.5 * ((GRID[:, None] - values) / width) ** 2)
    drawn: Values = kernels.mean(axis=1) / (width * np.sqrt(2 * np.pi))
    return drawn


def densities(
    panels: Mapping[str, Mapping[str, Values]], look: Look = LIGHT, columns: int = 3, form: Form = "png"
) -> bytes:
    """Return one panel per metric with the density of every arm: metric -> arm -> float64 (N,) in 0..1.

    Scores too alike for a density are a vertical line at their mean.
    """
    lines = {metric: [_density_line(i, *arm) for i, arm in enumerate(arms.items())] for metric, arms in panels.items()}
    return line_plot(lines, ("score", "density"), look, columns, form, (0.0, 1.0))


def curves(panels: Mapping[str, Sequence[Line]], look: Look = LIGHT, columns: int = 3, form: Form = "png") -> bytes:
    """Return one panel per recorded value, each line one training, over the training step.

    Of more than 150 rows, equal runs of neighbouring rows are drawn as their mean.
    """
    thin = {name: [_thinned(line) for line in lines] for name, lines in panels.items()}
    return line_plot(thin, ("step", ""), look, columns, form)


def line_plot(
    panels: Mapping[str, Sequence[Line]],
    labels: tuple[str, str],
    look: Look = LIGHT,
    columns: int = 3,
    form: Form = "png",
    limits: tuple[float, float] | None = None,
) -> bytes:
    """Return panels side by side, `columns` in a row, under one legend; labels are those of the x and y axes.

    One column makes a picture as wide as a column of a paper, more one as wide as its page.
    """
    from matplotlib.figure import Figure

    width, columns = COLUMN if columns == 1 else PAGE, max(1, min(columns, len(panels)))
    names = {line.name: line.order for lines in panels.values() for line in lines}
    per_row = _names_per_row(list(names), width)
    top = 0.06 + 0.17 * -(-len(names) // per_row)
    panel = (width / columns, _HEIGHT)
    size = (width, panel[1] * -(-len(panels) // columns) + top)
    with own_settings():
        figure = Figure(figsize=size, dpi=DPI)
        for place, (title, lines) in enumerate(panels.items()):
            row, column = divmod(place, columns)
            corner = (panel[0] * column, size[1] - top - panel[1] * (row + 1))
            _draw_panel(figure.add_axes(inside(corner, panel, size)), title, lines, labels, look, limits)
        _draw_legend(figure, names, look, per_row)
        return encoded(figure, form)


def inside(
    corner: tuple[float, float], panel: tuple[float, float], size: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Return the box of the axes inside a panel, as parts of the figure; fixed margins are quicker than fitted ones."""
    left, bottom = corner[0] + 0.56, corner[1] + 0.4
    return left / size[0], bottom / size[1], (panel[0] - 0.68) / size[0], (panel[1] - 0.64) / size[1]


def inches_wide(axes: Axes) -> float:
    """Return how wide axes are on paper."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return float(axes.get_position().width * figure.get_figwidth())


def title_panel(axes: Axes, title: str, labels: tuple[str, str], look: Look) -> None:
    """Write the title of a panel, as much of it as fits, and the labels of its axes."""
    letters = int(inches_wide(axes) / 0.08)
    axes.set_title(shorten(legible(title), letters), color=look.ink, fontsize=TITLES, loc="left", weight="bold", pad=4)
    axes.set_xlabel(labels[0], color=look.ink, fontsize=LABELS, labelpad=2)
    axes.set_ylabel(labels[1], color=look.ink, fontsize=LABELS, labelpad=2)


def _names_per_row(names: Sequence[str], width: float) -> int:
    longest = max(min(len(name), LONGEST_NAME) for name in names)
    return max(1, int(width / (0.6 + 0.075 * longest)))


def _density_line(order: int, arm: str, values: Values) -> Line:
    drawn = density(values)
    if drawn is None:
        return Line(arm, order, np.array([values.mean()]), np.array([]))
    return Line(arm, order, GRID, drawn)


def _thinned(line: Line) -> Line:
    if len(line.x) <= _MOST_POINTS:
        return line
    x, y = (np.array([part.mean() for part in np.array_split(a, _MOST_POINTS)]) for a in (line.x, line.y))
    return Line(line.name, line.order, x, y)


def _draw_panel(
    axes: Axes,
    title: str,
    lines: Sequence[Line],
    labels: tuple[str, str],
    look: Look,
    limits: tuple[float, float] | None,
) -> None:
    for line in lines:
        _draw_line(axes, line, look)
    title_panel(axes, title, labels, look)
    plain_axes(axes, look)
    if limits is not None:
        axes.set_xlim(limits)
        axes.set_ylim(bottom=0)


def _draw_line(axes: Axes, line: Line, look: Look) -> None:
    if not len(line.y):
        axes.add_line(stroke(line.order, look, [line.x[0]] * 2, [0, 0.95])).set_transform(axes.get_xaxis_transform())
        return
    drawn, marker = stroke(line.order, look, line.x, line.y), MARKERS[line.order % len(MARKERS)]
    colour = drawn.get_color()
    if len(line.x) == 1 or line.band is not None:
        drawn.set(marker=marker, markersize=4.5)
    if line.band is not None:
        axes.fill_between(line.x, *line.band, color=colour, alpha=0.18, linewidth=0)
    if line.points is not None:
        across = np.broadcast_to(line.x, line.points.shape).ravel()
        axes.plot(across, line.points.ravel(), marker, ms=3, mfc="none", mec=colour, mew=0.7)
    axes.add_line(drawn)
    axes.autoscale_view()


def _draw_legend(figure: Figure, names: Mapping[str, int], look: Look, columns: int) -> None:
    handles = [stroke(order, look, [], []) for order in names.values()]
    labels = [shorten(legible(name), LONGEST_NAME) for name in names]
    figure.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(0.0, 1.0),
        borderaxespad=0.0,
        borderpad=0.1,
        labelspacing=0.25,
        columnspacing=1.4,
        ncols=columns,
        frameon=False,
        fontsize=LABELS,
        handlelength=2.8,
        labelcolor=look.ink,
    )

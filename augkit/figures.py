"""Pictures of a run: galleries with mask outlines, score densities, segmentation cases, training curves.

Arrays in, the bytes of a PNG or SVG out; nothing is written here. Equal input gives equal bytes, whatever a user's
matplotlib settings are. Backgrounds are transparent: a `Look` says on which paper the ink has to be read.

Lines use the palette of Okabe & Ito ("Color Universal Design", 2008), which colour-blind readers can tell apart, and
four dash patterns, so that four arms stay apart in greyscale and 28 in colour. Classes of masks have sixteen colours
that begin with theirs; what does not count is hatched in grey.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from augkit.data.arrays import Images, Masks
from augkit.data.formats import IGNORED, Format, as_shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Values = NDArray[np.float64]
Form = Literal["png", "svg"]

GRID: Values = np.linspace(0.0, 1.0, 401)
"""Where densities of scores are evaluated: float64 (401,) over the whole range of a score."""

TRUTH = "#FFFFFF"
"""The colour of a true outline."""

PREDICTION = "#2FC4FF"
"""The colour of a predicted outline."""

CLASSES = (
    *("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#4646FF"),
    *("#A2FFB9", "#7474FF", "#74FFFF", "#D12E46", "#74E874", "#A2D1B9", "#5DA2FF", "#8BB974"),
)
"""The colours of classes, where there are several; they begin anew after the last one.

The first seven are Okabe & Ito's without black. Each further one is the colour that is farthest, in CIELAB, from all
before it to normal, protan and deutan eyes (Viénot, Brettel & Mollon 1999); the closest two are as far apart as the
closest two of the seven are.
"""

DPI = 150
"""Pixels per inch of line plots."""

_DASHES: tuple[tuple[float, ...], ...] = ((), (5, 1.5), (7, 1.5, 1.5, 1.5), (1.2, 1.2))
_TILE = 192
_STRIPE = 4
_HATCH, _PALE_HATCH = np.uint8(70), np.uint8(150)
_HATCHED = "hatched"
_MOST_POINTS = 150
_PANEL = (3.7, 2.65)
_LONGEST_NAME = 34


@dataclass(frozen=True)
class Look:
    """Which ink is readable on a kind of paper; colours are ``#rrggbb``.

    ink:     text and axes.
    faint:   grid lines.
    palette: seven line colours.
    """

    ink: str
    faint: str
    palette: tuple[str, ...]


_OKABE_ITO = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LIGHT = Look("#26282e", "#d9dbe1", ("#0072B2", *_OKABE_ITO, "#26282e"))
DARK = Look("#dfe1e7", "#41444d", ("#3AA0E0", *_OKABE_ITO, "#dfe1e7"))
EITHER = Look("#777a83", "#777a83", ("#0072B2", *_OKABE_ITO, "#777a83"))
"""Ink for pictures too large to keep one for each kind of paper."""


@dataclass(frozen=True)
class Tile:
    """One image of a gallery.

    image:    uint8 (H, W, 3), or None for an empty place.
    outlines: (bool (H, W), colour) pairs, drawn in order.
    note:     a few words under the image, in one or more lines.
    ignored:  bool (H, W), what is hatched because it does not count; None for nothing.
    """

    image: Images | None
    outlines: tuple[tuple[Masks, str], ...] = ()
    note: str = ""
    ignored: Masks | None = None


@dataclass(frozen=True)
class Row:
    """One line of a gallery: a label and its tiles."""

    label: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Line:
    """One line of a panel: x and y float64 (n,); `order` chooses colour and dashes, equal in every panel.

    band: lower and upper ends float64 (n,) of what is shaded around a line of few points, which are then marked.
    """

    name: str
    order: int
    x: Values
    y: Values
    band: tuple[Values, Values] | None = None


# Galleries.


def gallery(
    rows: Sequence[Row], look: Look = EITHER, text: float = 0.11, legend: Sequence[tuple[str, str]] = ()
) -> bytes:
    """Return a PNG of tiles in rows, every tile at the same whole-number magnification, never smoothed.

    A 64-pixel image becomes 192 pixels wide; images wider than 256 pixels are reduced to 256. `text` is the height of
    the labels in tiles: larger for a picture that will be shown smaller. legend: (name, colour) of what is drawn, as
    `class_legend` has it, above the rows.
    """
    from matplotlib.figure import Figure

    shape = next((tile.image.shape[:2] for row in rows for tile in row.tiles if tile.image is not None), (64, 64))
    page = _Page.of(rows, _tile_size(shape[0], shape[1]), text, legend)
    with _own_settings():
        figure = Figure(figsize=(page.width / 100, page.height / 100), dpi=100)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, page.width), ylim=(page.height, 0))
        axes.set_axis_off()
        _draw_classes(axes, legend, page, look)
        for row, top in zip(rows, page.tops, strict=True):
            _draw_row(axes, row, top, page, look)
        return _encoded(figure, "png")


def cases(
    images: Images,
    truth: Masks,
    predictions: Mapping[str, Masks],
    notes: Mapping[str, Sequence[str]],
    look: Look,
    format: Format = Format(),  # noqa: B008 - it is frozen
) -> bytes:
    """Return a PNG with one column per image: the image, then each arm's outline over the true one.

    Of several classes the true outlines have a row of their own, and every outline has its class's colour.

    images:      (n, H, W, C) of the format, uint8 (n, H, W, 3) for RGB.
    truth:       (n, H, W), as masks of the format are; the outline of one class is white.
    predictions: arm -> (n, H, W), likewise; the outline of one class is light blue.
    notes:       arm, or ``""`` for the row of plain images -> n short texts under the tiles.
    """
    shown = as_shown(images, format)
    rows = [Row("image", tuple(Tile(image, (), note) for image, note in zip(shown, notes[""], strict=True)))]
    several = len(format.classes) > 1
    if several:
        rows.append(Row("true classes", tuple(map(outlined, shown, truth, [format] * len(shown)))))
    for arm, masks in predictions.items():
        pairs = zip(shown, truth, masks, notes[arm], strict=True)
        tiles = tuple(found_in(image, true, found, format, note) for image, true, found, note in pairs)
        rows.append(Row(arm, tiles))
    return gallery(rows, look, text=0.15, legend=class_legend(format))


def outlined(image: Images, mask: Masks, format: Format, note: str = "") -> Tile:
    """Return a picture, uint8 (H, W, 3), with the outlines of a mask as the format has them (H, W)."""
    return Tile(image, _outlines(mask, format, TRUTH), note, _ignored(mask, format))


def found_in(image: Images, true: Masks, found: Masks, format: Format, note: str = "") -> Tile:
    """Return a picture with what was found, over the true outline where there is one class."""
    one = len(format.classes) == 1
    outlines = _outlines(true, format, TRUTH) if one else ()
    return Tile(image, (*outlines, *_outlines(found, format, PREDICTION)), note, _ignored(true, format))


def class_legend(format: Format) -> tuple[tuple[str, str], ...]:
    """Return the legend of a gallery: (name, colour) of each class where there are several, and what is ignored."""
    classes = [] if len(format.classes) == 1 else [(name, class_colour(k)) for k, name in enumerate(format.classes, 1)]
    return (*classes, *([("ignored", _HATCHED)] if format.ignore else []))


def class_colour(label: int) -> str:
    """Return the colour of a class by its label, 1 or more."""
    return CLASSES[(label - 1) % len(CLASSES)]


def _outlines(mask: Masks, format: Format, colour: str) -> tuple[tuple[Masks, str], ...]:
    if len(format.classes) == 1:
        return ((mask if format.binary else mask == 1, colour),)
    return tuple((mask == label, class_colour(label)) for label in range(1, len(format.classes) + 1))


def _ignored(mask: Masks, format: Format) -> Masks | None:
    return mask == IGNORED if format.ignore else None


def mask_picture(mask: Masks, format: Format = Format()) -> Images:  # noqa: B008 - it is frozen
    """Return a mask (H, W) as a picture, uint8 (H, W, 3): white inside, dark grey outside, each of several classes in
    its colour.
    """
    picture = np.full((*mask.shape, 3), 45, np.uint8)
    for inside, colour in _outlines(mask, format, "#EBEBEB"):
        picture[inside] = _rgb(colour)
    return picture


def mask_tile(mask: Masks, format: Format, note: str = "") -> Tile:
    """Return a mask (H, W) as `mask_picture` has it, with hatches where pixels do not count."""
    return Tile(mask_picture(mask, format), (), note, _ignored(mask, format))


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


_BOLD = 0.7
"""How wide a letter of a bold sentence is on average, and a little more, in heights of the text."""


@dataclass(frozen=True)
class _Page:
    """Where things are on a gallery, in pixels.

    tops:   where each row begins, its label included.
    legend: where the names of the legend begin, from the left and from the top.
    """

    height_of_tile: int
    width_of_tile: int
    text: int
    tops: tuple[int, ...]
    width: int
    height: int
    legend: tuple[tuple[int, int], ...] = ()

    @staticmethod
    def of(rows: Sequence[Row], size: tuple[int, int], scale: float, legend: Sequence[tuple[str, str]] = ()) -> _Page:
        text = round(scale * max(size))
        heights = [_label_height(row, text) + size[0] + _note_height(row, text) + text // 2 for row in rows]
        columns = max((len(row.tiles) for row in rows), default=1)
        letters = max((len(row.label) for row in rows), default=0)
        width = max(columns * (size[1] + text // 2), 3 * _TILE, round(_BOLD * text * letters))
        places, above = _legend_places([name for name, _ in legend], text, width)
        tops = np.cumsum([above, *heights]).tolist()
        return _Page(size[0], size[1], text, tuple(tops[:-1]), width, max(tops[-1], 1), places)


def _legend_places(names: Sequence[str], text: int, width: int) -> tuple[tuple[tuple[int, int], ...], int]:
    """Return where each name of a legend begins, in lines that are full, and how high all are."""
    places, left, top, line = [], 0, 0, round(1.6 * text)
    for name in names:
        wide = round((2.6 + 0.62 * min(len(name), _LONGEST_NAME)) * text)
        if left and left + wide > width:
            left, top = 0, top + line
        places.append((left, top))
        left += wide
    return tuple(places), top + line + text // 2 if places else 0


def _draw_classes(axes: Axes, legend: Sequence[tuple[str, str]], page: _Page, look: Look) -> None:
    from matplotlib.patches import Rectangle

    for (name, colour), (left, top) in zip(legend, page.legend, strict=True):
        side, middle = page.text, top + 0.8 * page.text
        if colour == _HATCHED:
            key = np.full((side, side, 3), 110, np.uint8)
            box = (left, left + side, middle + side / 2, middle - side / 2)
            axes.imshow(_hatched(key, np.ones((side, side), np.bool_)), extent=box, aspect="auto")
        else:
            corner = (left, middle - side / 2)
            axes.add_patch(Rectangle(corner, side, side, facecolor=colour, edgecolor="#101014", linewidth=0.9))
        words = shorten(legible(name), _LONGEST_NAME)
        axes.text(left + 1.4 * side, middle, words, color=look.ink, fontsize=page.text * 72 / 100, va="center")
    axes.set(xlim=(0, page.width), ylim=(page.height, 0))


def _label_height(row: Row, text: int) -> int:
    return round(1.6 * text) if row.label else 0


def _note_height(row: Row, text: int) -> int:
    lines = max((len(tile.note.splitlines()) for tile in row.tiles), default=0)
    return round(1.4 * text * lines)


def _tile_size(height: int, width: int) -> tuple[int, int]:
    longest = max(height, width)
    scale = -(-_TILE // longest) if longest <= _TILE else min(1.0, 256 / longest)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _draw_row(axes: Axes, row: Row, top: int, page: _Page, look: Look) -> None:
    points = page.text * 72 / 100
    if row.label:
        axes.text(
            0, top + 0.8 * page.text, legible(row.label), color=look.ink, fontsize=points, weight="bold", va="center"
        )
    top += _label_height(row, page.text)
    for column, tile in enumerate(row.tiles):
        left = column * (page.width_of_tile + page.text // 2)
        _draw_tile(axes, tile, left, top, page)
        for line, words in enumerate(tile.note.splitlines()):
            middle = left + page.width_of_tile / 2
            below = top + page.height_of_tile + (0.75 + 1.4 * line) * page.text
            note = shorten(legible(words), int(page.width_of_tile / (0.6 * page.text)))
            axes.text(middle, below, note, color=look.ink, fontsize=0.9 * points, ha="center", va="center")


def _draw_tile(axes: Axes, tile: Tile, left: int, top: int, page: _Page) -> None:
    height, width = page.height_of_tile, page.width_of_tile
    if tile.image is not None:
        box = (left, left + width, top + height, top)
        picture = _resized(tile.image, height, width)
        if tile.ignored is not None:
            picture = _hatched(picture, _resized(tile.ignored, height, width))
        axes.imshow(picture, extent=box, interpolation="nearest", aspect="auto")
    for place, (mask, colour) in enumerate(tile.outlines):
        if colour in CLASSES:  # inside its class, so that neighbours do not hide each other's
            _draw_outline(axes, mask, colour, 1.6, (left, top, width, height), 0.9)
        else:
            # The first outline is the widest, so that a later one on the same border does not hide it.
            _draw_outline(axes, mask, colour, 2.8 if place == 0 else 1.9, (left, top, width, height))
    axes.set(xlim=(0, page.width), ylim=(page.height, 0))


def _hatched(picture: Images, where: Masks) -> Images:
    """Return a picture, uint8 (h, w, 3), with two greys in stripes at these places, bool (h, w)."""
    rows, columns = np.indices(where.shape)
    stripes = np.where((rows + columns) // _STRIPE % 2, _HATCH, _PALE_HATCH)[..., None]
    return np.where(where[..., None], stripes, picture)


def _draw_outline(
    axes: Axes, mask: Masks, colour: str, points: float, box: tuple[int, int, int, int], level: float = 0.5
) -> None:
    """Draw the border of a mask with a dark seam, so that it shows on skin and on lesion alike.

    level: 0.5 for a line between the pixels inside and outside, more for one within.
    """
    from matplotlib.patheffects import withStroke

    if not mask.any():
        return
    left, top, width, height = box
    rows, columns = mask.shape
    # A rim of background closes outlines that reach the edge of the image.
    padded = np.pad(mask, 1).astype(np.float64)
    x = left + (np.arange(-1, columns + 1) + 0.5) * width / columns
    y = top + (np.arange(-1, rows + 1) + 0.5) * height / rows
    drawn = axes.contour(x, y, padded, levels=[level], colors=[colour], linewidths=points)
    drawn.set_path_effects([withStroke(linewidth=points + 0.9, foreground="#101014")])


def _resized(image: Images, height: int, width: int) -> Images:
    """Return (height, width, 3), or (height, width), every pixel the nearest of `image`."""
    rows = (np.arange(height) * 2 + 1) * image.shape[0] // (2 * height)
    columns = (np.arange(width) * 2 + 1) * image.shape[1] // (2 * width)
    resized: Images = image[rows[:, None], columns[None, :]]
    return resized


def shorten(text: str, length: int) -> str:
    """Return `text` with its middle left out where it has more than `length` characters."""
    if len(text) <= length:
        return text
    end = max(1, (length - 1) // 2)
    return f"{text[: max(1, length - 1 - end)]}…{text[-end:]}"


def legible(text: str) -> str:
    """Return `text` with every letter that the pictures' font lacks as its code, such as ``\\u56fe`` for a Chinese one.

    Other fonts of a machine are not asked: equal input is to give equal bytes everywhere.
    """
    if text.isascii() and text.isprintable():
        return text
    drawn = _letters()
    return "".join(c if ord(c) in drawn or c == "\n" else c.encode("unicode_escape").decode() for c in text)


@cache
def _letters() -> frozenset[int]:
    """Return the code points that matplotlib's own font has, upright and bold."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    with _own_settings():
        files = [findfont(FontProperties(weight=weight)) for weight in ("normal", "bold")]
    upright, bold = (get_font(file).get_charmap() for file in files)
    return frozenset(map(int, upright.keys() & bold.keys()))


# Lines.


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


@dataclass(frozen=True)
class Effect:
    """One difference: its name, its value for every seed, and its mean with an interval, or None without one."""

    name: str
    by_seed: Sequence[float]
    interval: tuple[float, float, float] | None


def effects(
    rows: Sequence[Effect], margin: float, label: str, look: Look = LIGHT, columns: int = 3, form: Form = "png"
) -> bytes:
    """Return differences one below the other: a ring per seed, a line from low to high, a diamond at the mean.

    interval: (mean, low, high). The band is the margin of equivalence; one column is for narrow screens.
    """
    from matplotlib.figure import Figure

    width, step = _PANEL[0] * min(columns, 2), 0.52
    size = (width, step * len(rows) + 0.62)
    longest = int(width * 11)
    with _own_settings():
        figure = Figure(figsize=size, dpi=DPI)
        axes = figure.add_axes((0.15 / width, 0.52 / size[1], 1 - 0.3 / width, step * len(rows) / size[1]))
        axes.axvspan(-margin, margin, color=look.faint, linewidth=0, alpha=0.6)
        axes.axvline(0, color=look.ink, linewidth=0.9)
        for place, row in enumerate(rows):
            _draw_effect(axes, row, place, look)
        for place, row in enumerate(rows):
            name = shorten(legible(row.name), longest)
            axes.text(0, place - 0.25, name, color=look.ink, fontsize=9, transform=axes.get_yaxis_transform())
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks([])
        axes.locator_params(axis="x", nbins=3 * columns + 2)
        axes.set_xlabel(legible(label), color=look.ink, fontsize=9.5)
        axes.tick_params(colors=look.ink, labelsize=9, width=0.7)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set(color=look.ink, linewidth=0.7)
        return _encoded(figure, form)


def _draw_effect(axes: Axes, row: Effect, place: int, look: Look) -> None:
    below = place + 0.12
    places = [below] * len(row.by_seed)
    axes.plot(row.by_seed, places, "o", markersize=5, markerfacecolor="none", markeredgecolor=look.ink, alpha=0.75)
    if row.interval is not None:
        mean, low, high = row.interval
        axes.plot([low, high], [below, below], color=look.palette[0], linewidth=2.4, solid_capstyle="butt")
        axes.plot([mean], [below], "D", markersize=6.5, color=look.palette[0])


def line_plot(
    panels: Mapping[str, Sequence[Line]],
    labels: tuple[str, str],
    look: Look = LIGHT,
    columns: int = 3,
    form: Form = "png",
    limits: tuple[float, float] | None = None,
) -> bytes:
    """Return panels side by side, `columns` in a row, under one legend; labels are those of the x and y axes."""
    from matplotlib.figure import Figure

    columns = max(1, min(columns, len(panels)))
    names = {line.name: line.order for lines in panels.values() for line in lines}
    per_row = _names_per_row(list(names), columns)
    top = 0.1 + 0.21 * -(-len(names) // per_row)
    size = (_PANEL[0] * columns, _PANEL[1] * -(-len(panels) // columns) + top)
    with _own_settings():
        figure = Figure(figsize=size, dpi=DPI)
        for place, (title, lines) in enumerate(panels.items()):
            row, column = divmod(place, columns)
            corner = (_PANEL[0] * column, size[1] - top - _PANEL[1] * (row + 1))
            _draw_panel(figure.add_axes(_inside(corner, size)), title, lines, labels, look, limits)
        _draw_legend(figure, names, look, per_row)
        return _encoded(figure, form)


def _inside(corner: tuple[float, float], size: tuple[float, float]) -> tuple[float, float, float, float]:
    """Return the box of the axes inside a panel, as parts of the figure; fixed margins are quicker than fitted ones."""
    left, bottom = corner[0] + 0.62, corner[1] + 0.48
    return left / size[0], bottom / size[1], (_PANEL[0] - 0.78) / size[0], (_PANEL[1] - 0.78) / size[1]


def _names_per_row(names: Sequence[str], columns: int) -> int:
    longest = max(min(len(name), _LONGEST_NAME) for name in names)
    return max(1, min(2 * columns, int(_PANEL[0] * columns / (0.65 + 0.085 * longest))))


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
    axes.set_title(legible(title), color=look.ink, fontsize=10.5, loc="left", weight="bold")
    axes.set_xlabel(labels[0], color=look.ink, fontsize=9.5)
    axes.set_ylabel(labels[1], color=look.ink, fontsize=9.5)
    axes.tick_params(colors=look.ink, labelsize=9, width=0.7)
    axes.grid(color=look.faint, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=look.ink, linewidth=0.7)
    if limits is not None:
        axes.set_xlim(limits)
        axes.set_ylim(bottom=0)


def _draw_line(axes: Axes, line: Line, look: Look) -> None:
    if not len(line.y):
        axes.add_line(_stroke(line.order, look, [line.x[0]] * 2, [0, 0.95])).set_transform(axes.get_xaxis_transform())
        return
    stroke = _stroke(line.order, look, line.x, line.y)
    if len(line.x) == 1 or line.band is not None:
        stroke.set_marker("o")
    if line.band is not None:
        axes.fill_between(line.x, *line.band, color=stroke.get_color(), alpha=0.2, linewidth=0)
    axes.add_line(stroke)
    axes.autoscale_view()


def _stroke(order: int, look: Look, x: Sequence[float] | Values, y: Sequence[float] | Values) -> Line2D:
    from matplotlib.lines import Line2D

    colour, dashes = look.palette[order % len(look.palette)], _DASHES[order % len(_DASHES)]
    return Line2D(x, y, color=colour, linestyle=(0.0, dashes) if dashes else "solid", linewidth=1.7)


def _draw_legend(figure: Figure, names: Mapping[str, int], look: Look, columns: int) -> None:
    handles = [_stroke(order, look, [], []) for order in names.values()]
    labels = [shorten(legible(name), _LONGEST_NAME) for name in names]
    figure.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(0.0, 1.0),
        borderaxespad=0.0,
        ncols=columns,
        frameon=False,
        fontsize=9.5,
        handlelength=3.2,
        labelcolor=look.ink,
    )


@contextmanager
def _own_settings() -> Iterator[None]:
    """Draw with matplotlib's own defaults, names as they are spelt ('$' included) and repeatable SVG ids."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams["text.parse_math"] = False
        matplotlib.rcParams["svg.hashsalt"] = "augkit"
        yield


def _encoded(figure: Figure, form: Form) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = BytesIO()
    FigureCanvasAgg(figure)
    # A date or a version in the file would make equal pictures differ.
    metadata = {"Date": None} if form == "svg" else {"Software": None}
    figure.savefig(buffer, format=form, transparent=True, metadata=metadata)
    return buffer.getvalue()

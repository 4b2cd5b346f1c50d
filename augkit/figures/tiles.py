"""Galleries: images in rows, with outlines of masks and words below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from augkit.data.arrays import Images, Masks
from augkit.data.formats import Format, as_shown
from augkit.figures.classes import CLASSES, HATCHED, Tile, class_legend, found_in, outlined
from augkit.figures.lettering import LONGEST_NAME, legible, shorten
from augkit.figures.looks import EITHER, Look, encoded, own_settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TILE = 192
_STRIPE = 4
_HATCH, _PALE_HATCH = np.uint8(70), np.uint8(150)


@dataclass(frozen=True)
class Row:
    """One line of a gallery: a label and its tiles."""

    label: str
    tiles: tuple[Tile, ...]


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
    with own_settings():
        figure = Figure(figsize=(page.width / 100, page.height / 100), dpi=100)
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, page.width), ylim=(page.height, 0))
        axes.set_axis_off()
        _draw_classes(axes, legend, page, look)
        for row, top in zip(rows, page.tops, strict=True):
            _draw_row(axes, row, top, page, look)
        return encoded(figure, "png")


def packed(png: bytes) -> bytes:
    """Return a PNG as WebP, a fifth of its size: for pages that carry many images; single pixels lose a little."""
    stream = BytesIO()
    Image.open(BytesIO(png)).save(stream, "WEBP", quality=85, method=4)
    return stream.getvalue()


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
        wide = round((2.6 + 0.62 * min(len(name), LONGEST_NAME)) * text)
        if left and left + wide > width:
            left, top = 0, top + line
        places.append((left, top))
        left += wide
    return tuple(places), top + line + text // 2 if places else 0


def _draw_classes(axes: Axes, legend: Sequence[tuple[str, str]], page: _Page, look: Look) -> None:
    from matplotlib.patches import Rectangle

    for (name, colour), (left, top) in zip(legend, page.legend, strict=True):
        side, middle = page.text, top + 0.8 * page.text
        if colour == HATCHED:
            key = np.full((side, side, 3), 110, np.uint8)
            box = (left, left + side, middle + side / 2, middle - side / 2)
            axes.imshow(_hatched(key, np.ones((side, side), np.bool_)), extent=box, aspect="auto")
        else:
            corner = (left, middle - side / 2)
            axes.add_patch(Rectangle(corner, side, side, facecolor=colour, edgecolor="#101014", linewidth=0.9))
        words = shorten(legible(name), LONGEST_NAME)
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

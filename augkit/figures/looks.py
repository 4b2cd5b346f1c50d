"""The ink of pictures: colours, dashes, sizes, settings that are ours alone, and the bytes of a figure.

Lines use seven colours made from the palette of Okabe & Ito ("Color Universal Design", 2008). Each is as near to theirs
as the rules allow that tests check: any two are apart, in CIELAB, to normal, protan and deutan eyes (Viénot, Brettel &
Mollon 1999); each stands out from its paper by 3 to 1 (WCAG 2.2, 1.4.11); and two lines of equal dashes differ in
lightness, so that seven arms stay apart in grey and 28 in colour.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Values = NDArray[np.float64]
Form = Literal["png", "svg"]

COLUMN, PAGE = 3.5, 7.16
"""Widths in inches of one column and of two columns of a paper, as the IEEE has them; Springer's and Elsevier's are
within a quarter of an inch of them."""

DPI = 300
"""Pixels per inch of line plots."""

TICKS, LABELS, TITLES = 8.0, 8.5, 9.0
"""Heights of letters in points at the width of `COLUMN` or `PAGE`."""

DASHES: tuple[tuple[float, ...], ...] = ((), (5, 1.5), (7, 1.5, 1.5, 1.5), (1.2, 1.2))
MARKERS = ("o", "s", "^", "D")
"""The shapes of points of lines that have few; they change with the dashes."""


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


_ON_LIGHT = ("#0059B2", "#A13800", "#00A26F", "#CA77A8", "#D27F03", "#5295E3")
_ON_DARK = ("#3888DC", "#D65E00", "#00A46D", "#CC79A7", "#EFB801", "#5EC8F5")
LIGHT = Look("#26282e", "#d9dbe1", (*_ON_LIGHT, "#26282e"))
DARK = Look("#dfe1e7", "#41444d", (*_ON_DARK, "#dfe1e7"))
EITHER = Look("#777a83", "#777a83", (*_ON_LIGHT, "#777a83"))
"""Ink for pictures too large to keep one for each kind of paper."""


def darkened(svg: bytes) -> bytes:
    """Return an SVG that was drawn with the look `LIGHT` in that of `DARK`."""
    colours = dict(zip((LIGHT.ink, LIGHT.faint, *LIGHT.palette), (DARK.ink, DARK.faint, *DARK.palette), strict=True))
    lower = {light.lower().encode(): dark.lower().encode() for light, dark in colours.items()}
    return re.sub(rb"#[0-9a-f]{6}\b", lambda found: lower.get(found[0], found[0]), svg)


def stroke(order: int, look: Look, x: Sequence[float] | Values, y: Sequence[float] | Values) -> Line2D:
    """Return a line in the colour and dashes of its place among others."""
    from matplotlib.lines import Line2D

    colour, dashes = look.palette[order % len(look.palette)], DASHES[order % len(DASHES)]
    return Line2D(x, y, color=colour, linestyle=(0.0, dashes) if dashes else "solid", linewidth=1.3)


def plain_axes(axes: Axes, look: Look) -> None:
    """Draw axes with a line at the left and below only, over a grid."""
    axes.tick_params(colors=look.ink, labelsize=TICKS, width=0.6, length=2.5, pad=2)
    axes.grid(color=look.faint, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=look.ink, linewidth=0.6)


@contextmanager
def own_settings() -> Iterator[None]:
    """Draw with matplotlib's own defaults, names as they are spelt ('$' included) and repeatable SVG ids."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams["text.parse_math"] = False
        matplotlib.rcParams["svg.hashsalt"] = "augkit"
        yield


def encoded(figure: Figure, form: Form) -> bytes:
    """Return the bytes of a figure; in an SVG words are outlines, so that no font needs to be there to read them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = BytesIO()
    FigureCanvasAgg(figure)
    # A date or a version in the file would make equal pictures differ.
    metadata = {"Date": None} if form == "svg" else {"Software": None}
    dpi = figure.dpi if form == "png" else figure.dpi / 2  # in an SVG only what is drawn as pixels has any
    figure.savefig(buffer, format=form, transparent=True, metadata=metadata, dpi=dpi)
    # A thousandth of a point is more than any printer can do; the page of a report carries these files.
    return re.sub(rb"(\d\.\d{3})\d+", rb"\1", buffer.getvalue()) if form == "svg" else buffer.getvalue()

"""A picture of a report: what it shows, as the page carries it, and as files beside the page."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from augkit import figures
from augkit.figures import Form
from augkit.store import write_bytes


@dataclass(frozen=True)
class Plot:
    """What a plot has besides its PNG as wide as a page: the SVG, and both as wide as a column."""

    svg: bytes
    column: bytes
    column_png: bytes


@dataclass(frozen=True)
class Picture:
    """A picture: a plot, or one that shows images.

    stem: file name without ending; alt: what it shows, for readers who do not see it.
    png:  of a plot, as wide as the page of a paper, at `figures.DPI`.
    """

    stem: str
    alt: str
    png: bytes
    plot: Plot | None = None

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the name and bytes of each file that is kept beside the page."""
        yield f"{self.stem}.png", self.png
        if self.plot is not None:
            yield f"{self.stem}.svg", self.plot.svg
            yield f"column/{self.stem}.png", self.plot.column_png
            yield f"column/{self.stem}.svg", self.plot.column

    def variants(self) -> Iterator[tuple[str, str]]:
        """Yield (class, data URL) of each variant of a plot; the style sheet shows one, as wide and dark as the page.

        All stand on the page: what a `picture` element chooses anew for paper is not there yet when it is printed.
        """
        if self.plot is not None:
            yield "wide light", _svg_url(self.plot.svg)
            yield "wide dark", _svg_url(figures.darkened(self.plot.svg))
            yield "narrow light", _svg_url(self.plot.column)
            yield "narrow dark", _svg_url(figures.darkened(self.plot.column))

    @property
    def url(self) -> str:
        """The images as a data URL, packed with some loss; the files have every pixel."""
        return f"data:image/webp;base64,{base64.b64encode(figures.packed(self.png)).decode()}"

    @property
    def width(self) -> int:
        """The width in CSS pixels of the images: pixel by pixel."""
        return self._size[0]

    @property
    def height(self) -> int:
        """The height that belongs to `width`, so that nothing moves while a page is loaded."""
        return self._size[1]

    @property
    def _size(self) -> tuple[int, int]:
        return int.from_bytes(self.png[16:20], "big"), int.from_bytes(self.png[20:24], "big")


def plotted(stem: str, alt: str, draw: Callable[[int, Form], bytes]) -> Picture:
    """Return a plot in all its variants; `draw` takes the number of panels side by side, and the form."""
    return Picture(stem, alt, draw(3, "png"), Plot(draw(3, "svg"), draw(1, "svg"), draw(1, "png")))


def write_pictures(folder: Path, pictures: Iterable[Picture]) -> None:
    """Write the files of pictures into ``folder/figures``."""
    for picture in pictures:
        for name, data in picture.files():
            write_bytes(folder / "figures" / name, data)


def slug(text: str) -> str:
    """Return a text as a part of a file name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:48] or "unnamed"


def _svg_url(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"

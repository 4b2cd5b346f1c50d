"""A report's page as small as a repository wants it, and the structure by which a test compares two pages."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

from PIL import Image

PLOT, GALLERY, CASES = 1000, 480, 300
"""Widths in pixels: of plots, and the most that galleries and segmentation cases have."""

_IMG = re.compile(r'<img class="([^"]*)" src="data:[^;]*;base64,([^"]*)" alt="([^"]*)"[^>]*>\n?')


def packed(report: Path) -> str:
    """Return the page of a report with small pictures: of a plot one variant, of images fewer pixels."""
    plots = {file.with_suffix(".svg").read_bytes(): file for file in (report / "figures").glob("*.png")
             if file.with_suffix(".svg").exists()}  # fmt: skip

    def smaller(found: re.Match[str]) -> str:
        kinds, data = found[1].split(), base64.b64decode(found[2])
        if "dark" in kinds or "narrow" in kinds:
            return ""
        plot, stream = plots.get(data), BytesIO()
        picture = Image.open(plot if plot else BytesIO(data)).convert("RGBA")
        width = PLOT if plot else min(GALLERY if "gallery" in kinds else CASES, picture.width)
        reduced = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
        if plot:
            white = Image.new("RGBA", reduced.size, "white")
            flat = Image.alpha_composite(white, reduced).convert("RGB").quantize(32).convert("RGB")
            flat.save(stream, "WEBP", lossless=True, method=4)
        else:
            reduced.save(stream, "WEBP", quality=45, method=4)
        kind = "plot paper" if plot else found[1]
        url = f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
        return f'<img class="{kind}" src="{url}" alt="{found[3]}">\n'

    return _IMG.sub(smaller, (report / "report.html").read_text(encoding="utf-8"))


def structure(page: str) -> list[str]:
    """Return the headings, folds, columns of tables, descriptions of pictures and links of a page, in order.

    Numbers do not count, nor does whether a page has more warnings than it shows at once: that is of the trainings.
    """
    reader = _Structure()
    reader.feed(page)
    return [re.sub(r"\d+", "0", one) for one in reader.found if not one.endswith(" more warnings")]


class _Structure(HTMLParser):
    """Collects what stands in headings, column heads and summaries, and where links lead."""

    KINDS = ("h1", "h2", "h3", "summary")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        facts = dict(attributes)
        if tag in self.KINDS or (tag == "th" and facts.get("scope") == "col"):
            self._inside = tag
            self.found.append(f"{tag}: ")
        elif tag == "a":
            self.found.append(f"link: {facts.get('href')}")
        elif tag == "img" and not {"dark", "narrow"} & set(str(facts.get("class")).split()):
            self.found.append(f"picture: {facts.get('alt')}")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found[-1] += data

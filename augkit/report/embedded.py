"""A report in a notebook's cell: Table 1, the verdict, warnings and the main pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from augkit.report.pictures.picture import Picture
from augkit.report.recorded import Recorded
from augkit.report.skeleton import template
from augkit.report.tables import table_rows, table_title

PICTURES = {
    "effects": "Differences in mean Dice",
    "synthetic-": "Synthetic images",
    "cases-highest": "The highest differences of the first seed; outlines: white the true mask, blue what was found",
    "cases-lowest": "The lowest differences of the first seed",
    "densities": "Distribution of the scores",
}
"""Beginning of a picture's file name -> what it shows; the main ones, in the order of the page."""


def embed_report(report: Recorded) -> str:
    """Return HTML without styles of its own, for a page that somebody else writes."""
    return template("embedded.html.j2").render(
        verdicts={
            "answer": report.comparison["answer"],
            "sentences": [(one["verdict"], one["sentence"]) for one in report.comparison["contrasts"]],
            "remarks": report.comparison["remarks"],
        },
        warnings=(*report.comparison["cautions"], *report.warnings),
        external=[_external(one) for one in report.external.values()],
        title=table_title(report.arms[0]),
        table=table_rows(report.arms),
        pictures=_pictures(report.folder / "figures"),
        page=report.folder / "report.html",
    )


def _external(report: Recorded) -> Mapping[str, object]:
    sentences = [(one["verdict"], one["sentence"]) for one in report.comparison["contrasts"]]
    return {
        "verdicts": {"sentences": sentences, "remarks": report.warnings},
        "title": table_title(report.arms[0]),
        "table": table_rows(report.arms),
    }


def _pictures(folder: Path) -> list[Picture]:
    return [
        Picture(file.stem, words, file.read_bytes())
        for beginning, words in PICTURES.items()
        for file in sorted(folder.glob(f"{beginning}*.png"))
    ]

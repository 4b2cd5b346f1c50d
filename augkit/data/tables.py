"""Tables as CSV text, which spreadsheets may open: no cell of theirs is taken for a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from io import StringIO

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""What makes spreadsheets compute a cell, which may start programs."""


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return CSV text with a line per row; text that would be a formula has an apostrophe before it (`read_cell`)."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def read_cell(text: str) -> str:
    """Return the text that `csv_text` was given for a cell."""
    return text[1:] if text.startswith("'") and _is_formula(text[1:]) else text


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and _is_formula(value) else value


def _is_formula(text: str) -> bool:
    """Tell whether a cell would be computed, or is one such with apostrophes before it; numbers would not."""
    if not text.lstrip("'").startswith(_FORMULAS):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return text.strip() != text

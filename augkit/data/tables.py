"""Tables as CSV text, which spreadsheets may open: no cell of theirs is taken for a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from itertools import chain, islice

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""What makes spreadsheets compute a cell, which may start programs."""

_LINES = 4096


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return CSV text with a line per row; text that would be a formula has an apostrophe before it (`read_cell`)."""
    return "".join(csv_pieces(header, rows))


def csv_pieces(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield the text of `csv_text` some lines at a time."""
    lines = chain([header], ([_cell(value) for value in row] for row in rows))
    while some := list(islice(lines, _LINES)):
        text = StringIO()
        csv.writer(text, lineterminator="\n").writerows(some)
        yield text.getvalue()


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

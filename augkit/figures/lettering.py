"""Words in pictures: what the font has, and how much of it fits."""

from __future__ import annotations

from functools import cache

from augkit.figures.looks import own_settings

LONGEST_NAME = 34
"""Letters of a name in a legend."""


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

    with own_settings():
        files = [findfont(FontProperties(weight=weight)) for weight in ("normal", "bold")]
    upright, bold = (get_font(file).get_charmap() for file in files)
    return frozenset(map(int, upright.keys() & bold.keys()))

"""Times and sizes as people say them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``41.2 s``, ``2 min 05 s``, ``3 h 10 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def bytes_text(count: float | None) -> str:
    """Return an amount of bytes as people say it: ``812 B``, ``4.2 MB``, ``3.0 GB``; ``–`` for None."""
    if count is None:
        return "–"
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"

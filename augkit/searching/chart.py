"""The race as a picture: lines of an SVG that the page's template draws, with the page's own colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from augkit.amounts import duration
from augkit.searching.search import Outcome
from augkit.searching.words import last_standings, why_left

ROW, TOP = 30, 46
"""Pixels: the height of a row, and where the first one begins."""

BLOCKS, DIFFERENCES = 235, 690
"""Where blocks and differences begin, in pixels from the left; names begin at 10."""

WIDTH, _BLOCKS_WIDE, _DIFFERENCES_WIDE = 960, 240, 250


@dataclass(frozen=True)
class Bar:
    """One candidate; all numbers in pixels.

    cells: left edge, width and opacity of each block; the opacity is its share of the dearest block.
    kind:  ``wins``, ``end``, ``worse`` or ``time``.
    words: why and when it left, and what it cost.
    dot, low, high: its mean difference to the leader and how far the bound reaches; None where it is not known.
    """

    name: str
    y: int
    cells: Sequence[tuple[float, float, float]]
    kind: str
    words: str
    dot: float
    low: float | None
    high: float | None
    title: str


@dataclass(frozen=True)
class Chart:
    """The whole picture: bars, the ticks of the axis of differences (place, text), and its size."""

    bars: Sequence[Bar]
    ticks: Sequence[tuple[float, str]]
    numbers: Sequence[tuple[float, str]]
    zero: float
    width: int
    height: int


def chart_of(outcome: Outcome) -> Chart:
    """Return the picture of a race: a row per candidate, the winner first and who left first last."""
    found = last_standings(outcome)
    count = len(outcome.rounds)
    wide = _BLOCKS_WIDE / count
    reach = max([0.01, *(min(one.behind, 0.2) for one in found)]) * 1.15
    left, right = -reach, 0.35 * reach

    def place(value: float) -> float:
        share = (min(max(value, left), right) - left) / (right - left)
        return round(DIFFERENCES + share * _DIFFERENCES_WIDE, 1)

    dearest = max(seconds for one in outcome.rounds for seconds in one.seconds.values())
    bars = []
    for row, standing in enumerate(found):
        name = standing.candidate
        number, why = why_left(outcome, name)
        took = [one.seconds[name] for one in outcome.rounds if name in one.seconds]
        cells = [(round(BLOCKS + i * wide, 1), round(wide - 2, 1), round(0.35 + 0.65 * one / max(dearest, 1e-9), 2))
                 for i, one in enumerate(took)]  # fmt: skip
        known = math.isfinite(standing.bound)
        bars.append(
            Bar(
                name,
                TOP + row * ROW,
                cells,
                {"wins": "wins", "in until the end": "end", "worse": "worse", "by time": "time"}[why],
                f"{why}, {duration(sum(took))}",
                place(-standing.behind),
                place(-standing.behind - standing.bound) if known and row else None,
                place(-standing.behind + standing.bound) if known and row else None,
                f"{name}: {why} after block {number}, {-standing.behind:+.4f} to the leader",
            )
        )
    step = next(one for one in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if reach / one <= 4)
    ticks = [(place(-i * step), f"{-i * step:.3f}".rstrip("0").rstrip(".").replace("-", "−")) for i in range(5)
             if i * step <= reach]  # fmt: skip
    numbers = [(round(BLOCKS + (i + 0.5) * wide - 1, 1), str(i + 1)) for i in range(count)]
    return Chart(
        bars,
        [(x, "0" if text in ("−0", "0") else text) for x, text in ticks],
        numbers,
        place(0.0),
        WIDTH,
        TOP + len(found) * ROW + 34,
    )

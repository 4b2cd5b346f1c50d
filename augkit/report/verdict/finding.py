"""What is found about a contrast, the words for it, and how its numbers are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from augkit.report.verdict.contrasts import Contrast
from augkit.report.verdict.inference import MeanDifference

HELPS, HARMS, NO_EVIDENCE, EQUIVALENT, NO_VERDICT = "helps", "harms", "no evidence", "equivalent", "no verdict"
POSITIVE, NEGATIVE = "positive interaction", "negative interaction"
"""What `HELPS` and `HARMS` are called for an interaction, which is not about helping."""
BETTER, WORSE = "better", "worse"
"""And for a contrast that somebody asked for, between two arms of which none is the other's control."""


@dataclass(frozen=True)
class Finding:
    """What was found about one contrast.

    verdict:            `HELPS`, `HARMS`, `NO_EVIDENCE`, `EQUIVALENT` or `NO_VERDICT`, or what the first two are called.
    sentence:           the verdict with everything that belongs to it.
    by_seed:            the mean Dice difference of each common seed.
    estimates:          metric -> estimate; empty where there is no verdict.
    p, equivalence_p:   those of Dice, adjusted over the contrasts (Holm); None where there is no verdict.
    detectable:         the smallest Dice difference that would have been found with 80 % power; None likewise.
    exploratory_p:      metric other than Dice -> p adjusted over contrasts and those metrics; no verdict rests on it.
    enough:             where there is no evidence, what would have been enough to find a difference of the margin.
    settle:             what would settle it, in a few words: the same numbers, or how many seeds give a verdict.
    why:                where there is no verdict, why.
    """

    contrast: Contrast
    verdict: str
    sentence: str
    by_seed: tuple[float, ...]
    estimates: Mapping[str, MeanDifference]
    p: float | None = None
    equivalence_p: float | None = None
    detectable: float | None = None
    exploratory_p: Mapping[str, float] = field(default_factory=dict)
    enough: str = ""
    settle: str = ""
    why: str = ""


_ROUNDING = 1e-12
"""Differences up to this size are what sums of floating-point numbers leave of 0."""


def signed(value: float) -> str:
    """Return a difference with its sign: ``+0.0123``, ``−0.0040``; the sign stays where the digits are all 0.

    A bound of −0.00005 must not look like one on the other side of 0. What is only rounding of sums counts as 0.
    """
    return f"{value if abs(value) > _ROUNDING else 0.0:+.4f}".replace("-", "−")


def p_text(p: float | None) -> str:
    """Return a p value as people print it: ``0.031``, ``< 0.001``, ``–`` for none."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"

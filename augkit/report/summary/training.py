"""What makes a training worth little, seen in what it left; each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from augkit.planning.tasks import Stage

STILL_FALLS = 0.1
"""Share of a loss's whole fall that lies in the last quarter of the steps, above which it counts as still falling. Of
U-Nets with a cosine, 1,200 to 1,700 steps leave 0.04 to 0.06 there, 400 steps 0.06, 150 steps 0.08 to 0.14, and 60
steps a quarter and more; where it has hardly begun to fall, arms are compared before they have learnt."""

WEAK_JUDGE = 0.7
"""Dice on held-out real images below which a segmenter is no judge: what counts as good agreement begins there
(Zijdenbos, Dawant, Margolin & Palmer, IEEE Transactions on Medical Imaging 1994)."""


def still_falls(history: Sequence[Mapping[str, float]], segmenter: Stage) -> Iterator[str]:
    """Yield a sentence where the loss of a segmenter's history still falls at its end, or never did."""
    rows = [(row["step"], row["loss"]) for row in history if "loss" in row]
    end = rows[-1][0] if rows else 0
    early = [loss for step, loss in rows if step <= 0.75 * end]
    if not early:  # it was looked at too seldom to tell
        return
    first, last = early[0], _mean([loss for step, loss in rows if step > 0.75 * end])
    third = _mean([loss for step, loss in rows if 0.5 * end < step <= 0.75 * end] or early[-1:])
    if last >= first:
        yield (
            "The loss of the segmenter did not fall: it has learnt nothing. To do: a smaller learning rate; look at "
            "the masks with augkit preview."
        )
    elif third - last > STILL_FALLS * (first - last):
        yield (
            "The loss still falls at the end of training: the segmenter could have learnt more. To do: train "
            f"longer{_longer(segmenter)}."
        )


def weak_judge(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence where the segmenter that judges synthetic images hardly finds what real ones show."""
    if "adherence" in record and record["adherence"]["held_out"] < WEAK_JUDGE:
        yield (
            "The segmenter that judges synthetic images is weak: it finds the masks of real images with Dice "
            f"{record['adherence']['held_out']:.2f} only, so adherence says little. To do: train it longer."
        )


def _longer(segmenter: Stage) -> str:
    """Return how to train twice as long, for a component that counts its training in steps."""
    part = segmenter.components[0]
    options = part.options if isinstance(part.options, dict) else {}
    steps = options.get("steps")
    if not isinstance(steps, int) or options.get("budget", "steps") != "steps":
        return ""
    return f", as with --set segmenter.{part.name}.steps={2 * steps}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

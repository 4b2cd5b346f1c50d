"""A search in sentences, the same on the page and at the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from augkit.amounts import duration
from augkit.data.folds import DEVELOPMENT
from augkit.report.verdict.finding import NO_EVIDENCE, signed
from augkit.searching.race import BUDGET, LAST, WORSE, Standing, Values, smallest_visible_gain
from augkit.searching.scheme import FOLDS, Scheme
from augkit.searching.search import Outcome

NOT_TRIED = (
    "Other strengths and other ratios than those of the candidates, several synthetic sources in one recipe, another "
    "segmenter, larger images and more steps were not tried. What is best for this segmenter with these steps need not "
    "be best for one that is trained longer."
)


POOR = 0.1
"""A mean Dice below which a segmenter has learnt too little to compare anything with it."""


def last_standings(outcome: Outcome) -> tuple[Standing, ...]:
    """Return where every candidate stood in the last block it was in: the winner first, who left first last."""
    found: dict[str, Standing] = {}
    for one in reversed(outcome.rounds):
        for standing in one.standings:
            found.setdefault(standing.candidate, standing)
    return tuple(found.values())


def why_left(outcome: Outcome, name: str) -> tuple[int, str]:
    """Return after which block a candidate left, and why in words; the last block for those who did not."""
    for number, one in enumerate(outcome.rounds, 1):
        if name in one.gone:
            return number, {WORSE: "worse", BUDGET: "by time"}[one.gone[name]]
    return len(outcome.rounds), "wins" if name == outcome.winner.recipe.name else "in until the end"


def verdict(outcome: Outcome) -> tuple[str, str]:
    """Return the verdict's word and sentence: of the confirmation, or of a race that training as it is has won."""
    if outcome.report is None:
        name = outcome.winner.recipe.name
        return (
            NO_EVIDENCE,
            f"{name}: no candidate had a higher mean Dice than training without augmentation, so there was nothing to "
            "confirm.",
        )
    found = outcome.report.comparison["contrasts"][0]
    return str(found["verdict"]), str(found["sentence"])


def advice(outcome: Outcome) -> str:
    """Return which recipe to use, and how sure that is."""
    best, winner = outcome.best.recipe.name, outcome.winner.recipe.name
    word, _ = verdict(outcome)
    if outcome.control is None or outcome.report is None:
        return f"Use {best}: nothing that was tried was better."
    if best != winner:
        return f"Use {best}: {winner} won the race, and the confirmation did not find it better."
    if word == "helps":
        return f"Use {best}: it won the race, and it helps on images that the race never scored."
    return f"Use {best} as a guess: it won the race, and the confirmation could not tell its gain from luck."


def title_of(title: str) -> str:
    """Return what was looked for, as a question."""
    return f"Which augmentation for {title}?"


def settle(outcome: Outcome) -> Sequence[str]:
    """Return what would settle what the confirmation left open, in the words of its report."""
    if outcome.report is None or not outcome.report.comparison["answer"]["settle"]:
        return ()
    return (str(outcome.report.comparison["answer"]["settle"]),)


def race_sentence(outcome: Outcome) -> str:
    """Return how the race went, what it cost and what that is of the full grid."""
    trainings = sum(len(block.scores) for block in outcome.blocks)
    grid = len(outcome.field.entries) * len(outcome.blocks)
    fewer = (
        "" if trainings == grid else f" ({1 - trainings / grid:.0%} fewer than all candidates in all of these blocks)"
    )
    count = len(outcome.blocks)
    return (
        f"{len(outcome.field.entries)} candidates raced over {count} of at most {LAST} blocks, "
        f"{trainings} trainings{fewer}, in "
        f"{duration(outcome.rounds[-1].spent)}; {outcome.ended}. Race and confirmation took "
        f"{duration(outcome.spent)} of {duration(outcome.budget)}."
    )


def data_sentence(scheme: Scheme) -> str:
    """Return which images the race scored, and which the confirmation."""
    if scheme.of == DEVELOPMENT:
        return (
            f"The race scored {FOLDS} folds of the images to train on; the confirmation is on the test images, which "
            "the race neither trained on nor scored."
        )
    racing, confirming = (", ".join(map(str, folds)) for folds in (scheme.racing, scheme.confirming))
    return (
        f"There are few images, so they were divided into {FOLDS} folds. The race scored folds {racing}, and the "
        f"confirmation is on folds {confirming}, whose images the race trained on and never scored."
    )


def could_see(outcome: Outcome) -> Sequence[str]:
    """Return how large a gain race and confirmation could have seen."""
    lines = []
    gain = smallest_visible_gain(outcome.blocks, len(outcome.field.entries))
    if math.isfinite(gain):
        lines.append(
            f"The race could have shown, beyond its bound, that one of the last candidates leads another by {gain:.3f} "
            "Dice or more; smaller differences between candidates it can only guess."
        )
    else:
        lines.append("With one block the race knows nothing of how far trainings scatter: its order is a guess.")
    if outcome.report is not None:
        found = outcome.report.comparison["contrasts"][0]
        if found["detectable"] is not None:
            lines.append(
                f"The confirmation would have found a true gain of {found['detectable']:.3f} Dice or more with 80 % "
                "power; a smaller one may be there and have been missed."
            )
    return lines


def warnings(outcome: Outcome) -> Sequence[str]:
    """Return what trainings warn of: blocks in which nobody found anything, and what the confirmation's report says."""
    empty = [str(i) for i, block in enumerate(outcome.blocks, 1) if max(map(_mean, block.scores.values())) < POOR]
    report = outcome.report
    told = [] if report is None else dict.fromkeys((*report.comparison["cautions"], *report.warnings))
    if not empty:
        return tuple(told)
    return (
        f"In block {', '.join(empty)} no candidate had a mean Dice of {POOR:g}: the segmenter is trained too little, "
        "and who left then left by chance. Train it longer, as with --set segmenter.unet.steps=3000.",
        *told,
    )


def _mean(values: Values) -> float:
    return float(values.mean())


def behind(standing: Standing) -> str:
    """Return a candidate's distance to the leader with its bound: ``−0.0120 (bound 0.0300)``."""
    bound = f" (bound {standing.bound:.4f})" if math.isfinite(standing.bound) else ""
    return f"{signed(-standing.behind)}{bound}"

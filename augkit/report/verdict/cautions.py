"""What makes scores worth little, seen in the scores themselves; each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from augkit.report.verdict.scores import ArmScores, summarise

FEW_IMAGES = 50
"""Test images below which a caution says so: one of them that fails moves mean Dice by more than 0.02, which is twice
the margin."""


def few_images(arm: ArmScores) -> Iterator[str]:
    """Yield a caution where there are few images to score on."""
    count = len(arm.image_ids)
    if count < FEW_IMAGES:
        more = (
            "annotate more" if arm.design.folds or arm.design.external else "test every image once, with --set folds=5"
        )
        one = arm.design.scored.removesuffix("s") if count == 1 else arm.design.scored
        yield f"Only {count} {one}: a single one that fails moves mean Dice by {1 / count:.3f}. To do: {more}."


def unlike_trainings(arm: ArmScores) -> Iterator[str]:
    """Yield a caution for everything beside seed and data in which trainings of one recipe differ."""
    for name, values in arm.conditions.items():
        if len(values) > 1:
            yield f"The trainings differ in {name}: {' and '.join(values)}. To do: train all of them in the same way."


def scatter(arms: Sequence[ArmScores], margin: float) -> Iterator[str]:
    """Yield a caution where the trainings of an arm scatter by more than the margin (SD of their mean Dice)."""
    found = {arm.arm: summarise(arm.values["dice"]).seed_sd for arm in arms if len(arm.seeds) > 1}
    wide = {name: sd for name, sd in found.items() if sd is not None and sd > margin}
    if wide:
        listed = ", ".join(f"{name} {sd:.3f}" for name, sd in wide.items())
        yield (
            f"Trainings of one recipe differ by more than the margin of {margin:g} Dice (SD over seeds: {listed}), so "
            "small effects drown in luck. To do: train longer, that is with more steps, or with more seeds."
        )

"""The sentences of a report."""

from __future__ import annotations

from collections.abc import Sequence

from augkit.contracts.components import NATIVE_SIZE, PER_GROUP
from augkit.data.formats import shows
from augkit.report.evidence import Evidence
from augkit.report.verdict.scores import TEST_IMAGES, ArmScores, Design

_NAMED = 5
"""Names that a sentence spells before it counts."""


def left_out_sentence(left_out: Sequence[str], scored: int) -> str:
    """Return how many images of an external set were left out beside those scored, and which; '' for none."""
    count = len(left_out)
    if not count:
        return ""
    are = "is a copy of a training or validation image" if count == 1 else "are copies of training or validation images"
    others = f" and {count - _NAMED} others" if count > _NAMED else ""
    names = ", ".join(left_out[:_NAMED])
    return f"{count} of its {_counted(count + scored, 'image')} {are} and left out: {names}{others}."


def resolution(design: Design) -> str:
    """Return at which size masks were compared, and what has one score."""
    return f"{_size(design)}{_of_groups(design)}"


def _of_groups(design: Design) -> str:
    if design.score_per != PER_GROUP:
        return ""
    return (
        " Each score is of a group, such as a volume: the pixels of all its images are counted together, class by "
        "class. The surface distance is the mean over its images that have the class or in which it is found."
    )


def class_rule(arm: ArmScores) -> str:
    """Return how the scores of several classes become one; '' for one class."""
    if not arm.classes:
        return ""
    what = arm.design.scored.split()[-1].removesuffix("s")
    return (
        f"Every metric is the mean{arm.over_classes}, {what} by {what}: a class that is neither in the true mask nor "
        f"found does not count there, and one that is found where it is not counts with a Dice of 0. Where that leaves "
        f"no class, the {what} scores 1."
    )


def _size(design: Design) -> str:
    if design.score_at == NATIVE_SIZE:
        return (
            "Scores are taken at native size: a segmenter's scores are interpolated linearly to the size of each mask "
            "file and cut at 0.5 there. Pictures show training size."
        )
    return "Scores are taken at training size: images and masks were resized before training, and compared so."


def scope(design: Design) -> str:
    """Return what a reader must know of scores that are not on the test images; '' for those that are."""
    if design.scored_on == TEST_IMAGES or design.external:
        return ""
    if design.folds:
        return (
            "All scores are on folds of the development images, which are those of the training and validation splits. "
            "The test images were not scored. Settings that are chosen here look better here than they are; score the "
            "chosen ones once on the test images, without folds."
        )
    return (
        "All scores are on a development split: training images that no arm was trained on. The test images were not "
        "scored. Settings that are chosen here look better here than they are; score the chosen ones once on the "
        "test images, with development_share: 0."
    )


def seed_sentence(arms: Sequence[ArmScores]) -> str:
    """Return what the number of seeds allows to say."""
    if any(len(arm.seeds) == 1 for arm in arms):
        return "With one seed, a difference between arms cannot be told from the luck of one training."
    return (
        "Seed SD is the standard deviation of an arm's mean Dice over its trainings; "
        "a difference between arms of that size can be the luck of training."
    )


def empties_sentence(evidence: Evidence) -> str:
    """Return how many masks there are for which some metric is a convention, not a ratio."""
    true = int((~shows(evidence.test.masks).any(axis=(1, 2))).sum())
    found = [(arm.scores.arm, int((~shows(arm.predictions).any(axis=(1, 2))).sum())) for arm in evidence.arms]
    listed = ", ".join(f"{arm} {count}" for arm, count in found if count) or "none"
    return f"Empty true masks: {true or 'none'}. Empty predicted masks (first seed): {listed}."


def case_rule(pair: Sequence[ArmScores]) -> str:
    """Return by which rule the images of Figure 4 were chosen."""
    images = pair[0].design.scored_on
    what = "Dice" if len(pair) == 1 else f"the Dice difference of {pair[-1].arm} to {pair[0].arm}"
    return (
        f"Chosen by rule, not by eye: the first, the middle and the last of the {images}, "
        f"put in the order of {what} with the first seed ({pair[0].seeds[0]})."
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"

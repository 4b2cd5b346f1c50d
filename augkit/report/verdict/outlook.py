"""How small an effect a comparison can show, told before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from augkit.report.verdict.comparison import LEAST_IMAGES, least_seeds, planned_seeds
from augkit.report.verdict.contrasts import Asked, Contrast, plan_contrasts
from augkit.report.verdict.power import Luck, counted, luck_of, of_folds, seen_with
from augkit.report.verdict.scores import ArmScores

TYPICAL = Luck(0.006**2, 0.02**2, 0.05**2, 6, 150)
"""How much differences scatter, as standard deviations of 0.006 from training to training, 0.02 from image to image and
0.05 beside: with six seeds and 150 images the rule then sees 0.0117, as it did between the arms of ISIC 2017 at 64x64
(docs/isic2017.md). Longer trainings and easier images scatter less, short ones on few images several times as much."""


def smallest_effect(expected: Sequence[ArmScores], pilot: Sequence[ArmScores], asked: Asked = ()) -> Iterator[str]:
    """Yield the smallest effect that the hardest contrast of some arms can show with 80 % power, in one sentence.

    expected: the arms as far as they are known before they are trained; nothing is yielded where images are unknown.
    pilot:    those of them that are trained already with two common seeds or more, with their scores; or ().
    """
    planned = plan_contrasts(expected, asked)
    questions = [question for question in (planned.contrasts, planned.augmentations) if question]
    images = len(expected[0].image_ids)
    if not questions or images < max(LEAST_IMAGES, 2 * expected[0].fold_count):
        return
    trained = {arm.arm: arm for arm in pilot}
    found = [(one, len(question)) for question in questions for one in question]
    known = [(_luck(one, trained), one, tests) for one, tests in found]
    basis = min((luck.seeds for luck, _, _ in known if luck is not None), default=0)
    known = [one for one in known if one[0] is not None] or [one for one in known if not one[1].is_interaction]
    folds, first = expected[0].fold_count, expected[0]
    seeds = min(len(contrast.seeds) for _, contrast, _ in known)
    enough = seeds >= least_seeds(folds)
    used = seeds if enough else planned_seeds(folds)
    effect = max(seen_with(luck or TYPICAL, used, images, folds, tests) for luck, _, tests in known)
    with_seeds = f"{counted(used, 'seed')}{of_folds(folds)}"
    if not enough:
        with_seeds += f" (--seeds 0..{used - 1}; with {seeds} there is no verdict)"
    how = f"as in the {basis} trainings that are there" if basis else "as on ISIC 2017 at 64x64, which is not your data"
    yield (
        f"smallest effect that can be shown (80 % power) with {with_seeds} and {images} {first.design.scored}: about "
        f"{effect:.2g} Dice, if trainings and images scatter {how}"
    )


def _luck(contrast: Contrast, trained: dict[str, ArmScores]) -> Luck | None:
    """Return the luck of a contrast whose arms are trained with two common seeds or more."""
    arms = [trained.get(arm.arm) for arm in contrast.arms]
    if not all(arms):
        return None
    plus = tuple(trained[arm.arm] for arm in contrast.plus)
    minus = tuple(trained[arm.arm] for arm in contrast.minus)
    there = Contrast(plus, minus)
    if len(there.seeds) < 2 or len(there.plus[0].image_ids) < LEAST_IMAGES:
        return None
    return luck_of(there.table("dice"), there.folds)

"""Does an augmentation help? The planned contrasts of some arms, and one sentence about each that stands on its own.

The rule, fixed before any score is read: mean Dice decides. A contrast *helps* or *harms* where the test over images
and seeds is significant at 5 % after Holm's adjustment and the 95 % interval excludes zero. There are two questions,
synthetic images and classical augmentation, and p is adjusted for all planned contrasts of a question.
It is *equivalent* where two one-sided tests, adjusted in the same way, show a difference smaller than the margin in
either direction; this goes first, because a difference that is real and too small to matter must not read as help.
Otherwise there is *no evidence*. Below four seeds, or two of five folds, or ten images there is *no verdict*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from augkit.report.verdict.answer import Answer, answer_of
from augkit.report.verdict.cautions import few_images, scatter, unlike_trainings
from augkit.report.verdict.contrasts import Asked, Contrast, plan_contrasts
from augkit.report.verdict.finding import (
    BETTER,
    EQUIVALENT,
    HARMS,
    HELPS,
    NEGATIVE,
    NO_EVIDENCE,
    NO_VERDICT,
    POSITIVE,
    WORSE,
    Finding,
    p_text,
    signed,
)
from augkit.report.verdict.inference import LEAVE, MeanDifference, detectable, estimates, holm
from augkit.report.verdict.power import counted, enough, luck_of, of_folds, settles
from augkit.report.verdict.ranking import Ranking, rank
from augkit.report.verdict.scores import TEST_IMAGES, ArmScores

MARGIN = 0.01
"""The Dice difference below which two arms count as equal, unless the user says otherwise."""

LEAST_SEEDS = 4
"""Fewer common seeds give no verdict. In simulations (benchmarks/verdict.py) a contrast is wrong at most 6 % of the
time with four or six seeds, 7 % with three and 10 % with two."""

PLANNED_SEEDS = 6
"""The number to plan for: the fewest with which a sign flip of seed means can fall below 5 %."""

LEAST_FREEDOM, PLANNED_FREEDOM = 4, 10
"""With folds, of folds * (seeds - 1): two seeds of five folds and better three, three of two and better six."""

LEAST_IMAGES = 10
"""Fewer test images give no verdict."""


@dataclass(frozen=True)
class Comparison:
    """The findings on all planned contrasts, and what they come to.

    remarks:  what could not be planned or is not equal, in sentences.
    answer:   the findings in plain words.
    cautions: what makes scores worth little, each with what to do.
    ranking:  all arms in order, and how sure that is; None where it cannot be told or there is nothing to rank.
    """

    margin: float
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...]
    answer: Answer
    cautions: tuple[str, ...] = ()
    ranking: Ranking | None = None


def compare(arms: Sequence[ArmScores], margin: float = MARGIN, asked: Asked = ()) -> Comparison:
    """Return the findings on the planned contrasts of arms that were scored on the same images.

    asked: names of two arms each, whose contrasts are planned and adjusted with those about synthetic images.
    """
    planned = plan_contrasts(arms, asked)
    findings = [*_findings(planned.contrasts, margin), *_findings(planned.augmentations, margin)]
    remarks = (
        *_remarks(arms, findings, planned.without_control),
        *(_unequal_conditions(arms) if len(arms) > 1 else ()),
        *_unequal_designs(findings),
        *_left_out(findings),
    )
    return _comparison(arms, margin, findings, remarks)


def compare_external(
    sets: Mapping[str, Sequence[ArmScores]], margin: float = MARGIN, asked: Asked = ()
) -> Mapping[str, Comparison]:
    """Return the findings on each external set by its name.

    They are questions of their own: p is adjusted over the contrasts of a question on all external sets, and those on
    the data set's own test images neither count here nor are changed by it.
    """
    planned = {name: plan_contrasts(arms, asked) for name, arms in sets.items()}
    contrasts = iter(_findings([one for found in planned.values() for one in found.contrasts], margin))
    augmentations = iter(_findings([one for found in planned.values() for one in found.augmentations], margin))
    findings = {
        name: [*islice(contrasts, len(found.contrasts)), *islice(augmentations, len(found.augmentations))]
        for name, found in planned.items()
    }
    return {name: _comparison(sets[name], margin, found, ()) for name, found in findings.items()}


def _comparison(
    arms: Sequence[ArmScores], margin: float, findings: Sequence[Finding], remarks: tuple[str, ...]
) -> Comparison:
    alone = unlike_trainings(arms[0]) if len(arms) == 1 else ()  # of several, remarks say it
    cautions = (*few_images(arms[0]), *(() if arms[0].design.external else scatter(arms, margin)), *alone)
    ranking = rank(arms, least_seeds(arms[0].fold_count), LEAST_IMAGES)
    return Comparison(margin, tuple(findings), remarks, answer_of(findings, arms, margin), cautions, ranking)


def foresee(arms: Sequence[ArmScores], asked: Asked = ()) -> tuple[str, ...]:
    """Return why no planned contrast of some arms can have a verdict, whatever they will score; nothing where one can.

    arms: as far as they are known before they are trained: without values, and without images where nobody has counted.
    """
    planned = plan_contrasts(arms, asked)
    contrasts = (*planned.contrasts, *planned.augmentations)
    counted = [contrast for contrast in contrasts if contrast.plus[0].image_ids]
    reasons = [_few_seeds(contrast) for contrast in contrasts], [_few_images(contrast) for contrast in counted]
    return tuple(" ".join(found[0]) for found in reasons if found and all(map(any, found)))


def comparison_record(comparison: Comparison) -> Mapping[str, Any]:
    """Return everything about a comparison as plain values for JSON."""
    ranking = comparison.ranking
    return {
        "margin": comparison.margin,
        "answer": asdict(comparison.answer),
        "contrasts": [_finding_record(finding) for finding in comparison.findings],
        **({} if ranking is None else {"ranking": {**asdict(ranking), "sentence": ranking.sentence}}),
        "remarks": list(comparison.remarks),
        "cautions": list(comparison.cautions),
    }


def _finding_record(finding: Finding) -> Mapping[str, Any]:
    return {
        "name": finding.contrast.name,
        "plus": [arm.arm for arm in finding.contrast.plus],
        "minus": [arm.arm for arm in finding.contrast.minus],
        "verdict": finding.verdict,
        "sentence": finding.sentence,
        "seeds": [int(seed) for seed in finding.contrast.seeds],
        "difference_by_seed": list(finding.by_seed),
        "p_holm": finding.p,
        "equivalence_p_holm": finding.equivalence_p,
        "detectable": finding.detectable,
        **({"enough": finding.enough} if finding.enough else {}),
        "metrics": {metric: asdict(found) for metric, found in finding.estimates.items()},
        "exploratory_p_holm": dict(finding.exploratory_p),
    }


# Numbers.


def _findings(contrasts: Sequence[Contrast], margin: float) -> list[Finding]:
    """Return the findings on the contrasts of one question."""
    tested = iter(_tested([contrast for contrast in contrasts if not any(_obstacle(contrast))], margin))
    return [_without_verdict(one) if any(_obstacle(one)) else next(tested) for one in contrasts]


def _tested(contrasts: Sequence[Contrast], margin: float) -> list[Finding]:
    """Return the findings on contrasts that allow a verdict; p values are adjusted over all of them."""
    found = [_estimates(contrast, margin) for contrast in contrasts]
    p = holm([one["dice"].p for one in found])
    equal = holm([one["dice"].equivalence_p for one in found])
    others = [metric for metric in contrasts[0].plus[0].metrics if metric != "dice"] if contrasts else []
    explored = iter(holm([one[metric].p for one in found for metric in others]))
    findings = []
    for i, contrast in enumerate(contrasts):
        dice = found[i]["dice"]
        verdict = _verdict(contrast, dice, p[i], equal[i], margin)
        bare = Finding(
            contrast,
            verdict,
            "",
            tuple(contrast.table("dice").mean(axis=1).tolist()),
            found[i],
            p[i],
            equal[i],
            detectable(dice, len(contrasts)),
            {metric: next(explored) for metric in others},
            *(_enough(contrast, margin, len(contrasts)) if verdict == NO_EVIDENCE else ("", "")),
        )
        findings.append(replace(bare, sentence=_sentence(bare, margin, len(contrasts))))
    return findings


def _enough(contrast: Contrast, margin: float, tests: int) -> tuple[str, str]:
    """Return what would have been enough to find a difference of the margin, in a sentence and in a few words."""
    first = contrast.plus[0]
    luck = luck_of(contrast.table("dice"), contrast.folds)
    least, scored = least_seeds(first.fold_count), first.design.scored
    return enough(luck, margin, tests, least, scored), settles(luck, margin, tests, least, scored)


def _estimates(contrast: Contrast, margin: float) -> Mapping[str, MeanDifference]:
    metrics = contrast.plus[0].metrics
    tables = np.stack([contrast.table(metric) for metric in metrics])
    return dict(zip(metrics, estimates(tables, margin, folds=contrast.folds), strict=True))


def _verdict(contrast: Contrast, dice: MeanDifference, p: float, equivalence_p: float, margin: float) -> str:
    # Test and interval must agree, so that no sentence can claim what its own interval denies.
    if equivalence_p < LEAVE and -margin < dice.low and dice.high < margin:
        return EQUIVALENT
    if p < LEAVE and dice.low > 0:
        return POSITIVE if contrast.is_interaction else BETTER if contrast.asked else HELPS
    if p < LEAVE and dice.high < 0:
        return NEGATIVE if contrast.is_interaction else WORSE if contrast.asked else HARMS
    return NO_EVIDENCE


# Words.


def _sentence(finding: Finding, margin: float, tests: int) -> str:
    contrast, dice = finding.contrast, finding.estimates["dice"]
    what, who = _subject(contrast), contrast.name
    numbers = (
        f"95 % interval {signed(dice.low)} to {signed(dice.high)}, {_p_equals(finding.p)}{_adjusted(tests)}, "
        f"{trainings(contrast)}, {_images(contrast)}"
    )
    over = contrast.plus[0].over_classes
    change = f"Mean Dice{over} {'differs' if contrast.asked else 'changed'} by {signed(dice.mean)}"
    if contrast.is_interaction:
        change = f"The gain in mean Dice{over} differs by {signed(dice.mean)}"
    scope = f"{_holds_for(contrast)}{_about_images(contrast)}"
    if finding.verdict == EQUIVALENT:
        real = "" if not _excludes_zero(dice) else " A smaller difference is there, and too small to count."
        ruled_out = f"A difference of {margin:g} or more is ruled out."
        return f"{who}: equivalent within ±{margin:g}. {change} ({numbers}). {ruled_out}{real} {scope}"
    if finding.verdict == NO_EVIDENCE:
        missed = f"a true difference below {finding.detectable:.4f} is missed more often than one time in five."
        return (
            f"{who}: no evidence that {what}. {change} ({numbers}). This is not evidence of no effect: "
            f"{missed} {finding.enough}{_about_images(contrast)}"
        )
    if contrast.is_interaction:
        return (
            f"{who}: {finding.verdict}. {change} ({numbers}). It says nothing on whether synthetic images help. {scope}"
        )
    if not contrast.asked:
        change = f"With {_added(contrast)}, mean Dice{over} changed by {signed(dice.mean)}"
    return f"{who}: {finding.verdict}. {change} ({numbers}). {scope}"


def trainings(contrast: Contrast) -> str:
    """Return how often each arm was trained: ``6 trainings per arm``, or ``6 seeds × 5 folds per arm``."""
    folds, seeds = contrast.plus[0].fold_count, len(contrast.seeds)
    return f"{seeds} trainings per arm" if folds == 1 else f"{counted(seeds, 'seed')} × {folds} folds per arm"


def _holds_for(contrast: Contrast) -> str:
    if contrast.plus[0].fold_count == 1:
        return "This holds for this data set, segmenter and training budget."
    return (
        "This holds for this segmenter and training budget on data of this kind and amount, if other data change a "
        "training no more than another seed does."
    )


def _images(contrast: Contrast) -> str:
    return f"{len(contrast.plus[0].image_ids)} {contrast.plus[0].design.scored}"


def _about_images(contrast: Contrast) -> str:
    design = contrast.plus[0].design
    if design.scored_on == TEST_IMAGES:
        return ""
    if design.external:
        return " Nothing was trained or chosen on these images."
    return " It is about a split of the training images, on which settings are chosen, and no result on test images."


def _excludes_zero(dice: MeanDifference) -> bool:
    return dice.low > 0 or dice.high < 0


def _subject(contrast: Contrast) -> str:
    if contrast.is_interaction:
        return "the gain by synthetic images depends on classical augmentation"
    if contrast.asked:
        return f"{contrast.plus[0].arm} is better or worse than {contrast.minus[0].arm}"
    help_or_harm = "help or harm" if contrast.plus[0].design.synthesis else "helps or harms"
    return f"{_added(contrast)} {help_or_harm}"


def _added(contrast: Contrast) -> str:
    design = contrast.plus[0].design
    if not design.synthesis:
        return f"classical augmentation ({design.augment.partition(' #')[0]})"
    return f"synthetic images ({design.synthesis.partition(' #')[0]})"


def _p_equals(p: float | None) -> str:
    text = p_text(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def _adjusted(tests: int) -> str:
    return f" (Holm, {tests} contrasts)" if tests > 1 else ""


def _obstacle(contrast: Contrast) -> tuple[str, str]:
    """Return why a contrast cannot have a verdict, and what to do about it; '' where it can."""
    seeds, images = _few_seeds(contrast), _few_images(contrast)
    return seeds if any(seeds) else images


def least_seeds(folds: int) -> int:
    """Return the fewest seeds that give a verdict."""
    return LEAST_SEEDS if folds == 1 else _seeds_of_folds(folds, LEAST_FREEDOM)


def planned_seeds(folds: int) -> int:
    """Return the number of seeds to plan for."""
    return PLANNED_SEEDS if folds == 1 else _seeds_of_folds(folds, PLANNED_FREEDOM)


def _seeds_of_folds(folds: int, freedom: int) -> int:
    return 1 + -(-freedom // folds)


def _few_seeds(contrast: Contrast) -> tuple[str, str]:
    seeds, folds = len(contrast.seeds), contrast.plus[0].fold_count
    least, planned = least_seeds(folds), planned_seeds(folds)
    better = f", better {planned}" if planned > least else ""
    wish = f"Train at least {least} seeds{of_folds(folds)}{better}: --seeds 0..{planned - 1}."
    if seeds == 0:
        return "The arms have no seed in common.", wish
    if seeds >= least:
        return "", ""
    if seeds == 1:
        one = "One training per arm" if folds == 1 else f"One seed of {folds} folds"
        return f"{one} cannot separate an arm from the luck of its training{'s' if folds > 1 else ''}.", wish
    return f"{trainings(contrast)} are too few to separate an arm from the luck of its trainings.", wish


def _few_images(contrast: Contrast) -> tuple[str, str]:
    if len(contrast.plus[0].image_ids) < LEAST_IMAGES:
        wish = f"at least {LEAST_IMAGES} are needed."
        return f"{_images(contrast)} are too few to say anything about others;", wish
    return "", ""


def _without_verdict(contrast: Contrast) -> Finding:
    by_seed = tuple(contrast.table("dice").mean(axis=1).tolist()) if contrast.seeds else ()
    why, wish = _obstacle(contrast)
    sentence = f"{contrast.name}: no verdict. {why} {wish}"
    return Finding(contrast, NO_VERDICT, sentence, by_seed, {}, settle=wish, why=why)


def _remarks(arms: Sequence[ArmScores], findings: Sequence[Finding], without_control: Sequence[str]) -> Iterator[str]:
    if len(arms) == 1:
        return  # a recipe alone is not compared
    if not findings and not without_control:
        yield (
            "No two arms differ in nothing but synthetic images or classical augmentation, so there is nothing to give "
            "a verdict on."
        )
    for arm in without_control:
        yield (
            f"{arm}: no verdict. Its control is not among the arms: "
            "the same data, augmentation and segmenter without synthetic images."
        )


def _unequal_conditions(arms: Sequence[ArmScores]) -> Iterator[str]:
    """Yield what differs between the trainings of the arms beside their data, as far as it is known of them."""
    for name in dict.fromkeys(name for arm in arms for name in arm.conditions):
        known = {arm.arm: " and ".join(arm.conditions[name]) for arm in arms if name in arm.conditions}
        if len(set(known.values())) > 1 or any(len(arm.conditions.get(name, ())) > 1 for arm in arms):
            listed = ", ".join(f"{value} ({arm})" for arm, value in known.items())
            yield f"The trainings differ in {name}: {listed}. A difference between arms may come from that."


def _unequal_designs(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield in what two arms of a contrast that was asked for differ besides synthetic images and augmentation."""
    for contrast in (finding.contrast for finding in findings if finding.contrast.asked):
        mine, other = contrast.plus[0].design, contrast.minus[0].design
        parts = [name for name in ("data", "segmenter") if getattr(mine, name) != getattr(other, name)]
        if parts:
            yield f"{contrast.name}: they differ in {' and '.join(parts)}, too, and the difference may come from that."


def _left_out(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        every = {seed for arm in finding.contrast.arms for seed in arm.seeds}
        unpaired = sorted(every - set(finding.contrast.seeds))
        if unpaired and finding.contrast.seeds:
            listed = ", ".join(map(str, unpaired))
            yield f"{finding.contrast.name}: seeds that only some of its arms have are left out ({listed})."

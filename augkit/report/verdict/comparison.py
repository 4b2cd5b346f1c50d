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
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from augkit.report.verdict.contrasts import Contrast, plan_contrasts
from augkit.report.verdict.inference import LEAVE, MeanDifference, detectable, estimates, holm
from augkit.report.verdict.power import counted, enough, luck_of, of_folds
from augkit.report.verdict.scores import TEST_IMAGES, ArmScores

HELPS, HARMS, NO_EVIDENCE, EQUIVALENT, NO_VERDICT = "helps", "harms", "no evidence", "equivalent", "no verdict"
POSITIVE, NEGATIVE = "positive interaction", "negative interaction"
"""What `HELPS` and `HARMS` are called for an interaction, which is not about helping."""

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
class Finding:
    """What was found about one contrast.

    verdict:            `HELPS`, `HARMS`, `NO_EVIDENCE`, `EQUIVALENT` or `NO_VERDICT`.
    sentence:           the verdict with everything that belongs to it.
    by_seed:            the mean Dice difference of each common seed.
    estimates:          metric -> estimate; empty where there is no verdict.
    p, equivalence_p:   those of Dice, adjusted over the contrasts (Holm); None where there is no verdict.
    detectable:         the smallest Dice difference that would have been found with 80 % power; None likewise.
    exploratory_p:      metric other than Dice -> p adjusted over contrasts and those metrics; no verdict rests on it.
    enough:             what would have been enough to find a difference of the margin; '' where there is no verdict.
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


@dataclass(frozen=True)
class Comparison:
    """The findings on all planned contrasts, and what could not be planned, in sentences."""

    margin: float
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...]


def compare(arms: Sequence[ArmScores], margin: float = MARGIN) -> Comparison:
    """Return the findings on the planned contrasts of arms that were scored on the same images."""
    planned = plan_contrasts(arms)
    findings = (*_findings(planned.contrasts, margin), *_findings(planned.augmentations, margin))
    remarks = (*_remarks(findings, planned.without_control), *_unequal_conditions(arms), *_left_out(findings))
    return Comparison(margin, findings, remarks)


def foresee(arms: Sequence[ArmScores]) -> tuple[str, ...]:
    """Return why no planned contrast of some arms can have a verdict, whatever they will score; nothing where one can.

    arms: as far as they are known before they are trained: without values, and without images where nobody has counted.
    """
    planned = plan_contrasts(arms)
    contrasts = (*planned.contrasts, *planned.augmentations)
    counted = [contrast for contrast in contrasts if contrast.plus[0].image_ids]
    reasons = [_few_seeds(contrast) for contrast in contrasts], [_few_images(contrast) for contrast in counted]
    return tuple(found[0] for found in reasons if found and all(found))


def comparison_record(comparison: Comparison) -> Mapping[str, Any]:
    """Return everything about a comparison as plain values for JSON."""
    return {
        "margin": comparison.margin,
        "contrasts": [_finding_record(finding) for finding in comparison.findings],
        "remarks": list(comparison.remarks),
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
    tested = iter(_tested([contrast for contrast in contrasts if not _obstacle(contrast)], margin))
    return [_without_verdict(one) if _obstacle(one) else next(tested) for one in contrasts]


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
        bare = Finding(
            contrast,
            _verdict(contrast, dice, p[i], equal[i], margin),
            "",
            tuple(contrast.table("dice").mean(axis=1).tolist()),
            found[i],
            p[i],
            equal[i],
            detectable(dice, len(contrasts)),
            {metric: next(explored) for metric in others},
            enough(
                luck_of(contrast.table("dice"), contrast.folds),
                margin,
                len(contrasts),
                least_seeds(contrast.plus[0].fold_count),
                contrast.plus[0].design.scored,
            ),
        )
        findings.append(replace(bare, sentence=_sentence(bare, margin, len(contrasts))))
    return findings


def _estimates(contrast: Contrast, margin: float) -> Mapping[str, MeanDifference]:
    metrics = contrast.plus[0].metrics
    tables = np.stack([contrast.table(metric) for metric in metrics])
    return dict(zip(metrics, estimates(tables, margin, folds=contrast.folds), strict=True))


def _verdict(contrast: Contrast, dice: MeanDifference, p: float, equivalence_p: float, margin: float) -> str:
    # Test and interval must agree, so that no sentence can claim what its own interval denies.
    if equivalence_p < LEAVE and -margin < dice.low and dice.high < margin:
        return EQUIVALENT
    if p < LEAVE and dice.low > 0:
        return POSITIVE if contrast.is_interaction else HELPS
    if p < LEAVE and dice.high < 0:
        return NEGATIVE if contrast.is_interaction else HARMS
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
    change = f"Mean Dice{over} changed by {signed(dice.mean)}"
    if contrast.is_interaction:
        change = f"The gain in mean Dice{over} differs by {signed(dice.mean)}"
    scope = f"{_holds_for(contrast)}{_on_development(contrast)}"
    if finding.verdict == EQUIVALENT:
        real = "" if not _excludes_zero(dice) else " A smaller difference is there, and too small to count."
        ruled_out = f"A difference of {margin:g} or more is ruled out."
        return f"{who}: equivalent within ±{margin:g}. {change} ({numbers}). {ruled_out}{real} {scope}"
    if finding.verdict == NO_EVIDENCE:
        missed = f"a true difference below {finding.detectable:.4f} is missed more often than one time in five."
        return (
            f"{who}: no evidence that {what}. {change} ({numbers}). This is not evidence of no effect: "
            f"{missed} {finding.enough}{_on_development(contrast)}"
        )
    if contrast.is_interaction:
        return (
            f"{who}: {finding.verdict}. {change} ({numbers}). It says nothing on whether synthetic images help. {scope}"
        )
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


def _on_development(contrast: Contrast) -> str:
    if contrast.plus[0].design.scored_on == TEST_IMAGES:
        return ""
    return " It is about a split of the training images, on which settings are chosen, and no result on test images."


def _excludes_zero(dice: MeanDifference) -> bool:
    return dice.low > 0 or dice.high < 0


def _subject(contrast: Contrast) -> str:
    if contrast.is_interaction:
        return "the gain by synthetic images depends on classical augmentation"
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


def _obstacle(contrast: Contrast) -> str:
    """Return why a contrast cannot have a verdict, or ''."""
    return _few_seeds(contrast) or _few_images(contrast)


def least_seeds(folds: int) -> int:
    """Return the fewest seeds that give a verdict."""
    return LEAST_SEEDS if folds == 1 else _seeds_of_folds(folds, LEAST_FREEDOM)


def planned_seeds(folds: int) -> int:
    """Return the number of seeds to plan for."""
    return PLANNED_SEEDS if folds == 1 else _seeds_of_folds(folds, PLANNED_FREEDOM)


def _seeds_of_folds(folds: int, freedom: int) -> int:
    return 1 + -(-freedom // folds)


def _few_seeds(contrast: Contrast) -> str:
    seeds, folds = len(contrast.seeds), contrast.plus[0].fold_count
    least, planned = least_seeds(folds), planned_seeds(folds)
    better = f", better {planned}" if planned > least else ""
    wish = f"Train at least {least} seeds{of_folds(folds)}{better}: --seeds 0..{planned - 1}."
    if seeds == 0:
        return f"The arms have no seed in common. {wish}"
    if seeds >= least:
        return ""
    if seeds == 1:
        one = "One training per arm" if folds == 1 else f"One seed of {folds} folds"
        return f"{one} cannot separate an arm from the luck of its training{'s' if folds > 1 else ''}. {wish}"
    return f"{trainings(contrast)} are too few to separate an arm from the luck of its trainings. {wish}"


def _few_images(contrast: Contrast) -> str:
    if len(contrast.plus[0].image_ids) < LEAST_IMAGES:
        return f"{_images(contrast)} are too few to say anything about others; at least {LEAST_IMAGES} are needed."
    return ""


def _without_verdict(contrast: Contrast) -> Finding:
    by_seed = tuple(contrast.table("dice").mean(axis=1).tolist()) if contrast.seeds else ()
    return Finding(contrast, NO_VERDICT, f"{contrast.name}: no verdict. {_obstacle(contrast)}", by_seed, {})


def _remarks(findings: Sequence[Finding], without_control: Sequence[str]) -> Iterator[str]:
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


def _left_out(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        every = {seed for arm in finding.contrast.arms for seed in arm.seeds}
        unpaired = sorted(every - set(finding.contrast.seeds))
        if unpaired and finding.contrast.seeds:
            listed = ", ".join(map(str, unpaired))
            yield f"{finding.contrast.name}: seeds that only some of its arms have are left out ({listed})."


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

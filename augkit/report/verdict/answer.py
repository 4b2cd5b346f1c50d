"""The findings in plain words: one sentence with the answer, and what would settle what is open.

A report, a comparison, a search and the terminal all say it in these words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

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
    signed,
)
from augkit.report.verdict.scores import TEST_IMAGES, ArmScores, summarise

_LOUDEST = (HELPS, BETTER, HARMS, WORSE, EQUIVALENT, POSITIVE, NEGATIVE, NO_EVIDENCE, NO_VERDICT)


@dataclass(frozen=True)
class Answer:
    """What a comparison comes to.

    title:    what was studied.
    verdict:  the loudest verdict among the findings; '' where nothing was compared.
    sentence: the answer.
    settle:   what would settle what is open; '' for nothing.
    """

    title: str
    verdict: str
    sentence: str
    settle: str = ""


def answer_of(findings: Sequence[Finding], arms: Sequence[ArmScores], margin: float) -> Answer:
    """Return what the findings on some arms come to."""
    where = "" if arms[0].design.scored_on == TEST_IMAGES else f"On the {arms[0].design.scored}: "
    if len(arms) == 1:
        return Answer(title_of(arms), "", f"{where}{_alone(arms[0])}", _settle_alone(arms[0]))
    if not findings:
        what = f"{where}No answer: no arm has its control among the arms."
        ask = "To compare two arms all the same: --contrast ARM:ARM. The controls of a recipe: augkit controls RECIPE."
        return Answer(title_of(arms), "", what, ask)
    asked = [finding for finding in findings if not finding.contrast.is_interaction] or findings
    loudest = min((finding.verdict for finding in asked), key=_LOUDEST.index)
    return Answer(title_of(arms), loudest, f"{where}{' '.join(_sentences(asked, margin))}", _settle(asked))


# One recipe alone


def _alone(arm: ArmScores) -> str:
    found, count, scored = summarise(arm.values["dice"]), len(arm.image_ids), arm.design.scored
    over = f"over {count} {scored if count > 1 else scored.removesuffix('s')}{arm.in_folds}"
    if found.seed_sd is None:
        return f"Mean Dice is {found.mean:.3f} {over}."
    trainings = f"{len(arm.seeds)} trainings, which differ by {found.seed_sd:.3f} (SD)"
    return f"Mean Dice is {found.mean:.3f} {over} and {trainings}."


def _settle_alone(arm: ArmScores) -> str:
    if len(arm.seeds) > 1:
        return ""
    return "One training may be lucky: --seeds 0..5 trains six, and tells how far they differ."


# Several


def _sentences(findings: Sequence[Finding], margin: float) -> Iterator[str]:
    """Yield what is known first, then what is not."""
    for verdict in (HELPS, BETTER, HARMS, WORSE):
        found = [finding for finding in findings if finding.verdict == verdict]
        if found:
            yield f"{_joined([_gain(finding) for finding in found])}."
    equal = [finding for finding in findings if finding.verdict == EQUIVALENT]
    if equal:
        who = _joined([f"{_who(finding)} and {finding.contrast.minus[0].arm}" for finding in equal], "; ")
        yield f"Equal within ±{margin:g} Dice: {who}."
    yield from _not_shown([finding for finding in findings if finding.verdict == NO_EVIDENCE], len(findings))
    missing = [finding for finding in findings if finding.verdict == NO_VERDICT]
    if missing:
        names = "" if len(missing) == len(findings) else f" on {_joined([one.contrast.name for one in missing])}"
        why = missing[0].why
        yield f"No answer yet{names}: {why[0].lower()}{why[1:].rstrip('.;')}."


def _not_shown(open_ones: Sequence[Finding], among: int) -> Iterator[str]:
    """Yield what has no evidence, of so many findings."""
    if not open_ones:
        return
    seen = (
        f"effects below {_two_digits(max(one.detectable or 0.0 for one in open_ones))} Dice could not be seen reliably"
    )
    effects = [one for one in open_ones if not one.contrast.asked]
    pairs = [f"{_who(one)} and {one.contrast.minus[0].arm}" for one in open_ones if one.contrast.asked]
    parts = []
    if len(effects) == 1:
        parts.append(
            f"{_who(effects[0])} is not shown to help or harm, compared with {effects[0].contrast.minus[0].arm}"
        )
    elif effects and len(open_ones) == among:
        parts.append("Nothing tried is shown to help")
    elif effects:
        parts.append(f"{_joined([_who(one) for one in effects])} are not shown to help or harm")
    if pairs:
        parts.append(f"{'; '.join(pairs)} are not shown to differ")
    yield f"{'; '.join([*parts, seen])}."


def _gain(finding: Finding) -> str:
    dice, other = finding.estimates["dice"], finding.contrast.minus[0].arm
    change = f"{signed(dice.mean)} Dice, 95 % interval {signed(dice.low)} to {signed(dice.high)}"
    how = {
        HELPS: "helps, compared with",
        HARMS: "harms, compared with",
        BETTER: "is better than",
        WORSE: "is worse than",
    }
    return f"{_who(finding)} {how[finding.verdict]} {other} ({change})"


def _settle(findings: Sequence[Finding]) -> str:
    """Return what would settle the hardest of what is open."""
    missing = [finding for finding in findings if finding.verdict == NO_VERDICT]
    if missing:
        settle = missing[0].settle
        return f"{settle[0].upper()}{settle[1:]}"
    open_ones = [finding for finding in findings if finding.verdict == NO_EVIDENCE]
    return max(open_ones, key=lambda finding: finding.detectable or 0.0).settle if open_ones else ""


def _who(finding: Finding) -> str:
    return finding.contrast.plus[0].arm


def _joined(parts: Sequence[str], comma: str = ", ") -> str:
    return f"{comma.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 and comma == ", " else comma.join(parts)


def _two_digits(value: float) -> str:
    """Return a Dice difference as people say it: 0.067, 0.12, 0.0034."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}" if value >= 0.01 else f"{value:.4f}"


# What was studied


def title_of(arms: Sequence[ArmScores]) -> str:
    """Return what was studied, from what the arms are."""
    designs = [arm.design for arm in arms]
    segmenters, data = _names(design.segmenter for design in designs), _names(design.data for design in designs)
    segmenter, on = segmenters[0] if len(segmenters) == 1 else "the segmenter", f"on {_joined(data)}" if data else ""
    if len(arms) == 1:
        return f"{arms[0].arm}: how well {segmenter} does {on}".rstrip()
    painted = [one for design in designs for one in design.synthesis.split(", ") if "/" in one]
    sources = _names(painted, "/")
    transforms = _names(one for design in designs for one in design.augment.partition(" #")[0].split(", "))
    varied = []
    if len({design.synthesis for design in designs}) > 1:
        varied.append(f"synthetic images ({_few(sources, 'sources')})" if sources else "synthetic images")
    if len({design.augment for design in designs}) > 1:
        varied.append(f"classical augmentation ({_few(transforms, 'transforms')})")
    if not varied or len(segmenters) > 1:
        return f"{_few([arm.arm for arm in arms], 'arms')} compared {on}".rstrip()
    verb = "Does" if varied[0].startswith("classical") else "Do"
    return f"{verb} {_joined(varied)} help {segmenter} {on}".rstrip() + "?"


def _names(parts: Iterable[str], end: str = " #") -> list[str]:
    """Return the names of components that stand before `end` or a comma in parts of designs, each once."""
    return [name for name in dict.fromkeys(part.partition(end)[0].partition(",")[0] for part in parts) if name]


def _few(names: Sequence[str], what: str) -> str:
    return _joined(names) if len(names) <= 4 else f"{len(names)} {what}"

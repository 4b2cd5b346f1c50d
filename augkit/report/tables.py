"""Scores as rows of text: Table 1, paired differences, quantiles, and what arms consist of and cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit.contracts.components import NATIVE_SIZE
from augkit.metrics import JACCARD_THRESHOLD, METRICS, TABLE_1
from augkit.report.verdict.comparison import Comparison
from augkit.report.verdict.finding import Finding, p_text, signed
from augkit.report.verdict.inference import MeanDifference
from augkit.report.verdict.ranking import Ranking
from augkit.report.verdict.scores import CLASS_DICE, TEST_IMAGES, ArmScores, Summary, summarise

Table = list[list[str]]
Values = NDArray[np.float64]

DENSITY_METRICS = ("dice", "sensitivity", "specificity")
"""The panels of the paper's Figure 5."""

QUANTILES = (5, 25, 50, 75, 95)
"""Percentages of the quantile table."""


def table_rows(arms: Sequence[ArmScores]) -> Table:
    """Return Table 1 as text, header row first: mean ± standard error over images, arms in the given order.

    Where an arm has more than one seed, `seed SD` follows Dice: the standard deviation of the per-seed mean Dice.
    """
    return _table_1({arm.arm: {metric: summarise(arm.values[metric]) for metric in TABLE_1} for arm in arms})


def table_title(arm: ArmScores) -> str:
    """Return what Table 1 shows, with what the arms were scored on, and how much of it is empty; `arm` is any of them.

    An image that shows nothing scores 1 where nothing is found, whatever the segmenter is worth.
    """
    design, images = arm.design, len(arm.image_ids)
    empty = f"; {arm.empty} of {images} show nothing, and finding nothing there scores 1" if arm.empty else ""
    what = "" if design.scored_on == TEST_IMAGES else " (not the test set)"
    if design.external:
        what = " (nothing was trained or chosen on them)"
    size = ", at native size" if design.score_at == NATIVE_SIZE else ""
    classes = f", of the mean{arm.over_classes}" if arm.classes else ""
    return f"Mean ± standard error over the {design.scored}{arm.in_folds}{what}{classes}{size}{empty}"


def warning_lines(warnings: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return one line per warning, with the arms that it concerns in front."""
    arms: dict[str, list[str]] = {}
    for arm, sentences in warnings.items():
        for sentence in sentences:
            arms.setdefault(sentence, []).append(arm)
    return tuple(f"{', '.join(names)}: {sentence}" for sentence, names in arms.items())


def recorded_warnings(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the same lines as `warning_lines` from the content of a report.json."""
    return warning_lines({arm: record["arms"][arm]["warnings"] for arm in record["order"]})


def difference_rows(arms: Sequence[ArmScores]) -> Table:
    """Return the Dice difference of each arm to the first, image by image (mean over seeds), header row first."""
    first = arms[0].values["dice"].mean(axis=0)
    header = ["arm", "mean", "25 %", "median", "75 %", "images higher", "equal", "lower"]
    return [header, *(_difference_row(arm.arm, arm.values["dice"].mean(axis=0) - first) for arm in arms[1:])]


def contrast_rows(comparison: Comparison) -> Table:
    """Return one row per planned contrast of Dice, header row first; a dash where there is no verdict."""
    header = ["contrast", "verdict", "Dice", "95 % interval", "p (Holm)", "equivalence p", "detectable", "seeds"]
    return [header, *(_contrast_row(finding) for finding in comparison.findings)]


def ranking_rows(ranking: Ranking) -> Table:
    """Return one row per arm, the highest mean first, header row first."""
    rows = [["arm", "mean Dice", "rank", "to the first", "95 % interval, all at once"]]
    for place in ranking.places:
        ranks = str(place.best) if place.best == place.worst else f"{place.best} to {place.worst}"
        behind, low, high = place.behind
        to_first = ["–", "–"] if place is ranking.places[0] else [signed(behind), f"{signed(low)} to {signed(high)}"]
        rows.append([place.arm, f"{place.mean:.4f}", ranks, *to_first])
    return rows


def unadjusted_rows(comparison: Comparison) -> Table:
    """Return what decides nothing: p of Dice before adjustment, and the tests over seed means; header row first."""
    rows = [["contrast", "p", "t test over seeds", "sign flip over seeds"]]
    for finding in comparison.findings:
        if "dice" in finding.estimates:
            found = finding.estimates["dice"]
            rows.append([finding.contrast.name, *(p_text(p) for p in (found.p, found.seed_p, found.flip_p))])
    return rows


def exploratory_rows(comparison: Comparison) -> Table:
    """Return every metric but Dice of every contrast that was tested, header row first."""
    rows = [["contrast", "metric", "difference", "95 % interval", "p (Holm)"]]
    for finding in comparison.findings:
        for metric, found in finding.estimates.items():
            if metric in finding.exploratory_p:
                p = p_text(finding.exploratory_p[metric])
                rows.append([finding.contrast.name, metric_title(metric), signed(found.mean), _interval(found), p])
    return rows


def metric_rows(arms: Sequence[ArmScores]) -> Table:
    """Return mean ± standard error of the metrics that are not in Table 1, and the share of failed images."""
    others = [metric for metric in METRICS if metric not in TABLE_1]
    rows = [["arm", *(metric_title(metric) for metric in others), "failed (Jaccard < 0.65)"]]
    for arm in arms:
        failed = float((arm.values["jaccard"] < JACCARD_THRESHOLD).mean())
        cells = [_mean_and_error(summarise(arm.values[metric])) for metric in others]
        rows.append([arm.arm, *cells, f"{failed:.1%}".replace("%", " %")])
    return rows


def class_rows(arms: Sequence[ArmScores]) -> Table:
    """Return mean ± standard error of the Dice of each class, and how many images show it, header row first."""
    first = arms[0]
    rows = [["class", f"{first.design.scored} with it", *(arm.arm for arm in arms)]]
    for name, shown in first.classes.items():
        cells = [_mean_and_error(summarise(arm.values[f"{CLASS_DICE}{name}"])) for arm in arms]
        rows.append([name, str(shown), *cells])
    return rows


def quantile_rows(arms: Sequence[ArmScores]) -> Table:
    """Return the quantiles over images (scores averaged over seeds) of the density metrics, header row first."""
    rows = [["metric", "arm", *(f"{q} %" for q in QUANTILES)]]
    for metric in DENSITY_METRICS:
        for arm in arms:
            quantiles = np.percentile(arm.values[metric].mean(axis=0), QUANTILES)
            rows.append([metric_title(metric), arm.arm, *(f"{value:.4f}" for value in quantiles)])
    return rows


def per_arm_rows(arms: Sequence[str], parts: Sequence[Mapping[str, float]], text: Callable[[float], str]) -> Table:
    """Return one row per arm and one column per key that any arm has, with a total; header row first."""
    keys = list(dict.fromkeys(key for part in parts for key in part))
    rows = [["arm", *keys, "total"]]
    for arm, part in zip(arms, parts, strict=True):
        cells = [text(part[key]) if key in part else "–" for key in keys]
        rows.append([arm, *cells, text(sum(part.values()))])
    return rows


def condition_rows(arms: Sequence[ArmScores]) -> Table:
    """Return one row per arm and one column per condition of its trainings that is known; header row first."""
    names = list(dict.fromkeys(name for arm in arms for name in arm.conditions))
    rows = [[" and ".join(arm.conditions.get(name, ("–",))) for name in names] for arm in arms]
    return [["arm", *names], *([arm.arm, *row] for arm, row in zip(arms, rows, strict=True))]


def metric_title(metric: str) -> str:
    """Return a metric's name as a column head."""
    if metric.startswith(CLASS_DICE):
        return f"Dice{metric.removeprefix('dice')}"
    return {"dice": "Dice", "nsd": "NSD"}.get(metric, metric.replace("_", " "))


def _table_1(arms: Mapping[str, Mapping[str, Summary]]) -> Table:
    header = ["arm", *(metric_title(metric) for metric in TABLE_1)]
    rows = [[arm, *(_mean_and_error(found[metric]) for metric in TABLE_1)] for arm, found in arms.items()]
    if any(found["dice"].seed_sd is not None for found in arms.values()):
        header.insert(2, "seed SD")
        for found, row in zip(arms.values(), rows, strict=True):
            row.insert(2, _seed_sd(found["dice"]))
    return [header, *rows]


def _mean_and_error(summary: Summary) -> str:
    # One image has no spread: a zero would read as certainty.
    return str(summary) if summary.images > 1 else f"{summary.mean:.4f}"


def _seed_sd(summary: Summary) -> str:
    return "–" if summary.seed_sd is None else f"{summary.seed_sd:.4f}"


def _contrast_row(finding: Finding) -> list[str]:
    seeds, found = str(len(finding.contrast.seeds)), finding.estimates.get("dice")
    if found is None:
        return [finding.contrast.name, finding.verdict, *["–"] * 5, seeds]
    return [
        finding.contrast.name,
        finding.verdict,
        signed(found.mean),
        _interval(found),
        *(p_text(p) for p in (finding.p, finding.equivalence_p)),
        "–" if finding.detectable is None else f"{finding.detectable:.4f}",
        seeds,
    ]


def _interval(found: MeanDifference) -> str:
    return f"{signed(found.low)} to {signed(found.high)}"


def _difference_row(arm: str, delta: Values) -> list[str]:
    low, median, high = np.percentile(delta, (25, 50, 75))
    counts = [(delta > 0).sum(), (delta == 0).sum(), (delta < 0).sum()]
    return [arm, *(signed(value) for value in (delta.mean(), low, median, high)), *(str(count) for count in counts)]

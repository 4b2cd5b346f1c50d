"""Plots of scores: the planned contrasts, pairs of arms image by image, and densities."""

from __future__ import annotations

from collections.abc import Sequence

from augkit import figures
from augkit.figures import Form
from augkit.report.pictures.picture import Picture, plotted
from augkit.report.tables import DENSITY_METRICS, metric_title
from augkit.report.verdict.comparison import Comparison
from augkit.report.verdict.scores import ArmScores


def effects_picture(comparison: Comparison) -> Picture | None:
    """Return the Dice differences of the planned contrasts; None where none has a value."""
    rows = []
    for finding in comparison.findings:
        dice = finding.estimates.get("dice")
        interval = None if dice is None else (dice.mean, dice.low, dice.high)
        if finding.by_seed:
            rows.append(figures.Effect(finding.contrast.name, finding.by_seed, interval))
    if not rows:
        return None

    def draw(columns: int, form: Form) -> bytes:
        return figures.effects(rows, comparison.margin, "difference in mean Dice", columns=columns, form=form)

    alt = "Dice differences of the planned contrasts: each seed, the mean and its 95 % interval"
    return plotted("effects", alt, draw)


def paired_picture(comparison: Comparison, arms: Sequence[ArmScores]) -> Picture | None:
    """Return the Dice of each image in two arms, one panel per planned contrast that is of two arms.

    Without one, each arm is compared with the first; None for one arm.
    """
    planned = [finding.contrast for finding in comparison.findings if not finding.contrast.is_interaction]
    found = [(one.plus[0], one.minus[0]) for one in planned] or [(arm, arms[0]) for arm in arms[1:]]
    if not found:
        return None
    pairs = [figures.Pair(f"{plus.arm} vs {minus.arm}", _dice(minus), _dice(plus)) for plus, minus in found]

    def draw(columns: int, form: Form) -> bytes:
        return figures.paired(pairs, "Dice", columns=columns, form=form)

    alt = "Difference in Dice over the mean Dice, one point per image, one panel per pair of arms: "
    return plotted("paired", f"{alt}{', '.join(pair.name for pair in pairs)}", draw)


def _dice(arm: ArmScores) -> figures.Values:
    of_images: figures.Values = arm.values["dice"].mean(axis=0)
    return of_images


def density(arms: Sequence[ArmScores]) -> Picture:
    """Return the densities of Figure 5: one panel per metric, one line per arm, scores averaged over seeds."""
    panels = {
        metric_title(metric): {arm.arm: arm.values[metric].mean(axis=0) for arm in arms} for metric in DENSITY_METRICS
    }

    def draw(columns: int, form: Form) -> bytes:
        return figures.densities(panels, columns=columns, form=form)

    images = arms[0].design.scored
    alt = f"Densities of Dice, sensitivity and specificity over the {images}, one line per arm"
    return plotted("densities", alt, draw)

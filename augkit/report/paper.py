"""Table 1 for a paper, as LaTeX and as Markdown: mean ± standard error as the paper has it, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from augkit.metrics import TABLE_1
from augkit.report.tables import metric_title, table_title
from augkit.report.verdict.inference import estimates, t_interval
from augkit.report.verdict.scores import ArmScores, summarise
from augkit.store import write_text

Cell = tuple[str, str]
"""A mean with its standard error, and its interval; '' where one image leaves nothing to say."""

_LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$"}
)


def write_table_1(arms: Sequence[ArmScores], folder: Path) -> None:
    """Write ``figures/table1.tex`` and ``figures/table1.md``."""
    cells = [table_1(arm) for arm in arms]
    write_text(folder / "figures" / "table1.tex", _latex(arms, cells))
    write_text(folder / "figures" / "table1.md", _markdown(arms, cells))


def table_1(arm: ArmScores) -> tuple[Cell, ...]:
    """Return the cells of an arm: one for each metric of the paper's Table 1.

    The interval is for other images of the kind and, with two seeds or more, other trainings, as those of the verdict.
    """
    values = np.stack([arm.values[metric] for metric in TABLE_1])
    means = [str(summarise(one)) if one.shape[1] > 1 else f"{one.mean():.4f}" for one in values]
    return tuple(zip(means, _intervals(values, arm), strict=True))


def _intervals(values: np.ndarray[tuple[int, int, int], np.dtype[np.float64]], arm: ArmScores) -> list[str]:
    """Return the intervals of float64 (K, S, N), within 0..1."""
    _, seeds, images = values.shape
    if images < 2:
        return [""] * len(values)
    if seeds > 1:
        ends = [(found.low, found.high) for found in estimates(values, 0.0, folds=arm.folds)]
    else:
        found = [summarise(one) for one in values]
        ends = [t_interval(one.mean, one.standard_error, images - 1) for one in found]
    return [f"[{max(low, 0.0):.4f}, {min(high, 1.0):.4f}]" for low, high in ends]


def _caption(arms: Sequence[ArmScores]) -> str:
    seeds = sorted({len(arm.seeds) for arm in arms})
    trainings = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    over = "images and trainings" if seeds[0] > 1 else "images, for these trainings"
    return (
        f"{table_title(arms[0])}; scores averaged over {trainings} seed{'' if seeds == [1] else 's'}. "
        f"In brackets: 95 % interval over {over}."
    )


def _markdown(arms: Sequence[ArmScores], cells: Sequence[Sequence[Cell]]) -> str:
    lines = ["| arm | " + " | ".join(map(metric_title, TABLE_1)) + " |", "|---" * (len(TABLE_1) + 1) + "|"]
    for arm, row in zip(arms, cells, strict=True):
        name = arm.arm.replace("|", "\\|")
        lines.append(f"| {name} | " + " | ".join(" ".join(filter(None, cell)) for cell in row) + " |")
    return "\n".join([_caption(arms), "", *lines, ""])


def _latex(arms: Sequence[ArmScores], cells: Sequence[Sequence[Cell]]) -> str:
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{_caption(arms).translate(_LATEX)}}}",
        rf"\begin{{tabular}}{{l{'c' * len(TABLE_1)}}}",
        r"\toprule",
        " & ".join(["arm", *map(metric_title, TABLE_1)]) + r" \\",
        r"\midrule",
    ]
    for arm, row in zip(arms, cells, strict=True):
        lines.append(" & ".join([arm.arm.translate(_LATEX), *(mean.translate(_LATEX) for mean, _ in row)]) + r" \\")
        if row[0][1]:
            lines.append(" & ".join(["", *(rf"{{\footnotesize {interval}}}" for _, interval in row)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table*}", ""])

"""A comparison of reports that exist already, on a page of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from augkit.report.page import Verdicts, template, verdicts
from augkit.report.pictures import Picture, density, write_pictures
from augkit.report.record import per_image
from augkit.report.recorded import Recorded, why_scores_differ
from augkit.report.tables import Table, class_rows, metric_rows, quantile_rows, table_rows, table_title
from augkit.report.verdict.comparison import Comparison, comparison_record
from augkit.report.verdict.scores import ArmScores
from augkit.report.words import class_rule, resolution, scope
from augkit.store import whole_folder, write_json, write_text


@dataclass(frozen=True)
class Page:
    """Everything the template of a comparison prints."""

    title: str
    scored_on: str
    scope: str
    resolution: str
    verdicts: Verdicts
    warnings: tuple[str, ...]
    table_title: str
    table: Table
    other_metrics: Table
    classes: Table
    class_rule: str
    seed_sentence: str
    density: Picture
    quantiles: Table
    reports: Sequence[Recorded]
    differences: tuple[str, ...]


def write_comparison(
    reports: Sequence[Recorded], arms: Sequence[ArmScores], comparison: Comparison, root: Path
) -> Path:
    """Write comparison.html, comparison.json, per_image.csv and figures/ into a folder under `root`; returns it.

    The folder is named by what is compared, so equal comparisons have one folder.
    """
    scores = per_image(arms)
    facts = json.dumps(
        [comparison.margin, [[arm.arm, arm.design.synthesis, arm.design.augment] for arm in arms], scores]
    )
    names = "+".join(arm.arm for arm in arms)
    label = names if len(names) <= 60 else f"{len(arms)}-arms"
    folder = root / "comparison" / f"{label}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"
    page = _page(names, reports, arms, comparison)
    sources = [{"report": report.folder.name, "command": report.command} for report in reports]
    record = {**comparison_record(comparison), "reports": sources, "differences": list(page.differences)}
    with whole_folder(folder) as draft:
        write_pictures(draft, [picture for picture in (page.verdicts.picture, page.density) if picture is not None])
        write_text(draft / "per_image.csv", scores)
        write_json(draft / "comparison.json", record)
        write_text(draft / "comparison.html", template("comparison.html.j2").render(page=page))
    return folder


def _page(title: str, reports: Sequence[Recorded], arms: Sequence[ArmScores], comparison: Comparison) -> Page:
    warnings = tuple(dict.fromkeys(line for report in reports for line in report.warnings))
    seeds = ", ".join(f"{arm.arm} {', '.join(map(str, arm.seeds))}" for arm in arms)
    return Page(
        title,
        arms[0].design.scored,
        scope(arms[0].design),
        resolution(arms[0].design),
        verdicts(comparison),
        warnings,
        table_title(arms[0]),
        table_rows(arms),
        metric_rows(arms),
        class_rows(arms),
        class_rule(arms[0]),
        f"Seeds: {seeds}.",
        density(arms),
        quantile_rows(arms),
        reports,
        why_scores_differ(reports),
    )

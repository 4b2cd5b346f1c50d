"""A comparison of reports that exist already, on a page of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from augkit.report.page import Scored, scored
from augkit.report.paper import write_table_1
from augkit.report.pictures.picture import write_pictures
from augkit.report.record import per_image
from augkit.report.recorded import Recorded, why_scores_differ
from augkit.report.skeleton import template
from augkit.report.summary.study import methods
from augkit.report.verdict.comparison import Comparison, comparison_record
from augkit.report.verdict.scores import ArmScores
from augkit.report.words import class_rule, resolution, scope
from augkit.store import whole_folder, write_json, write_text

External = Mapping[str, tuple[Sequence[ArmScores], Comparison]]
"""Name of an external set -> the scores of the arms on it, and the findings."""


@dataclass(frozen=True)
class OnExternal(Scored):
    """What the page shows of an external set."""

    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Page(Scored):
    """Everything the template of a comparison prints."""

    methods: str
    scope: str
    resolution: str
    warnings: tuple[str, ...]
    class_rule: str
    seed_sentence: str
    external: Mapping[str, OnExternal]
    reports: Sequence[Recorded]
    differences: tuple[str, ...]


def write_comparison(
    reports: Sequence[Recorded],
    arms: Sequence[ArmScores],
    comparison: Comparison,
    root: Path,
    external: External = MappingProxyType({}),
) -> Path:
    """Write comparison.html, comparison.json, per_image.csv and figures/ into a folder under `root`; returns it.

    The folder is named by what is compared, so equal comparisons have one folder. Scores and figures of external sets
    are in ``external/NAME``.
    """
    scores = per_image(arms)
    on_sets = {name: per_image(found) for name, (found, _) in external.items()}
    designs = [[arm.arm, arm.design.synthesis, arm.design.augment] for arm in arms]
    facts = json.dumps([comparison.margin, designs, scores, *([on_sets] if on_sets else [])])
    names = "+".join(arm.arm for arm in arms)
    label = names if len(names) <= 60 else f"{len(arms)}-arms"
    folder = root / "comparison" / f"{label}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"
    page = _page(reports, arms, comparison, external)
    sources = [{"report": report.folder.name, "command": report.command} for report in reports]
    record = {
        **comparison_record(comparison),
        "methods": page.methods,
        **({"external": {name: comparison_record(one) for name, (_, one) in external.items()}} if external else {}),
        "reports": sources,
        "differences": list(page.differences),
    }
    with whole_folder(folder) as draft:
        for place, part in ((draft, page), *((draft / "external" / name, one) for name, one in page.external.items())):
            write_pictures(place, part.pictures())
        write_table_1(arms, draft)
        for name, (scores_there, _) in external.items():
            write_table_1(scores_there, draft / "external" / name)
        write_text(draft / "per_image.csv", scores)
        for name, text in on_sets.items():
            write_text(draft / "external" / name / "per_image.csv", text)
        write_json(draft / "comparison.json", record)
        write_text(draft / "comparison.html", template("comparison.html.j2").render(page=page))
    return folder


def _page(reports: Sequence[Recorded], arms: Sequence[ArmScores], comparison: Comparison, external: External) -> Page:
    seeds = ", ".join(f"{arm.arm} {', '.join(map(str, arm.seeds))}" for arm in arms)
    return Page(
        **vars(scored(arms, comparison)),
        methods=methods([report.study for report in reports], arms, comparison.margin),
        scope=scope(arms[0].design),
        resolution=resolution(arms[0].design),
        warnings=_warnings(reports),
        class_rule=class_rule(arms[0]),
        seed_sentence=f"Seeds: {seeds}.",
        external={
            name: OnExternal(**vars(scored(*found)), remarks=_warnings([report.external[name] for report in reports]))
            for name, found in external.items()
        },
        reports=reports,
        differences=why_scores_differ(reports),
    )


def _warnings(reports: Sequence[Recorded]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line for one in reports for line in one.warnings))

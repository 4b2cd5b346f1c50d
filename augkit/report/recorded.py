"""Reports that exist already: read back, put together, and compared on a page of their own.

Trainings of one study may be spread over runs and machines; what each run's report recorded is enough to compare them.
A report that was changed by hand is refused, and so are reports on other images.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from augkit.contracts.components import PER_GROUP
from augkit.data.tables import read_cell
from augkit.errors import InputError, Problem
from augkit.planning.recipe import is_name
from augkit.report.origin import ORIGIN, Origin, differences, read_origin
from augkit.report.record import FOLD, GROUP
from augkit.report.summary.study import Study
from augkit.report.tables import recorded_warnings
from augkit.report.verdict.scores import ArmScores, Design
from augkit.report.words import left_out_sentence
from augkit.store import find_damage, read_json

_MALFORMED = (OSError, KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, csv.Error)
"""What reading a file raises that augkit did not write."""


@dataclass(frozen=True)
class Recorded:
    """What a report recorded: its folder, its arms, the digest of the scored images, warnings, the command.

    comparison: what `comparison_record` said of the arms.
    origin:     where the scores come from; None where the report does not say.
    external:   name of an external set -> the same of its images; its warnings say what was left out.
    study:      what was studied.
    """

    folder: Path
    arms: tuple[ArmScores, ...]
    test: str
    warnings: tuple[str, ...]
    command: str
    comparison: Mapping[str, Any]
    origin: Origin | None = None
    external: Mapping[str, Recorded] = field(default_factory=dict)
    study: Study = field(default_factory=Study)


def read_report(path: Path) -> Recorded:
    """Return a report from its folder, or from the folder of runs that holds exactly one."""
    folder = find_report(path)
    damage = find_damage(folder)
    if damage:
        raise InputError(
            *(Problem(str(folder), what, "Scores that were changed cannot be compared") for what in damage)
        )
    try:
        record = dict(read_json(folder / "report.json").items())
        named = {"an arm": record.get("order", ()), "an external set": record.get("external", ())}
        strange = [(kind, name) for kind, names in named.items() for name in names if not _is_arm(name)]
    except _MALFORMED as error:
        raise InputError(Problem(str(folder), f"report.json cannot be read ({type(error).__name__})")) from error
    if strange:  # names become names of files
        kind, name = strange[0]
        what = f"has {kind} called {name!r}; allowed: letters, digits, '_', '.', '-'"
        raise InputError(Problem(str(folder), what, "It was not written by augkit"))
    try:
        arms = _arms(folder, record, record["order"])
        digest, warnings = record["test"]["sha256"], recorded_warnings(record)
        origin = read_origin(folder) if (folder / ORIGIN).is_file() else None
        external = {name: _external(folder, name, found, record) for name, found in record.get("external", {}).items()}
        study = Study(**record.get("study", {}))
        comparison = record["comparison"]
        return Recorded(folder, arms, digest, warnings, record["command"], comparison, origin, external, study)
    except _MALFORMED as error:
        what = f"was written by another version of augkit ({type(error).__name__}: {error})"
        raise InputError(Problem(str(folder), what, "Run its recipes again; only the report is rebuilt")) from error


def _external(folder: Path, name: str, found: Mapping[str, Any], record: Mapping[str, Any]) -> Recorded:
    arms = _arms(folder / "external" / name, found, record["order"])
    left_out = left_out_sentence(found["left_out"], found["test"]["images"])
    warnings = tuple(f"{name}: {line}" for line in (left_out, *found["remarks"]) if line)
    return Recorded(folder, arms, found["test"]["sha256"], warnings, record["command"], found["comparison"])


def _arms(folder: Path, record: Mapping[str, Any], order: Sequence[str]) -> tuple[ArmScores, ...]:
    """Return the scores of all arms; `record` says what is known of them besides per_image.csv in the folder."""
    rows: dict[tuple[str, int], list[dict[str, str]]] = {}
    with (folder / "per_image.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            rows.setdefault((row["arm"], int(row["seed"])), []).append({k: read_cell(v) for k, v in row.items()})
    return tuple(_arm(name, record["arms"][name], rows, record["test"]) for name in order)


def why_scores_differ(reports: Sequence[Recorded]) -> tuple[str, ...]:
    """Return what differs between the first report and each other one and can be why scores do, one sentence each.

    Arms that only one of them has are compared by design, and said nothing of.
    """
    first, *others = reports
    lines = []
    for other in others:
        names = [report.folder.name for report in (first, other)]
        between = " → ".join(names if names[0] != names[1] else map(str, (first.folder, other.folder)))
        if first.origin is None or other.origin is None:
            lines.append(f"{between}: one of them was written by an earlier version and does not say how it was made")
        else:
            lines += [f"{between}: {one}" for one in differences(first.origin, other.origin)]
    return tuple(lines)


def merge(reports: Sequence[Recorded], seeds: Sequence[int] | None) -> tuple[ArmScores, ...]:
    """Return the arms of all reports, the seeds of one arm together; `seeds` chooses among them.

    Raises `InputError` for other scored images, one name for two arms, two results for one seed, or a missing seed.
    """
    problems = [problem for report in reports[1:] if (problem := _scored_otherwise(report, reports[0])) is not None]
    first = reports[0].arms[0].design
    problems += [
        Problem(str(report.folder), f"was scored at another size than {reports[0].folder}; allowed: one score_at")
        for report in reports[1:]
        if report.arms[0].design.score_at != first.score_at
    ]
    merged: dict[str, ArmScores] = {}
    if not problems:
        for report in reports:
            for arm in report.arms:
                known = merged.get(arm.arm)
                merged[arm.arm] = arm if known is None else _joined(known, arm, report.folder, problems)
    if problems and all(report.origin is not None for report in reports):  # why it is so
        problems += [Problem("differs", line) for line in why_scores_differ(reports)]
    chosen = [_chosen(arm, seeds, problems) for arm in merged.values()]
    if problems:
        raise InputError(*problems)
    return tuple(sorted(chosen, key=lambda arm: (bool(arm.design.synthesis), bool(arm.design.augment))))


def merge_external(
    reports: Sequence[Recorded], seeds: Sequence[int] | None
) -> tuple[Mapping[str, tuple[ArmScores, ...]], tuple[str, ...]]:
    """Return `merge` of each external set that all reports have, and a sentence about each that only some have."""
    names = list(dict.fromkeys(name for report in reports for name in report.external))
    merged, problems, remarks = {}, [], []
    for name in names:
        having = [report.external[name] for report in reports if name in report.external]
        if len(having) < len(reports):
            where = ", ".join(str(one.folder) for one in having)
            remarks.append(f"External set {name} is left out: only {where} has it, so arms cannot be compared on it.")
            continue
        try:
            merged[name] = merge(having, seeds)
        except InputError as error:
            problems += [replace(one, where=f"external set '{name}': {one.where}") for one in error.problems]
    if problems:
        raise InputError(*problems)
    return merged, tuple(remarks)


def _scored_otherwise(report: Recorded, first: Recorded) -> Problem | None:
    """Return the problem of a report on other classes, of other units, or on other images than the first one."""
    mine, theirs = report.arms[0], first.arms[0]
    if list(mine.classes) != list(theirs.classes):
        found, wanted = (", ".join(one.classes) or "one class" for one in (mine, theirs))
        return Problem(str(report.folder), f"has other classes ({found}) than {first.folder}; allowed: {wanted}")
    if mine.design.score_per != theirs.design.score_per:
        what = f"has a score per {mine.design.score_per} and {first.folder} one per {theirs.design.score_per}"
        return Problem(str(report.folder), f"{what}; allowed: one score_per")
    if mine.design.folds != theirs.design.folds:
        found, wanted = (
            f"in {one.design.folds} folds" if one.design.folds else "on a test split" for one in (mine, theirs)
        )
        what = f"was scored {found} and {first.folder} {wanted}; allowed: the same folds"
        return Problem(str(report.folder), what)
    if report.test != first.test:
        return Problem(str(report.folder), f"was scored on other images than {first.folder}; allowed: the same")
    return None


def find_report(path: Path) -> Path:
    """Return the folder of a report: `path`, or the only one in a folder of runs. Raises `InputError`."""
    if (path / "report.json").is_file():
        return path
    found = sorted(file.parent for file in path.glob("report/*/report.json"))
    if len(found) == 1:
        return found[0]
    allowed = "allowed: a recipe, the folder of a report, or a folder of runs with one report"
    if not found:
        raise InputError(Problem(str(path), f"has no report; {allowed}"))
    listed = ", ".join(str(folder) for folder in found)
    raise InputError(Problem(str(path), f"has {len(found)} reports; {allowed}", f"Choose among {listed}"))


def _is_arm(name: object) -> bool:
    """Tell whether an arm may be called this: as a recipe, perhaps with the number of a sweep's point behind it."""
    return isinstance(name, str) and is_name(re.sub(r"-[0-9.e+-]+$", "", name))


def _arm(
    name: str,
    record: Mapping[str, Any],
    rows: Mapping[tuple[str, int], Sequence[Mapping[str, str]]],
    test: Mapping[str, Any],
) -> ArmScores:
    seeds, design = tuple(record["seeds"]), Design(**record["design"])
    column = GROUP if design.score_per == PER_GROUP else "image_id"
    images = tuple(row[column] for row in rows[name, seeds[0]])
    conditions = {name: tuple(found) for name, found in record.get("conditions", {}).items()}
    folds = np.array([int(row[FOLD]) if design.folds else 0 for row in rows[name, seeds[0]]], np.int64)
    known = ArmScores(name, images, seeds, {}, design, conditions, test.get("empty", 0), test.get("classes", {}), folds)
    values = {m: np.array([[float(row[m]) for row in rows[name, seed]] for seed in seeds]) for m in known.metrics}
    return replace(known, values=values)


def _joined(known: ArmScores, other: ArmScores, folder: Path, problems: list[Problem]) -> ArmScores:
    """Return one arm with the seeds of both."""
    if known.design != other.design:
        what = f"its '{other.arm}' is another arm than that of an earlier report; allowed: one name for one arm"
        problems.append(Problem(str(folder), what, "Other options or another version: name the recipes differently"))
        return known
    new = [i for i, seed in enumerate(other.seeds) if seed not in known.seeds]
    for i, seed in enumerate(other.seeds):
        if seed in known.seeds and not np.array_equal(
            other.values["dice"][i], known.values["dice"][known.seeds.index(seed)]
        ):
            what = (
                f"'{other.arm}' with seed {seed} has other scores than in an earlier report; allowed: one result a seed"
            )
            problems.append(Problem(str(folder), what))
    values = {metric: np.concatenate([known.values[metric], other.values[metric][new]]) for metric in known.metrics}
    conditions = {
        name: tuple(dict.fromkeys((*known.conditions.get(name, ()), *other.conditions.get(name, ()))))
        for name in (*known.conditions, *other.conditions)
    }
    return replace(known, seeds=(*known.seeds, *(other.seeds[i] for i in new)), values=values, conditions=conditions)


def _chosen(arm: ArmScores, seeds: Sequence[int] | None, problems: list[Problem]) -> ArmScores:
    if seeds is None:
        return arm
    missing = [seed for seed in seeds if seed not in arm.seeds]
    if missing:
        what = f"arm '{arm.arm}' has no seed {', '.join(map(str, missing))}; found {', '.join(map(str, arm.seeds))}"
        problems.append(Problem("--seeds", what))
        return arm
    places = [arm.seeds.index(seed) for seed in dict.fromkeys(seeds)]
    kept = {metric: values[places] for metric, values in arm.values.items()}
    return replace(arm, seeds=tuple(dict.fromkeys(seeds)), values=kept)

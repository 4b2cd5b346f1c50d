"""A report for machines: report.json and per_image.csv, from which `recorded` reads it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from augkit.contracts.components import PER_GROUP
from augkit.data.arrays import ImageSet
from augkit.data.tables import csv_text
from augkit.report.evidence import ArmEvidence, Evidence, External
from augkit.report.summary.study import methods
from augkit.report.verdict.comparison import Comparison, comparison_record
from augkit.report.verdict.scores import ArmScores, summarise

GROUP = "group"
"""The first column of per_image.csv where groups are scored."""


FOLD = "fold"
"""The column of per_image.csv that says in which fold an image was tested."""


def report_record(
    evidence: Evidence, comparison: Comparison, external: Mapping[str, Comparison], command: str
) -> Mapping[str, object]:
    """Return what report.json holds.

    external: the findings on each external set.
    command:  the one that gives the report again.
    """
    sets = {one.name: _external_record(one, external[one.name]) for one in evidence.external}
    return {
        "title": evidence.title,
        "study": {name: value for name, value in asdict(evidence.study).items() if value},
        "methods": methods([evidence.study], [arm.scores for arm in evidence.arms], comparison.margin),
        "comparison": comparison_record(comparison),
        "order": [arm.scores.arm for arm in evidence.arms],
        "arms": {arm.scores.arm: _arm_record(arm) for arm in evidence.arms},
        "test": _images_record(evidence.test, evidence.arms[0].scores),
        **({"external": sets} if sets else {}),
        "sections": {section.title: dict(section.record) for section in evidence.sections},
        "command": command,
        "artifacts": [list(artifact) for artifact in evidence.artifacts],
        "provenance": dict(evidence.provenance),
    }


def _images_record(samples: ImageSet, scores: ArmScores) -> Mapping[str, object]:
    return {
        "images": len(samples),
        "empty": scores.empty,
        **({"classes": dict(scores.classes)} if scores.classes else {}),
        "sha256": _digest(samples, scores),
    }


def _external_record(external: External, comparison: Comparison) -> Mapping[str, object]:
    """Return what there is of an external set, in the words that the record has for the test images."""
    return {
        "comparison": comparison_record(comparison),
        "arms": {scores.arm: _scores_record(scores) for scores in external.scores},
        "test": _images_record(external.test, external.scores[0]),
        "left_out": list(external.left_out),
        "remarks": list(external.remarks),
    }


def _digest(samples: ImageSet, scores: ArmScores) -> str:
    """Return a SHA-256 of names and pixels, by which two reports know that they scored the same images.

    Of groups where these are scored, and of the names of several classes.
    """
    groups = [samples.groups] if scores.design.score_per == PER_GROUP else []
    classes = [list(scores.classes)] if scores.classes else []
    digest = hashlib.sha256(json.dumps([samples.ids, samples.images.shape, *groups, *classes]).encode())
    digest.update(np.ascontiguousarray(samples.images).data)
    digest.update(np.ascontiguousarray(samples.masks).data)
    return digest.hexdigest()


def _arm_record(arm: ArmEvidence) -> Mapping[str, object]:
    return {
        **_scores_record(arm.scores),
        "training_images": {origin: int(count) for origin, count in arm.training_images.items()},
        "seconds": {stage: float(seconds) for stage, seconds in arm.seconds.items()},
        "warnings": list(arm.warnings),
    }


def _scores_record(scores: ArmScores) -> Mapping[str, object]:
    values = scores.values
    summaries = {metric: summarise(values[metric]) for metric in scores.metrics}
    design = asdict(scores.design)
    if not design["folds"]:
        del design["folds"]
    return {
        "metrics": {
            metric: {
                "mean": summary.mean,
                "standard_error": summary.standard_error,
                "images": summary.images,
                "seed_sd": summary.seed_sd,
            }
            for metric, summary in summaries.items()
        },
        "design": design,
        "conditions": {name: list(values) for name, values in scores.conditions.items()},
        "seeds": [int(seed) for seed in scores.seeds],
        "seed_means": {metric: values[metric].mean(axis=1).tolist() for metric in scores.metrics},
    }


def per_image(arms: Sequence[ArmScores]) -> str:
    """Return CSV text: one row per arm, seed and image, with every digit of every metric.

    Where groups are scored, one row per group, under ``group`` in place of ``image_id``. Where there are folds, the one
    in which the image was tested follows the seed.
    """
    metrics, rows = arms[0].metrics, []
    name, fold = GROUP if arms[0].design.score_per == PER_GROUP else "image_id", [FOLD] * bool(arms[0].design.folds)
    for arm in arms:
        columns = np.stack([arm.values[metric] for metric in metrics], axis=-1).tolist()
        tested: list[list[int]] = [[one] * len(fold) for one in arm.folds.tolist()]
        for seed, values in zip(arm.seeds, columns, strict=True):
            rows += [
                [image, arm.arm, seed, *one, *row]
                for image, one, row in zip(arm.image_ids, tested, values, strict=True)
            ]
    return csv_text([name, "arm", "seed", *fold, *metrics], rows)

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
from augkit.report.evidence import ArmEvidence, Evidence
from augkit.report.verdict.comparison import Comparison, comparison_record
from augkit.report.verdict.scores import ArmScores, summarise

GROUP = "group"
"""The first column of per_image.csv where groups are scored."""


def report_record(evidence: Evidence, comparison: Comparison, command: str) -> Mapping[str, object]:
    """Return what report.json holds; command: the one that gives the report again."""
    scores = evidence.arms[0].scores
    return {
        "title": evidence.title,
        "comparison": comparison_record(comparison),
        "order": [arm.scores.arm for arm in evidence.arms],
        "arms": {arm.scores.arm: _arm_record(arm) for arm in evidence.arms},
        "test": {
            "images": len(evidence.test),
            "empty": scores.empty,
            **({"classes": dict(scores.classes)} if scores.classes else {}),
            "sha256": _digest(evidence.test, scores),
        },
        "sections": {section.title: dict(section.record) for section in evidence.sections},
        "command": command,
        "artifacts": [list(artifact) for artifact in evidence.artifacts],
        "provenance": dict(evidence.provenance),
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
    values = arm.scores.values
    summaries = {metric: summarise(values[metric]) for metric in arm.scores.metrics}
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
        "design": asdict(arm.scores.design),
        "conditions": {name: list(values) for name, values in arm.scores.conditions.items()},
        "seeds": [int(seed) for seed in arm.scores.seeds],
        "seed_means": {metric: values[metric].mean(axis=1).tolist() for metric in arm.scores.metrics},
        "training_images": {origin: int(count) for origin, count in arm.training_images.items()},
        "seconds": {stage: float(seconds) for stage, seconds in arm.seconds.items()},
        "warnings": list(arm.warnings),
    }


def per_image(arms: Sequence[ArmScores]) -> str:
    """Return CSV text: one row per arm, seed and image, with every digit of every metric.

    Where groups are scored, one row per group, under ``group`` in place of ``image_id``.
    """
    metrics, rows = arms[0].metrics, []
    for arm in arms:
        columns = np.stack([arm.values[metric] for metric in metrics], axis=-1).tolist()
        for seed, values in zip(arm.seeds, columns, strict=True):
            rows += [[name, arm.arm, seed, *row] for name, row in zip(arm.image_ids, values, strict=True)]
    name = GROUP if arms[0].design.score_per == PER_GROUP else "image_id"
    return csv_text([name, "arm", "seed", *metrics], rows)

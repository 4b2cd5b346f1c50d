"""Pictures of a report that show images: synthetic samples beside real ones, and test images chosen by rank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from augkit import figures
from augkit.contracts.components import PER_IMAGE
from augkit.data.arrays import ImageSet
from augkit.data.formats import as_shown
from augkit.figures import EITHER, Row, Tile
from augkit.metrics import dice as image_dice
from augkit.report.evidence import ArmEvidence, Evidence
from augkit.report.pictures.picture import Picture, slug
from augkit.report.tables import Table, Values
from augkit.report.verdict.comparison import Comparison
from augkit.report.verdict.finding import signed
from augkit.report.verdict.scores import ArmScores

CASES = 3
"""Images per group of segmentation cases."""

GALLERY = 6
"""Samples per synthetic source."""


@dataclass(frozen=True)
class Gallery:
    """Some images of a source: its origin, the arms that use it, whether real images are beside them, the picture."""

    origin: str
    arms: str
    paired: bool
    picture: Picture


@dataclass(frozen=True)
class CaseGroup:
    """Images chosen by rank: a heading, the picture, and one row of text per image."""

    heading: str
    picture: Picture
    rows: Table


def synthetic_sources(evidence: Evidence) -> tuple[Gallery, ...]:
    """Return every source of synthetic images with some samples, one that several arms share only once."""
    return tuple(_source(i, *found, evidence.train) for i, found in enumerate(_synthetic(evidence.arms), 1))


def _synthetic(arms: Sequence[ArmEvidence]) -> list[tuple[str, ImageSet, list[str]]]:
    """Return (origin, samples, arms) of each source, one that several arms share only once."""
    found: list[tuple[str, ImageSet, list[str]]] = []
    for arm in arms:
        for origin, samples in arm.synthetic:
            shared = next((users for name, other, users in found if name == origin and _equal(other, samples)), None)
            if shared is None:
                found.append((origin, samples, [arm.scores.arm]))
            else:
                shared.append(arm.scores.arm)
    return [item for item in found if len(item[1])]


def _equal(a: ImageSet, b: ImageSet) -> bool:
    return a.ids == b.ids and np.array_equal(a.images, b.images)


def _source(number: int, origin: str, samples: ImageSet, arms: Sequence[str], train: ImageSet) -> Gallery:
    partners = [_partner(samples, i, train) for i in range(len(samples))]
    shown = sorted(range(len(samples)), key=lambda i: partners[i] is None)[:GALLERY]
    rows = [
        Row("mask given to the generator", tuple(figures.mask_tile(samples.masks[i], samples.format) for i in shown)),
        Row("real image of the same group, with its own mask", tuple(_real(partners[i], train) for i in shown)),
        Row("synthetic image, with the mask it was given", tuple(_outlined(samples, i) for i in shown)),
    ]
    paired = any(partners[i] is not None for i in shown)
    if not paired:
        del rows[1]
    alt = f"{len(shown)} samples of {origin}: mask, real image and synthetic image"
    drawn = figures.gallery(rows, EITHER, legend=figures.class_legend(samples.format))
    picture = Picture(f"synthetic-{number}-{slug(origin)}", alt, drawn)
    return Gallery(origin, ", ".join(arms), paired, picture)


def _partner(samples: ImageSet, index: int, train: ImageSet) -> int | None:
    """Return the training sample of the same group, preferably with the very mask, that a synthetic one belongs to."""
    same = [i for i, group in enumerate(train.groups) if group == samples.groups[index]]
    equal = [i for i in same if np.array_equal(train.masks[i], samples.masks[index])]
    return next(iter([*equal, *same]), None)


def _real(index: int | None, train: ImageSet) -> Tile:
    return Tile(None, note="not among those read") if index is None else _outlined(train, index)


def _outlined(samples: ImageSet, index: int) -> Tile:
    shown = as_shown(samples.images[index], samples.format)
    return figures.outlined(shown, samples.masks[index], samples.format)


def choose_cases(values: Values, count: int = CASES) -> Mapping[str, NDArray[np.int64]]:
    """Return which images to show, by rank alone: ``highest``, ``median`` and ``lowest``, `count` indices each.

    values: float64 (N,). The groups share no image; with fewer than three images there is one group, ``highest``.
    """
    order = np.argsort(-values, kind="stable").astype(np.int64)
    if len(order) < 3:
        return {"highest": order}
    count = min(count, len(order) // 3)
    start = (len(order) - count) // 2
    return {"highest": order[:count], "median": order[start : start + count], "lowest": order[::-1][:count]}


def case_pair(arms: Sequence[ArmScores], comparison: Comparison) -> list[ArmScores]:
    """Return control and arm of the primary contrast; without one, the first and the last arm; or the only one."""
    if comparison.findings:
        primary = comparison.findings[0].contrast
        return [primary.minus[0], primary.plus[0]]
    return [arms[0], arms[-1]] if len(arms) > 1 else [arms[0]]


def case_columns(pair: Sequence[ArmScores]) -> list[str]:
    """Return the columns of numbers of the table of cases."""
    return [*(f"Dice {arm.arm}" for arm in pair), *(["difference"] if len(pair) > 1 else [])]


def case_groups(evidence: Evidence, pair: Sequence[ArmScores]) -> Iterator[CaseGroup]:
    """Yield the test images chosen by rank of Dice, or of the Dice difference of a pair of arms (first seed)."""
    dice = {arm.scores.arm: _image_dice(arm, evidence.test) for arm in evidence.arms}
    single = len(pair) == 1
    values = dice[pair[0].arm] if single else dice[pair[-1].arm] - dice[pair[0].arm]
    for group, index in choose_cases(values).items():
        notes = {arm: [f"Dice {scores[i]:.3f}" for i in index] for arm, scores in dice.items()}
        notes[""] = [evidence.test.ids[i] if single else signed(values[i]) for i in index]
        predictions = {arm.scores.arm: arm.predictions[index] for arm in evidence.arms}
        test = evidence.test
        drawn = figures.cases(test.images[index], test.masks[index], predictions, notes, EITHER, test.format)
        scored_on = pair[0].design.scored_on
        heading = _case_heading(group, single, len(values), scored_on)
        picture = Picture(f"cases-{group}", f"{heading}: {scored_on} with the true and each arm's outline", drawn)
        rows = [
            [heading, evidence.test.ids[i], *(f"{dice[arm.arm][i]:.4f}" for arm in pair)]
            + ([] if single else [signed(values[i])])
            for i in index
        ]
        yield CaseGroup(heading, picture, rows)


def _image_dice(arm: ArmEvidence, test: ImageSet) -> Values:
    """Return the Dice of each image, float64 (N,), of the first seed; where groups are scored, at training size."""
    if arm.scores.design.score_per == PER_IMAGE:
        of_images: Values = arm.scores.values["dice"][0]
        return of_images
    return image_dice(arm.predictions, np.asarray(test.masks), len(test.format.classes))


def _case_heading(group: str, single: bool, images: int, scored_on: str) -> str:
    if images < 3:
        return f"All {scored_on}"
    if group == "median":
        return "Around the median"
    if single:
        return "Best Dice" if group == "highest" else "Worst Dice"
    return "Gains most" if group == "highest" else "Loses most"

"""How small an effect a comparison can show, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from augkit.metrics import METRICS
from augkit.report.verdict.outlook import TYPICAL, smallest_effect
from augkit.report.verdict.power import luck_of, seen_with
from augkit.report.verdict.scores import ArmScores, Design


def arms(seeds: Sequence[int], images: int = 150, folds: int = 0, luck: float = 0.0) -> tuple[ArmScores, ArmScores]:
    """A plain arm and one with geometry, as far as they are known before they are trained, or with scores."""
    ids, places = tuple(f"i{i}" for i in range(images)), np.arange(images) % folds if folds else np.zeros(0, np.int64)
    random = np.random.Generator(np.random.Philox(3))
    tables = [luck * random.normal(size=(len(seeds), 1)) + 0.1 * random.normal(size=(len(seeds), images)) for _ in "ab"]
    plain, turned = (
        ArmScores(name, ids, tuple(seeds), dict.fromkeys(METRICS, table), Design("d", "s", augment, folds=folds),
                  folds=places)
        for name, augment, table in zip(("plain", "turned"), ("", "geometry #1"), tables, strict=True)
    )  # fmt: skip
    return plain, turned


def test_typical_scatter_gives_what_was_measured_on_isic_2017() -> None:
    assert seen_with(TYPICAL, 6, 150, 1, 1) == pytest.approx(0.0117, abs=0.0003)
    (line,) = smallest_effect(arms(range(6)), ())
    assert line == (
        "smallest effect that can be shown (80 % power) with 6 seeds and 150 test images: about 0.012 Dice, if "
        "trainings and images scatter as on ISIC 2017 at 64x64, which is not your data"
    )


def test_with_too_few_seeds_it_is_told_for_the_number_to_plan_for() -> None:
    (line,) = smallest_effect(arms([0]), ())
    assert "with 6 seeds (--seeds 0..5; with 1 there is no verdict) and 150 test images: about 0.012 Dice" in line
    (line,) = smallest_effect(arms([0], 60, folds=5), ())
    assert "with 3 seeds of 5 folds (--seeds 0..2; with 1 there is no verdict) and 60 test images" in line


def test_a_pilot_counts_more_than_what_is_typical() -> None:
    pilot = arms([0, 1, 2], luck=0.05)
    (line,) = smallest_effect(arms(range(6)), pilot)
    table = pilot[1].values["dice"] - pilot[0].values["dice"]
    effect = seen_with(luck_of(table, pilot[0].folds), 6, 150, 1, 1)
    assert f"about {effect:.2g} Dice, if trainings and images scatter as in the 3 trainings that are there" in line


def test_nothing_is_told_where_nothing_is_compared_or_images_are_unknown() -> None:
    assert list(smallest_effect(arms(range(6))[:1], ())) == []
    assert list(smallest_effect([replace(one, image_ids=()) for one in arms(range(6))], ())) == []

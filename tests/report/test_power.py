"""How many seeds and images are enough."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from augkit.report.verdict.inference import detectable, estimates
from augkit.report.verdict.power import (
    Luck,
    alternatives,
    both_enough,
    enough,
    found_with,
    images_enough,
    luck_of,
    seeds_enough,
    seen_with,
    training_range,
)

_spec = importlib.util.spec_from_file_location("verdict", Path(__file__).parents[2] / "benchmarks" / "verdict.py")
assert _spec is not None
assert _spec.loader is not None
simulation = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(simulation)

SPLIT = Luck(0.01**2, 0.03**2, 0.03**2, 6, 150)


def layout(training, image, rest, seeds, images, folds=1, key=0):
    """Return differences whose luck has these standard deviations, and the fold of each image."""
    random = np.random.Generator(np.random.Philox(key))
    fold_of = np.arange(images) % folds
    lucks = random.normal(0, training, (seeds, folds))[:, fold_of]
    return lucks + random.normal(0, image, (1, images)) + random.normal(0, rest, (seeds, images)), fold_of


@pytest.mark.parametrize("folds", [1, 5])
def test_a_pilot_is_taken_apart_into_trainings_images_and_what_is_left_over(folds):
    many = [luck_of(*layout(0.02, 0.1, 0.05, 6, 100, folds, key)) for key in range(200)]
    for name, truth in (("training", 0.02), ("image", 0.1), ("rest", 0.05)):
        assert np.mean([getattr(one, name) for one in many]) == pytest.approx(truth**2, rel=0.1), name


def test_what_a_pilot_could_have_seen_is_what_its_report_calls_detectable():
    table, folds = layout(0.02, 0.1, 0.05, 6, 100)
    (found,) = estimates(table[None], 0.01, 4000, folds)
    assert seen_with(luck_of(table, folds), 6, 100, 1, 3) == pytest.approx(detectable(found, 3), rel=0.05)
    table, folds = layout(0.02, 0.1, 0.05, 3, 100, 5)
    (found,) = estimates(table[None], 0.01, 20, folds)
    assert seen_with(luck_of(table, folds), 3, 100, 5, 3) == pytest.approx(detectable(found, 3), rel=0.05)


@pytest.mark.parametrize(("seeds", "images", "folds"), [(6, 150, 1), (12, 150, 1), (4, 400, 1), (3, 60, 5)])
def test_the_rule_finds_a_difference_as_often_as_foreseen(seeds, images, folds):
    sds = (0.01, 0.05, 0.05)
    luck = Luck(*(sd**2 for sd in sds), 1000, images, folds)  # a pilot that knows
    gain = seen_with(luck, seeds, images, folds, 1)
    assert found_with(luck, gain, seeds, images, folds, 1) == pytest.approx(0.8, abs=0.02)
    made = [layout(*sds, seeds, images, folds, key) for key in range(200)]
    tables = np.stack([table for table, _ in made]) + gain
    found = estimates(tables, 0.01, 200, made[0][1])
    # With folds, the luck of data is not in these tables: the error is larger than they scatter.
    assert 0.7 <= np.mean([simulation.finds_difference(one) for one in found]) <= (0.9 if folds == 1 else 1.0)


def test_a_pilot_that_was_lucky_promises_less_than_its_own_estimate_does():
    for seeds in (2, 4, 6):
        small, large = (Luck(0.01**2, 0.03**2, 0.03**2, count, 150) for count in (seeds, 1000))
        asked, known = (seeds_enough(luck, 0.01, 150, 1, 1, 4) or 101 for luck in (small, large))
        assert asked > known


def test_more_luck_asks_for_more_seeds_and_no_number_of_images_makes_up_for_it():
    numbers = [seeds_enough(Luck(sd**2, 0.03**2, 0.03**2, 6, 150), 0.01, 150, 1, 1, 4) for sd in (0.002, 0.005, 0.01)]
    assert numbers == sorted(numbers)
    assert images_enough(SPLIT, 0.01, 6, 1, 1, 10) is None
    assert images_enough(SPLIT, 0.03, 6, 1, 1, 10) is not None


def test_where_neither_alone_is_enough_both_together_may_be():
    luck = Luck(0.006**2, 0.12**2, 0.05**2, 6, 150)
    assert seeds_enough(luck, 0.01, 150, 1, 1, 4) is None
    seeds, images = both_enough(luck, 0.01, 1, 1, 4)
    assert found_with(luck, 0.01, seeds, images, 1, 1) >= 0.8
    assert enough(luck, 0.01, 1, 4, "test images").startswith("To see 0.01, about ")


@pytest.mark.parametrize(
    ("luck", "said"),
    [
        (Luck(0, 0, 0, 6, 150), "A true difference of 0.01 would have been found four times in five."),
        (
            SPLIT,
            "To see 0.01, about 25 seeds on these 150 test images would have been enough; "
            "no number of test images with these 6 seeds would.",
        ),
        (
            Luck(0.001**2, 0.12**2, 0.03**2, 6, 150),
            "To see 0.01, about 1300 test images with these 6 seeds would have been enough; "
            "no number of seeds on these 150 test images would.",
        ),
        (
            Luck(0.1**2, 0.1**2, 0.03**2, 3, 60, 5),
            "To see 0.01, no number of seeds would have been enough, and no number of images without less luck of "
            "training: what other data would have changed is taken to be as large, and no seed takes it away.",
        ),
    ],
)
def test_what_would_have_been_enough_is_one_sentence(luck, said):
    assert enough(luck, 0.01, 1, 4 if luck.folds == 1 else 2, "test images") == said


def test_alternatives_name_numbers_of_seeds_that_give_no_verdict_and_numbers_that_cannot_be_reached():
    rows = alternatives(SPLIT, 0.01, 5, 1, (4, 2))
    assert [row[0] for row in rows] == ["2", "3", "4", "6", "8", "12", "20"]
    assert [row[1] for row in rows][:4] == ["no verdict", "no verdict", "none", "none"]
    assert {row[2] for row in rows} == {"none"}  # what data change stays
    assert [row[3] for row in rows] == ["10", "15", "20", "30", "40", "60", "100"]
    wide = alternatives(SPLIT, 0.05, 5, 1, (4, 2))
    assert all(row[1].isdecimal() for row in wide[3:])


def test_two_seeds_know_less_of_the_luck_of_training_than_six():
    few, many = (training_range(Luck(0.01**2, 0.03**2, 0.03**2, seeds, 150)) for seeds in (2, 6))
    assert few[0] < many[0] < 0.01 < many[1] < few[1]

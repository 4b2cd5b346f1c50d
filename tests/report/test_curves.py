"""A curve says what was swept, the mean of every seed, and how far the mean may be off."""

import csv
import json

import numpy as np
import pytest
from scipy.stats import t

from augkit.metrics import METRICS
from augkit.planning.sweep import SweepPoint
from augkit.report.pictures.sweeps import curve_figure, curves_of, shown, write_curves
from augkit.report.verdict.scores import ArmScores

SEEDS = (0, 1, 2)


def arm(name, value, means):
    """An arm of three images whose mean of each seed is given; its images differ."""
    values = np.array([[mean - 0.01, mean, mean + 0.01] for mean in means])
    scores = ArmScores(name, ("a", "b", "c"), SEEDS[: len(means)], dict.fromkeys(METRICS, values))
    return SweepPoint(name.rpartition("-")[0], "training_share", value), scores


@pytest.fixture
def arms():
    return [arm("few-1", 1.0, (0.80, 0.82, 0.84)), arm("few-0.1", 0.1, (0.5, 0.6, 0.7)), arm("all-1", 1.0, (0.9,) * 3)]


def test_points_stand_in_order_with_the_mean_of_every_seed(arms):
    few, every = shown(curves_of(arms))
    assert (few.name, few.path, [point.value for point in few.points]) == ("few", "training_share", [0.1, 1.0])
    assert few.points[0].means == pytest.approx((0.5, 0.6, 0.7))
    assert every.points[0].mean == pytest.approx(0.9)
    assert {curve.metric for curve in curves_of(arms)} == set(METRICS)


def test_the_band_is_the_95_per_cent_t_interval_over_seeds(arms):
    point = shown(curves_of(arms))[0].points[0]
    low, high = t.interval(0.95, 2, loc=0.6, scale=0.1 / np.sqrt(3))
    assert (point.low, point.high) == pytest.approx((low, high))


def test_one_seed_has_no_band_and_no_band_leaves_the_range_of_a_score():
    (curve,) = shown(curves_of([arm("one-1", 1.0, (0.8,))]))
    assert (curve.points[0].low, curve.points[0].high) == (None, None)
    (wide,) = shown(curves_of([arm("two-1", 1.0, (0.1, 0.95))]))
    assert (wide.points[0].low, wide.points[0].high) == (0.0, 1.0)


def test_files_hold_every_seed(arms, tmp_path):
    curves = curves_of(arms)
    write_curves(curves, tmp_path)
    rows = list(csv.DictReader((tmp_path / "curves.csv").read_text().splitlines()))
    assert len(rows) == 3 * 3 * len(METRICS)
    found = {(row["arm"], row["seed"]): float(row["mean"]) for row in rows if row["metric"] == "dice"}
    assert found["few-0.1", "1"] == pytest.approx(0.6)
    assert len(json.loads((tmp_path / "curves.json").read_text())["curves"]) == 2 * len(METRICS)


def test_nothing_is_written_without_a_sweep(tmp_path):
    write_curves(curves_of([]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_picture_shows_the_band(arms):
    narrow = [arm("few-1", 1.0, (0.82, 0.82, 0.82)), arm("few-0.1", 0.1, (0.6, 0.6, 0.6))]
    assert curve_figure(curves_of(arms[:2])) != curve_figure(curves_of(narrow))
    assert curve_figure(curves_of(arms)) == curve_figure(curves_of(arms))

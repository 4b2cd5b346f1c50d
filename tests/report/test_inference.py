from __future__ import annotations

import importlib.util
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from augkit.report.verdict.inference import (
    crossed_error,
    detectable,
    estimates,
    folded_error,
    holm,
    resampled_means,
    sign_flip,
)

_spec = importlib.util.spec_from_file_location("verdict", Path(__file__).parents[2] / "benchmarks" / "verdict.py")
assert _spec is not None
assert _spec.loader is not None
simulation = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(simulation)

TABLES = 250


@pytest.fixture(scope="module")
def found():
    """Return (world, seed SD) -> tables, estimates and true mean, for six seeds."""
    results = {}
    for i, (world, sd) in enumerate(itertools.product(simulation.WORLDS, simulation.SEED_SDS)):
        tables, truth = simulation.simulate(1000 + i, world, sd, 6, TABLES)
        results[world, sd] = tables, estimates(tables, 0.01, resamples=500), truth
    return results


def share(answers):
    return float(np.mean(list(answers)))


def test_the_simulated_scores_look_like_real_ones():
    tables, _ = simulation.simulate(0, "same mean", 0.01, 6, 200)
    assert 0.12 < tables.mean(axis=1).std() < 0.18  # paired SD over images of the paper's arms, for correlations of 0.6
    assert 0.03 < (tables - tables.mean(axis=1, keepdims=True)).std() < 0.07


@pytest.mark.parametrize("world", ["same method", "same mean"])
def test_a_difference_between_equal_arms_is_found_at_most_6_times_in_100(found, world):
    for sd in simulation.SEED_SDS:
        assert share(map(simulation.finds_difference, found[world, sd][1])) <= 0.06, sd


def test_a_wilcoxon_test_over_the_images_of_one_seed_finds_luck_in_22_to_80_of_100():
    rates = {}
    for sd in simulation.SEED_SDS:
        tables, _ = simulation.simulate(7, "same method", sd, 1, TABLES)
        rates[sd] = share(simulation.wilcoxon_p(tables[:, 0]) < 0.05)
    assert rates[0.0] <= 0.08
    assert all(0.22 <= rates[sd] <= 0.8 for sd in (0.005, 0.01, 0.02)), rates
    assert rates[0.005] < rates[0.01] < rates[0.02]


def test_a_test_over_seeds_alone_mistakes_these_images_for_all_images(found):
    assert share(one.seed_p < 0.05 for one in found["same mean", 0.0][1]) > 0.4


def test_intervals_cover_the_true_difference_at_least_93_times_in_100(found):
    for (world, sd), (_, estimated, truth) in found.items():
        assert share(one.low <= truth <= one.high for one in estimated) >= 0.93, (world, sd)


def test_intervals_over_images_alone_do_not(found):
    _, estimated, truth = found["same method", 0.02]
    assert share(one.images_only[0] <= truth <= one.images_only[1] for one in estimated) < 0.6


@pytest.mark.parametrize("sd", simulation.SEED_SDS)
@pytest.mark.parametrize("world", ["same mean", "same method"])
def test_the_detectable_difference_is_found_by_the_rule_about_8_times_in_10(found, world, sd):
    tables, estimated, _ = found[world, sd]
    effect = float(np.median([detectable(one, 1) for one in estimated]))
    shifted = estimates(tables + effect, 0.01, resamples=500)
    assert 0.7 <= share(simulation.finds_difference(one) for one in shifted) <= 0.9


def test_nothing_but_a_perfect_repetition_detects_everything():
    (same,) = estimates(np.full((1, 3, 5), 0.25), 0.01, resamples=50)
    assert detectable(same, 1) == 0


def test_a_difference_of_the_margin_is_called_equivalent_at_most_6_times_in_100(found):
    tables, _, _ = found["same mean", 0.01]
    assert share(one.equivalence_p < 0.05 for one in estimates(tables + 0.05, 0.05, resamples=20)) <= 0.06
    assert share(one.equivalence_p < 0.05 for one in estimates(tables, 0.05, resamples=20)) > 0.6


def test_the_error_is_the_one_of_the_two_way_layout_by_hand():
    # Mean 2; seed means 1, 3; image means 1, 2, 3; nothing left over.
    table = np.array([[0.0, 1, 2], [2, 3, 4]])
    error, freedom = crossed_error(table)
    ms_seed, ms_image = 3 * 2, 2 * 1
    assert error == pytest.approx(math.sqrt((ms_seed + ms_image) / 6))
    assert freedom == pytest.approx(8**2 / (6**2 / 1 + 2**2 / 2))


def test_the_mean_squares_are_those_of_plain_sums():
    table = np.random.Generator(np.random.Philox(3)).normal(size=(4, 9))
    grand = table.mean()
    seed = sum(9 * (row.mean() - grand) ** 2 for row in table) / 3
    image = sum(4 * (column.mean() - grand) ** 2 for column in table.T) / 8
    rest = sum(
        (table[s, i] - table[s].mean() - table[:, i].mean() + grand) ** 2 for s in range(4) for i in range(9)
    ) / (3 * 8)
    assert crossed_error(table)[0] == pytest.approx(math.sqrt((seed + max(image - rest, 0)) / 36))


def test_without_image_effects_the_error_is_that_of_the_seed_means():
    seeds = np.array([0.1, 0.2, 0.4])
    error, freedom = crossed_error(np.repeat(seeds[:, None], 50, axis=1))
    assert error == pytest.approx(seeds.std(ddof=1) / math.sqrt(3))
    assert freedom == pytest.approx(2)


def test_resampled_means_have_the_variance_of_both_samples():
    random = np.random.Generator(np.random.Philox(5))
    seeds, images = random.normal(size=(8, 1)), 3 * random.normal(size=(1, 40))
    crossed, fixed = resampled_means((seeds + images)[None])
    over_images = images.var(ddof=1) / 40
    assert crossed.shape == fixed.shape == (1, 10_000)
    assert fixed.var() == pytest.approx(over_images, rel=0.05)
    assert crossed.var() == pytest.approx(over_images + seeds.var(ddof=1) / 8, rel=0.05)


def test_equal_tables_give_equal_intervals_whatever_stands_beside_them():
    tables = np.random.Generator(np.random.Philox(6)).normal(size=(3, 4, 20))
    alone, together = estimates(tables[1:2], 0.01, 300), estimates(tables, 0.01, 300)
    assert alone[0].low == pytest.approx(together[1].low, abs=1e-12)
    assert estimates(tables, 0.01, 300) == together


def test_arms_that_never_differ_are_equal_and_arms_that_always_do_are_not():
    same, moved = estimates(np.stack([np.zeros((3, 12)), np.full((3, 12), 0.2)]), 0.01, 100)
    assert (same.p, same.equivalence_p, same.low, same.high) == (1, 0, 0, 0)
    assert (moved.p, moved.equivalence_p) == pytest.approx((0, 1))
    assert (moved.low, moved.high) == pytest.approx((0.2, 0.2))


def test_sign_flips_are_all_counted():
    values = np.array([0.3, -0.1, 0.2, 0.4])
    flipped = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True))) for signs in itertools.product((1, -1), repeat=4)
    ]
    assert sign_flip(values) == sum(total >= 0.8 - 1e-9 for total in flipped) / 16
    assert sign_flip(np.arange(1.0, 7)) == 2 / 64
    assert sign_flip(np.zeros(5)) == 1


def test_holm_is_the_step_down_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    assert holm([0.02]) == [0.02]


FOLDS = np.arange(60) % 5


def test_folds_that_are_all_one_change_nothing_to_the_bit():
    tables = np.random.Generator(np.random.Philox(8)).normal(size=(2, 4, 20))
    for one in (0, 3):
        assert estimates(tables, 0.01, 300, np.full(20, one)) == estimates(tables, 0.01, 300)


def test_the_error_with_folds_is_that_of_trainings_data_and_images_by_hand():
    # Two folds of two images, two seeds: the means of the first fold are 1, 3, of the second 4, 4.
    table = np.array([[0.0, 2, 3, 5], [2, 4, 3, 5]])
    error, freedom = folded_error(table, np.array([0, 0, 1, 1]))
    between = (2 * 2 + 2 * 0) / 4  # variances 2 and 0
    trainings, images = between * (2 * 0.5**2 / 2 + 0.8), np.var([1, 3, 3, 5], ddof=1) / 4
    assert error == pytest.approx(math.sqrt(trainings + images))
    assert freedom == pytest.approx((trainings + images) ** 2 / (trainings**2 / 2 + images**2 / 3))


def test_folds_of_one_image_each_have_an_error_too():
    table = np.random.Generator(np.random.Philox(9)).normal(size=(2, 10))
    error, freedom = folded_error(table, np.arange(10))
    assert error > 0
    assert freedom > 2


def test_with_folds_test_and_interval_always_agree():
    tables, _, folds = simulation.simulate_folds(1, "same mean", 0.01, 0.01, 3, 50, 60, 5)
    for one in estimates(tables + 0.03, 0.01, 20, folds):
        assert (one.p < 0.05) == (one.low > 0 or one.high < 0)


@pytest.mark.parametrize("images", [20, 60])
@pytest.mark.parametrize("sd", [0.0, 0.01, 0.04])
def test_with_folds_a_difference_between_equal_arms_is_found_at_most_6_times_in_100(images, sd):
    for world in ("same method", "same mean"):
        found = simulation.fold_rates(3, world, (sd, sd), 3, 300, images)
        assert found["augkit"] <= 0.06, world


def test_with_folds_of_many_images_and_much_luck_a_difference_is_found_at_most_6_times_in_100_beside_chance():
    found = simulation.fold_rates(3, "same method", (0.04, 0.04), 3, 300, 200)  # the hardest row; 4.6 % of 6,000
    assert found["augkit"] <= 0.06 + 2 * math.sqrt(0.06 * 0.94 / 300)


def test_tests_over_folds_take_luck_of_training_and_data_for_effects():
    found = simulation.fold_rates(3, "same method", (0.02, 0.02), 3, 300, 60)
    assert found["t over folds"] > 0.2
    assert found["Nadeau & Bengio"] > 0.08
    assert found["as without folds"] > 0.15


def test_three_quarters_of_the_simulated_luck_of_data_lie_on_all_of_five_folds():
    with_luck, _, folds = simulation.simulate_folds(2, "same method", 0.0, 0.05, 1, 3000, 20, 5)
    without, _, _ = simulation.simulate_folds(2, "same method", 0.0, 0.0, 1, 3000, 20, 5)
    means = np.stack([(with_luck - without)[:, 0, folds == fold].mean(axis=1) for fold in range(5)])
    assert np.corrcoef(means)[0, 1:] == pytest.approx(0.75, abs=0.07)  # less a little at the limits of Dice

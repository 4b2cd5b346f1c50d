"""The rule of a race: who leaves, why, and that luck makes nobody leave as worse."""

import numpy as np
import pytest

from augkit.searching.race import (
    BUDGET,
    LAST,
    WORSE,
    Block,
    difference,
    half_of,
    kept_by_looks,
    leaving,
    ranked,
    smallest_visible_gain,
    standings,
)


def blocks_of(gains, count, images=20, folds=5, image_sd=0.05, training_sd=0.01, seed=0):
    """Blocks of candidates ``a``, ``b`` ... with these true gains; images come again after `folds` blocks."""
    random = np.random.default_rng(seed)
    lasting = image_sd / 2 * random.standard_normal((len(gains), folds, images))
    blocks = []
    for place in range(count):
        ids = tuple(f"{place % folds}-{i}" for i in range(images))
        scores = {}
        for i, gain in enumerate(gains):
            rest = image_sd / 2 * random.standard_normal(images)
            scores["abcdefghij"[i]] = (
                0.8 + gain + lasting[i, place % folds] + rest + training_sd * random.standard_normal()
            )
        blocks.append(Block(ids, scores))
    return blocks


def without(blocks, name, after):
    """The same race with one candidate gone after some blocks."""
    return [
        Block(block.images, {one: scores for one, scores in block.scores.items() if place < after or one != name})
        for place, block in enumerate(blocks)
    ]


def test_a_hopeless_candidate_leaves_as_worse_and_the_others_stay():
    blocks = blocks_of([0.02, 0.02, 0.02, -0.3], 4)
    assert leaving(blocks) == {"d": WORSE}


def test_nobody_leaves_as_worse_after_one_block_however_bad_it_looks():
    blocks = blocks_of([0.0, -0.5], 1)
    assert leaving(blocks) == {}
    assert standings(blocks)[1].bound == float("inf")


def test_the_worse_half_leaves_by_time_at_a_look():
    blocks = blocks_of([0.0, 0.001, 0.002, 0.003], 3)
    assert leaving(blocks) == dict.fromkeys(ranked(blocks)[2:], BUDGET)


def test_between_the_looks_nobody_leaves_by_time_unless_it_runs_out():
    blocks = blocks_of([0.0, 0.001, 0.002, 0.003, 0.004], 4)
    assert leaving(blocks) == {}
    assert leaving(blocks, keep=3) == dict.fromkeys(ranked(blocks)[3:], BUDGET)


def test_of_two_neither_leaves_by_time():
    blocks = blocks_of([0.0, 0.001], 5)
    assert leaving(blocks) == {}
    assert leaving(blocks, keep=1) == {}


@pytest.mark.parametrize(("count", "left"), [(10, 5), (9, 5), (5, 3), (3, 2), (2, 2), (1, 1)])
def test_half_of_an_odd_number_is_the_larger_one(count, left):
    assert half_of(count) == left
    assert kept_by_looks(count, 2) == left
    assert kept_by_looks(count, 4) == count


def test_a_difference_is_paired_over_the_blocks_that_both_were_in():
    blocks = without(blocks_of([0.02, 0.0, 0.0], 4), "b", after=2)
    found = difference(blocks, "a", "b")
    expected = np.mean([(block.scores["a"] - block.scores["b"]).mean() for block in blocks[:2]])
    assert found.mean == pytest.approx(expected)


def test_the_error_of_a_difference_is_what_new_images_and_trainings_would_make_of_it():
    errors, means = [], []
    for seed in range(60):
        blocks = blocks_of([0.0] * 5, 10, seed=seed)
        found = difference(blocks, "a", "b")
        means.append(found.mean)
        errors.append(found.error)
    assert np.std(means) == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=0.25)


def test_equal_candidates_rarely_leave_as_worse():
    wrong = 0
    for seed in range(25):
        blocks = blocks_of([0.0] * 8, LAST, seed=seed)
        wrong += any(WORSE in leaving(blocks[:count]).values() for count in range(2, LAST + 1))
    assert wrong <= 5  # any of the eight may leave; the best one does in one race of twenty


def test_a_candidate_that_left_keeps_counting_for_how_far_trainings_scatter():
    blocks = blocks_of([0.0, 0.0, 0.0], 5)
    both, fewer = difference(blocks, "a", "b"), difference(without(blocks, "c", after=3), "a", "b")
    assert both.freedom == 2 * 4
    assert fewer.freedom == 2 * 2 + 1 * 2


def test_more_blocks_show_smaller_gains_and_one_block_shows_none():
    gains = [0.01, 0.0, 0.0, 0.0]
    assert smallest_visible_gain(blocks_of(gains, 1), 4) == float("inf")
    assert smallest_visible_gain(blocks_of(gains, 12), 4) < smallest_visible_gain(blocks_of(gains, 3), 4) < 0.2

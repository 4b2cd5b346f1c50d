import math

import numpy as np
import pytest

from augkit.report.verdict.scores import Summary, summarise


def test_the_mean_and_its_standard_error_are_those_computed_by_hand():
    found = summarise(np.array([[0.5, 0.7, 0.9]]))
    assert found.mean == pytest.approx(0.7)
    assert found.standard_error == pytest.approx(0.2 / math.sqrt(3))
    assert found.images == 3
    assert found.seed_sd is None


def test_several_seeds_are_averaged_per_image_before_the_error_is_taken():
    values = np.array([[0.4, 0.8], [0.6, 1.0], [0.8, 0.6]])
    found = summarise(values)
    assert found.mean == pytest.approx(0.7)
    # per image: 0.6 and 0.8, so s = 0.1 * sqrt(2) and s / sqrt(2) = 0.1
    assert found.standard_error == pytest.approx(0.1)
    # per seed: 0.6, 0.8, 0.7
    assert found.seed_sd == pytest.approx(0.1)
    assert found.images == 2


def test_repeating_a_training_does_not_shrink_the_error_over_images():
    values = np.array([[0.2, 0.5, 0.9, 0.4]])
    assert summarise(np.repeat(values, 10, axis=0)).standard_error == pytest.approx(summarise(values).standard_error)


def test_one_image_has_no_standard_error():
    found = summarise(np.array([[0.3], [0.5]]))
    assert found.standard_error == 0
    assert found.mean == pytest.approx(0.4)
    assert found.seed_sd == pytest.approx(math.sqrt(0.02))


def test_equal_scores_have_no_spread():
    assert summarise(np.ones((2, 5))) == Summary(1.0, 0.0, 5, 0.0)


def test_a_summary_prints_as_the_paper_does():
    assert str(Summary(0.78123, 0.00812, 600, None)) == "0.7812 ± 0.0081"

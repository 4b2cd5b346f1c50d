import numpy as np
import pytest

from augkit.metrics import METRICS, TABLE_1, confusion, scores


def grid(*rows):
    return np.array([[cell == "#" for cell in row] for row in rows])[None]


FULL, EMPTY = grid("##", "##"), grid("..", "..")
ONE, OTHER = grid("#.", ".."), grid("..", ".#")


def of(predicted, truth):
    return {name: float(values[0]) for name, values in scores(confusion(predicted, truth)).items()}


def case(dice, accuracy, sensitivity, specificity, jaccard):
    return dict(zip(METRICS, (dice, accuracy, sensitivity, specificity, jaccard), strict=True))


@pytest.mark.parametrize(
    ("predicted", "truth", "expected"),
    [
        (EMPTY, EMPTY, case(1, 1, 1, 1, 1)),
        (FULL, FULL, case(1, 1, 1, 1, 1)),
        (EMPTY, FULL, case(0, 0, 0, 1, 0)),
        (FULL, EMPTY, case(0, 0, 1, 0, 0)),
        (ONE, EMPTY, case(0, 0.75, 1, 0.75, 0)),
        (EMPTY, ONE, case(0, 0.75, 0, 1, 0)),
        (ONE, ONE, case(1, 1, 1, 1, 1)),
        (ONE, OTHER, case(0, 0.5, 0, 2 / 3, 0)),
        (ONE, FULL, case(2 / 5, 1 / 4, 1 / 4, 1, 1 / 4)),
        (FULL, ONE, case(2 / 5, 1 / 4, 1, 0, 1 / 4)),
        # 3 right, 1 too many, 2 missed, 6 rightly left out
        (grid("##..", "##..", "...."), grid("#...", "##..", "##.."), case(6 / 9, 9 / 12, 3 / 5, 6 / 7, 3 / 6)),
    ],
)
def test_scores_equal_the_ones_computed_by_hand(predicted, truth, expected):
    assert of(predicted, truth) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(("predicted", "expected"), [(True, 1.0), (False, 0.0)])
def test_an_image_may_be_one_pixel(predicted, expected):
    assert of(np.array([[[predicted]]]), np.array([[[True]]]))["dice"] == expected


@pytest.fixture(scope="module")
def pairs():
    random = np.random.Generator(np.random.Philox(key=11))
    density = random.uniform(0, 1, (40, 1, 1))
    return random.uniform(size=(40, 9, 7)) < density, random.uniform(size=(40, 9, 7)) < density[::-1]


def test_counts_equal_a_loop_over_pixels(pairs):
    predicted, truth = pairs
    expected = []
    for p, t in zip(predicted, truth, strict=True):
        tally = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
        for y in range(9):
            for x in range(7):
                tally[bool(p[y, x]), bool(t[y, x])] += 1
        expected.append(list(tally.values()))
    found = confusion(predicted, truth)
    assert found.dtype == np.int64
    assert found.tolist() == expected


def test_dice_and_jaccard_obey_their_identity(pairs):
    values = scores(confusion(*pairs))
    j = values["jaccard"]
    np.testing.assert_allclose(values["dice"], 2 * j / (1 + j), rtol=1e-15)


def test_dice_and_jaccard_are_symmetric_and_exchanging_classes_exchanges_sensitivity_and_specificity(pairs):
    predicted, truth = pairs
    values, exchanged = scores(confusion(predicted, truth)), scores(confusion(truth, predicted))
    inverted = scores(confusion(~predicted, ~truth))
    assert (values["dice"] == exchanged["dice"]).all()
    assert (values["jaccard"] == exchanged["jaccard"]).all()
    assert (values["sensitivity"] == inverted["specificity"]).all()
    assert (values["accuracy"] == inverted["accuracy"]).all()


def test_every_score_is_a_finite_float64_between_0_and_1(pairs):
    values = scores(confusion(*pairs))
    assert tuple(values) == METRICS
    assert TABLE_1 == ("dice", "accuracy", "sensitivity", "specificity")
    assert all(v.dtype == np.float64 and v.shape == (40,) and v.min() >= 0 and v.max() <= 1 for v in values.values())


def test_large_images_do_not_overflow():
    counts = np.array([[2**31, 2**31, 2**31, 2**31]])
    assert scores(counts)["dice"][0] == 0.5


def test_no_images_give_no_scores():
    nothing = np.zeros((0, 4, 4), np.bool_)
    assert scores(confusion(nothing, nothing))["dice"].shape == (0,)


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(
        ValueError, match=r"predicted masks are \(1, 2, 2\), true masks \(2, 2, 2\); allowed: equal shapes"
    ):
        confusion(FULL, np.concatenate([FULL, FULL]))

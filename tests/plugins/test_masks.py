import math
from pathlib import Path

import numpy as np
import pytest

from augkit import InputError, SilentLog, Workspace
from augkit_masks.shapes import Shapes, _fill
from augkit_masks.training import Training
from samples import mask_draws

SPACE = Workspace(Path("unused"), 0, "cpu", SilentLog())
REAL = np.zeros((5, 32, 48), np.bool_)
for i in range(5):
    REAL[i, 4 : 10 + i, 5:20] = True


def test_one_per_real_mask_uses_each_training_mask_exactly_once():
    drawn = Training().draw(REAL, 5, mask_draws(5), SPACE)
    assert np.array_equal(drawn.masks, REAL)
    assert [record["parent"] for record in drawn.records] == [0, 1, 2, 3, 4]


def test_empty_training_masks_are_left_out():
    masks = np.insert(REAL, (0, 3), False, axis=0)
    drawn = Training().draw(masks, 7, mask_draws(7), SPACE)
    assert [record["parent"] for record in drawn.records][:5] == [1, 2, 3, 5, 6]
    assert drawn.masks.any(axis=(1, 2)).all()
    assert all(np.array_equal(mask, masks[r["parent"]]) for mask, r in zip(drawn.masks, drawn.records, strict=True))
    with pytest.raises(
        InputError, match="training: 2 training masks, all empty; allowed: at least one with foreground"
    ):
        Training().draw(masks[[0, 4]], 1, mask_draws(1), SPACE)


def test_a_broken_round_uses_different_training_masks():
    parents = [record["parent"] for record in Training().draw(REAL, 8, mask_draws(8), SPACE).records]
    assert parents[:5] == [0, 1, 2, 3, 4]
    assert len(set(parents[5:])) == 3


def test_fewer_masks_than_training_masks_are_a_choice_that_depends_on_the_seed():
    choices = {
        tuple(r["parent"] for r in Training().draw(REAL, 2, mask_draws(2, seed), SPACE).records) for seed in range(20)
    }
    assert len(choices) > 3


@pytest.mark.parametrize(
    "kind", ["circle", "ellipse", "triangle", "quadrilateral", "pentagon", "hexagon", "octagon", "star"]
)
def test_a_shape_has_the_area_that_its_record_says(kind):
    drawn = Shapes(kinds=(kind,), area=(0.1, 0.3)).draw(np.zeros((1, 128, 128), np.bool_), 40, mask_draws(40), SPACE)
    shares = np.array([record["area"] for record in drawn.records])
    assert np.abs(drawn.masks.mean(axis=(1, 2)) / shares - 1).max() < 0.01


def test_shapes_of_every_kind_occur_and_lie_in_the_frame():
    drawn = Shapes().draw(REAL, 70, mask_draws(70), SPACE)
    assert drawn.masks.shape == (70, 32, 48)
    assert {record["shape"] for record in drawn.records} == set(Shapes().kinds)


def test_a_shape_depends_only_on_its_own_draws():
    all_at_once = Shapes().draw(REAL, 20, mask_draws(20), SPACE).masks
    one_by_one = np.concatenate([Shapes().draw(REAL, 1, mask_draws(20)[i : i + 1], SPACE).masks for i in range(20)])
    assert np.array_equal(all_at_once, one_by_one)


def test_a_pixel_belongs_to_a_polygon_when_its_centre_does():
    square = np.array([[1.4, 1.6], [1.4, 3.6], [3.4, 3.6], [3.4, 1.6]])
    filled = _fill(square[None], 5, 5)[0]
    expected = np.zeros((5, 5), np.bool_)
    expected[1:3, 2:4] = True
    assert np.array_equal(filled, expected)


def test_a_corner_on_a_row_of_pixel_centres_leaves_no_stripe():
    diamond = np.array([[0.5, 3.0], [3.0, 5.5], [5.5, 3.0], [3.0, 0.5]])
    filled = _fill(np.stack([diamond, diamond + 1]), 7, 7)
    assert filled[0].sum(axis=1).tolist() == [0, 2, 4, 4, 2, 0, 0]
    assert np.array_equal(filled[1, 1:, 1:], filled[0, :-1, :-1])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kinds": ()}, "kinds is empty"),
        ({"area": (0.3, 0.1)}, "area is \\[0.3, 0.1\\]; allowed"),
        ({"aspect": math.pi * 2}, "aspect is 6.28"),
    ],
)
def test_impossible_shapes_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Shapes(**options)


def test_centre_and_rotation_can_be_fixed():
    shapes = Shapes(kinds=("triangle",), rotate=(90.0, 90.0), centre=(0.25, 0.5), area=(0.05, 0.05))
    drawn = shapes.draw(np.zeros((1, 64, 64), np.bool_), 3, mask_draws(3), SPACE)
    assert np.array_equal(drawn.masks[0], drawn.masks[1])
    y, x = (axis.mean() for axis in np.nonzero(drawn.masks[0]))
    assert abs(y + 0.5 - 16) < 1
    assert abs(x + 0.5 - 32) < 1
    assert drawn.records[0]["centre"] == [16.0, 32.0]
    assert drawn.records[0]["rotation_degrees"] == 90.0


def test_impossible_rotations_and_centres_are_refused():
    with pytest.raises(ValueError, match=r"rotate is \[90.0, 0.0\]; allowed"):
        Shapes(rotate=(90.0, 0.0))
    with pytest.raises(ValueError, match=r"centre is \[2.0, 0.5\]; allowed"):
        Shapes(centre=(2.0, 0.5))

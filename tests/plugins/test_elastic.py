import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augkit import InputError
from augkit.planning.options import canonical, option_model
from augkit_masks.elastic import Elastic, _parent, _repair
from augkit_masks.registration import learn_variation, register
from augkit_masks.warp import (
    enlarge,
    exponential,
    rms,
    signed_distance,
    smallest_jacobian,
    taper,
    warp,
    warp_mask,
    with_rms,
)
from samples import mask_draws, workspace

FIELDS = ["vibration", "variation", "combined", "random"]


def ellipses(count=12, height=64, width=64):
    y, x = np.mgrid[:height, :width]
    tall, wide = np.linspace(0.12, 0.28, count) * height, np.linspace(0.3, 0.14, count) * width
    return np.stack(
        [((y - height / 2) / a) ** 2 + ((x - width / 2) / b) ** 2 < 1 for a, b in zip(tall, wide, strict=True)]
    )


def draw(source, count, folder, masks=None, space=None):
    real = ellipses() if masks is None else masks
    return source.draw(real, count, mask_draws(count), space or workspace(folder))


def uniform_field(y, x, size=(20, 24)):
    return np.stack([np.full(size, y, np.float32), np.full(size, x, np.float32)])


def vibration(source, size):
    with tempfile.TemporaryDirectory() as folder:
        return source._vibration(size, workspace(Path(folder)))


def plate_fields(count=200, **options):
    source = Elastic(**options)
    basis = vibration(source, (128, 128))
    chosen = mask_draws(count)
    return [source._direction(basis, (128, 128), chosen[i : i + 1]) for i in range(count)]


# Warping.


def test_a_field_of_plus_three_in_x_moves_the_mask_three_pixels_to_the_right():
    mask = np.zeros((20, 24), np.bool_)
    mask[5:9, 6:12] = mask[9, 6] = True
    moved = warp_mask(signed_distance(mask), uniform_field(0, 3))
    assert np.array_equal(moved, np.roll(mask, 3, axis=1))
    moved = warp_mask(signed_distance(mask), uniform_field(-2, 0))
    assert np.array_equal(moved, np.roll(mask, -2, axis=0))


def test_a_field_that_points_outwards_makes_a_mask_larger():
    mask = ellipses()[5]
    y, x = np.mgrid[:64, :64].astype(np.float32) - 32
    outwards = np.stack([y, x]) * np.float32(0.2)
    assert warp_mask(signed_distance(mask), outwards).sum() > 1.3 * mask.sum()
    assert warp_mask(signed_distance(mask), -outwards).sum() < 0.8 * mask.sum()


def test_warping_is_linear_between_pixels_and_repeats_the_border():
    ramp = (np.arange(20)[:, None] * 10 + np.arange(24)).astype(np.float32)
    moved = warp(ramp[None], uniform_field(0.25, -0.5))[0]
    assert np.allclose(moved[1:, :-1], (ramp - 2.5 + 0.5)[1:, :-1])
    assert np.allclose(moved[0, :-1], (ramp + 0.5)[0, :-1])
    assert np.allclose(moved[1:, -1], (ramp - 2.5)[1:, -1])


def test_a_signed_distance_is_positive_inside_and_counts_pixels_to_the_other_kind():
    mask = np.zeros((9, 9), np.bool_)
    mask[2:7, 2:7] = True
    distance = signed_distance(mask)
    assert distance[4, 4] == 3
    assert distance[4, 2] == 1
    assert distance[4, 0] == -2
    assert np.array_equal(distance > 0, mask)
    assert (signed_distance(~mask & False) < -9).all()
    assert (signed_distance(mask | True) > 9).all()


def test_the_jacobian_is_that_of_the_backward_map():
    y, x = np.mgrid[:20, :24].astype(np.float32)
    field = np.stack([0.1 * y + 0.3 * x, -0.2 * y + 0.4 * x])
    assert smallest_jacobian(field) == pytest.approx(0.9 * 0.6 - 0.3 * -0.2 * 1.0, abs=1e-5)
    assert smallest_jacobian(np.stack([0 * y, 1.5 * x])) == pytest.approx(-0.5, abs=1e-5)


def test_within_its_margin_a_signed_distance_is_that_of_the_whole_frame():
    mask = np.zeros((40, 50), np.bool_)
    mask[0:7, 12:20] = mask[5:9, 18:30] = True
    whole, near = signed_distance(mask), signed_distance(mask, margin=3)
    assert np.array_equal(near[:12, 9:33], whole[:12, 9:33])
    near[:12, 9:33] = -4
    assert (near == -4).all()


def test_an_exponential_of_a_linear_velocity_is_the_matrix_exponential():
    y, x = np.mgrid[:65, :65].astype(np.float32) - 32
    field = exponential(np.stack([0.1 * y, -0.2 * x]), steps=10)
    middle = (slice(16, 49), slice(16, 49))
    assert np.abs(field[0] - (1 - np.exp(-0.1)) * y)[middle].max() < 0.01
    assert np.abs(field[1] - (1 - np.exp(0.2)) * x)[middle].max() < 0.01


def test_an_exponential_undoes_that_of_the_opposite_velocity_and_does_not_fold():
    velocity = with_rms(plate_fields(4)[3], 16.0)
    assert smallest_jacobian(velocity) < 0
    there, back = exponential(velocity), exponential(-velocity)
    assert smallest_jacobian(there) > 0
    assert rms(there + warp(back, there)) < 0.01 * rms(there)


def test_enlarging_is_exact_for_cubics_at_pixel_centres():
    y, x = np.linspace(0, 1, 9), np.linspace(0, 1, 7)
    centres_y, centres_x = (np.arange(20) + 0.5) / 20, (np.arange(30) + 0.5) / 30
    enlarged = enlarge((y**3)[:, None] - x**2 + x, (y, x), (20, 30))
    assert np.abs(enlarged - ((centres_y**3)[:, None] - centres_x**2 + centres_x)).max() < 1e-6


def test_the_taper_stops_the_border_and_leaves_the_middle():
    both, along = taper((40, 64), False), taper((40, 64), True)
    assert (both[:, 10:30, 16:48] == 1).all()
    assert both[:, [0, -1]].max() < 0.02
    assert both[:, :, [0, -1]].max() < 0.02
    assert along[0, [0, -1]].max() < 0.02
    assert (along[1, 0, 16:48] == 1).all()


# Plate fields.


def test_folds_are_as_frequent_as_measured_for_twenty_modes():
    fields = plate_fields()
    folds = {r: np.mean([smallest_jacobian(with_rms(field, r)) <= 0 for field in fields]) for r in (2, 4, 6, 8, 10, 12)}
    assert folds[2] == folds[4] == folds[6] == 0
    assert 0.005 <= folds[8] <= 0.1
    assert 0.25 <= folds[10] <= 0.5
    assert 0.6 <= folds[12] <= 0.9


def test_a_faster_decay_makes_smoother_fields():
    rough, smooth = (
        np.mean([smallest_jacobian(with_rms(field, 6.0)) for field in plate_fields(50, decay=decay)])
        for decay in (1.0, 2.0)
    )
    assert smooth > rough + 0.05


def test_a_clamped_field_vanishes_at_the_border_and_a_free_one_does_not():
    clamped, free = (with_rms(plate_fields(1, boundary=b)[0], 8.0) for b in ("clamped", "free"))
    assert np.abs(clamped[:, 0]).max() < 1
    assert np.abs(free[:, 0]).max() > 4


def test_the_plate_of_a_wide_frame_has_square_elements():
    basis = vibration(Elastic(), (32, 64))
    assert basis.shape[1:] == (2, 32, 64)
    mode = basis[0] / np.abs(basis[0]).max()
    across, down = np.abs(np.diff(mode, axis=2)).max(), np.abs(np.diff(mode, axis=1)).max()
    assert 0.3 < across / down < 1.5


# The source.


@pytest.mark.parametrize("field", FIELDS)
def test_one_by_one_gives_the_same_bytes_as_all_at_once(field, tmp_path):
    source = Elastic(field=field, degree=(2.0, 6.0, 10.0))
    together = draw(source, 24, tmp_path)
    for i in range(24):
        alone = source.draw(ellipses(), 1, mask_draws(24)[i : i + 1], workspace(tmp_path))
        assert alone.masks.tobytes() == together.masks[i : i + 1].tobytes()
        assert alone.records[0] == together.records[i]


@pytest.mark.parametrize("field", FIELDS)
def test_fields_have_exactly_the_degree_and_never_fold(field, tmp_path):
    drawn = draw(Elastic(field=field), 60, tmp_path)
    assert {record["degree"] for record in drawn.records} == {2.0, 4.0, 6.0, 8.0}
    for record in drawn.records:
        # 64 pixels are half of the frame that degrees are given for.
        assert record["rms"] == pytest.approx(record["degree"] / 2 * 0.8 ** record["shrinks"], abs=1e-3)
        assert record["min_jacobian"] >= 0.1
    assert np.mean([record["shrinks"] > 0 for record in drawn.records]) < 0.35


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("flow", [True, False, None])
def test_degree_zero_gives_the_training_masks_back(field, flow, tmp_path):
    masks = ellipses()
    masks[0, 30:34, 30:34] = False
    masks[1, 2:4, 2:4] = True
    drawn = draw(Elastic(field=field, degree=(0.0,), diffeomorphic=flow), 40, tmp_path, masks)
    parents = [record["parent"] for record in drawn.records]
    assert {0, 1} < set(parents)
    assert np.array_equal(drawn.masks, masks[parents])
    assert all(r["rms"] == 0 and r["area_change"] == 1 and not r["repaired"] for r in drawn.records)


def test_larger_degrees_change_masks_more(tmp_path):
    masks = ellipses()
    changes = []
    for degree in (1.0, 4.0, 8.0):
        drawn = draw(Elastic(degree=(degree,)), 40, tmp_path)
        changes.append(np.mean(drawn.masks ^ masks[[record["parent"] for record in drawn.records]]))
    assert changes[0] * 2 < changes[1]
    assert changes[1] * 1.5 < changes[2]


def test_every_training_mask_becomes_a_parent_about_equally_often(tmp_path):
    parents = [record["parent"] for record in draw(Elastic(degree=(1.0,)), 600, tmp_path).records]
    counts = np.bincount(parents, minlength=12)
    assert counts.min() > 25
    assert counts.max() < 80


def test_empty_training_masks_are_no_parents(tmp_path):
    masks = ellipses()
    masks[3:9] = False
    drawn = draw(Elastic(), 40, tmp_path, masks)
    assert not {record["parent"] for record in drawn.records} & set(range(3, 9))
    assert drawn.masks.any(axis=(1, 2)).all()
    with pytest.raises(InputError, match="elastic: 12 training masks, all empty"):
        draw(Elastic(), 1, tmp_path, masks & False)


def test_a_mask_inside_the_frame_stays_off_its_border_even_where_the_border_moves(tmp_path):
    masks = np.zeros((1, 64, 64), np.bool_)
    masks[0, 2:20, 3:30] = True
    drawn = draw(Elastic(boundary="free", degree=(12.0,)), 40, tmp_path, masks)
    assert not drawn.masks[:, [0, -1]].any()
    assert not drawn.masks[:, :, [0, -1]].any()
    assert any(record["shrinks"] for record in drawn.records)


def test_a_mask_that_leaves_the_allowed_area_is_deformed_less(tmp_path):
    drawn = draw(Elastic(degree=(10.0,), area=(0.98, 1.02)), 40, tmp_path)
    changes = np.array([record["area_change"] for record in drawn.records])
    assert changes.min() >= 0.98
    assert changes.max() <= 1.02
    assert any(record["shrinks"] for record in drawn.records)


def test_one_component_stays_one_without_holes_and_several_stay_several(tmp_path):
    from scipy.ndimage import label

    drawn = draw(Elastic(degree=(16.0,)), 30, tmp_path)
    assert all(label(mask, np.ones((3, 3)))[1] == 1 and label(~mask)[1] == 1 for mask in drawn.masks)
    several = np.zeros((1, 64, 64), np.bool_)
    for row in (10, 30, 50):
        for column in (12, 32, 52):
            several[0, row - 4 : row + 4, column - 4 : column + 4] = True
    drawn = draw(Elastic(), 30, tmp_path, several)
    assert all(label(mask, np.ones((3, 3)))[1] == 9 for mask in drawn.masks)


def test_specks_and_holes_are_removed_only_where_the_parent_has_none():
    disc = ellipses()[6]
    spoilt = disc.copy()
    spoilt[32, 32] = False
    spoilt[2, 2] = True
    mended, repaired = _repair(spoilt, _parent(0, disc))
    assert np.array_equal(mended, disc)
    assert repaired
    same, repaired = _repair(spoilt, _parent(0, spoilt))
    assert np.array_equal(same, spoilt)
    assert not repaired


def test_the_default_follows_a_velocity_above_degree_six_and_where_the_field_would_fold(tmp_path):
    flows = {r["degree"]: r["diffeomorphic"] for r in draw(Elastic(), 40, tmp_path).records}
    assert flows == {2.0: False, 4.0: False, 6.0: False, 8.0: True}
    rough = draw(Elastic(field="random", sigma=6.0, degree=(6.0,)), 20, tmp_path).records
    assert any(record["diffeomorphic"] for record in rough)
    plain = draw(Elastic(field="random", sigma=6.0, degree=(6.0,), diffeomorphic=False), 20, tmp_path).records
    assert not any(record["diffeomorphic"] for record in plain)
    assert sum(r["shrinks"] for r in plain) > sum(r["shrinks"] for r in rough)


def test_a_source_that_often_deforms_less_says_so(tmp_path):
    space = workspace(tmp_path)
    draw(Elastic(field="random", sigma=6.0, degree=(8.0,), diffeomorphic=False), 200, tmp_path, space=space)
    assert "of 200 masks are deformed less than drawn; their records say how much" in space.log.notes[-1]
    assert (200, 200, {}) in space.log.steps


def test_a_random_field_obeys_the_boundary():
    clamped, free = (
        with_rms(Elastic(field="random", boundary=boundary)._direction(None, (64, 64), mask_draws(1)), 8.0)
        for boundary in ("clamped", "free")
    )
    assert np.abs(clamped[:, [0, -1]]).max() < 0.2
    assert np.abs(free[:, [0, -1]]).max() > 4


# Learnt modes.


def test_registration_moves_one_shape_onto_another():
    first, last = (signed_distance(mask) for mask in ellipses()[[2, 9]])
    field = register(first, last)
    before = np.sum((first > 0) ^ (last > 0))
    after = np.sum((warp(first[None], field)[0] > 0) ^ (last > 0))
    assert after < 0.15 * before
    assert smallest_jacobian(field) > 0


def test_the_first_learnt_mode_of_discs_that_differ_in_size_is_a_change_of_size(tmp_path):
    y, x = np.mgrid[:64, :64] - 31.5
    discs = np.stack([np.hypot(y, x) < radius for radius in np.linspace(8, 20, 15)])
    found = learn_variation(discs, 5)
    assert found.after > 0.97 > found.before
    first, second = (rms(mode) for mode in found.modes[:2])
    assert first > 5 * second
    outwards = found.modes[0, 0] * y + found.modes[0, 1] * x
    ring = (np.hypot(y, x) > 8) & (np.hypot(y, x) < 18)
    assert abs(np.sign(outwards[ring]).mean()) > 0.99


def test_learnt_modes_are_kept_in_the_workspace_and_used_again(tmp_path):
    source = Elastic(field="variation", degree=(6.0,))
    space = workspace(tmp_path)
    first = draw(source, 6, tmp_path, space=space)
    said = "registration took the overlap (Dice) of the average mask with the training masks from 0."
    assert said in space.log.notes[0]
    assert (tmp_path / "variation.npy").is_file()
    space = workspace(tmp_path)
    assert np.array_equal(draw(source, 6, tmp_path, space=space).masks, first.masks)
    assert space.log.notes == space.log.steps == []


def test_masks_that_differ_in_width_have_learnt_modes_along_x(tmp_path):
    masks = np.zeros((9, 64, 96), np.bool_)
    for i in range(9):
        masks[i, 20:44, 36 - 2 * i : 60 + 2 * i] = True
    modes = Elastic(field="variation")._variation(masks, np.arange(9), workspace(tmp_path))
    down, along = np.square(modes[0]).sum(axis=(1, 2))
    assert modes.shape[1:] == (2, 64, 96)
    assert along > 20 * down
    assert np.abs(modes[0, 1, 32, 20:30]).min() > 3 * np.abs(modes[0, 1, 32, 44:52]).max()


def test_masks_that_do_not_differ_have_no_modes_to_learn(tmp_path):
    with pytest.raises(InputError, match=r"elastic: the training masks do not differ\. Use field: vibration"):
        draw(Elastic(field="variation"), 1, tmp_path, ellipses()[[3, 3, 3]])


def test_masks_without_a_common_shape_are_named(tmp_path):
    scattered = np.zeros((6, 64, 64), np.bool_)
    for i, (row, column) in enumerate([(2, 2), (2, 50), (50, 2), (50, 50), (26, 2), (2, 26)]):
        scattered[i, row : row + 5, column : column + 5] = True
    space = workspace(tmp_path)
    draw(Elastic(field="variation"), 1, tmp_path, scattered, space)
    assert "the masks have no shape in common" in space.log.notes[0]


# Options.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"degree": ()}, "degree is empty; allowed: one or more strengths"),
        ({"area": (1.5, 3.0)}, "area is \\[1.5, 3.0\\]; allowed: 0 < smallest <= 1 <= largest"),
        ({"area": (0.5, 0.9)}, "area is \\[0.5, 0.9\\]"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        replace(Elastic(), **options)


def test_a_recipe_can_give_every_option():
    text = '{"field": "combined", "degree": [2, 4.5], "diffeomorphic": null, "boundary": "free", "area": [0.5, 2]}'
    options = option_model(Elastic).model_validate_json(text, strict=True).model_dump(by_alias=True, exclude_unset=True)
    expected = Elastic("combined", (2.0, 4.5), diffeomorphic=None, boundary="free", area=(0.5, 2.0))
    assert Elastic(**options) == expected
    assert canonical(Elastic())["diffeomorphic"] is None
    with pytest.raises(ValueError, match="less than or equal to 16"):
        option_model(Elastic).model_validate_json('{"degree": [40]}', strict=True)


def test_the_plate_s_modes_are_computed_once_and_kept(tmp_path, monkeypatch):
    first = drawn_in(tmp_path)
    assert (tmp_path / "vibration.npy").is_file()
    monkeypatch.setattr("augkit_masks.elastic.lowest_modes", None)
    assert np.array_equal(drawn_in(tmp_path), first)


def drawn_in(folder):
    return Elastic().draw(ellipses(), 6, mask_draws(6), workspace(folder)).masks

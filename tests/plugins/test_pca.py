import json
import os
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from augkit import InputError
from augkit_masks.moments import moments
from augkit_masks.pca import Pca
from augkit_masks.representations import decode, encode
from augkit_masks.shape_model import fit_shape_model, principal_components, shift
from augkit_masks.validity import count_holes, count_parts, fill_holes, largest_part, make_one_object
from samples import mask_draws, workspace


def ellipse(height, width, centre, axes, angle):
    y, x = np.mgrid[:height, :width] + 0.5
    y, x = y - centre[0], x - centre[1]
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return (u / axes[0]) ** 2 + (v / axes[1]) ** 2 < 1


@cache
def ellipses(count=120, height=48, width=48, seed=0):
    """Ellipses of varied size, elongation, direction and place."""
    rng = np.random.Generator(np.random.Philox(seed))
    masks = []
    for _ in range(count):
        size, ratio, angle = rng.uniform(6, 14), rng.uniform(1, 1.6), rng.uniform(0, np.pi)
        centre = np.array([height, width]) / 2 + rng.uniform(-5, 5, 2)
        masks.append(ellipse(height, width, centre, (size * ratio**0.5, size / ratio**0.5), angle))
    return np.array(masks)


def draw(source, masks, count, folder, seed=0):
    space = workspace(folder)
    return source.draw(masks, count, mask_draws(count, seed), space), space.log


def is_one_object(mask):
    return ndimage.label(mask)[1] == 1 and not (ndimage.binary_fill_holes(mask) ^ mask).any()


# The model.


def test_components_and_variances_are_those_of_the_singular_value_decomposition():
    vectors = np.random.Generator(np.random.Philox(1)).normal(size=(90, 120)).astype(np.float32)
    for data in (vectors, vectors[:, :80], vectors[:30, :50], vectors[:30, :20]):
        data = (data - data.mean(axis=0)) * np.linspace(3, 1, data.shape[1], dtype=np.float32)
        data -= data.mean(axis=0)
        directions, variances, total = principal_components(data, 5)
        _, singular, expected = np.linalg.svd(data.astype(np.float64), full_matrices=False)
        assert np.allclose(variances, singular[:5] ** 2 / (len(data) - 1), rtol=1e-4)
        assert total == pytest.approx((singular**2).sum() / (len(data) - 1), rel=1e-4)
        assert np.allclose(np.abs((directions * expected[:5]).sum(axis=1)), 1, atol=1e-3)


def test_parts_and_holes_are_those_of_the_whole_frame_wherever_the_mask_lies():
    noise = np.random.Generator(np.random.Philox(3)).random((30, 9, 12))
    for i, values in enumerate(noise):
        mask = values < 0.3 + 0.02 * i
        mask[: i % 3, :] = mask[:, : i % 2] = False
        background = ndimage.label(~np.pad(mask, 1))[0]
        assert np.array_equal(fill_holes(mask), (background != 1)[1:-1, 1:-1])
        assert count_holes(mask) == background.max() - 1
        assert count_parts(mask) == ndimage.label(mask)[1]
        labels = ndimage.label(mask)[0]
        assert np.array_equal(largest_part(mask), labels == 1 + np.bincount(labels.ravel())[1:].argmax())


def test_a_weight_of_one_is_one_standard_deviation_of_the_population():
    model, _ = fit_shape_model(ellipses(), "sdm", True, 5)
    lengths = np.linalg.norm(model.components, axis=1) ** 2
    assert np.allclose(lengths / lengths.sum(), model.shares / model.shares.sum(), rtol=1e-3)
    assert np.all(np.diff(model.shares) < 0)
    assert 0.9 < model.shares.sum() <= 1


@pytest.mark.parametrize("representation", ["sdm", "pixel", "logodds", "landmark"])
def test_the_first_component_of_centred_shapes_is_size_and_grows_with_its_weight(representation):
    model, _ = fit_shape_model(ellipses(), representation, True, 5)
    assert model.correlations["area"][0] > 0.9
    areas = [model.mask(np.array([w, 0, 0, 0, 0], np.float32)).mean() for w in np.linspace(-1, 1, 7)]
    assert np.all(np.diff(areas) > 0)


def test_without_centring_the_place_is_among_the_first_components_and_with_it_is_not():
    place = {}
    for centred in (True, False):
        r = fit_shape_model(ellipses(), "sdm", centred, 3)[0].correlations
        place[centred] = max(np.abs(r["centroid x"]).max(), np.abs(r["centroid y"]).max())
    assert place[False] > 0.7
    assert place[True] < 0.4


def test_the_component_of_orientation_turns_the_long_axis_through_the_frame(tmp_path):
    source = Pca(vary="orientation", range=(-1.5, 1.5), levels=5, representation="landmark")
    drawn, log = draw(source, ellipses(), 5, tmp_path)
    diagonal = moments(drawn.masks).diagonal
    assert np.all(np.diff(diagonal) > 0)
    assert diagonal[0] < -0.1
    assert diagonal[-1] > 0.1
    assert any(note.startswith("orientation is component ") for note in log.notes)


@pytest.mark.parametrize("representation", ["sdm", "pixel", "logodds"])
def test_a_mask_survives_being_encoded(representation):
    masks = ellipses()[:5]
    for mask, vector in zip(masks, encode(masks, representation), strict=True):
        assert np.array_equal(decode(vector, representation, 48, 48), mask)


def test_landmarks_keep_a_mask_to_within_its_outline_pixels():
    masks = ellipses()[:20]
    for mask, vector in zip(masks, encode(masks, "landmark"), strict=True):
        wrong = decode(vector, "landmark", 48, 48) ^ mask
        assert wrong.sum() < 0.02 * mask.sum()


def test_landmarks_correspond_whatever_pixel_an_outline_starts_at():
    circles = np.array([ellipse(48, 48, (24, 24), (radius, radius), 0) for radius in (8, 10, 12, 14)])
    points = encode(circles, "landmark").reshape(4, 128, 2)
    angles = np.unwrap(np.arctan2(points[..., 0], points[..., 1]), axis=1)
    assert np.abs(angles - angles[0]).max() < np.radians(10)


def test_distances_are_measured_to_the_outline_between_pixels_and_clipped():
    mask = np.zeros((1, 8, 12), np.bool_)
    mask[:, :, 6:] = True
    expected = np.array([-2, -2, -2, -2, -1.5, -0.5, 0.5, 1.5, 2, 2, 2, 2]) / 2
    assert np.array_equal(encode(mask, "sdm").reshape(8, 12), np.tile(expected, (8, 1)))
    assert np.allclose(encode(mask, "logodds").reshape(8, 12)[0, 5:7], np.tanh([-2, 2]))


def test_moments_agree_with_scikit_image():
    from skimage.measure import regionprops

    masks = ellipses(height=40, width=56)[:10]
    found = moments(masks)
    for i, mask in enumerate(masks):
        region = regionprops(mask.astype(int))[0]
        assert found.area[i] == pytest.approx(region.area / mask.size)
        assert (found.y[i] + 19.5, found.x[i] + 27.5) == pytest.approx(region.centroid)
        assert found.eccentricity[i] == pytest.approx(region.eccentricity, abs=0.01)


def test_elongation_along_the_falling_diagonal_is_positive():
    falling, wide = np.eye(9, dtype=np.bool_), np.zeros((9, 9), np.bool_)
    wide[4] = True
    found = moments(np.array([falling, falling[::-1], wide]))
    assert found.diagonal[0] > 0.9 > -0.9 > found.diagonal[1]
    assert found.axis[2] > 0.9


# Valid masks.


def test_holes_are_filled_and_bays_at_the_edge_are_not():
    mask = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [1, 1, 1, 1]], np.bool_)
    expected = mask.copy()
    expected[1, 1] = True
    assert np.array_equal(fill_holes(mask), expected)


def test_only_the_largest_part_is_kept():
    mask = np.array([[1, 0, 1, 1], [0, 1, 0, 1]], np.bool_)
    assert largest_part(mask).tolist() == [[False, False, True, True], [False, False, False, True]]


def test_the_opening_removes_a_spur_and_keeps_what_the_frame_cuts():
    mask = np.zeros((12, 12), np.bool_)
    mask[:6] = True
    mask[6:10, 5] = True
    opened = make_one_object(mask, 2)
    assert opened[:6].all()
    assert not opened[7:].any()


def test_shifting_cuts_what_leaves_the_frame():
    mask = np.ones((3, 4), np.bool_)
    assert shift(mask, 1, -2).tolist() == [[False] * 4, [True, True, False, False], [True, True, False, False]]


@pytest.mark.parametrize("representation", ["sdm", "pixel", "logodds", "landmark"])
def test_every_drawn_mask_is_one_object_of_an_allowed_size(representation, tmp_path):
    source = Pca(representation=representation, range=(-3, 3), area=(0.03, 0.5))
    drawn, _ = draw(source, ellipses(), 150, tmp_path)
    shares = drawn.masks.mean(axis=(1, 2))
    assert all(is_one_object(mask) for mask in drawn.masks)
    assert shares.min() >= 0.03
    assert shares.max() <= 0.5
    assert any(record["repaired"] for record in drawn.records)


def test_a_repaired_mask_is_recorded_with_the_weights_it_really_has(tmp_path):
    source = Pca(vary="size", range=(-3, 3), levels=7, area=(0.05, 0.9))
    drawn, _ = draw(source, ellipses(), 7, tmp_path)
    model, _ = fit_shape_model(ellipses(), "sdm", True, 10)
    first, middle = drawn.records[0], drawn.records[3]
    assert first["repaired"] is True
    assert first["weights"][0] == -3
    assert -3 < first["effective"][0] < 0
    assert np.array_equal(drawn.masks[0], model.mask(np.array(first["effective"], np.float32)))
    assert middle == {"weights": [0.0] * 10, "effective": [0.0] * 10, "repaired": False}


def test_a_shape_that_is_not_repaired_is_the_plain_shape_of_its_weights(tmp_path):
    drawn, _ = draw(Pca(), ellipses(), 40, tmp_path)
    model, _ = fit_shape_model(ellipses(), "sdm", True, 10)
    plain = [
        np.array_equal(mask, model.mask(np.array(record["weights"], np.float32)))
        for mask, record in zip(drawn.masks, drawn.records, strict=True)
        if not record["repaired"]
    ]
    assert len(plain) > 30
    assert np.mean(plain) > 0.9  # records round the weights


# Drawing.


def test_random_weights_are_normal_clipped_and_within_the_gate(tmp_path):
    drawn, _ = draw(Pca(modes=6), ellipses(), 600, tmp_path)
    weights = np.array([record["weights"] for record in drawn.records])
    assert np.abs(weights).max() == 2
    assert (weights**2).sum(axis=1).max() <= 16.82  # chi-square, 6 degrees of freedom, 99 %
    assert np.abs(weights.mean(axis=0)).max() < 0.15
    assert np.abs(weights.std(axis=0) - 0.94).max() < 0.08


def test_chosen_components_vary_uniformly_over_the_range_and_others_do_not(tmp_path):
    drawn, _ = draw(Pca(components=(1, 3), range=(-1, 0.5)), ellipses(), 200, tmp_path)
    weights = np.array([record["weights"] for record in drawn.records])
    assert not weights[:, [1, *range(3, 10)]].any()
    for k in (0, 2):
        assert weights[:, k].min() < -0.9
        assert 0.4 < weights[:, k].max() <= 0.5


def test_levels_show_one_component_after_the_other(tmp_path):
    drawn, _ = draw(Pca(components=(1, 3), range=(-1, 1), levels=3), ellipses(), 8, tmp_path)
    shown = [(record["weights"][0], record["weights"][2]) for record in drawn.records]
    assert shown == [(-1, 0), (0, 0), (1, 0), (0, -1), (0, 0), (0, 1), (-1, 0), (0, 0)]


def test_a_mask_depends_only_on_its_own_draws(tmp_path):
    source, masks = Pca(place="training"), ellipses()
    together = source.draw(masks, 12, mask_draws(12), workspace(tmp_path))
    alone = [source.draw(masks, 1, mask_draws(12)[i : i + 1], workspace(tmp_path)) for i in (0, 5, 11)]
    for i, one in zip((0, 5, 11), alone, strict=True):
        assert np.array_equal(one.masks[0], together.masks[i])
        assert one.records[0] == together.records[i]


def test_centred_shapes_are_in_the_middle_and_may_be_moved_to_where_training_masks_are(tmp_path):
    middle, _ = draw(Pca(), ellipses(), 60, tmp_path)
    placed, _ = draw(Pca(place="training"), ellipses(), 60, tmp_path)
    assert np.abs(moments(middle.masks).x).max() < 1.5
    assert moments(placed.masks).x.std() == pytest.approx(moments(ellipses()).x.std(), rel=0.3)
    assert np.array_equal(middle.masks.sum(axis=(1, 2)), placed.masks.sum(axis=(1, 2)))


def test_frames_need_not_be_square(tmp_path):
    masks = ellipses(height=40, width=64)
    drawn, _ = draw(Pca(), masks, 10, tmp_path)
    assert drawn.masks.shape == (10, 40, 64)
    assert all(is_one_object(mask) for mask in drawn.masks)


def test_the_model_is_kept_and_described(tmp_path):
    _, log = draw(Pca(modes=7), ellipses(), 5, tmp_path)
    kept = json.loads((tmp_path / "pca.json").read_text())
    assert kept["representation"] == "sdm"
    assert kept["masks"] == {"used": 120, "empty": 0, "parted": 0, "holed": 0}
    assert [component["number"] for component in kept["components"]] == list(range(1, 8))
    assert kept["components"][0]["correlation"]["area"] > 0.9
    assert np.load(tmp_path / "components.npy").shape == (7, 48 * 48)
    assert np.load(tmp_path / "mean.npy").shape == (48 * 48,)
    assert log.notes[0] == "shape model of 120 masks"
    assert log.notes[1].startswith("component 1: ")
    assert "area r = +" in log.notes[1]
    assert sum(note.startswith("component ") for note in log.notes) == 5
    assert log.notes[-1] == "0 of 5 drawn shapes (0.0%) were repaired"
    assert log.steps == [(5, 5, {})]


def test_an_interrupted_draw_finds_its_model_again_and_gives_the_same_masks(tmp_path):
    first, _ = draw(Pca(), ellipses(), 20, tmp_path)
    second, log = draw(Pca(), ellipses(), 20, tmp_path)
    assert log.notes == ["0 of 20 drawn shapes (0.0%) were repaired"]
    assert np.array_equal(first.masks, second.masks)
    assert first.records == second.records


@pytest.mark.parametrize("change", ["masks", "options"])
def test_a_model_of_other_masks_or_options_is_not_taken_for_this_one(change, tmp_path):
    draw(Pca(), ellipses(), 2, tmp_path)
    masks, source = (ellipses()[1:], Pca()) if change == "masks" else (ellipses(), Pca(modes=9))
    _, log = draw(source, masks, 2, tmp_path)
    assert log.notes[0] == f"shape model of {len(masks)} masks"


# Few, equal and strange masks.


def test_two_masks_have_one_component_between_them(tmp_path):
    masks = np.array([ellipse(32, 32, (16, 16), (radius, radius), 0) for radius in (6, 12)])
    drawn, _ = draw(Pca(range=(-1, 1), levels=5), masks, 5, tmp_path)
    assert len(drawn.records[0]["weights"]) == 1
    assert np.all(np.diff(drawn.masks.sum(axis=(1, 2))) > 0)


def test_fewer_masks_than_modes_make_fewer_components():
    model, _ = fit_shape_model(ellipses()[:6], "sdm", True, 10)
    assert len(model.components) == 5
    assert model.shares.sum() == pytest.approx(1, abs=1e-4)


def test_a_component_that_these_masks_do_not_have_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"components is \[1, 9\]; these training masks have 5 components"):
        draw(Pca(components=(1, 9)), ellipses()[:6], 3, tmp_path)


@pytest.mark.parametrize("count", [4, 300])
def test_equal_masks_have_no_shape_model(count, tmp_path):
    with pytest.raises(InputError, match=f"all {count} training masks are equal"):
        draw(Pca(), np.repeat(ellipses()[:1], count, axis=0), 3, tmp_path)


def test_a_single_mask_has_no_shape_model(tmp_path):
    with pytest.raises(InputError, match="1 of 3 training masks show an object; a shape model needs 2"):
        draw(Pca(), np.concatenate([ellipses()[:1], np.zeros((2, 48, 48), np.bool_)]), 3, tmp_path)


def test_masks_of_many_objects_are_refused_with_the_reason(tmp_path):
    masks = ellipses()[:10].copy()
    masks[:3, :2, :2] = True
    with pytest.raises(
        InputError, match=r"3 of 10 training masks \(30%\) have more than one part; allowed: 20%.*no mean"
    ):
        draw(Pca(), masks, 3, tmp_path)


def test_a_few_masks_of_several_parts_are_reduced_and_that_is_said(tmp_path):
    masks = ellipses()[:20].copy()
    masks[:2, :2, :2] = True
    masks[3] = False
    masks[4] ^= ellipse(48, 48, (24, 24), (2, 2), 0)
    _, log = draw(Pca(), masks, 3, tmp_path)
    assert log.notes[0] == (
        "shape model of 19 masks: 1 empty left out, 2 with several parts reduced to the largest, 1 with holes filled"
    )


def test_a_mean_shape_outside_the_allowed_area_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"the mean shape covers .*% of the frame; allowed by area: 80.00% .. 90.00%"):
        draw(Pca(area=(0.8, 0.9)), ellipses(), 3, tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"components": (1, 1)}, r"components is \[1, 1\]; allowed: each number once"),
        ({"components": (4,), "modes": 3}, r"components is \[4\]; allowed: 1 .. 3, the modes"),
        ({"components": (1,), "vary": "size"}, "components and vary: size are both given"),
        ({"range": (1, -1)}, r"range is \[1, -1\]; allowed: -3 <= smallest < largest <= 3"),
        ({"levels": 7}, r"levels needs a range; write 'range: \[-1, 1\]'"),
        ({"area": (0.5, 0.1)}, r"area is \[0.5, 0.1\]; allowed: 0 < smallest"),
        ({"place": "training", "centred": False}, "place is training; allowed with centred: true"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Pca(**options)


# Real lesions.


@pytest.fixture(scope="module")
def lesions():
    if not os.environ.get("AUGKIT_DATA"):
        pytest.skip("AUGKIT_DATA is not set: no ISIC 2017 masks")
    from augkit_isic import Isic

    return Isic(size=128).load().train.masks


def test_seven_levels_of_the_first_component_of_lesions_change_their_size(lesions, tmp_path):
    drawn, _ = draw(Pca(components=(1,), range=(-1, 1), levels=7), lesions, 7, tmp_path)
    kept = json.loads((tmp_path / "pca.json").read_text())
    assert kept["components"][0]["correlation"]["area"] > 0.9
    assert np.all(np.diff(drawn.masks.sum(axis=(1, 2))) > 100)
    assert not any(record["repaired"] for record in drawn.records)


def test_a_thousand_lesions_are_all_whole_and_few_had_to_be_repaired(lesions, tmp_path):
    drawn, log = draw(Pca(), lesions, 1000, tmp_path)
    assert all(is_one_object(mask) for mask in drawn.masks)
    assert drawn.masks.mean(axis=(1, 2)).min() >= 0.005
    assert np.mean([record["repaired"] for record in drawn.records]) < 0.06
    assert "several parts reduced to the largest" in log.notes[0]

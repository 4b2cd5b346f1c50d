"""The drawn data set: seeded by sample, exact masks, ISIC-like sizes, and fit for every promised frame size."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from augkit import Draws, Splits
from augkit.data.draws import ArrayDraws, sample_keys
from augkit_phantom import Phantom, augkit_datasets
from augkit_phantom.artefacts import add_gel, add_hair, add_ink, add_ruler, add_sticker
from augkit_phantom.camera import add_vignette
from augkit_phantom.drawing import draw, reflect
from augkit_phantom.fields import Plane, octave
from augkit_phantom.shape import outline
from augkit_phantom.skin import Tissue, tissue
from augkit_phantom.strokes import cover


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Phantom(train=200, test=150, validation=20).load()


def _draws(count: int) -> ArrayDraws:
    return Draws.of(0, "phantom/train", sample_keys([f"phantom-train-{i:06d}" for i in range(count)]))


def test_the_plugin_registers_the_data_set_under_its_recipe_name() -> None:
    assert augkit_datasets() == {"phantom": Phantom}


def test_importing_the_plugin_imports_neither_torch_nor_scipy() -> None:
    code = "import sys, augkit_phantom; sys.exit(bool({'torch', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_file_decides_what_is_drawn() -> None:
    assert list(Phantom().sources()) == []


def test_the_splits_have_the_asked_sizes_and_names(splits: Splits) -> None:
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [200, 20, 150]
    assert splits.train.ids[0] == "phantom-train-000000"
    assert splits.validation.ids[-1] == "phantom-validation-000019"
    assert splits.test.ids[149] == "phantom-test-000149"
    assert splits.train.groups == splits.train.ids
    assert set(splits.test.origins) == {"real"}


def test_a_split_of_no_images_is_empty_and_of_the_right_size() -> None:
    validation = Phantom(train=1, test=1, size=48).load().validation
    assert validation.ids == ()
    assert validation.size == (48, 48)


def test_ten_images_are_the_first_ten_of_two_hundred(splits: Splits) -> None:
    few = Phantom(train=10, test=3).load()
    assert few.train.images.tobytes() == splits.train.images[:10].tobytes()
    assert few.train.masks.tobytes() == splits.train.masks[:10].tobytes()
    assert few.test.images.tobytes() == splits.test.images[:3].tobytes()


def test_an_image_is_the_same_alone_and_in_any_order() -> None:
    draws = _draws(40)
    images, masks = draw(draws, 64)
    order = np.random.Generator(np.random.Philox(key=1)).permutation(40)
    shuffled, shuffled_masks = draw(draws[order], 64)
    assert shuffled.tobytes() == images[order].tobytes()
    assert shuffled_masks.tobytes() == masks[order].tobytes()
    for i in (0, 17, 39):
        assert draw(draws[i : i + 1], 64)[0].tobytes() == images[i].tobytes()


def test_another_seed_and_another_split_draw_other_images(splits: Splits) -> None:
    other = Phantom(train=20, test=20, seed=1).load()
    assert not np.any(np.all(other.train.images == splits.train.images[:20], axis=(1, 2, 3)))
    assert not np.any(np.all(splits.train.images[:20] == splits.test.images[:20], axis=(1, 2, 3)))


def test_no_two_images_are_alike(splits: Splits) -> None:
    everything = np.concatenate([splits.train.images, splits.validation.images, splits.test.images])
    assert len({image.tobytes() for image in everything}) == 370


@pytest.mark.parametrize("size", [32, 33, 64, 100, 128, 256])
def test_every_mask_is_one_part_without_holes(size: int) -> None:
    images, masks = draw(_draws(200 if size <= 64 else 24), size)
    assert images.shape == (*masks.shape, 3)
    assert images.dtype == np.uint8
    assert masks.dtype == np.bool_
    for mask in masks:
        assert ndimage.label(mask)[1] == 1
        background = ndimage.label(~mask)[0]
        edge = np.concatenate([background[0], background[-1], background[:, 0], background[:, -1]])
        assert set(np.unique(background)) - {0} <= set(edge)


def test_the_mask_is_the_drawn_region_by_the_pixel_centre_rule() -> None:
    lesion = outline(_draws(50).fork("shape"), 64)
    assert np.array_equal(lesion.masks, lesion.depth < 0)
    assert np.array_equal(lesion.masks, draw(_draws(50), 64)[1])


def test_the_mask_outlines_the_same_lesion_at_every_size() -> None:
    small, large = (draw(_draws(30), size)[1] for size in (64, 128))
    shrunk = large.reshape(30, 64, 2, 64, 2).mean(axis=(2, 4)) > 0.5
    common = (small & shrunk).sum(axis=(1, 2))
    dice = 2 * common / (small.sum(axis=(1, 2)) + shrunk.sum(axis=(1, 2)))
    assert np.median(dice) > 0.93


def test_lesions_are_as_large_as_in_isic_2017() -> None:
    share = outline(_draws(600), 64).masks.mean(axis=(1, 2))
    low, middle, high = np.percentile(share, [5, 50, 95])
    assert 0.010 < low < 0.022
    assert 0.10 < middle < 0.16
    assert 0.50 < high < 0.72


def test_most_lesions_are_darker_than_the_skin_around_them_but_some_hardly(splits: Splits) -> None:
    grey = splits.train.images.mean(axis=3)
    contrast = []
    for image, mask in zip(grey, splits.train.masks, strict=True):
        around = ndimage.binary_dilation(mask, iterations=4) & ~mask
        contrast.append(image[around].mean() - image[mask].mean())
    assert np.mean(np.array(contrast) > 0) > 0.9
    assert np.mean(np.array(contrast) < 15) > 0.1
    assert np.mean(np.array(contrast) > 50) > 0.1


def test_images_use_the_range_and_differ_in_tone(splits: Splits) -> None:
    tones = splits.train.images.mean(axis=(1, 2))
    assert tones.std(axis=0).min() > 15
    assert np.all(tones[:, 0].mean() > tones[:, 1:].mean(axis=0))
    assert splits.train.images.min() < 30
    assert splits.train.images.max() > 230


def test_noise_has_unit_variance_and_no_mean() -> None:
    values = octave(_draws(300), "test", 11, 64)
    assert values.dtype == np.float32
    assert abs(values.mean()) < 0.02
    assert abs(values.var() - 1) < 0.03


def test_noise_of_a_coarser_frame_samples_the_same_field() -> None:
    coarse, fine = (octave(_draws(20), "test", 11, size) for size in (64, 128))
    assert np.corrcoef(coarse.ravel(), fine.reshape(20, 64, 2, 64, 2).mean(axis=(2, 4)).ravel())[0, 1] > 0.999


def test_absorbers_are_not_negative_and_scatterers_are_shares() -> None:
    layers = tissue(_draws(60), outline(_draws(60).fork("shape"), 64))
    for plane in (layers.melanin, layers.blood, layers.veil, layers.white):
        assert plane.dtype == np.float32
        assert plane.min() >= 0
    assert max(layers.veil.max(), layers.white.max()) <= 1


def test_more_melanin_is_darker_and_browner() -> None:
    empty = np.zeros((1, 2, 2), np.float32)
    pale, dark = (reflect(Tissue(empty + amount, empty, empty, empty))[0, :, 0, 0] for amount in (0.1, 1.0))
    assert np.all(dark < pale)
    assert dark[0] / dark[2] > pale[0] / pale[2]


def test_a_vignette_darkens_the_corners_of_some_images_only() -> None:
    images = np.ones((200, 3, 64, 64), np.float32)
    add_vignette(images, _draws(200))
    corner, middle = images[:, 0, 0, 0], images[:, 0, 32, 32]
    assert 0.2 < np.mean(corner < 0.5) < 0.5
    assert middle.min() == 1.0


@pytest.mark.parametrize("add", [add_gel, add_hair, add_ink, add_ruler, add_sticker])
def test_an_artefact_is_on_some_images_and_leaves_the_others_alone(add: Callable[[Plane, ArrayDraws], None]) -> None:
    images = np.full((200, 3, 64, 64), 0.5, np.float32)
    add(images, _draws(200))
    touched = np.mean(np.any(images != 0.5, axis=(1, 2, 3)))
    assert 0.01 < touched < 0.6
    assert np.mean(images != 0.5) < 0.5 * touched


def test_a_straight_stroke_covers_as_many_pixels_as_it_is_long_and_wide() -> None:
    t = np.linspace(0.25, 0.75, 128, dtype=np.float32)
    points = np.stack([t, np.full_like(t, 0.5)], axis=-1)[None]
    for pixels in (0.5, 2.0, 4.0):
        width = np.full((1, 128), pixels / 64, np.float32)
        area = float(cover(points, width, np.array([1]), 2, 64)[1].sum())
        assert area == pytest.approx(32 * pixels, rel=0.25)


def test_a_stroke_marks_only_the_image_that_owns_it() -> None:
    points = np.full((1, 4, 2), 0.5, np.float32)
    covered = cover(points, np.full((1, 4), 0.05, np.float32), np.array([1]), 3, 64)
    assert [bool(plane.any()) for plane in covered] == [False, True, False]
    assert np.argwhere(covered[1] == covered[1].max()).mean(axis=0) == pytest.approx([31.5, 31.5], abs=0.6)


def test_a_stroke_outside_the_frame_leaves_no_mark() -> None:
    points = np.full((1, 4, 2), 1.2, np.float32)
    assert not cover(points, np.full((1, 4), 0.05, np.float32), np.array([0]), 1, 64).any()

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from augkit import ImageSet, Splits
from augkit.data.pairs import Pair
from augkit.data.remarks import remarks_on, turned_apart

NUMBERS = np.random.Generator(np.random.Philox(1))


def make(name, count):
    images = NUMBERS.integers(0, 256, (count, 16, 16, 3), np.uint8)
    masks = np.zeros((count, 16, 16), np.bool_)
    for i in range(count):
        masks[i, 3 : 6 + i, 4:9] = True
    ids = tuple(f"{name}{i}" for i in range(count))
    return ImageSet(ids, images, masks, ids, ("real",) * count)


@pytest.fixture
def splits():
    return Splits(make("a", 5), make("b", 2), make("c", 3))


def test_an_ordinary_data_set_has_no_remark(splits):
    assert remarks_on(splits) == ()


def test_masks_that_cover_most_of_the_frame_may_be_swapped(splits):
    (remark,) = remarks_on(replace(splits, train=replace(splits.train, masks=~splits.train.masks)))
    assert remark.startswith("In the middle one of 5 training masks the structure covers 90% of the frame.")
    assert "Are background and structure swapped?" in remark


def test_one_large_structure_is_no_reason_for_a_remark(splits):
    masks = np.array(splits.train.masks)
    masks[:2] = True
    assert remarks_on(replace(splits, train=replace(splits.train, masks=masks))) == ()


@pytest.mark.parametrize("what", ["masks", "images"])
def test_training_files_that_are_all_the_same_are_remarked_on(splits, what):
    same = np.repeat(getattr(splits.train, what)[:1], 5, axis=0)
    assert remarks_on(replace(splits, train=replace(splits.train, **{what: same}))) == (
        f"All 5 training {what} are the same to the last pixel.",
    )


def test_equal_images_in_two_splits_are_counted_in_one_sentence_with_an_example(splits):
    images = np.array(splits.test.images)
    images[0], images[2] = splits.train.images[3], splits.validation.images[1]
    (remark,) = remarks_on(replace(splits, test=replace(splits.test, images=images)))
    assert remark.startswith("2 images are in two splits with equal pixels, such as a3 in train and c0 in test.")
    assert "augkit data check" in remark
    assert "exclude_copies: true" in remark


def test_equal_images_within_a_split_are_left_to_the_search_for_copies(splits):
    images = np.array(splits.train.images)
    images[1] = images[0]
    assert remarks_on(replace(splits, train=replace(splits.train, images=images))) == ()


# Files that EXIF turns.


def oriented_pair(folder, name, image_tag, mask_tag, size=(30, 30), suffix="jpg", mask_suffix="png"):
    """Write an image and a mask of `size` upright, each stored as its EXIF orientation says."""
    paths = []
    for path, mode, tag in (
        (folder / f"{name}.{suffix}", "RGB", image_tag),
        (folder / f"{name}_mask.{mask_suffix}", "L", mask_tag),
    ):
        exif = Image.Exif()
        if tag != 1:
            exif[0x0112] = tag
        Image.new(mode, size[::-1] if tag > 4 else size).save(path, exif=exif)
        paths.append(path)
    return Pair(name, *paths)


@pytest.mark.parametrize("tag", range(2, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_images_that_exif_turns_and_masks_that_it_does_not_are_counted_with_an_example(tmp_path, suffix, tag):
    pairs = [oriented_pair(tmp_path, f"a{i}", tag if i < 2 else 1, 1, suffix=suffix) for i in range(5)]
    assert turned_apart(pairs) == (
        "2 of 5 images are turned upright by their EXIF orientation and their masks are not, such as "
        f"a0.{suffix} (orientation {tag}; its mask 1). Look whether these masks fit the upright images. If they fit "
        "the images only as both are stored, remove the tag, with 'exiftool -Orientation= FILE'.",
    )


@pytest.mark.parametrize("mask_suffix", ["png", "tif"])
def test_masks_that_exif_turns_and_images_that_it_does_not_are_remarked_on(tmp_path, mask_suffix):
    pairs = [oriented_pair(tmp_path, f"a{i}", 1, 3 if i == 1 else 1, mask_suffix=mask_suffix) for i in range(3)]
    (remark,) = turned_apart(pairs)
    assert remark.startswith(
        "1 of 3 masks are turned by their EXIF orientation and their images are not, such as a1.jpg "
        "(orientation 1; its mask 3)."
    )


def test_different_tags_of_image_and_mask_are_remarked_on(tmp_path):
    (remark,) = turned_apart([oriented_pair(tmp_path, "a", 6, 8)])
    assert remark.startswith("1 of 1 images and their masks are turned by different EXIF orientations, such as a.jpg")


def test_masks_whose_sides_fit_only_the_upright_images_are_said_to_be_right(tmp_path):
    (remark,) = turned_apart([oriented_pair(tmp_path, f"a{i}", 6, 1, (20, 30)) for i in range(3)])
    assert remark.endswith("Their sides are equal only so, which is as it should be.")


def test_a_half_turn_is_not_told_by_sides(tmp_path):
    (remark,) = turned_apart([oriented_pair(tmp_path, f"a{i}", 6 - 3 * i, 1, (20, 30)) for i in range(2)])
    assert "Look whether these masks fit" in remark


def test_pairs_that_exif_turns_alike_or_not_at_all_have_no_remark(tmp_path):
    assert turned_apart([oriented_pair(tmp_path, f"a{tag}", tag, tag) for tag in range(1, 9)]) == ()


def test_one_of_several_masks_that_is_turned_otherwise_counts(tmp_path):
    pair, other = (oriented_pair(tmp_path, name, 3, tag) for name, tag in (("a", 3), ("b", 1)))
    (remark,) = turned_apart([pair._replace(more_masks=(other.mask,))])
    assert remark.startswith("1 of 1 images are turned upright")


def test_files_that_cannot_be_read_are_left_to_reading(tmp_path):
    assert turned_apart([Pair("a", tmp_path / "a.png", tmp_path / "b.png")]) == ()

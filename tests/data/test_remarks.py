from dataclasses import replace

import numpy as np
import pytest

from augkit import ImageSet, Splits
from augkit.data.remarks import remarks_on

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

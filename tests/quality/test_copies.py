import os
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from PIL import Image

from augkit import ImageSet, Splits
from augkit.planning.recipe import read_recipes
from augkit.quality.copies import NEAR, find_copies, near_copies, without_copies
from augkit.quality.copies_sheet import check_copies
from augkit.store import read_json
from augkit_phantom import Phantom

TURNS = [(quarter, mirror) for quarter in range(4) for mirror in (False, True)]


@lru_cache(maxsize=1)
def phantoms():
    return Phantom(train=24, test=4, size=96).load()


def image_set(name, images):
    ids = tuple(f"{name}-{i}" for i in range(len(images)))
    return ImageSet(ids, np.stack(images), np.ones((len(images), 96, 96), np.bool_), ids, ("real",) * len(ids))


def disguised(image, quarter=0, mirror=False):
    """The photograph again: recoloured, brighter, cropped by a twentieth, softer, turned."""
    colours = image.astype(np.float64) @ np.array([[0.7, 0.2, 0.2], [0.2, 0.8, 0.1], [0.1, 0, 0.7]]) * 1.1 + 12
    picture = Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8)).crop((2, 3, 93, 94)).resize((96, 96), 2)
    turned = np.rot90(np.asarray(picture), quarter)
    return turned[:, ::-1].copy() if mirror else turned.copy()


def splits_with(train_extra=(), validation=(), test_extra=()):
    real = phantoms()
    none = ImageSet.empty((96, 96))
    return Splits(
        image_set("train", [*real.train.images, *train_extra]),
        image_set("validation", list(validation)) if validation else none,
        image_set("test", [*real.test.images, *test_extra]),
    )


def test_different_photographs_are_no_copies():
    assert find_copies(splits_with()) == ()


def test_an_exact_copy_is_found_and_called_equal():
    (copy,) = find_copies(splits_with(test_extra=[phantoms().train.images[3]]))
    assert (copy.first, copy.first_split, copy.second, copy.second_split) == ("train-3", "train", "test-4", "test")
    assert copy.equal_pixels
    assert copy.likeness == 1
    assert copy.crosses


@pytest.mark.parametrize(("quarter", "mirror"), TURNS)
def test_a_recoloured_cropped_and_turned_copy_is_found(quarter, mirror):
    originals = phantoms().train.images
    copies = find_copies(splits_with(test_extra=[disguised(image, quarter, mirror) for image in originals]))
    found = {(copy.first, copy.second) for copy in copies}
    right = {(f"train-{i}", f"test-{i + 4}") for i in range(len(originals))}
    assert found <= right
    assert len(found) >= 0.85 * len(right)  # phantoms have less detail than photographs, of which 98 % are found
    assert all(NEAR <= copy.likeness < 1 and not copy.equal_pixels for copy in copies)


def test_pairs_across_splits_come_first_and_pairs_within_a_split_are_listed():
    real = phantoms()
    copies = find_copies(splits_with(train_extra=[real.train.images[0]], test_extra=[disguised(real.train.images[5])]))
    assert [(copy.first, copy.second, copy.crosses) for copy in copies] == [
        ("train-5", "test-4", True), ("train-0", "train-24", False)
    ]  # fmt: skip


def test_the_earlier_split_gives_way_and_no_evaluation_image_is_removed():
    real = phantoms()
    given = splits_with(
        train_extra=[disguised(real.test.images[0])],
        validation=[disguised(real.train.images[7]), real.test.images[1]],
    )
    left, reasons = without_copies(given)
    assert set(given.train.ids) - set(left.train.ids) == {"train-7", "train-24"}
    assert left.validation.ids == ("validation-0",)
    assert left.test.ids == given.test.ids
    assert {copy.first for copy in reasons} == {"train-7", "train-24", "validation-1"}
    assert find_copies(left) == ()


def test_copies_within_the_training_set_stay():
    left, reasons = without_copies(splits_with(train_extra=[phantoms().train.images[0]]))
    assert reasons == ()
    assert len(left.train) == 25


def test_flat_images_are_copies_only_where_their_pixels_are_equal():
    flat = [np.full((96, 96, 3), grey, np.uint8) for grey in (10, 20, 20)]
    copies = find_copies(splits_with(train_extra=flat[:2], test_extra=flat[2:]))
    assert [(copy.first, copy.second, copy.likeness) for copy in copies] == [("train-25", "test-4", 1.0)]


def test_empty_sets_have_no_copies():
    none = np.zeros((0, 96, 96, 3), np.uint8)
    assert near_copies(none, phantoms().train.images).shape == (0,)
    assert not near_copies(phantoms().test.images, none).any()


def test_the_check_writes_a_list_and_a_picture_for_a_person(tmp_path):
    copies = check_copies(splits_with(test_extra=[disguised(phantoms().train.images[5])]), tmp_path)
    (row,) = read_json(tmp_path / "copies.json")
    assert (row["first"], row["second"], row["likeness"]) == ("train-5", "test-4", copies[0].likeness)
    with Image.open(tmp_path / "copies.png") as picture:
        assert picture.width > 192


def test_no_picture_is_written_where_there_is_no_copy(tmp_path):
    assert check_copies(splits_with(), tmp_path) == ()
    assert not (tmp_path / "copies.png").exists()


RECIPE = "name: a\ndataset: {phantom: {}}\nexclude_copies: %s\nsegmenter: {unet: {}}\n"


def test_a_recipe_asks_for_exclusion_with_true_or_false(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(RECIPE % "true")
    assert read_recipes([file]).recipes[0].exclude_copies
    file.write_text(RECIPE % "maybe")
    (problem,) = read_recipes([file]).problems
    assert str(problem) == f"{file}:3: exclude_copies: found the text 'maybe'; allowed: true or false"


@pytest.mark.slow
@pytest.mark.skipif("AUGKIT_DATA" not in os.environ, reason="AUGKIT_DATA is not set: ISIC 2017 is not here")
def test_the_four_validation_images_with_a_training_copy_are_found_in_isic_2017_and_no_other():
    from augkit_isic import Isic

    splits = Isic(size=128).load()
    copies = find_copies(splits)
    assert {copy.second: copy.first for copy in copies if copy.crosses} == {
        "ISIC_0012127": "ISIC_0012970",
        "ISIC_0014946": "ISIC_0000157",
        "ISIC_0015124": "ISIC_0000171",
        "ISIC_0015313": "ISIC_0000215",
    }
    # Every one of these was looked at: one photograph, differently coloured or cropped.
    within = {(copy.first, copy.second) for copy in copies if not copy.crosses}
    assert len(within) == 14
    assert ("ISIC_0000224", "ISIC_0014791") in within
    clean = replace(splits, train=splits.train.take([i for i in range(2000) if splits.train.ids[i] not in
                    {copy.first for copy in copies if copy.crosses}]))  # fmt: skip
    assert not near_copies(clean.test.images, clean.train.images).any()

"""The parts of a recipe: what is trained is found, nothing is trained unasked, masks are those of a run."""

import numpy as np
import pytest

import augkit
from augkit.data.stored import read_drawn_masks, read_image_set
from augkit.errors import InputError
from augkit.planning.tasks import Synthesise


def parts(folder, seed=0, **how):
    study = augkit.load_recipe(folder / "both.yaml")
    return study.parts(seed, out=folder / "runs", device="cpu", **how)[0]


def test_what_a_run_has_trained_is_found(folder, result):
    found = parts(folder)
    assert (found.name, found.seed, found.compared) == ("both", 0, True)
    (generator,) = found.generators
    assert generator.name == "noise"
    assert generator.folder is not None
    assert generator.folder.parent == folder / "runs" / "generator"
    assert len(found.train) == 12
    assert found.segmenter is not None
    assert not found.segmenter.real_only
    assert found.segmenter.open("cpu")(np.asarray(found.train.images)).shape == found.train.masks.shape


def test_the_images_of_a_number_are_those_of_a_run(folder, result):
    (arm,) = augkit.load_recipe(folder / "both.yaml").plan(seeds=[0], out=folder / "runs").arms
    (synthesis,) = arm.syntheses
    assert isinstance(synthesis.task, Synthesise)
    stored = read_image_set(folder / "runs" / "synthesis" / synthesis.address.name)
    (generator,) = parts(folder).generators
    assert generator.seed == synthesis.task.seed
    painter = generator.open("cpu")
    for number in (0, 7, 11):
        mask = np.asarray(stored.masks[number])[None]
        for draft in (False, True):
            painted = painter.paint(mask, generator.seed, [number], draft)
            assert np.array_equal(painted[0], stored.images[number])


def test_what_is_not_trained_has_no_folder_and_is_not_trained_unasked(folder, result):
    (generator,) = parts(folder, seed=77).generators
    assert generator.folder is None
    assert parts(folder, seed=77).segmenter is None
    (generator,) = parts(folder, seed=77, train=True).generators
    assert generator.folder is not None


def test_mask_sources_are_those_of_the_recipe_and_then_the_others_without_options(folder, result, tmp_path):
    found = parts(folder)
    names = [part.name for part in found.masks]
    assert names[0] == "training"
    assert {"elastic", "pca", "shapes"} <= set(names)
    assert not {"folder", "combine"} & set(names)
    (arm,) = augkit.load_recipe(folder / "both.yaml").plan(seeds=[0], out=folder / "runs").arms
    drawn = read_drawn_masks(folder / "runs" / "masks" / arm.syntheses[0].inputs["masks"].address.name)
    assert found.masks[0].draw(0, tmp_path / "training").shape == drawn.masks[0].shape


def test_a_source_with_weights_shapes_a_mask_by_them(folder, result, tmp_path):
    (pca,) = [part for part in parts(folder).masks if part.name == "pca"]
    assert pca.has_weights
    names = pca.weights(tmp_path)
    assert names[0].startswith("1: ")
    mean = pca.shaped([0.0] * len(names), tmp_path)
    more = pca.shaped([2.0, *[0.0] * (len(names) - 1)], tmp_path)
    assert mean.shape == (32, 32)
    assert not np.array_equal(mean, more)
    assert not parts(folder).masks[0].has_weights


def test_the_nearest_training_image_of_a_training_image_is_itself(folder, result):
    found = parts(folder)
    picture = np.asarray(found.train.images[3])
    assert found.nearest(picture[:, ::-1]) == (3, 0.0)


def test_a_generators_folder_knows_its_training_images_where_the_store_has_them(folder, result):
    place = parts(folder).generators[0].folder
    part, train = augkit.part_of_folder(place, 0)
    assert (part.name, part.seed) == ("noise", parts(folder).generators[0].seed)
    assert train is not None
    assert len(train) == 12
    with pytest.raises(InputError, match="Give the folder of a generator"):
        augkit.part_of_folder(folder)


def test_changes_may_be_texts_as_set_takes_them(folder):
    (recipe,) = augkit.load_recipe(folder / "both.yaml", changes=["dataset.phantom.size=64"]).recipes
    assert recipe.dataset.instance.size == 64

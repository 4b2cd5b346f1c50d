import numpy as np
import pytest

import augkit
from augkit import Channel, Format, ImageSet
from augkit.data.stored import read_image_set
from augkit.errors import InputError
from augkit.planning.tasks import Synthesise
from augkit.store import seal
from augkit_controls import Noise
from tests.samples import workspace


def artifact(folder, kind):
    return next((folder / "runs" / kind).iterdir())


def test_a_generator_is_opened_from_its_folder_and_paints_the_images_of_its_run(folder, result):
    (recipe,) = augkit.load_recipe(folder / "both.yaml").plan(seeds=[0], out=folder / "runs").arms
    (synthesis,) = recipe.syntheses
    assert isinstance(synthesis.task, Synthesise)
    painted = read_image_set(folder / "runs" / "synthesis" / synthesis.address.name)
    place = folder / "runs" / "generator" / recipe.generators[0].address.name
    images = augkit.generator(place, device="cpu").paint(np.asarray(painted.masks), seed=synthesis.task.seed)
    assert np.array_equal(images, painted.images)


def test_an_image_is_a_function_of_its_mask_its_place_and_the_seed(folder, result):
    painter = augkit.generator(artifact(folder, "generator"), device="cpu")
    masks = np.zeros((3, 32, 32), np.bool_)
    masks[:, 8:20, 8:20] = True
    first = painter.paint(masks)
    assert np.array_equal(painter.paint(masks[:2]), first[:2])
    assert not np.array_equal(painter.paint(masks, seed=1), first)


def test_what_is_no_generator_is_refused(folder, result, tmp_path):
    with pytest.raises(InputError, match="holds a segmenter; allowed: a trained generator"):
        augkit.generator(artifact(folder, "segmenter"))
    with pytest.raises(InputError, match=r"artifact.json cannot be read .* Give the folder of a generator"):
        augkit.generator(tmp_path)


def test_wrong_masks_are_refused(folder, result):
    painter = augkit.generator(artifact(folder, "generator"), device="cpu")
    with pytest.raises(InputError, match=r"masks: found uint8 \(1, 8, 8\); allowed: a NumPy array, bool \(N, H, W\)"):
        painter.paint(np.ones((1, 8, 8), np.uint8))


def test_a_generator_of_other_images_paints_such_for_label_maps(tmp_path):
    format = Format("int16", (Channel("ct", "ct", -100, 200),), ("liver", "spleen"))
    masks = np.arange(4 * 16 * 16).reshape(4, 16, 16).astype(np.uint8) % 3
    ids = tuple("abcd")
    images = masks[..., None].astype(np.int16) * 100 - 50
    Noise().fit(ImageSet(ids, images, masks, ids, ("real",) * 4, format), workspace(tmp_path))
    seal(tmp_path, {"generator": "noise"})
    painter = augkit.generator(tmp_path, device="cpu")
    assert painter.format == format
    assert np.array_equal(painter.paint(masks), images), "each class is all of one colour"
    with pytest.raises(InputError, match=r"masks: found bool \(4, 16, 16\); allowed: a NumPy array, uint8 \(N, H, W\)"):
        painter.paint(masks > 0)
    with pytest.raises(InputError, match=r"found the label 3; allowed: 0 to 2 \(background, liver, spleen\)"):
        painter.paint(masks + 1)

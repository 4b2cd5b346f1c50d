"""The example recipes: the script in each one's comments makes the files that it reads."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import tifffile

from augkit.contracts.registry import load_registry
from augkit.errors import InputError
from augkit.planning.components import check_recipes
from augkit.planning.recipe import load_recipes
from augkit.running.stages.dataset import read_dataset

EXAMPLES = Path(__file__).parents[2] / "recipes" / "examples"

BRAIN = EXAMPLES / "brain.yaml"
TEMPLATES = Path("/usr/share/mricron/templates")


def data_of(name: str):
    """Run the script of a recipe in the current folder, and read the data set as a run would."""
    lines = (EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8").split("\n")
    exec("\n".join(line[4:] for line in lines if line.startswith("#   ")), {})
    (checked,) = check_recipes(load_recipes([EXAMPLES / f"{name}.yaml"]), load_registry())
    return read_dataset(checked.dataset.instance)


def test_the_tiles_of_nuclei16_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    objects = np.zeros((512, 512), np.uint16)
    objects[20::64, 20::64] = np.arange(300, 364).reshape(8, 8)
    tifffile.imwrite("img2d.tif", 100 + 20 * objects)
    tifffile.imwrite("mask2d.tif", objects)
    splits, _ = data_of("nuclei16")
    assert (len(splits.train), len(splits.test)) == (48, 16)
    assert splits.train.masks.sum() == 48
    assert splits.train.images.dtype == np.uint16


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.skipif(importlib.util.find_spec("highdicom") is None, reason="needs highdicom")
def test_the_slices_of_ct_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    splits, _ = data_of("ct")
    assert (len(splits.train), len(splits.test)) == (4, 2)
    assert splits.train.images.dtype == np.int16
    assert splits.train.images.min() < -800
    assert 0.1 < splits.train.masks.mean() < 0.5


def test_the_brain_recipe_is_valid_where_its_files_are():
    pytest.importorskip("nibabel")
    if not TEMPLATES.is_dir():
        pytest.skip("Debian's package mricron-data is not installed")
    (checked,) = check_recipes(load_recipes([BRAIN]), load_registry())
    assert checked.dataset.instance.format().classes == ("basal ganglia", "thalamus", "hippocampus", "cerebellum")


def test_the_brain_recipe_is_valid_but_for_its_files():
    pytest.importorskip("nibabel")
    if TEMPLATES.is_dir():
        pytest.skip("the files are there, so that another test asks")
    with pytest.raises(InputError) as caught:
        check_recipes(load_recipes([BRAIN]), load_registry())
    (problem,) = caught.value.problems
    assert str(problem) == f"{BRAIN}:13: {TEMPLATES}: is not a folder. Correct the option root"

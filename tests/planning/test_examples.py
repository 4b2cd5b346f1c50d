"""The recipes of recipes/examples, on real files where these are there."""

from pathlib import Path

import pytest

from augkit.contracts.registry import load_registry
from augkit.errors import InputError
from augkit.planning.components import check_recipes
from augkit.planning.recipe import load_recipes

BRAIN = Path(__file__).parents[2] / "recipes" / "examples" / "brain.yaml"
TEMPLATES = Path("/usr/share/mricron/templates")


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

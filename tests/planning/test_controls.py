import shutil
from pathlib import Path

import pytest

from augkit.planning.controls import missing_controls
from augkit.planning.recipe import load_recipes

RECIPES = Path(__file__).parent.parent.parent / "recipes"


@pytest.mark.parametrize(
    ("arms", "controls"),
    [
        (["allaug"], ["classicaug"]),
        (["mask2lesionaug"], ["noaug"]),
        (["allaug", "mask2lesionaug"], ["classicaug", "noaug"]),
        (["allaug", "classicaug"], []),
        (["noaug"], []),
    ],
)
def test_the_control_of_a_shipped_arm_lies_beside_it(arms, controls):
    recipes = load_recipes([RECIPES / f"{arm}.yaml" for arm in arms])
    assert missing_controls(recipes) == tuple(RECIPES / f"{arm}.yaml" for arm in controls)


def test_changes_apply_to_the_control_too():
    changes = ["segmenter.unet.steps=7"]
    recipes = load_recipes([RECIPES / "allaug.yaml"], changes)
    assert missing_controls(recipes, changes) == (RECIPES / "classicaug.yaml",)
    assert missing_controls(recipes) is None


def test_a_recipe_alone_in_its_folder_has_no_control_and_broken_files_beside_it_do_no_harm(tmp_path):
    shutil.copy(RECIPES / "allaug.yaml", tmp_path)
    (tmp_path / "broken.yaml").write_text("name: [")
    assert missing_controls(load_recipes([tmp_path / "allaug.yaml"])) is None

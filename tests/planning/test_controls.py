import shutil
from pathlib import Path

import pytest

from augkit.errors import InputError
from augkit.planning.controls import CONTROLS, missing_controls, write_controls
from augkit.planning.loading import load_checked
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


MIXED = """
name: mine
dataset: {phantom: {train: 8, test: 4, size: 32}}
synthesize:
  - {generator: {texture: {}}, masks: {shapes: {}}, count: 5, min_adherence: 0.5}
  - {generator: {texture: {}}, masks: {training: {}}, per_real: 1}
augment: [{geometry: {flip: both}}]
segmenter: {unet: {width: 4, steps: 2}}
"""


def written(tmp_path, text=MIXED):
    (tmp_path / "mine.yaml").write_text(text)
    (recipe,) = load_recipes([tmp_path / "mine.yaml"])
    return recipe, write_controls(recipe, tmp_path / "controls")


def test_every_control_is_a_recipe_that_runs_beside_the_one_it_is_of(tmp_path):
    _, files = written(tmp_path)
    checked, _ = load_checked([tmp_path / "mine.yaml", *files], ())
    assert [one.recipe.name for one in checked[1:]] == [f"mine-{control.name}" for control in CONTROLS]
    assert all(one.recipe.augment[0].name == "geometry" and one.recipe.dataset.name == "phantom" for one in checked)


def test_controls_keep_the_numbers_of_images_and_change_what_they_say(tmp_path):
    _, files = written(tmp_path)
    plain, repeat, noise, shuffled, synthonly = load_recipes(files)
    assert plain.synthesize == ()
    assert [(one.count, one.per_real, one.min_adherence) for one in noise.synthesize] == [(5, None, 0), (None, 1, 0)]
    assert [one.masks.name for one in noise.synthesize] == ["shapes", "training"]
    assert {(one.generator.name, one.masks.name) for one in repeat.synthesize} == {("repeat", "training")}
    assert all(one.shuffled for one in shuffled.synthesize)
    assert not synthonly.real_images
    assert "Must harm" in files[3].read_text()


def test_the_plain_one_is_the_control_of_a_verdict(tmp_path):
    recipe, files = written(tmp_path)
    shutil.copy(files[0], tmp_path / "beside.yaml")
    assert missing_controls([recipe]) == (tmp_path / "beside.yaml",)


def test_controls_are_refused_where_nothing_is_synthetic_and_never_written_over(tmp_path):
    with pytest.raises(InputError, match="has no synthetic images, so there is nothing to control"):
        written(tmp_path, MIXED.replace("synthesize:", "synthesize: []\nx:").split("x:")[0] + "segmenter: {unet: {}}")
    written(tmp_path)
    with pytest.raises(InputError, match=r"mine-noise\.yaml: is there already"):
        written(tmp_path)


def test_controls_of_a_sweep_and_of_a_long_name_are_refused(tmp_path):
    sweep = MIXED + "sweep: {synthesize.1.per_real: [1, 2]}"
    (tmp_path / "mine.yaml").write_text(sweep)
    recipes = load_recipes([tmp_path / "mine.yaml"])
    with pytest.raises(InputError, match="has a sweep; allowed: one value"):
        write_controls(recipes[0], tmp_path)
    with pytest.raises(InputError, match="is too long for '-synthonly' behind it"):
        written(tmp_path, MIXED.replace("name: mine", f"name: {'m' * 60}"))

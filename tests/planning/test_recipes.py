"""The shipped recipes: they are valid, and the four arms differ only where arms may differ."""

from pathlib import Path

import pytest

from augkit.contracts.registry import load_registry
from augkit.planning.components import check_recipes
from augkit.planning.recipe import load_recipes

RECIPES = Path(__file__).parents[2] / "recipes"
ARMS = ("noaug", "classicaug", "mask2lesionaug", "allaug")


def four_arms(folder):
    return {name: load_recipes([folder / f"{name}.yaml"])[0] for name in ARMS}


@pytest.mark.parametrize("folder", [RECIPES, RECIPES / "isic2017"], ids=["phantom", "isic2017"])
def test_the_four_arms_differ_only_in_synthesize_and_augment(folder):
    arms = four_arms(folder)
    shared = [
        {key: value for key, value in arm.document.items() if key not in ("name", "synthesize", "augment")}
        for arm in arms.values()
    ]
    assert all(one == shared[0] for one in shared)
    documents = {name: arm.document for name, arm in arms.items()}
    assert documents["mask2lesionaug"]["synthesize"] == documents["allaug"]["synthesize"] != []
    assert documents["classicaug"]["augment"] == documents["allaug"]["augment"] != []
    assert documents["noaug"]["synthesize"] == documents["classicaug"]["synthesize"] == []
    assert documents["noaug"]["augment"] == documents["mask2lesionaug"]["augment"] == []


@pytest.mark.parametrize("folder", [RECIPES, RECIPES / "isic2017"], ids=["phantom", "isic2017"])
def test_the_classical_arms_name_the_paper_s_preset_and_may_name_the_strong_one(folder):
    registry = load_registry()
    for name in ("classicaug", "allaug"):
        assert four_arms(folder)[name].document["augment"] == [{"classical-paper": {}}]
        assert "# or classical-strong: {}" in (folder / f"{name}.yaml").read_text()
    assert {"classical-paper", "classical-strong"} <= set(registry.names("augmentation"))


def test_more_generators_make_more_arms_of_the_paper_s_setting_that_differ_from_mask2lesionaug_in_the_generator_only():
    folder = RECIPES / "isic2017"
    documents = {file.stem: load_recipes([file])[0].document for file in folder.glob("*.yaml")}
    assert set(documents) == {*ARMS, "textureaug", "flowaug"}
    for name in ("textureaug", "flowaug"):
        arm, model = documents[name], documents["mask2lesionaug"]
        assert {k: v for k, v in arm.items() if k not in ("name", "synthesize")} == {
            k: v for k, v in model.items() if k not in ("name", "synthesize")
        }
        [source], [original] = arm["synthesize"], model["synthesize"]
        assert list(source["generator"]) == [name.removesuffix("aug")]
        assert {**source, "generator": None} == {**original, "generator": None}


def test_the_mixed_recipe_has_two_generators_and_three_mask_sources_and_is_otherwise_allaug():
    mixed, model = (load_recipes([RECIPES / f"{name}.yaml"])[0].document for name in ("mixed", "allaug"))
    assert {**mixed, "name": "", "synthesize": []} == {**model, "name": "", "synthesize": []}
    sources = mixed["synthesize"]
    assert len({name for source in sources for name in source["generator"]}) == 2
    assert len({name for source in sources for name in source["masks"]}) == 3


def test_every_recipe_is_named_after_its_file():
    for file in RECIPES.rglob("*.yaml"):
        first = load_recipes([file])[0]
        assert (first.sweep.curve if first.sweep else first.name) == file.stem


def test_the_phantom_recipes_name_components_that_exist():
    check_recipes(load_recipes(sorted(RECIPES.glob("*.yaml"))), load_registry())


def test_the_isic_recipes_hold_the_paper_s_setting():
    document = four_arms(RECIPES / "isic2017")["allaug"].document
    assert document["dataset"] == {"isic": {"year": 2017, "size": 128, "resize": "nearest", "test": "validation"}}
    gan = document["synthesize"][0]["generator"]["mask2lesion"]
    assert gan["epochs"] + gan["decay_epochs"] == 200
    assert (gan["width"], gan["batch_size"], gan["norm"], gan["patch_layers"]) == (64, 1, "batch", 3)
    unet = document["segmenter"]["unet"]
    assert (unet["width"], unet["batch_size"], unet["optimizer"]) == (64, 32, "sgd")
    assert unet["steps"] == 100 * -(-2000 // 32)

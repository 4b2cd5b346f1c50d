"""A recipe whose components do not take the data set's pixels is refused before anything is computed, all at once."""

import pytest

from augkit.errors import InputError
from augkit.planning.components import check_recipes
from augkit.planning.recipe import load_recipes
from organs import registry

RECIPE = """
name: ct
seed: 0
dataset: {organs: {}}
synthesize:
  - generator: {texture: {}}
    masks: {pca: {}}
    per_real: 1.0
augment:
  - hair: {}
  - geometry: {}
segmenter: {unet: {}}
"""


def refusals(text, folder):
    recipe = folder / "ct.yaml"
    recipe.write_text(text)
    with pytest.raises(InputError) as caught:
        check_recipes(load_recipes([recipe]), registry())
    return [str(problem) for problem in caught.value.problems]


def test_every_component_that_does_not_take_the_format_is_named_with_what_would(tmp_path):
    texture, pca, hair = refusals(RECIPE, tmp_path)
    found = "found 1 channel (ct -200..400; int16) and 3 classes (liver, kidney, tumour) with ignored pixels"
    assert "ct.yaml:6: generator 'texture': takes " in texture
    assert found in texture
    assert "these take them: " in texture
    assert "mask2lesion" in texture.split("these take them: ")[1]
    assert "ct.yaml:7: mask source 'pca': takes " in pca
    assert "(several shapes, drawn one by one, would lie over each other; elastic moves label maps)" in pca
    assert "training" in pca.split("these take them: ")[1]
    assert "ct.yaml:10: augmentation 'hair': takes 3 channels of red, green, blue" in hair
    assert "geometry" in hair.split("these take them: ")[1]


def test_a_recipe_of_components_that_take_it_is_valid(tmp_path):
    (tmp_path / "ct.yaml").write_text(
        RECIPE.replace("texture", "mask2lesion").replace("pca", "elastic").replace("  - hair: {}\n", "")
    )
    check_recipes(load_recipes([tmp_path / "ct.yaml"]), registry())

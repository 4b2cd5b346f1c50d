"""Foreign pipelines in a recipe: the same contract, and every mistake named at once."""

import subprocess
import sys

import pytest
import torch

from augkit import Draws, InputError
from augkit.contracts.registry import load_registry
from augkit.planning.components import check_recipes
from augkit.planning.recipe import load_recipes
from augkit_adapters.albumentations import Albumentations
from augkit_adapters.pipeline import build_steps
from augkit_adapters.torchvision import Torchvision


class Turn:
    def __init__(self, angle: float, p: float = 0.5) -> None:
        if angle > 180:
            raise ValueError("angle is too large")


KNOWN = {"Turn": Turn}


def test_every_problem_of_a_pipeline_is_named_at_once_with_the_nearest_name():
    steps = [{"Trun": {"angle": 3}}, {"Turn": {"angel": 3}}, {"Turn": {"angle": 200}}, {"Turn": {}, "Flip": {}}, {}]
    with pytest.raises(InputError) as caught:
        build_steps(steps, KNOWN)
    assert [str(problem) for problem in caught.value.problems] == [
        "pipeline.0: there is no transform 'Trun'. Did you mean 'Turn'?",
        "pipeline.1: Turn has no option 'angel'. Did you mean 'angle'?",
        "pipeline.2: Turn refuses its options: angle is too large",
        "pipeline.3: names 2 transforms; allowed: one, as {TransformName: {options}}",
        "pipeline.4: names 0 transforms; allowed: one, as {TransformName: {options}}",
    ]


def test_an_empty_pipeline_is_refused():
    with pytest.raises(InputError, match="pipeline: is empty; allowed: a list of"):
        build_steps([], KNOWN)


@pytest.mark.parametrize(("cls", "library"), [(Albumentations, "albumentations"), (Torchvision, "torchvision")])
def test_a_missing_library_names_the_extra_to_install(cls, library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    if library == "torchvision":
        monkeypatch.setitem(sys.modules, "torchvision.transforms.v2", None)
    with pytest.raises(InputError, match=rf"pip install 'augkit\[{library}\]'"):
        cls([{"HorizontalFlip": {}}])


RECIPE = """\
name: foreign
dataset: {phantom: {train: 4, test: 2, size: 32}}
augment:
  - torchvision:
      pipeline:
        - RandomRotation: {degrees: 30}
        - RandomRotatoin: {degrees: 30}
  - classical-strong: {colour: {hue: 20}, blur: {sgma: [0, 0.1]}}
segmenter: {unet: {}}
"""


def test_a_recipe_s_pipeline_is_data_and_its_mistakes_have_a_line(tmp_path):
    pytest.importorskip("torchvision", reason="needs 'augkit[torchvision]'")
    file = tmp_path / "r.yaml"
    file.write_text(RECIPE)
    with pytest.raises(InputError) as caught:
        check_recipes(load_recipes([file]), load_registry())
    first, second = (str(problem) for problem in caught.value.problems)
    assert "r.yaml:5: torchvision: pipeline.1: there is no transform 'RandomRotatoin'. " in first
    assert "Did you mean 'RandomRotation'?" in first
    assert "r.yaml:8: classical-strong has no option 'blur.sgma'. Did you mean 'sigma'?" in second
    file.write_text(RECIPE.replace("        - RandomRotatoin: {degrees: 30}\n", "").replace("sgma", "sigma"))
    (checked,) = check_recipes(load_recipes([file]), load_registry())
    strong = checked.augment[1].instance
    assert (strong.colour.hue, strong.blur.sigma, strong.geometry.scale) == (20, (0, 0.1), (0.7, 1.4))


def batch():
    images = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return images, (images[:, :1] > 0.5).float(), Draws.on_device(1, "batch", torch.arange(6))


def test_albumentations_flips_image_and_mask_by_the_sample_s_own_draw():
    pytest.importorskip(
        "albumentations", reason="albumentations is not installed: pip install 'augkit[albumentations]'"
    )
    images, masks, draws = batch()
    images = (images * 255).round() / 255
    changed, moved = Albumentations([{"HorizontalFlip": {"p": 0.5}}])(images, masks, draws)
    kinds = []
    for i in range(6):
        flipped = torch.allclose(changed[i], images[i].flip(2), atol=1e-6)
        assert torch.equal(moved[i], masks[i].flip(2) if flipped else masks[i])
        kinds.append(flipped)
    assert set(kinds) == {True, False}


def test_albumentations_options_that_it_would_only_warn_of_are_errors():
    pytest.importorskip(
        "albumentations", reason="albumentations is not installed: pip install 'augkit[albumentations]'"
    )
    with pytest.raises(InputError) as caught:
        Albumentations([{"HorizontalFlipp": {}}, {"Affine": {"rotat": 3}}])
    assert "Did you mean 'HorizontalFlip'?" in str(caught.value.problems[0])
    assert str(caught.value.problems[1]) == "pipeline.1: Affine has no option 'rotat'. Did you mean 'rotate'?"


def test_torchvision_flips_image_and_mask_by_the_sample_s_own_draw():
    pytest.importorskip("torchvision", reason="needs 'augkit[torchvision]'")
    images, masks, draws = batch()
    changed, moved = Torchvision([{"RandomHorizontalFlip": {}}])(images, masks, draws)
    kinds = []
    for i in range(6):
        flipped = torch.equal(changed[i], images[i].flip(2))
        assert torch.equal(moved[i], masks[i].flip(2) if flipped else masks[i])
        kinds.append(flipped)
    assert set(kinds) == {True, False}


def test_listing_components_imports_neither_library():
    code = (
        "import sys; from augkit.contracts.registry import load_registry; load_registry();"
        "print([n for n in ('albumentations', 'torchvision', 'cv2', 'torch') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

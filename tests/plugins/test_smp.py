"""segmentation_models.pytorch as a segmenter; what needs the package is skipped where it is not installed."""

import json
import subprocess
import sys

import numpy as np
import pytest

from augkit import Frame, ImageSet, InputError
from augkit_smp import segmenter
from augkit_smp.options import WEIGHTS, SmpOptions
from samples import checked_recipes, lesions, no_change, workspace

RECIPE = "name: r\ndataset: {phantom: {train: 2, test: 2}}\nsegmenter: {smp: {}}\n"


@pytest.fixture
def smp():
    pytest.importorskip("segmentation_models_pytorch", reason="needs pip install 'augkit[smp]'", exc_type=ImportError)
    return segmenter.Smp


def fitted(component, folder):
    train = lesions(4)
    component.fit(train, ImageSet.empty(train.size), no_change, workspace(folder))
    return component.open(folder, "cpu")


def test_a_recipe_that_names_it_says_what_to_install_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(segmenter, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"0.yaml:3: smp: needs segmentation_models.pytorch; pip install 'augkit\[smp\]'"
    ):
        checked_recipes(tmp_path, RECIPE)


def test_it_is_imported_only_when_a_recipe_trains_with_it():
    code = "import sys; from augkit.contracts.registry import load_registry; load_registry(); print(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'augkit_smp'" in done.stdout
    assert "segmentation_models_pytorch" not in done.stdout


def test_it_learns_without_downloading_anything(smp, tmp_path, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *a: pytest.fail("opened a connection"))
    fitted(smp(encoder="resnet18", steps=30, batch_size=4), tmp_path)
    first, last = json.loads((tmp_path / "history.json").read_text())
    assert last["loss"] < 0.8 * first["loss"]


@pytest.mark.parametrize(("architecture", "encoder"), [("unet", "resnet18"), ("fpn", "mobilenet_v2")])
def test_scores_are_one_number_per_pixel_in_0_to_1(architecture, encoder, smp, tmp_path):
    scores = fitted(smp(architecture=architecture, encoder=encoder, steps=1, batch_size=2), tmp_path)(lesions(4).images)
    assert (scores.dtype, scores.shape) == (np.float32, (4, 1, 32, 32))
    assert scores.min() >= 0
    assert scores.max() <= 1


def test_equal_seeds_give_equal_weights(smp, tmp_path):
    for name in ("a", "b"):
        fitted(smp(encoder="resnet18", steps=2, batch_size=2), tmp_path / name)
    assert (tmp_path / "a" / WEIGHTS).read_bytes() == (tmp_path / "b" / WEIGHTS).read_bytes()


def test_an_encoder_that_does_not_exist_is_a_sentence(smp, tmp_path):
    with pytest.raises(InputError, match="cannot build this network"):
        fitted(smp(encoder="resnet17", steps=1, batch_size=2), tmp_path)


def test_sides_that_the_encoders_cannot_halve_are_refused():
    with pytest.raises(ValueError, match="found images of 48 x 48 pixels; allowed: sides that are multiples of 32"):
        SmpOptions().check_frame(Frame(48, 48))


@pytest.mark.parametrize(("options", "steps"), [({"steps": 3}, 3), ({"budget": "epochs", "epochs": 2, "steps": 3}, 4)])
def test_the_budget_is_optimiser_steps_or_epochs_and_is_written_down(options, steps, smp, tmp_path):
    fitted(smp(encoder="resnet18", batch_size=2, **options), tmp_path)
    kind = options.get("budget", "steps")
    found = json.loads((tmp_path / "budget.json").read_text())
    assert found == {"budget": kind, "steps": steps, "batch_size": 2, "images": 4, "epochs": steps / 2}


def test_parts_of_one_image_are_refused(smp, tmp_path):
    with pytest.raises(InputError, match="found 4, cut into parts of one image; allowed: at least two images"):
        fitted(smp(encoder="resnet18", steps=1, batch_size=4, reduction="ordered"), tmp_path)


def test_weights_are_downloaded_only_where_the_recipe_allows_it():
    said = (
        "encoder_weights is imagenet, which is downloaded, and allow_download is false; allowed: encoder_weights: null"
    )
    with pytest.raises(ValueError, match=said):
        SmpOptions(encoder_weights="imagenet")
    assert SmpOptions(encoder_weights="imagenet", allow_download=True).encoder_weights == "imagenet"

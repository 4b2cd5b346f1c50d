"""nnU-Net v2 as a segmenter; what needs the package is skipped where it is not installed."""

import json
import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augkit import Channel, Format, Frame, ImageSet, InputError, load_recipe
from augkit.store import write_json
from augkit_nnunet import segmenter
from augkit_nnunet.cases import as_case, as_labels, described
from augkit_nnunet.options import PLANS, WEIGHTS, NnunetOptions
from samples import checked_recipes, lesions, workspace

RECIPE = "name: r\ndataset: {phantom: {train: 2, test: 2}}\nsegmenter: {nnunet: {}}\n"
EXAMPLE = Path(__file__).parents[2] / "recipes" / "examples" / "nnunet.yaml"
TINY = {"epochs": 2, "iterations": 2, "features": 4}


@pytest.fixture
def nnunet():
    pytest.importorskip("nnunetv2", reason="needs pip install 'augkit[nnunet]'", exc_type=ImportError)
    return segmenter.Nnunet


def fitted(component, folder, train=None, validation=None):
    train = train or lesions(4)
    space = workspace(folder)
    component.fit(train, validation or ImageSet.empty(train.size, train.format), never, space)
    return space


def never(images, masks, draws):
    pytest.fail("called the recipe's augmentation")


def planned(folder):
    return json.loads((folder / PLANS).read_text())["configurations"]["2d"]


def test_a_recipe_that_names_it_says_what_to_install_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(segmenter, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"0.yaml:3: nnunet: needs nnunetv2; pip install 'augkit\[nnunet\]'"):
        checked_recipes(tmp_path, RECIPE)


def test_it_is_imported_only_when_a_recipe_trains_with_it():
    code = "import sys; from augkit.contracts.registry import load_registry; load_registry(); print(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'augkit_nnunet'" in done.stdout
    assert "'nnunetv2'" not in done.stdout


def test_the_augmentations_of_a_recipe_are_refused_with_their_line(tmp_path, monkeypatch):
    monkeypatch.setattr(segmenter, "find_spec", lambda name: name)
    with pytest.raises(InputError) as caught:
        checked_recipes(tmp_path, RECIPE + "augment:\n  - geometry: {}\n")
    (problem,) = caught.value.problems
    assert str(problem) == (
        f"{tmp_path}/0.yaml:5: segmenter 'nnunet' augments by itself (nnU-Net's own augmentation); allowed: no "
        "'augment' in its recipes. It would not be applied, so leave it out"
    )


def test_a_recipe_without_augmentations_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(segmenter, "find_spec", lambda name: name)
    (checked,) = checked_recipes(tmp_path, RECIPE)
    assert checked.segmenter.instance.steps == 250_000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{epochs: 0}", "epochs: found 0; allowed: 1 or more"),
        ("{batch_size: 1}", "batch_size: found 1; allowed: 2 or more"),
        ("{features: 1}", "features: found 1; allowed: 2"),
        ("{planner: resenc}", "planner: found the text 'resenc'; allowed: 'standard', 'resenc_m'"),
    ],
)
def test_options_out_of_their_bounds_are_refused(options, said, tmp_path, monkeypatch):
    monkeypatch.setattr(segmenter, "find_spec", lambda name: name)
    with pytest.raises(InputError, match=said):
        checked_recipes(tmp_path, RECIPE.replace("{nnunet: {}}", f"{{nnunet: {options}}}"))


def test_images_that_its_network_cannot_halve_twice_are_refused():
    with pytest.raises(ValueError, match="found images of 64 x 8 pixels; allowed: sides of 16 pixels or more"):
        NnunetOptions().check_frame(Frame(8, 64))


def test_pixels_keep_their_numbers_and_ignored_ones_get_the_label_after_the_last_class():
    format = Format("int16", (Channel("a", "ct", -100, 100),), ("one", "two"), ignore=True)
    mask = np.array([[0, 1], [2, 255]], np.uint8)
    assert as_labels(mask, format).tolist() == [[[[0, 1], [2, 3]]]]
    image = np.array([[[-1000], [7]], [[0], [3000]]], np.int16)
    assert as_case(image).tolist() == [[[[-1000, 7], [0, 3000]]]]
    assert as_case(image).dtype == np.float32


def test_channels_in_hounsfield_units_are_called_ct_and_others_by_what_they_show():
    channels = (Channel("CT", "mr", 0, 9), Channel("x", "ct", 0, 9))
    found = described(Format("float32", channels, ("ignore", "background"), ignore=True), 7)
    assert found["channel_names"] == {"0": "mr", "1": "CT"}
    assert found["labels"] == {"background": 0, "1 ignore": 1, "2 background": 2, "ignore": 3}
    assert found["numTraining"] == 7


def test_a_training_leaves_its_budget_and_nothing_but_what_inference_needs(nnunet, tmp_path):
    fitted(nnunet(**TINY), tmp_path)
    assert json.loads((tmp_path / "budget.json").read_text()) == {
        "budget": "steps", "steps": 4, "batch_size": 2, "images": 4, "epochs": 2.0,
    }  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {
        "budget.json", "checkpoints", "dataset.json", "dataset_fingerprint.json", "history.json", "inference.json",
        "nnunet.safetensors", "plans.json", "training.json",
    }  # fmt: skip
    assert [name for name in os.environ if name.startswith("nnUNet")] == []


def test_the_plan_is_made_from_the_real_images_unless_asked_otherwise(nnunet, tmp_path):
    real = lesions(4)
    painted = replace(lesions(200), origins=("painted",) * 200, ids=tuple(f"p{i}" for i in range(200)))
    both = ImageSet.concatenate([real, painted])
    for name, options in (("real", {}), ("all", {"plan_from": "all"})):
        fitted(nnunet(epochs=1, iterations=1, features=2, **options), tmp_path / name, both)
    assert [planned(tmp_path / name)["batch_size"] for name in ("real", "all")] == [2, 10]


def test_the_plan_s_batch_and_width_can_be_chosen(nnunet, tmp_path):
    fitted(nnunet(epochs=1, iterations=1, features=3, batch_size=5), tmp_path)
    assert planned(tmp_path)["batch_size"] == 5
    assert planned(tmp_path)["architecture"]["arch_kwargs"]["features_per_stage"] == [3, 6, 12, 24]
    assert json.loads((tmp_path / "budget.json").read_text())["batch_size"] == 5


def test_validation_images_give_a_dice_and_change_no_weight(nnunet, tmp_path):
    logs = [
        fitted(nnunet(**TINY), tmp_path / name, None, validation).log
        for name, validation in (("without", None), ("with", lesions(3)))
    ]
    assert "validation_dice" not in logs[0].steps[-1][2]
    assert 0 <= logs[1].steps[-1][2]["validation_dice"] <= 1
    assert (tmp_path / "with" / WEIGHTS).read_bytes() == (tmp_path / "without" / WEIGHTS).read_bytes()


def test_workers_change_no_bit_and_are_gone_afterwards(nnunet, tmp_path):
    for workers in (0, 2):
        fitted(nnunet(epochs=2, iterations=5, features=4, workers=workers), tmp_path / str(workers))
    assert (tmp_path / "0" / WEIGHTS).read_bytes() == (tmp_path / "2" / WEIGHTS).read_bytes()
    assert multiprocessing.active_children() == []


def test_the_precision_that_is_written_down_is_nnu_net_s(nnunet, tmp_path):
    fitted(nnunet(epochs=1, iterations=1, features=2), tmp_path)
    assert json.loads((tmp_path / "training.json").read_text())["circumstances"]["precision"] == "float32"


def test_training_masks_without_any_foreground_are_refused(nnunet, tmp_path):
    train = lesions(4)
    with pytest.raises(InputError, match="found 4 training masks without foreground; allowed: foreground in one"):
        fitted(nnunet(**TINY), tmp_path, replace(train, masks=np.zeros_like(train.masks)))


def test_images_of_any_size_and_a_black_one_are_scored(nnunet, tmp_path):
    component, train = nnunet(**TINY), lesions(4, 40)
    fitted(component, tmp_path, replace(train, images=train.images[:, :33], masks=train.masks[:, :33]))
    scores = component.open(tmp_path, "cpu")(np.stack([train.images[0, :33], np.zeros((33, 40, 3), np.uint8)]))
    assert (scores.dtype, scores.shape) == (np.float32, (2, 1, 33, 40))
    assert scores.min() >= 0
    assert scores.max() <= 1


def test_a_plan_that_names_other_code_than_nnu_net_s_is_not_followed(nnunet, tmp_path):
    component = nnunet(epochs=1, iterations=1, features=2)
    fitted(component, tmp_path)
    plans = json.loads((tmp_path / PLANS).read_text())
    plans["configurations"]["2d"]["architecture"]["arch_kwargs"]["nonlin"] = "subprocess.Popen"
    write_json(tmp_path / PLANS, plans)
    with pytest.raises(InputError, match=r"plans.json: names subprocess.Popen; allowed: the networks and layers of"):
        component.open(tmp_path, "cpu")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_example_recipe_finds_lesions(nnunet, tmp_path):
    result = load_recipe(EXAMPLE).run(out=tmp_path, observers=())
    assert np.mean([row["dice"] for row in result.scores]) > 0.6

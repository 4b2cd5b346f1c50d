"""A development split: settings are looked for on training images, and the test images are not read for scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from augkit.data.arrays import ImageSet, Splits
from augkit.data.draws import Draws, sample_keys
from augkit.data.stored import read_splits
from augkit.errors import InputError, StageError
from augkit.planning.plan import make_quality
from augkit.running.engine import Engine
from augkit.store import Digests, Store
from samples import checked_recipes

RECIPE = """\
name: arm
dataset: {phantom: {train: 20, test: 4, validation: 3, size: 32}}
synthesize:
  - {generator: {noise: {}}, masks: {training: {}}, per_real: 1.0}
segmenter: {unet: {width: 2, steps: 1, batch_size: 2}}
"""
PLAIN = RECIPE.replace(RECIPE[RECIPE.index("synthesize") : RECIPE.index("segmenter")], "").replace("arm", "plain")


def splits_of(stage, store) -> Splits:
    return read_splits(Engine(store, "cpu").artifact(stage))


def test_development_images_come_from_the_training_images_and_are_not_trained_on(plan, store):
    (arm,), (usual,) = plan(RECIPE + "development_share: 0.25\n").arms, plan(RECIPE).arms
    found, whole = splits_of(arm.dataset, store), splits_of(usual.dataset, store)
    assert (len(found.train), len(found.test)) == (15, 5)
    assert sorted(found.train.ids + found.test.ids) == sorted(whole.train.ids)
    assert found.validation.ids == whole.validation.ids
    assert arm.training == arm.dataset
    assert arm.evaluation.inputs["dataset"] == arm.dataset


def test_all_seeds_and_arms_share_one_development_split(plan):
    arms = plan(RECIPE, PLAIN, seeds=[0, 1], changes=["development_share=0.25"]).arms
    assert len(arms) == 4
    assert len({arm.dataset for arm in arms}) == 1


def test_a_smaller_development_split_is_part_of_a_larger_one(plan, store):
    sets = []
    for share in (0.05, 0.2, 0.5):
        (arm,) = plan(RECIPE + f"development_share: {share}\n").arms
        sets.append(set(splits_of(arm.dataset, store).test.groups))
    assert [len(found) for found in sets] == [1, 4, 10]
    assert sets[0] < sets[1] < sets[2]


def test_a_training_share_is_a_share_of_the_rest(plan, store):
    for seed in (0, 1):
        (arm,) = plan(RECIPE + "development_share: 0.2\ntraining_share: 0.5\n", seeds=[seed]).arms
        held_out, taken = splits_of(arm.dataset, store), splits_of(arm.training, store)
        assert len(taken.train) == 8
        assert set(taken.train.ids) < set(held_out.train.ids)
        assert taken.test.ids == held_out.test.ids


def test_quality_is_judged_with_development_images_held_out(tmp_path, store):
    (stage,) = make_quality(checked_recipes(tmp_path, RECIPE + "development_share: 0.2\n"), None, Digests(store.root))
    assert len(splits_of(stage.inputs["dataset"], store).test) == 4
    assert len(splits_of(stage.inputs["dataset"], store).train) == 16


def test_no_share_is_the_data_set_itself(plan):
    assert plan(RECIPE + "development_share: 0\n").arms[0].segmenter == plan(RECIPE).arms[0].segmenter


@pytest.mark.parametrize(("share", "found"), [("0.6", "the number 0.6"), ("-1", "the number -1"), ("yes", "the text")])
def test_a_share_that_is_none_is_refused_with_its_line(plan, share, found):
    with pytest.raises(InputError) as error:
        plan(RECIPE + f"development_share: {share}\n")
    (problem,) = map(str, error.value.problems)
    assert f"0.yaml:6: development_share: found {found}" in problem
    assert problem.endswith("allowed: 0 for none, or 0 < number <= 0.5")


def test_arms_of_different_development_splits_are_not_compared(plan):
    with pytest.raises(
        InputError, match="or another development_share or folds than 'plain'; allowed: the same in every arm"
    ):
        plan(RECIPE + "development_share: 0.2\n", PLAIN)


def test_a_development_share_cannot_be_swept(plan):
    with pytest.raises(InputError, match="'development_share' cannot be swept"):
        plan(RECIPE + "sweep: {development_share: [0.1, 0.2]}\n")


def photographs(names):
    """Return one noisy image per name, with groups of two images each."""
    keys = Draws.of(1, "photographs", sample_keys(names))
    images = (keys.uniform("pixels", shape=(32, 32, 3)) * 255).astype(np.uint8)
    masks = np.zeros((len(names), 32, 32), bool)
    masks[:, 8:20, 8:20] = True
    groups = tuple(f"patient-{name[:-1]}" for name in names)
    return ImageSet(tuple(names), images, masks, groups, ("real",) * len(names))


def use(monkeypatch, splits):
    monkeypatch.setattr("augkit_phantom.Phantom.load", lambda self: splits)


def test_a_patient_is_on_one_side_only_and_copies_across_it_are_left_out(plan, monkeypatch, tmp_path):
    train = photographs([f"{i}{half}" for i in range(6) for half in "ab"])
    use(monkeypatch, Splits(train, ImageSet.empty((32, 32)), photographs(["xa"])))
    text = RECIPE.replace("train: 20", "train: 21") + "development_share: 0.34\n"
    found = splits_of(plan(text).arms[0].dataset, Store(tmp_path / "first"))
    assert set(found.train.groups).isdisjoint(found.test.groups)
    assert (len(found.train), len(found.test)) == (8, 4)
    # One training image becomes a copy of a development image, another one a copy of the test image.
    copied, leaked = found.train.ids[0], found.train.ids[-1]
    images = train.images.copy()
    images[train.ids.index(copied)] = found.test.images[0]
    images[train.ids.index(leaked)] = photographs(["xa"]).images[0]
    changed = ImageSet(train.ids, images, train.masks, train.groups, train.origins)
    use(monkeypatch, Splits(changed, ImageSet.empty((32, 32)), photographs(["xa"])))
    (arm,) = plan(text + "exclude_copies: true\n").arms
    folder = Engine(Store(tmp_path / "second"), "cpu").artifact(arm.dataset)
    assert json.loads((folder / "excluded.json").read_text()) == [leaked, copied]
    assert {copied, leaked}.isdisjoint(read_splits(folder).train.ids)


def test_one_patient_cannot_be_split(plan, monkeypatch, tmp_path):
    use(monkeypatch, Splits(photographs(["0a", "0b"]), ImageSet.empty((32, 32)), photographs(["xa"])))
    (arm,) = plan(RECIPE.replace("train: 20", "train: 22") + "development_share: 0.5\n").arms
    with pytest.raises(StageError) as error:
        Engine(Store(tmp_path), "cpu").artifact(arm.dataset)
    what = "development_share: found 1 training group; allowed: at least 2, one to train on and one to score on"
    assert what in str(error.value.problems[0])


def test_the_report_says_that_scores_are_on_a_development_split(plan, store, monkeypatch):
    monkeypatch.setattr("augkit_unet.segmenter.Unet.fit", lambda self, *rest: None)
    found = lambda images: np.zeros((len(images), 1, 32, 32), np.float32)  # noqa: E731
    monkeypatch.setattr("augkit_unet.segmenter.Unet.open", lambda self, *rest: found)
    seen = plan(RECIPE, PLAIN, changes=["development_share=0.25", "training_share=0.5"])
    folder: Path = Engine(store, "cpu").run(seen)
    record, page = json.loads((folder / "report.json").read_text()), (folder / "report.html").read_text()
    assert record["title"] == "plain+arm (development split)"
    assert folder.name.startswith("plain+arm-development-")
    assert record["provenance"]["scored on"] == (
        "5 development images, 0.25 of the training groups; the test images were not scored"
    )
    design = record["arms"]["arm"]["design"]
    assert design["scored_on"] == "development images"
    assert design["data"].startswith("phantom, without 0.25 of the training groups, 0.5 of the training groups #")
    assert "All scores are on a development split: training images that no arm was trained on." in page
    title = "Mean ± standard error over the development images (not the test set)"
    assert f"Table 1. {title}; scores averaged over seeds." in page
    assert "Data: phantom, 8 training, 3 validation and 5 development images of 32 × 32 pixels (RGB)." in page
    assert "averaged over the 5 development images, at training size, which are training images held out" in page
    assert "test images" not in page.replace("The test images were not scored", "").replace(
        "and no test images", ""
    ).replace("score the chosen ones once on the test images", "").replace("the test images were not scored", "")
    titles = [title for title, _ in record["artifacts"]]
    assert titles[:3] == [
        "dataset phantom",
        "dataset phantom · 0.25 of training groups to score on",
        "dataset phantom · 0.5 of training groups",
    ]

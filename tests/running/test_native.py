"""Scores at native size: predictions are compared with each mask as it is in its file."""

from __future__ import annotations

import json

import numpy as np
import pytest

from augkit.data.encoding import encode_png
from augkit.data.resizing import upsample_scores
from augkit.errors import ContractError, InputError
from augkit.planning.plan import make_plan
from augkit.running.engine import Engine
from augkit.store import Digests, Store
from samples import checked_recipes

RECIPE = """\
name: {name}
dataset: {{folder: {{root: {root}, size: 32, test_fraction: 0.5}}}}
segmenter: {{unet: {{width: 2, steps: 1, batch_size: 2}}}}
score_at: {score_at}
"""


@pytest.fixture
def root(tmp_path):
    """Masks of the left half: two images of 64 x 64 pixels, and the rest 64 high and 128 wide."""
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for i in range(16):
        mask = np.zeros((64, 64 if i % 2 else 128), bool)
        mask[:, : mask.shape[1] // 2] = True
        image = np.where(mask[..., None], np.uint8(i), np.uint8(200)).repeat(3, axis=2)
        (tmp_path / "data" / "images" / f"case{i:02d}.png").write_bytes(encode_png(image))
        (tmp_path / "data" / "masks" / f"case{i:02d}.png").write_bytes(encode_png(mask))
    return tmp_path / "data"


@pytest.fixture
def plan(tmp_path, root):
    def make(*sizes, changes=()):
        texts = [RECIPE.format(name=f"arm{i}", root=root, score_at=size) for i, size in enumerate(sizes)]
        return make_plan(checked_recipes(tmp_path, *texts, changes=changes), None, Digests(tmp_path / "runs"))

    return make


@pytest.fixture(autouse=True)
def unsure(monkeypatch):
    """A segmenter that gives 0.6 to the left half and 0 to the right one; nothing is trained."""

    def predict(images):
        scores = np.zeros((len(images), 1, 32, 32), np.float32)
        scores[..., :16] = 0.6
        return scores

    monkeypatch.setattr("augkit_unet.segmenter.Unet.fit", lambda self, *rest: None)
    monkeypatch.setattr("augkit_unet.segmenter.Unet.open", lambda self, *rest: predict)


def scored(arm, folder):
    """Return id -> (TP, FP, FN, TN), id -> NSD."""
    engine = Engine(Store(folder), "cpu")
    names = json.loads((engine.artifact(arm.dataset) / "test" / "samples.json").read_text())["ids"]
    found = engine.artifact(arm.evaluation)
    counts, nsd = (np.load(found / f"{what}.npy")[:, 0].tolist() for what in ("counts", "nsd"))
    return dict(zip(names, counts, strict=True)), dict(zip(names, nsd, strict=True))


def test_scores_are_interpolated_between_pixel_centres():
    row = np.array([[0, 1]], np.float32)
    assert upsample_scores(row, 1, 4).tolist() == [[0, 0.25, 0.75, 1]]
    assert upsample_scores(row, 3, 4).tolist() == [[0, 0.25, 0.75, 1]] * 3
    assert upsample_scores(row.T, 4, 2).tolist() == [[0, 0], [0.25, 0.25], [0.75, 0.75], [1, 1]]


def test_counts_at_native_size_are_those_computed_by_hand(plan, tmp_path):
    counts, nsd = scored(plan("native").arms[0], tmp_path / "runs")
    assert {tuple(found) for found in counts.values()} == {
        # At twice the width, the last column of the left half lies a quarter of the way to the right one: it is
        # scored 0.75 x 0.6 = 0.45 and missed. One of 32 columns in 64 rows.
        (31 * 64, 0, 64, 32 * 64),
        # At four times, the last two are at 1/8 and 3/8: 0.525 is found, 0.375 is missed. One of 64 columns.
        (63 * 64, 0, 64, 64 * 64),
    }
    assert all((sum(found) == 64 * 64) == (int(name[-2:]) % 2 == 1) for name, found in counts.items())
    assert set(nsd.values()) == {1.0}  # one column is within the tolerance, 64 / 64 pixels


def test_at_training_size_the_same_scores_are_faultless(plan, tmp_path):
    counts, _ = scored(plan("training").arms[0], tmp_path / "runs")
    assert {tuple(found) for found in counts.values()} == {(32 * 16, 0, 0, 32 * 16)}


def test_nothing_but_the_evaluation_is_built_anew_for_another_size(plan):
    (native,), (usual,) = plan("native").arms, plan("training").arms
    assert native.segmenter == usual.segmenter
    assert native.evaluation != usual.evaluation


def test_development_images_are_scored_at_native_size_too(plan, tmp_path):
    (arm,) = plan("native", changes=["development_share=0.5"]).arms
    counts, _ = scored(arm, tmp_path / "runs")
    assert {sum(found) for found in counts.values()} <= {64 * 64, 64 * 128}


def test_folds_are_scored_at_native_size_too(plan, tmp_path):
    arms = plan("native", changes=["folds=4"]).arms
    counts = [scored(arm, tmp_path / "runs")[0] for arm in arms]
    assert sorted(name for found in counts for name in found) == [f"case{i:02d}" for i in range(16)]
    sizes = {name: sum(counted) for found in counts for name, counted in found.items()}
    assert all((size == 64 * 64) == (int(name[-2:]) % 2 == 1) for name, size in sizes.items())


def test_report_and_recorded_scores_say_at_which_size(plan, tmp_path):
    folder = Engine(Store(tmp_path / "runs"), "cpu").run(plan("native"))
    page, record = (folder / "report.html").read_text(), json.loads((folder / "report.json").read_text())
    assert "Table 1. Mean ± standard error over the test images, at native size; scores averaged over seeds." in page
    assert "Scores are taken at native size: a segmenter&#39;s scores are interpolated linearly to the size of" in page
    assert "Data: data (folder), " in page
    assert record["arms"]["arm0"]["design"]["score_at"] == "native"
    assert record["arms"]["arm0"]["metrics"]["dice"]["mean"] < 1
    usual = (Engine(Store(tmp_path / "runs"), "cpu").run(plan("training")) / "report.html").read_text()
    assert "Scores are taken at training size" in usual
    assert "native" not in usual


def test_arms_scored_at_different_sizes_are_not_compared(plan):
    with pytest.raises(InputError, match="recipe 'arm1': has another score_at than 'arm0'; allowed: the same in every"):
        plan("training", "native")


def test_another_word_for_the_size_is_refused(plan):
    with pytest.raises(InputError, match=r"0.yaml:4: score_at: found the text 'full'; allowed: training or native"):
        plan("full")


def test_a_data_set_without_native_masks_is_refused_before_anything_runs(plan):
    with pytest.raises(InputError) as error:
        plan("native", changes=["dataset={phantom: {train: 4, test: 2, size: 32}}"])
    (problem,) = map(str, error.value.problems)
    assert "data set 'phantom' has no native masks; allowed with it: score_at: training. Data sets that" in problem
    assert "folder" in problem
    assert "isic" in problem


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            lambda masks: masks[:-1],
            "the data set returned 8 native masks or images for 9 ids; return one per id, in order",
        ),
        (
            lambda masks: [*masks, masks[0]],
            "the data set returned 10 native masks or images for 9 ids; return one per id",
        ),
        (lambda masks: [mask * 1 for mask in masks], "as a native mask for sample case"),
        (lambda masks: [mask[:, ::-1] for mask in masks], "that differs from its mask of load() in 100% of the pixels"),
    ],
)
def test_native_masks_that_are_others_are_told_to_the_author_of_the_data_set(plan, tmp_path, monkeypatch, given, told):
    from augkit_folder import Folder

    whole = Folder.native_masks
    monkeypatch.setattr(Folder, "native_masks", lambda self, ids: iter(given(list(whole(self, ids)))))
    arm = plan("native").arms[0]
    with pytest.raises(ContractError) as error:
        Engine(Store(tmp_path / "runs"), "cpu").artifact(arm.evaluation)
    text = str(error.value.problems[0])
    assert told in text
    assert text.endswith("(folder)")

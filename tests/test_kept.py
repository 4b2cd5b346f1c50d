"""What earlier versions left behind is read by this one, or refused with what to do; `kept/make.py` made it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import augkit
from augkit.contracts.precision import precision_of_run
from augkit.data.stored import (
    read_drawn_masks,
    read_evaluation,
    read_health,
    read_history,
    read_image_set,
    read_splits,
    read_training_facts,
)
from augkit.store import MANIFEST, SCHEMA, find_damage, read_json
from augkit.training.checkpoints import State, load_checkpoint
from augkit_unet.segmenter import Unet
from augkit_unet.training import UnetLearner
from samples import no_change, workspace

KEPT = sorted(path for path in (Path(__file__).parent / "kept").iterdir() if path.name[0].isdigit())
ARTIFACTS = sorted(manifest.parent for kept in KEPT for manifest in kept.glob("runs/*/*/artifact.json"))


@pytest.fixture(params=KEPT, ids=lambda kept: kept.name)
def kept(request):
    return request.param


def of_kind(kept, kind):
    (folder,) = (kept / "runs" / kind).iterdir()
    return folder


@pytest.mark.parametrize("folder", ARTIFACTS, ids=lambda folder: f"{folder.parts[-4]} {folder.parts[-2]}")
def test_every_artifact_has_the_bytes_it_was_sealed_with(folder):
    assert find_damage(folder) == []
    assert read_json(folder / MANIFEST)["schema"] == SCHEMA


def test_sets_masks_scores_and_notes_are_read(kept):
    splits = read_splits(of_kind(kept, "dataset"))
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [6, 0, 3]
    assert len(read_drawn_masks(of_kind(kept, "masks")).masks) == 6
    assert len(read_evaluation(of_kind(kept, "evaluation")).counts) == 3
    for kind in ("generator", "segmenter"):
        assert read_history(of_kind(kept, kind))
        assert read_training_facts(of_kind(kept, kind))
    assert read_health(of_kind(kept, "generator"))["state"] == "weak"


def test_a_generator_paints_what_it_painted_then(kept):
    synthetic = read_image_set(of_kind(kept, "synthesis"))
    seed = read_json(of_kind(kept, "synthesis") / MANIFEST)["identity"]["seed"]
    with precision_of_run("float32"):
        paint = augkit.generator(of_kind(kept, "generator"), device="cpu")
        again = paint.paint(np.asarray(synthetic.masks), seed=seed)
    assert np.abs(again.astype(int) - np.asarray(synthetic.images).astype(int)).max() <= 1


def test_a_segmenter_finds_what_it_found_then(kept):
    test = read_splits(of_kind(kept, "dataset")).test
    scores = Unet(width=2, steps=8, batch_size=2).open(of_kind(kept, "segmenter"), "cpu")(np.asarray(test.images))
    counted = read_evaluation(of_kind(kept, "evaluation"))
    assert np.isfinite(scores).all()
    assert scores.shape[0] == len(counted.counts)


def test_a_checkpoint_is_continued(kept, tmp_path):
    shutil.copytree(kept / "checkpoints", tmp_path / "checkpoints")
    tensors, facts = load_checkpoint(workspace(tmp_path))
    train = read_splits(of_kind(kept, "dataset")).train
    learner = UnetLearner(Unet(width=2, steps=100, batch_size=2), train, no_change, workspace(tmp_path))
    State(learner, "cpu").restore(tensors, facts)
    assert facts["done"] == int(next((kept / "checkpoints").iterdir()).name)


def test_a_report_that_was_shared_is_compared_with_itself(kept, tmp_path):
    command = [sys.executable, "-m", "augkit", "compare", str(kept / "report.zip"), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = tmp_path.rglob("comparison.json")
    assert json.loads(found.read_text())["reports"]

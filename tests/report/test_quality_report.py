"""The quality of synthetic images in a run's report: judged where the arms have a segmenter to judge with."""

import json
import re

import numpy as np
import pytest

from augkit.planning.plan import make_plan, make_quality
from augkit.running.engine import Engine
from augkit.store import Digests, Store
from samples import checked_recipes

DATA = "dataset: {phantom: {train: 12, test: 8, size: 32}}\nsegmenter: {unet: {width: 2, steps: 1, batch_size: 2}}\n"
SOURCES = "synthesize:\n  - {generator: {noise: {}}, masks: {training: {}}, per_real: 1.0}\n"
PLAIN = f"name: plain\n{DATA}"
PAINTED = f"name: painted\n{DATA}{SOURCES}"
BOTH = f"name: both\n{DATA}{SOURCES}augment:\n  - geometry: {{flip: both}}\n"
ROTATED = f"name: rotated\n{DATA}augment:\n  - geometry: {{flip: both}}\n"


@pytest.fixture
def plan(tmp_path):
    return lambda *texts, seeds=None: make_plan(checked_recipes(tmp_path, *texts), seeds, Digests(tmp_path))


@pytest.fixture(autouse=True)
def dark_is_lesion(monkeypatch):
    """A segmenter that needs no training."""

    def predict(images):
        return (images.mean(axis=3, keepdims=True) < 130).transpose(0, 3, 1, 2).astype(np.float32)

    monkeypatch.setattr("augkit_unet.segmenter.Unet.fit", lambda self, *rest: None)
    monkeypatch.setattr("augkit_unet.segmenter.Unet.open", lambda self, *rest: predict)


def kinds(plan):
    return [stage.address.kind for stage in plan.stages()]


def test_a_source_of_several_arms_is_judged_once_by_the_plain_arms_segmenter(plan, tmp_path):
    planned = plan(PLAIN, PAINTED, BOTH)
    task = planned.report.task
    assert task.unjudged == ()
    (stage,) = task.quality
    assert stage.inputs["segmenter"] == next(arm.segmenter for arm in planned.arms if arm.name == "plain")
    assert kinds(planned).count("segmenter") == 3
    (asked_for,) = make_quality(checked_recipes(tmp_path, PAINTED), None, Digests(tmp_path))
    assert asked_for == stage, "'augkit quality' finds the same artifact"


def test_of_several_seeds_the_first_is_judged(plan):
    planned = plan(PLAIN, PAINTED, seeds=[3, 5])
    (stage,) = planned.report.task.quality
    first = next(arm for arm in planned.arms if (arm.name, arm.seed) == ("painted", 3))
    assert stage.inputs["synthesis"] == first.syntheses[0]


def test_no_segmenter_is_trained_for_the_sake_of_quality(plan):
    planned = plan(ROTATED, BOTH)
    assert "quality" not in kinds(planned)
    assert kinds(planned).count("segmenter") == 2
    assert planned.report.task.unjudged == ("both",)


def test_a_plain_arm_of_another_training_share_is_no_judge(plan):
    planned = plan(PLAIN, PAINTED + "training_share: 0.5\n")
    assert planned.report.task.unjudged == ("painted",)


def test_points_of_a_curve_are_not_judged(plan):
    planned = plan(PLAIN, PAINTED + "sweep: {synthesize.0.per_real: [1, 2]}\n")
    assert (planned.report.task.quality, planned.report.task.unjudged) == ((), ())


def test_the_report_shows_numbers_words_and_pictures_and_needs_no_other_file(plan, tmp_path):
    folder = Engine(Store(tmp_path / "runs"), "cpu").run(plan(PLAIN, PAINTED, BOTH))
    page, record = (folder / "report.html").read_text(), json.loads((folder / "report.json").read_text())
    title = "Quality of noise/training (painted, both)"
    assert f">{title}</h2>" in page
    assert record["sections"][title]["adherence"]["dice"] > 0
    assert '<p class="quality">noise/training: <span' in page
    assert '<span class="warn">do not look real (KID ' in page
    assert "<summary>Numbers, and what they mean</summary>" in page
    assert "<dfn>KID</dfn>: kernel inception distance" in page
    for measure in ("mask adherence (Dice)", "kid_handcrafted", "density_handcrafted", "swd_patches at 32 pixels",
                    ">grid<", "above 2: a pattern of pixels", "suspicious images"):  # fmt: skip
        assert measure in page
    assert "None of these numbers tells whether the images help; the verdict does." in page
    assert {f"quality-1-{name}.png" for name in ("adherence", "closest", "diversity")} <= {
        file.name for file in (folder / "figures").iterdir()
    }
    assert not re.findall(r'(?:src|href|srcset)="(?!data:|#)', page)


def test_a_report_without_a_judge_says_which_command_judges(plan, tmp_path):
    folder = Engine(Store(tmp_path / "runs"), "cpu").run(plan(BOTH))
    page = (folder / "report.html").read_text()
    assert ">Quality of the synthetic images</h2>" in page
    assert "Not judged: both. Judging takes a segmenter that was trained on real images without augmentation" in page
    assert "&#39;augkit quality&#39; with the same recipe trains it" in page

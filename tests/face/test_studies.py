import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import augkit
from augkit.data.stored import read_image_set
from augkit.errors import InputError


def test_a_recipe_is_planned_without_torch_and_without_writing_anything(tmp_path):
    code = (
        "import sys, augkit\n"
        "plan = augkit.load_recipe('allaug', changes={'segmenter.unet.steps': 7}).plan(seeds=range(2))\n"
        "print(len(plan.arms), plan.arms[0].segmenter.task.segmenter.steps, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("2 7 False\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_shipped_recipe_is_found_by_its_name_and_a_missing_file_is_not_taken_for_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert repr(augkit.load_recipe("allaug", "isic2017-64/noaug.yaml"[:-5])) == "Study(allaug, noaug)"
    with pytest.raises(InputError, match=r"allaug\.yaml: no such recipe"):
        augkit.load_recipe("allaug.yaml")


def test_all_problems_of_a_recipe_are_told_at_once(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("name: r\ndataset: {phantom: {sise: 32}}\nsegmenter: {unte: {}}\n")
    with pytest.raises(InputError) as caught:
        augkit.load_recipe(file)
    assert len(caught.value.problems) == 2


def test_a_run_from_python_is_the_run_of_the_command(folder, result):
    files = [str(folder / "classic.yaml"), str(folder / "both.yaml")]
    options = ["--seeds", "0,1", "--out", str(folder / "runs"), "--device", "cpu", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "augkit", "run", *files, *options], capture_output=True, text=True, check=False
    )
    assert f"Report: {result.report}\n" in done.stdout, done.stderr


def test_observers_hear_of_a_run_from_python(folder, result, capfd):
    augkit.run(folder / "classic.yaml", out=folder / "runs", device="cpu")
    assert "stages to build" in capfd.readouterr().err


def test_two_runs_of_one_process_are_each_computed_in_the_precision_asked_for(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("AUGKIT_PRECISION", "float32")
    found = []
    for number, precision in enumerate(("bfloat16", None)):
        out = tmp_path / str(number)
        augkit.run(folder / "classic.yaml", out=out, device="cpu", precision=precision, observers=())
        (manifest,) = out.glob("segmenter/*/artifact.json")
        found.append(json.loads(manifest.read_text())["environment"]["precision"])
    assert found == ["bfloat16", "float32"]
    assert os.environ["AUGKIT_PRECISION"] == "float32"


@pytest.mark.slow
def test_workers_compute_in_the_precision_of_their_run(folder, tmp_path):
    augkit.run(folder / "classic.yaml", out=tmp_path, device="cpu", precision="bfloat16", threads=1, observers=())
    (manifest,) = tmp_path.glob("segmenter/*/artifact.json")
    assert json.loads(manifest.read_text())["environment"]["precision"] == "bfloat16"
    assert "AUGKIT_PRECISION" not in os.environ


def test_a_replay_shows_what_training_saw_and_what_was_drawn(folder, result):
    one = augkit.replay(folder / "classic.yaml", sample=5, epoch=2, out=folder / "runs")
    several = augkit.replay(folder / "classic.yaml", sample=[3, 5], epoch=2, out=folder / "runs")
    assert one.images.shape == (1, 32, 32, 3)
    assert np.array_equal(one.images[0], several.images[1])
    assert one.parameters[0] == several.parameters[1]
    assert any(one.parameters[0])


def test_a_replayed_sample_may_be_named(folder, result):
    train = next((folder / "runs" / "dataset").iterdir()) / "train"
    name = read_image_set(train).ids[5]
    by_name = augkit.replay(folder / "classic.yaml", sample=name, out=folder / "runs")
    by_place = augkit.replay(folder / "classic.yaml", sample=5, out=folder / "runs")
    assert np.array_equal(by_name.images, by_place.images)


@pytest.mark.parametrize(
    ("sample", "text"), [(99, "found 99; allowed: 0 .. 11"), ("nobody", "no training sample is called 'nobody'")]
)
def test_a_sample_that_is_not_there_is_refused(folder, result, sample, text):
    with pytest.raises(InputError, match=text.replace(".", r"\.")):
        augkit.replay(folder / "classic.yaml", sample=sample, out=folder / "runs")


def test_a_replay_is_of_one_arm(folder):
    both = augkit.load_recipe(folder / "classic.yaml", folder / "both.yaml")
    with pytest.raises(InputError, match="found the arms classic, both; allowed: one"):
        augkit.replay(both, out=folder / "runs")


@pytest.mark.parametrize(
    ("seeds", "found"),
    [("0..3", "'0..3'"), (4, "4"), ([0.5], "0.5"), ([0, -1], "-1"), ([], "none"), ([True], "True")],
)
def test_seeds_that_a_recipe_could_not_have_are_refused_before_anything_trains(folder, seeds, found):
    for ask in (augkit.load_recipe(folder / "classic.yaml").plan, augkit.load_recipe(folder / "classic.yaml").run):
        with pytest.raises(InputError, match=r"seeds: found .* allowed: .*whole numbers") as caught:
            ask(seeds, out=folder / "nothing")
        assert f"found {found};" in str(caught.value)
    assert not (folder / "nothing").exists()


def test_seeds_may_be_numbers_of_numpy_and_so_may_changes(folder):
    changes = {"segmenter.unet.steps": np.int64(3), "dataset.phantom.size": np.arange(40)[32]}
    plan = augkit.load_recipe(folder / "classic.yaml", changes=changes).plan(np.arange(2))
    assert [arm.seed for arm in plan.arms] == [0, 1]
    assert plan.arms[0].segmenter.task.segmenter.steps == 3


def test_no_recipe_and_observers_that_are_one_text_are_refused(folder):
    with pytest.raises(InputError, match="recipes: found none; allowed: at least one file"):
        augkit.run()
    with pytest.raises(
        InputError, match=r"observers: found the text 'progress'; allowed: a list .* As in \['progress'\]"
    ):
        augkit.run(folder / "classic.yaml", observers="progress")


def test_a_misspelt_shipped_recipe_is_answered_with_the_nearest_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"noagu: no such recipe\. Did you mean 'noaug'"):
        augkit.load_recipe("noagu")
    with pytest.raises(InputError, match=r"x/y\.yaml: no such recipe\. 'augkit ls' lists"):
        augkit.load_recipe("x/y.yaml")


def test_a_replay_takes_changes(folder):
    small = {"dataset.phantom.size": 48}
    assert augkit.replay(folder / "classic.yaml", changes=small, out=folder / "runs").images.shape == (1, 48, 48, 3)


def test_the_face_has_the_names_it_lists():
    for name in augkit.__all__:
        assert getattr(augkit, name) is not None, name
    assert set(augkit.__all__) <= set(dir(augkit))
    with pytest.raises(AttributeError, match="module 'augkit' has no attribute 'runn'"):
        _ = augkit.runn


FACE = '''\
"""Uses only the face."""

import numpy as np

import augkit


def study() -> list[str]:
    result = augkit.run("a.yaml", seeds=range(6), changes={"segmenter.unet.steps": 3})
    rows: list[dict[str, object]] = result.scores
    plan = augkit.load_recipe("a.yaml").plan()
    images, masks = np.zeros((2, 8, 8, 3), np.uint8), np.ones((2, 8, 8), np.bool_)
    images, masks = augkit.augmentation("hair: {}")(images, masks, seed=0, epoch=3, ids=["a", "b"])
    painted = augkit.generator("folder").paint(masks, seed=0)
    again = augkit.replay("a.yaml", sample=0, epoch=12)
    return [result.verdicts[0].word, str(len(rows)), plan.arms[0].name, str(painted.shape), str(again.images.shape)]
'''


@pytest.mark.slow
def test_strict_mypy_passes_on_a_file_that_uses_only_the_face(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed")
    (tmp_path / "uses.py").write_text(FACE)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "uses.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_package_tells_checkers_that_it_is_typed():
    assert (Path(augkit.__file__).parent / "py.typed").is_file()
    assert json.dumps(sorted(augkit.__all__))

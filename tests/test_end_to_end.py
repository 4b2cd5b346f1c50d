"""The main job as a user runs it: commands in, artifacts and reports out."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from samples import file_hashes

RECIPES = Path(__file__).parent.parent / "recipes"
ARMS = [str(RECIPES / f"{name}.yaml") for name in ("noaug", "classicaug", "mask2lesionaug", "allaug")]
SMALL = [
    "--set=dataset.phantom={train: 12, test: 8, size: 32}",
    "--set=segmenter.unet={width: 2, steps: 30, batch_size: 4}",
]
SMALL_GAN = [
    "--set=synthesize.0.generator={mask2lesion: {width: 4, norm: instance, patch_layers: 1, epochs: 8, decay_epochs: 0,"
    " batch_size: 4}}"
]


def augkit(*arguments, cwd, path=""):
    command = [sys.executable, "-c", "from augkit.cli import main; main()", *arguments]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120", "PYTHONPATH": path}
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def four_arms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four arms")
    return folder, augkit("run", *ARMS, *SMALL, *SMALL_GAN, cwd=folder)


def test_four_arms_give_table_1_and_a_report(four_arms):
    folder, done = four_arms
    assert done.returncode == 0, done.stderr
    for word in ("Dice", "Accuracy", "Sensitivity", "Specificity", "noaug", "allaug", "±", "report.html"):
        assert word.lower() in done.stdout.lower()
    reports = list((folder / "runs" / "report").iterdir())
    assert len(reports) == 1
    summary = json.loads((reports[0] / "report.json").read_text())
    assert list(summary["arms"]) == ["noaug", "classicaug", "mask2lesionaug", "allaug"]
    assert (reports[0] / "report.html").stat().st_size > 10_000


def test_a_run_without_a_verdict_ends_with_the_command_that_gives_one_and_how_long_it_takes(four_arms):
    _, done = four_arms
    last = done.stdout.splitlines()[-1]
    assert last.startswith(f"For a verdict: augkit compare {' '.join(ARMS)} --seeds 0..5 --set 'dataset.phantom=")
    assert re.search(r" \(about \d.* here\)$", last)


def test_the_generator_is_trained_once_for_all_arms(four_arms):
    folder, _ = four_arms
    kinds = {kind.name: len(list(kind.iterdir())) for kind in (folder / "runs").iterdir() if kind.name[0] != "."}
    assert kinds == {
        "dataset": 1, "generator": 1, "masks": 1, "synthesis": 1, "segmenter": 4, "evaluation": 4, "quality": 1,
        "report": 1,
    }  # fmt: skip


def test_a_plain_log_has_no_control_characters(four_arms):
    _, done = four_arms
    assert "\x1b" not in done.stderr + done.stdout
    assert "generator mask2lesion" in done.stderr


def test_a_second_call_builds_nothing_and_prints_the_same_table(four_arms):
    folder, first = four_arms
    before = file_hashes(folder / "runs")
    again = augkit("run", *ARMS, *SMALL, *SMALL_GAN, cwd=folder)
    assert again.returncode == 0
    assert again.stdout == first.stdout
    assert "[1/" not in again.stderr
    assert file_hashes(folder / "runs") == before


def test_one_training_per_arm_gives_no_verdict(four_arms):
    folder, done = four_arms
    answer = "No answer yet: one training per arm cannot separate an arm from the luck of its training."
    sentence = "allaug vs classicaug: no verdict. One training per arm cannot separate an arm from the luck"
    compared = augkit("compare", "runs", cwd=folder)
    assert compared.returncode == 0, compared.stderr
    for told in (done.stdout, compared.stdout):
        assert told.count(answer) == 1
        assert sentence not in told, "the answer says it for all contrasts"
    (page,) = (folder / "runs" / "comparison").glob("noaug+classicaug+mask2lesionaug+allaug-*/comparison.html")
    assert answer in page.read_text()
    assert sentence in page.read_text()


def test_the_recipes_in_a_report_are_those_that_made_it(four_arms):
    folder, _ = four_arms
    (report,) = (folder / "runs" / "report").iterdir()
    command = json.loads((report / "report.json").read_text())["command"].split()
    assert command[:2] == ["augkit", "run"]
    plan = augkit("plan", *command[2:], "--out", str(folder / "runs"), cwd=report)
    assert plan.returncode == 0, plan.stderr
    assert {line.split()[0] for line in plan.stdout.splitlines()[2:]} == {"exists"}


def test_new_segmenter_options_keep_generator_and_synthetic_images(four_arms):
    folder, _ = four_arms
    plan = augkit("plan", ARMS[3], *SMALL, *SMALL_GAN, "--set=segmenter.unet.steps=31", cwd=folder)
    assert plan.returncode == 0, plan.stderr
    state = {" ".join(line.split()[-3:-1]): line.split()[0] for line in plan.stdout.splitlines()}
    assert state["generator mask2lesion"] == "exists"
    assert state["synthesis mask2lesion-training"] == "exists"
    assert state["segmenter unet"] == "will"


@pytest.mark.slow
def test_a_run_killed_and_interrupted_at_random_ends_in_the_same_bytes(four_arms, tmp_path):
    folder, _ = four_arms
    arguments = ["run", ARMS[3], *SMALL, *SMALL_GAN]
    command = [sys.executable, "-c", "from augkit.cli import main; main()", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for seconds, stop in ((2.6, signal.SIGKILL), (3.1, signal.SIGINT), (3.6, signal.SIGKILL), (4.2, signal.SIGTERM)):
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        time.sleep(seconds)
        process.send_signal(stop)
        _, errors = process.communicate(timeout=60)
        assert b"Traceback" not in errors, errors.decode()
    done = augkit(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    finished, reference = file_hashes(tmp_path / "runs"), file_hashes(folder / "runs")
    assert len(finished) > 10
    assert {name: reference[name] for name in finished} == finished


def children(pid):
    """Processes that a process has started and not yet waited for."""
    stats = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
    return [int(stat.split()[0]) for stat in stats if int(stat.rpartition(")")[2].split()[1]) == pid]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to find the workers")
def test_jobs_side_by_side_save_on_a_signal_and_give_the_bytes_of_one_after_another(four_arms, tmp_path):
    folder, _ = four_arms
    arguments = ["run", ARMS[0], ARMS[3], *SMALL, *SMALL_GAN]
    command = [sys.executable, "-c", "from augkit.cli import main; main()", *arguments, "--jobs=2", "--threads=1"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "generator mask2lesion" in line:
                break
        workers = children(process.pid)
        assert len(workers) == 2
        for pid in (*workers, process.pid):  # as a service manager does; only the run may act on it
            os.kill(pid, signal.SIGTERM)
        errors = process.stderr.read()
    assert process.returncode == 143, errors
    assert "Traceback" not in errors
    assert "generator mask2lesion: " in errors
    assert errors.endswith("The same command continues from here.\n")
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    done = augkit(*arguments, "--jobs=3", "--threads=1", "--observer=jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    finished, reference = file_hashes(tmp_path / "runs"), file_hashes(folder / "runs")
    assert len(finished) > 20
    assert {name: reference[name] for name in finished} == finished
    (log,) = (tmp_path / "runs" / "events").iterdir()
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert [told[0]["event"], told[-1]["event"]] == ["RunStarted", "RunFinished"]
    ended = [facts["stage"] for facts in told if facts["event"] == "StageFinished"]
    assert ended[-1].startswith("report ")
    manifest = json.loads(next((tmp_path / "runs" / "segmenter").glob("*/artifact.json")).read_text())
    assert manifest["environment"]["threads"] == 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kill_9_at_random_moments_leaves_nothing_damaged_and_the_same_bytes():
    script = Path(__file__).parent.parent / "benchmarks" / "kills.py"
    done = subprocess.run([sys.executable, script, "--kills", "8"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    values = json.loads(done.stdout.splitlines()[-1])["values"]
    assert values["kills"] == 8
    assert values["files compared in each"] > 20
    assert (values["damaged artifacts"], values["damaged checkpoints"], values["different files"]) == (0, 0, 0)
    assert len(values["killed during"]) > 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_call_that_fails_on_the_way_is_told_and_the_next_run_ends_in_the_same_bytes():
    script = Path(__file__).parent.parent / "benchmarks" / "failing.py"
    done = subprocess.run([sys.executable, script, "--tries", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    values = json.loads(done.stdout.splitlines()[-1])["values"]
    assert (values["attempts"], values["different files"], values["wrong after exit 0"]) == (2, 0, 0)
    assert values["calls in a healthy run"] > 500


def test_seeds_are_separate_trainings_in_one_table(tmp_path):
    done = augkit("run", ARMS[0], *SMALL, "--seeds", "0,1", "--out", "elsewhere", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "elsewhere" / "segmenter").iterdir())) == 2
    assert len(list((tmp_path / "elsewhere" / "dataset").iterdir())) == 1
    (report,) = (tmp_path / "elsewhere" / "report").iterdir()
    assert json.loads((report / "report.json").read_text())["arms"]["noaug"]["metrics"]["dice"]["seed_sd"] is not None


@pytest.mark.slow
def test_sources_mix_freely_in_one_recipe(tmp_path):
    recipe = tmp_path / "mixed.yaml"
    recipe.write_text(
        "name: mixed\n"
        "dataset: {phantom: {train: 12, test: 8, size: 32}}\n"
        "synthesize:\n"
        "  - generator: &refused {mask2lesion: {}}\n"
    )
    assert augkit("run", "mixed.yaml", cwd=tmp_path).returncode == 2
    gan = "{mask2lesion: {width: 4, norm: instance, patch_layers: 1, epochs: 1, decay_epochs: 0, batch_size: 4}}"
    recipe.write_text(
        "name: mixed\n"
        "dataset: {phantom: {train: 12, test: 8, size: 32}}\n"
        "synthesize:\n"
        f"  - {{generator: {gan}, masks: {{training: {{}}}}, per_real: 0.5}}\n"
        f"  - {{generator: {gan}, masks: {{shapes: {{}}}}, count: 5}}\n"
        f"  - {{generator: {gan}, masks: {{shapes: {{}}}}, count: 5}}\n"
        "augment:\n"
        "  - geometry: {rotate: 90}\n"
        "  - colour: {}\n"
        "segmenter: {unet: {width: 2, steps: 3, batch_size: 4}}\n"
    )
    done = augkit("run", "mixed.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "runs" / "generator").iterdir())) == 1
    assert len(list((tmp_path / "runs" / "synthesis").iterdir())) == 3
    (report,) = (tmp_path / "runs" / "report").iterdir()
    composition = json.loads((report / "report.json").read_text())["arms"]["mixed"]["training_images"]
    assert composition == {"real": 12, "mask2lesion/training": 6, "mask2lesion/shapes": 10}


def test_a_broken_data_folder_is_reported_whole_before_anything_trains(tmp_path):
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "masks").mkdir()
    for name in ("a", "b"):
        (tmp_path / "data" / "images" / f"{name}.png").write_bytes(b"not an image")
    (tmp_path / "data" / "masks" / "a.png").write_bytes(b"")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("name: mine\ndataset: {folder: {root: data, size: 32}}\nsegmenter: {unet: {}}\n")
    done = augkit("run", "mine.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "a.png" in done.stderr
    assert "b.png" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "runs").glob("segmenter"))


@pytest.mark.slow
def test_a_broken_plugin_that_no_recipe_needs_is_reported_and_skipped(tmp_path):
    site = tmp_path / "site" / "augkit_broken-1.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: augkit-broken\nVersion: 1.0\n")
    (site / "entry_points.txt").write_text("[augkit]\nbroken = no_such_module\n")
    done = augkit("run", ARMS[0], *SMALL, cwd=tmp_path, path=str(site.parent))
    assert done.returncode == 0, done.stderr
    assert (
        "skipped plugin: augkit-broken 1.0 (broken): ModuleNotFoundError: No module named 'no_such_module'"
        in done.stderr
    )

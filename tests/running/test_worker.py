import json
import os
import signal
import subprocess
import sys
import time

import pytest

from augkit.contracts.executor import Site, Unit
from augkit.contracts.registry import load_registry
from augkit.planning.components import check_recipes
from augkit.planning.plan import make_plan
from augkit.planning.recipe import recipe_of
from augkit.running.elsewhere.process import start_out_of_reach, worker_command
from augkit.store import Digests, Store, Verified

PLUGIN = """
import sys, time
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from augkit import ImageSet, InputError, Problem, Splits, hookimpl

@dataclass(frozen=True)
class Slow:
    seconds: float = 0.0
    fault: str = ""

    def sources(self):
        return ()

    def load(self):
        print("a plugin prints")
        sys.stdout.flush()
        deadline = time.monotonic() + self.seconds
        while time.monotonic() < deadline:
            time.sleep(0.01)
        if self.fault:
            raise InputError(Problem("a.png", self.fault, "Replace it"))
        def part(name):
            images, masks = np.full((1, 8, 8, 3), ord(name), np.uint8), np.zeros((1, 8, 8), bool)
            masks[:, 2:5, 2:5] = True
            return ImageSet((name,), images, masks, (name,), ("real",))
        return Splits(part("a"), part("b"), part("c"))

@hookimpl
def augkit_datasets():
    return {"slow": Slow}
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder with an installed plugin; this process and its children see it."""
    folder = tmp_path / "site"
    facts = folder / "augkit_slow-1.0.dist-info"
    facts.mkdir(parents=True)
    (folder / "augkit_slow.py").write_text(PLUGIN)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: augkit-slow\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[augkit]\nslow = augkit_slow\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")])))
    yield folder
    sys.modules.pop("augkit_slow", None)


class Worker:
    def __init__(self, root):
        self.root = root
        self.errors = root.with_name("errors")
        before = os.dup(2)
        with self.errors.open("w") as stream:
            os.dup2(stream.fileno(), 2)
        try:
            self.process = start_out_of_reach(worker_command(), os.environ)
        finally:
            os.dup2(before, 2)
            os.close(before)

    def order(self, title="dataset slow", fingerprint=None, **options):
        document = {"name": "w", "seed": 0, "dataset": {"slow": options}, "segmenter": {"unet": {}}}
        checked = check_recipes([recipe_of(document, "w")], load_registry())
        stage = make_plan(checked, None, Digests(self.root)).arms[0].dataset
        unit = Unit(document, fingerprint or stage.address.fingerprint, title)
        order = Site(self.root, "cpu", "float32", 1).order(unit)
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return stage

    def says(self):
        return json.loads(self.process.stdout.readline())


@pytest.fixture
def worker(tmp_path, site):
    started = Worker(tmp_path / "runs")
    with started.process:
        yield started
        started.process.kill()


def test_a_worker_that_was_replaced_meanwhile_says_that_its_stage_is_to_begin_again(worker):
    stage = worker.order(seconds=3.0)
    assert worker.says()["event"] == "StageStarted"
    while not list(worker.root.glob(".augkit/work/*/*/files")):
        time.sleep(0.01)
    Store(worker.root).workplace(stage.address, fresh=True)  # as who does not see its lock
    said = worker.says()
    assert said["lost"] is True
    assert "has taken this over, so nothing more of it is written here" in said["problems"][0][1]


def test_what_a_worker_has_verified_the_others_of_its_node_do_not_read_again(tmp_path, site, monkeypatch):
    (tmp_path / "node").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "node"))
    started = Worker(tmp_path / "runs")
    with started.process:
        stage = started.order()
        while "problems" not in (said := started.says()):
            pass
        started.process.kill()
    assert said == {"problems": []}
    (folder,) = (tmp_path / "node").glob("augkit-*")
    read = []
    monkeypatch.setattr("augkit.store.artifacts.find_damage", lambda folder: read.append(folder) or [])
    store = Store(tmp_path / "runs", Verified(folder))
    assert store.open(stage.address) == store.path(stage.address)
    assert read == []


def test_a_worker_builds_one_stage_after_another_and_what_plugins_print_is_no_answer(worker):
    for title, seconds in (("first", 0.0), ("second", 0.01)):
        stage = worker.order(title, seconds=seconds)
        said = [worker.says() for _ in range(3)]
        assert [facts.get("event") for facts in said] == ["StageStarted", "StageFinished", None]
        assert {facts["stage"] for facts in said[:2]} == {title}
        assert said[2] == {"problems": []}
        assert Store(worker.root).has(stage.address)
    worker.process.stdin.close()
    assert worker.process.wait(timeout=60) in (0, 143)
    assert worker.errors.read_text() == "a plugin prints\n" * 2


def test_a_failure_is_answered_with_its_problems_and_exit_code_and_the_worker_goes_on(worker):
    worker.order(fault="is empty")
    assert worker.says()["event"] == "StageStarted"
    assert worker.says() == {"problems": [["dataset slow: a.png", "is empty", "Replace it"]], "exit_code": 2}
    worker.order()
    assert [worker.says() for _ in range(3)][2] == {"problems": []}


def test_a_stage_that_is_planned_otherwise_by_now_is_refused(worker):
    worker.order(fingerprint="0" * 64)
    ((where, what, hint),) = worker.says()["problems"]
    assert (where, hint) == ("dataset slow", "Give the same command again")
    assert what == "code, plugins or data changed since the run began, so it was not built"
    assert not (worker.root / "dataset").exists()


def test_a_busy_worker_ignores_signals_and_ends_when_its_run_is_gone(worker):
    worker.order(seconds=600)
    assert worker.says()["event"] == "StageStarted"
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        worker.process.send_signal(number)
    time.sleep(0.3)
    assert worker.process.poll() is None
    worker.process.stdin.close()  # as the kernel does when the run was killed
    what = "interrupted; it continues from what it had saved, if anything"
    assert worker.says() == {"problems": [["dataset slow", what, ""]], "exit_code": 143, "interrupted": True}
    assert worker.process.wait(timeout=60) in (0, 143)
    assert "Traceback" not in worker.errors.read_text()


def test_a_worker_that_nobody_listens_to_finishes_its_stage_and_ends_without_a_traceback(worker):
    stage = worker.order(seconds=0.5)
    assert worker.says()["event"] == "StageStarted"
    worker.process.stdout.close()
    deadline = time.monotonic() + 60
    while not Store(worker.root).has(stage.address) and time.monotonic() < deadline:
        time.sleep(0.05)
    worker.process.stdin.close()
    assert worker.process.wait(timeout=60) in (0, 143)
    assert worker.errors.read_text() == "a plugin prints\n"
    assert Store(worker.root).has(stage.address)


@pytest.fixture
def unit(tmp_path, site):
    """Write a unit into a file and start the worker that builds it, as a queue would."""

    def start(seconds=0.0, fault=""):
        document = {
            "name": "w", "seed": 0, "dataset": {"slow": {"seconds": seconds, "fault": fault}}, "segmenter": {"unet": {}}
        }  # fmt: skip
        checked = check_recipes([recipe_of(document, "w")], load_registry())
        stage = make_plan(checked, None, Digests(tmp_path / "runs")).arms[0].dataset
        order = Site(tmp_path / "runs", "cpu", "float32", 1).order(Unit(document, stage.address.fingerprint, "slow"))
        (tmp_path / "unit.json").write_text(json.dumps(order))
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        try:  # it inherits blocked signals, as from srun
            process = subprocess.Popen(
                [*worker_command(), "--unit", str(tmp_path / "unit.json")],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        started.append(process)
        return process, stage, tmp_path / "unit.jsonl"

    started = []
    yield start
    for process in started:
        process.kill()
        process.communicate()


def words(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_unit_of_a_file_is_built_and_its_words_stand_beside_it(unit, tmp_path):
    process, stage, answers = unit()
    printed, errors = process.communicate(timeout=60)
    assert (process.returncode, printed, errors) == (0, b"", b"a plugin prints\n")
    assert [facts.get("event") for facts in words(answers)] == ["StageStarted", "StageFinished", None]
    assert words(answers)[-1] == {"problems": []}
    assert Store(tmp_path / "runs").has(stage.address)


def test_a_unit_of_a_file_that_fails_ends_with_the_exit_code_of_its_failure(unit):
    process, _, answers = unit(fault="is empty")
    process.communicate(timeout=60)
    assert process.returncode == 2
    assert words(answers)[-1] == {"problems": [["slow: a.png", "is empty", "Replace it"]], "exit_code": 2}


def test_a_unit_of_a_file_ends_on_sigterm_with_143_and_a_second_attempt_goes_on_in_the_same_file(unit):
    process, _, answers = unit(seconds=600)
    deadline = time.monotonic() + 60
    while not (answers.exists() and words(answers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert words(answers)[-1]["interrupted"]
    unit(fault="is empty")[0].communicate(timeout=60)
    assert [facts.get("event", facts.get("exit_code")) for facts in words(answers)] == [
        "StageStarted",
        143,
        "StageStarted",
        2,
    ]


def test_a_worker_that_hangs_does_not_outlive_its_run_for_ever():
    program = """
import _thread, queue, time
from augkit.running import worker
worker.ENDING_SECONDS = 0.1
_thread.interrupt_main = lambda signal: None  # as if the plugin never came back to Python
_thread.start_new_thread(worker._listen, (queue.SimpleQueue(),))
time.sleep(60)
"""
    done = subprocess.run([sys.executable, "-c", program], stdin=subprocess.DEVNULL, check=False, timeout=50)
    assert done.returncode == 128 + signal.SIGTERM

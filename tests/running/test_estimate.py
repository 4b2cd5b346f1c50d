"""An estimate comes from a few steps, stops what it started, and stands beside reality afterwards."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from augkit.amounts import duration
from augkit.cli import app
from augkit.contracts.components import Workspace
from augkit.planning.plan import make_plan
from augkit.planning.tasks import Stage
from augkit.report.costs import cost_record, cost_rows
from augkit.running import costs, estimate
from augkit.running.costs import Estimate, Estimates
from augkit.running.estimate import _try, _Watch, total_seconds
from augkit.store import Address, Digests
from augkit.training.loop import train
from samples import checked_recipes

RECIPE = """\
name: tiny
dataset: {phantom: {train: 8, test: 4, size: 32}}
synthesize:
  - {generator: {noise: {}}, masks: {training: {}}, per_real: 1.0}
segmenter: {unet: {width: 4, steps: 75, batch_size: 4}}
"""


def watched(fit, folder, seconds=0.2):
    watch = _Watch()
    _try(lambda: fit(Workspace(folder, 0, "cpu", watch)), watch, seconds)
    return watch.estimate()


def sleep(seconds):
    """Sleep in pieces, between which Python looks for signals, as it does between the steps of a training."""
    for _ in range(round(seconds / 0.01)):
        time.sleep(0.01)


def steady(steps, pause, every=5):
    """A training that tells of its steps and reacts to Ctrl-C as anybody's code does."""

    def fit(space):
        for number in range(steps):
            time.sleep(pause)
            if (number + 1) % every == 0:
                space.log.progress(number + 1, steps, {})

    return fit


def test_a_long_training_is_stopped_early_and_its_time_told_from_its_steps(tmp_path):
    began = time.monotonic()
    found = watched(steady(100_000, 0.004), tmp_path)
    assert time.monotonic() - began < 30
    assert 100_000 * 0.004 * 0.9 < found < 100_000 * 0.004 * 10


def test_a_process_that_ignores_interruptions_stops_its_trials_all_the_same(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert watched(lambda space: sleep(60), tmp_path, seconds=0.05) is None
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_short_training_is_measured_whole(tmp_path):
    assert 0.02 <= watched(steady(5, 0.004), tmp_path, seconds=20) < 10


def test_a_training_that_tells_nothing_of_its_steps_is_unknown(tmp_path):
    assert watched(lambda space: sleep(60), tmp_path, seconds=0.05) is None


class Clock:
    """A clock that stands still unless it is told; a busy machine decides nothing by it."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr("time.monotonic", lambda: self.now)


class Ticking:
    """A learner whose steps take their time and change nothing."""

    def __init__(self, clock, first=1.0):
        self.clock, self.first = clock, first
        self.networks, self.optimizers = {}, {}
        self.done = []

    def step(self, number):
        self.clock.now += 1.0 if self.done else self.first
        self.done.append(number)
        return {}


def test_a_training_of_ours_does_some_steps_and_its_last_one_and_what_comes_after(tmp_path, monkeypatch):
    learner, after = Ticking(Clock(monkeypatch)), []

    def fit(space):
        train(learner, space, 1000)
        after.append(sorted(file.name for file in space.folder.iterdir()))

    assert watched(fit, tmp_path, seconds=10) == pytest.approx(1000)
    assert learner.done == [*range(10), 999]
    assert after == [["checkpoints", "history.json", "training.json"]]


def test_the_first_steps_are_no_measure_of_the_others(tmp_path, monkeypatch):
    slow = Ticking(Clock(monkeypatch), first=8.0)
    assert watched(lambda space: train(slow, space, 1000), tmp_path, seconds=10) == pytest.approx(8 + 999)
    assert slow.done == [0, 1, 2, 999]


@pytest.mark.parametrize(("seconds", "share"), [(0.2, 0.01), (5.0, 0.02)], ids=["every 20 s", "more seldom"])
def test_checkpoints_that_are_left_out_are_counted(tmp_path, monkeypatch, seconds, share):
    clock = Clock(monkeypatch)

    def save(*arguments):
        clock.now += seconds

    monkeypatch.setattr("augkit.training.loop.save_checkpoint", save)
    found = watched(lambda space: train(Ticking(clock), space, 1000), tmp_path, seconds=10)
    assert found == pytest.approx(10 + 1 + seconds + 989 * (1 + share))


def test_a_short_training_of_ours_is_not_cut(tmp_path, monkeypatch):
    learner = Ticking(Clock(monkeypatch))
    assert watched(lambda space: train(learner, space, 10), tmp_path, seconds=60) == pytest.approx(10)
    assert learner.done == list(range(10))


def test_warm_up_counts_once_and_not_per_step():
    watch = _Watch()
    watch.total, watch.reports = 100, [(10, watch.began + 5.0), (20, watch.began + 6.0), (30, watch.began + 7.0)]
    assert watch.estimate() == pytest.approx(5 + 0.1 * 90)


def test_an_interruption_by_a_person_is_passed_on(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        watched(lambda space: signal.raise_signal(signal.SIGINT), tmp_path, seconds=30)


def test_estimates_are_kept_and_replaced(tmp_path):
    first = Estimate(3.0, 10, 20, "measured")
    Estimates(tmp_path).keep({"a": first, "b": costs.UNKNOWN})
    Estimates(tmp_path).keep({"b": first})
    assert [Estimates(tmp_path).of(name) for name in ("a", "b", "c")] == [first, first, None]


def test_totals_compare_only_stages_that_have_an_estimate():
    files = {"files": {"x": {"bytes": 5}, "y": {"bytes": 6}}}
    known = {"seconds": 8.0, "peak_memory": 3, "estimate": {"seconds": 9.0, "memory": 4, "disk": 12}, **files}
    record = cost_record([("a", known), ("b", {"seconds": 100.0, **files})])
    assert record["estimated_stages"] == {"seconds": 8.0, "estimated_seconds": 9.0}
    assert record["stages"][0] == {"stage": "a", "seconds": 8.0, "memory": 3, "disk": 11, "estimate": known["estimate"]}
    assert record["stages"][1]["estimate"] is None
    assert cost_record([])["estimated_stages"] == {"seconds": None, "estimated_seconds": None}


def test_rows_show_estimate_beside_reality_and_how_far_apart_they_are():
    guess = {"seconds": 90.0, "memory": 4 * 10**8, "disk": 2000, "basis": "measured"}
    real = {"stage": "segmenter unet", "seconds": 100.0, "memory": 5 * 10**8, "disk": 2500, "estimate": guess}
    bare = {"stage": "dataset phantom", "seconds": 1.0, "memory": None, "disk": 10, "estimate": None}
    record = {"stages": [bare, real], "estimated_stages": {"seconds": 100.0, "estimated_seconds": 90.0}}
    header, row, total = cost_rows(record)
    assert header == [
        "stage", "time estimated", "taken", "difference", "memory estimated", "taken", "disk estimated", "taken"
    ]  # fmt: skip
    assert row == ["segmenter unet", "1 min 30 s", "1 min 40 s", "-10 %", "400.0 MB", "500.0 MB", "2.0 kB", "2.5 kB"]
    assert total == ["in all", "1 min 30 s", "1 min 40 s", "-10 %", "–", "–", "–", "–"]
    assert cost_rows({"stages": [bare], "estimated_stages": {"seconds": None, "estimated_seconds": None}}) == []


def test_side_by_side_the_longest_chain_decides_and_alone_the_sum():
    first, second, third = (stage(name) for name in "abc")
    last = stage("d", first, second)
    took = {first: 3.0, second: 5.0, third: 6.0, last: 2.0}
    found = {one: Estimate(seconds, None, None, "measured") for one, seconds in took.items()}
    assert [total_seconds(found, jobs) for jobs in (1, 2, 9)] == [16.0, 9.0, 7.0]


def test_stages_that_differ_in_nothing_but_seeds_are_tried_once(tmp_path):
    stages = make_plan(checked_recipes(tmp_path, RECIPE), [0, 1], Digests(tmp_path)).stages()
    kinds = {stage.address.kind: {estimate._kind(one) for one in stages if one.address.kind == stage.address.kind}
             for stage in stages}  # fmt: skip
    assert {kind: len(found) for kind, found in kinds.items()} == dict.fromkeys(kinds, 1)
    assert len(stages) == 1 + 2 * 5 + 1


def stage(name, *inputs):
    return Stage(Address("segmenter", name, name * 12), name, {one.title: one for one in inputs}, None, (), {}, {})


def test_plan_tells_time_memory_and_disk_and_the_report_puts_reality_beside_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(estimate, "SECONDS", 0.5)
    monkeypatch.setattr(estimate, "MOST_SECONDS", 1000)  # however busy the machine is
    Path("r.yaml").write_text(RECIPE)

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            app([*arguments, "r.yaml", "--device", "cpu"])
        assert ended.value.code in (0, None), capsys.readouterr().err
        return capsys.readouterr().out

    monkeypatch.setattr("os.getloadavg", lambda: (1.3 * os.cpu_count(), 0, 0))
    told = call("plan", "--estimate")
    assert "Other programs are using this machine's processor" in told
    lines = {line[15:61].strip(): line for line in told.splitlines()}
    assert lines["dataset phantom"].startswith("exists")
    assert lines["segmenter unet"].split()[-1] == "measured"
    assert re.search(r"will be built .* s +[\d.]+ [MG]B +[\d.]+ kB  measured", lines["segmenter unet"])
    assert all(line.endswith("measured") for title, line in lines.items() if line.startswith("will be built"))
    assert "unknown" not in told
    assert list(Path("runs/.augkit/work").iterdir()) == []

    call("run", "--quiet")
    (report,) = Path("runs/report").iterdir()
    rows = {row["stage"]: row for row in json.loads((report / "costs.json").read_text())["stages"]}
    unet = rows["segmenter unet"]
    assert unet["estimate"]["basis"] == "measured"
    assert 0.1 < unet["estimate"]["seconds"] / unet["seconds"] < 10  # a busy machine may be slower at either time
    assert unet["memory"] > 10**8
    assert unet["disk"] == pytest.approx(unet["estimate"]["disk"], rel=0.2)
    assert unet["memory"] == pytest.approx(unet["estimate"]["memory"], rel=0.3)
    assert rows["dataset phantom"]["estimate"] is None
    page = (report / "report.html").read_text()
    assert "Estimate and reality" in page
    assert f"<td>{duration(unet['estimate']['seconds'])}</td><td>{duration(unet['seconds'])}</td>" in page

    monkeypatch.setattr("os.getloadavg", lambda: (1.0, 0, 0))
    again = call("plan", "--estimate")
    assert "in all: 0.0 s" in again
    Path("r.yaml").write_text(RECIPE.replace("name: tiny", "name: other"))
    monkeypatch.setattr(estimate._Trial, "_tried", lambda self, stage, folder: None)  # as if it told nothing
    calm = call("plan", "--estimate")
    assert "earlier runs" in calm
    assert "Other programs" not in calm

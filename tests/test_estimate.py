"""An estimate comes from a few steps, stops what it started, and stands beside reality afterwards."""

import json
import signal
import time
from pathlib import Path

import pytest

from augkit import costs, estimate
from augkit.cli import app
from augkit.contracts import Workspace
from augkit.costs import Estimate, Estimates, cost_record
from augkit.errors import InterruptedRunError, Problem
from augkit.estimate import _try, _Watch

RECIPE = """\
name: tiny
dataset: {phantom: {train: 8, test: 4, size: 32}}
synthesize:
  - {generator: {noise: {}}, masks: {training: {}}, per_real: 1.0}
segmenter: {unet: {width: 4, steps: 75, batch_size: 4}}
"""


def watched(fit, folder, seconds=0.2):
    watch = _Watch()
    _try(fit, Workspace(folder, 0, "cpu", watch), watch, seconds)
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


def test_a_short_training_is_measured_whole(tmp_path):
    assert 0.02 <= watched(steady(5, 0.004), tmp_path, seconds=20) < 10


def test_a_training_that_tells_nothing_of_its_steps_is_unknown(tmp_path):
    assert watched(lambda space: sleep(60), tmp_path, seconds=0.05) is None


def test_slow_steps_are_counted_by_what_the_interruption_says(tmp_path):
    def fit(space):
        try:
            sleep(60)
        except KeyboardInterrupt:
            raise InterruptedRunError(Problem("step 2 of 50", "interrupted; the state is saved")) from None

    found = watched(fit, tmp_path, seconds=0.05)
    assert found >= 0.05 * 6 / 2 * 50


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

    told = call("plan", "--estimate")
    lines = {line[15:61].strip(): line for line in told.splitlines()}
    assert lines["dataset phantom"].startswith("exists")
    assert lines["segmenter unet"].split()[-1] == "measured"
    assert "MB" in lines["segmenter unet"]
    assert lines["report tiny"].endswith("unknown")
    assert "stages of unknown time" in told.splitlines()[-1]
    assert list(Path("runs/.work").iterdir()) == []

    call("run", "--quiet")
    (report,) = Path("runs/report").iterdir()
    rows = {row["stage"]: row for row in json.loads((report / "costs.json").read_text())["stages"]}
    unet = rows["segmenter unet"]
    assert unet["estimate"]["basis"] == "measured"
    assert 0.1 < unet["estimate"]["seconds"] / unet["seconds"] < 10  # a busy machine may be slower at either time
    assert unet["memory"] > 10**8
    assert unet["disk"] <= unet["estimate"]["disk"] * 1.5
    assert rows["dataset phantom"]["estimate"] is None

    again = call("plan", "--estimate")
    assert "in all: 0.0 s" in again
    Path("r.yaml").write_text(RECIPE.replace("name: tiny", "name: other"))
    assert "earlier runs" in call("plan", "--estimate")

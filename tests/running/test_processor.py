"""A run says so where other programs keep the cores busy that its threads would use."""

import pytest

from augkit.contracts import events
from augkit.planning.plan import make_plan
from augkit.running import engine
from augkit.running.machine import processor
from augkit.running.machine.processor import Usage, crowded, usage
from augkit.store import Digests, Store
from samples import checked_recipes


@pytest.fixture
def now(monkeypatch):
    """Set what the system says now, on a machine of eight cores."""
    monkeypatch.setattr(processor.os, "cpu_count", lambda: 8)
    return lambda found: monkeypatch.setattr(processor, "usage", lambda: found)


BEFORE = Usage(moment=100.0, all=500.0, own=20.0)


def test_cores_that_others_keep_busy_are_told_with_the_threads_that_leave_them_alone(now):
    now(Usage(moment=102.0, all=510.0, own=23.0))  # ten seconds of work in two, three of them our own
    assert crowded(BEFORE).startswith("other programs keep 3.5 of 8 cores busy.")
    assert "--threads 4" in crowded(BEFORE)


def test_one_thread_is_always_left(now):
    now(Usage(moment=102.0, all=516.0, own=20.0))
    assert "--threads 1," in crowded(BEFORE)


@pytest.mark.parametrize(
    "found",
    [
        Usage(moment=102.0, all=503.9, own=20.0),  # less than a quarter of the cores
        Usage(moment=102.0, all=516.0, own=36.0),  # all of it our own work
        Usage(moment=100.1, all=500.8, own=20.0),  # too short to tell
        None,
    ],
)
def test_nothing_is_told_where_others_leave_the_cores_alone_or_nobody_knows(now, found):
    now(found)
    assert crowded(BEFORE) == ""


def test_a_system_that_does_not_count_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(processor, "COUNTERS", tmp_path / "stat")
    assert usage() is None
    assert crowded(None) == ""
    (tmp_path / "stat").write_text("something else\n")
    assert usage() is None


def test_idle_time_is_no_work(monkeypatch, tmp_path):
    (tmp_path / "stat").write_text("cpu  100 10 40 5000 700 5 45 99 3 2\ncpu0 1 1 1\n")
    monkeypatch.setattr(processor, "COUNTERS", tmp_path / "stat")
    monkeypatch.setattr(processor.os, "sysconf", lambda name: 100)
    assert usage().all == pytest.approx(2.0)


@pytest.mark.parametrize(("threads", "told"), [(None, True), ("1", False)])
def test_a_run_tells_it_unless_somebody_chose_the_threads(monkeypatch, tmp_path, threads, told):
    monkeypatch.setattr(engine, "crowded", lambda since: "others are at work")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if threads is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
    heard = []
    build(tmp_path, heard.append)
    assert (events.StageNoted("processor", "others are at work") in heard) is told


def build(folder, tell):
    """Build the masks of a small data set, which may use the device."""
    text = (
        "name: r\nseed: 0\ndataset: {phantom: {train: 4, test: 2, size: 32}}\n"
        "synthesize:\n  - generator: {noise: {}}\n    masks: {training: {}}\n    per_real: 1\n"
        "segmenter: {unet: {width: 4, steps: 2, batch_size: 2}}\n"
    )
    plan = make_plan(checked_recipes(folder, text), [0], Digests(folder))
    masks = next(stage for stage in plan.stages() if stage.address.kind == "masks")
    engine.Engine(Store(folder / "runs"), "cpu", tell).build([masks])

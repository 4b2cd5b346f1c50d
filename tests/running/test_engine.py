import json
import socket
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from augkit import DrawnMasks, ImageSet, Splits
from augkit.contracts import events
from augkit.contracts.registry import Entry, Provider, Registry
from augkit.errors import DamagedArtifactError, InputError, InterruptedRunError, Problem, StageError
from augkit.planning.plan import Plan, make_plan
from augkit.running.audience import Audience
from augkit.running.engine import Engine, environment
from augkit.store import Digests, Store, find_damage, write_array, write_bytes, write_json
from samples import Watcher, checked_recipes

RECIPE = """\
name: both
seed: 0
dataset: {tiny: {}}
synthesize:
  - generator: {painter: {}}
    masks: {copies: {}}
    per_real: 1.0
augment: []
segmenter: {threshold: {}}
"""
PLAIN = RECIPE.replace("both", "plain")[: RECIPE.index("synthesize") + 1] + "segmenter: {threshold: {}}\n"

CALLS: list[str] = []
"""The work that was really done."""


@pytest.fixture(autouse=True)
def clean(no_waiting_for_the_disk):
    """Nothing was done yet."""
    CALLS.clear()


@dataclass(frozen=True)
class Tiny:
    """Grey squares."""

    train: int = 4

    def sources(self):
        return ()

    def load(self):
        CALLS.append("load")
        return Splits(self._part("train", self.train), ImageSet.empty((8, 8)), self._part("test", 3))

    def _part(self, name, n):
        ids = tuple(f"{name}-{i}" for i in range(n))
        masks = np.zeros((n, 8, 8), bool)
        masks[:, 2:5, 2:6] = True
        masks[0, 2, 2] = False
        images = np.where(masks[..., None], 200, 50).astype(np.uint8).repeat(3, axis=3)
        images[:, 0, 0, 0] = np.arange(n) + 10 * len(name)  # no two are equal, or a data set would be remarked on
        return ImageSet(ids, images, masks, ids, ("real",) * n)


@dataclass(frozen=True)
class Copies:
    """The training masks."""

    def draw(self, masks, count, draws, space):
        CALLS.append("draw")
        return DrawnMasks(np.asarray(masks)[np.arange(count) % len(masks)], ({},) * count)


@dataclass(frozen=True)
class Painter:
    """A grey that belongs to the sample."""

    brightness: int = 7

    def fit(self, train, space):
        CALLS.append("fit painter")
        space.log.progress(1, 2, {"loss": 0.5})
        space.log.note("half way")
        write_json(space.folder / "weights.json", {"seed": space.seed, "brightness": self.brightness})

    def open(self, folder, device):
        CALLS.append("paint")

        def paint(masks, draws):
            grey = draws.integers("grey", 0, 256)[:, None, None, None]
            return np.broadcast_to(grey, (*masks.shape, 3)).astype(np.uint8)

        return paint


@dataclass(frozen=True)
class Threshold:
    """Bright is foreground."""

    level: int = 128

    def fit(self, train, validation, augment, space):
        CALLS.append("fit threshold")
        write_array(space.folder / "level.npy", np.array([self.level, len(train)]))

    def open(self, folder, device):
        CALLS.append("predict")
        return lambda images: (images[:, None, :, :, 0] > self.level).astype(np.float32)


PROVIDER = Provider("tiny", "augkit-tiny", "0.1")
ENTRIES = [
    Entry("dataset", "tiny", Tiny, PROVIDER),
    Entry("mask source", "copies", Copies, PROVIDER),
    Entry("generator", "painter", Painter, PROVIDER),
    Entry("segmenter", "threshold", Threshold, PROVIDER),
]
REGISTRY = Registry({(entry.kind, entry.name): entry for entry in ENTRIES}, ())
EVERYTHING = ["load", "fit painter", "draw", "paint", "fit threshold", "predict"]


def make(folder, *texts, changes=(), seeds=None):
    """Return the plan of recipes, ending with their evaluations: a report of its own is not needed here."""
    checked = checked_recipes(folder, *(texts or (RECIPE,)), changes=changes, registry=REGISTRY)
    plan = make_plan(checked, seeds, Digests(folder / "runs"))
    return plan if len(plan.arms) > 1 else Plan(plan.arms, plan.arms[0].evaluation)


def run(folder, plan, *observers):
    with Audience(observers) as audience:
        return Engine(Store(folder / "runs"), "cpu", audience.tell).run(plan)


def contents(folder):
    """Every file of every artifact, manifests aside: they hold times."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != "artifact.json")
    kept = {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}
    return {name: data for name, data in kept.items() if not name.startswith(".")}


# What is built


def test_a_run_builds_every_stage_once_and_a_second_run_nothing(tmp_path):
    plan = make(tmp_path)
    folder = run(tmp_path, plan)
    assert CALLS == EVERYTHING
    before = contents(tmp_path / "runs")
    CALLS.clear()
    watcher = Watcher()
    assert run(tmp_path, make(tmp_path), ("watcher", watcher)) == folder
    assert CALLS == []
    assert contents(tmp_path / "runs") == before
    assert [type(event) for event in watcher.events] == [events.RunStarted, events.RunFinished]
    assert watcher.events[0] == events.RunStarted((), 6, tmp_path / "runs")
    assert Engine(Store(tmp_path / "runs"), "cpu").missing(plan) == ()


def test_nothing_is_left_in_the_workshop_after_a_run(tmp_path):
    run(tmp_path, make(tmp_path))
    assert list((tmp_path / "runs" / ".augkit/work").iterdir()) == []


@pytest.mark.parametrize(
    ("lost", "rebuilt"),
    [
        (["evaluation"], ["predict"]),
        (["segmenter"], []),
        (["segmenter", "evaluation"], ["fit threshold", "predict"]),
        (["synthesis", "segmenter", "evaluation"], ["paint", "fit threshold", "predict"]),
        (["dataset"], []),
        (["generator", "synthesis", "segmenter", "evaluation"], ["fit painter", "paint", "fit threshold", "predict"]),
        (["dataset", "evaluation"], ["load", "predict"]),
    ],
)
def test_of_lost_artifacts_only_those_are_rebuilt_that_the_result_needs(tmp_path, lost, rebuilt):
    run(tmp_path, make(tmp_path))
    before = contents(tmp_path / "runs")
    for kind in lost:
        (folder,) = (tmp_path / "runs" / kind).iterdir()
        folder.rename(tmp_path / kind)
    CALLS.clear()
    run(tmp_path, make(tmp_path))
    assert rebuilt == CALLS
    after = contents(tmp_path / "runs")
    assert all(before[name] == data for name, data in after.items())


DOWNSTREAM = {
    "dataset": ["evaluation"],
    "generator": ["synthesis", "segmenter", "evaluation"],
    "masks": ["synthesis", "segmenter", "evaluation"],
    "synthesis": ["segmenter", "evaluation"],
    "segmenter": ["evaluation"],
    "evaluation": [],
}


@pytest.mark.parametrize("kind", DOWNSTREAM)
@pytest.mark.parametrize("harm", ["flip", "missing", "added", "manifest"])
def test_a_damaged_artifact_is_told_rebuilt_once_and_the_run_ends_in_the_same_bytes(tmp_path, kind, harm):
    run(tmp_path, make(tmp_path))
    before = contents(tmp_path / "runs")
    (folder,) = (tmp_path / "runs" / kind).iterdir()
    file = next(p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "artifact.json")
    if harm == "flip":
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    elif harm == "missing":
        file.unlink()
    elif harm == "added":
        (folder / "more.npy").write_bytes(b"")
    else:
        (folder / "artifact.json").unlink()
    for other in DOWNSTREAM[kind]:  # so that the damaged artifact is needed
        (tmp_path / "runs" / other).rename(tmp_path / other)
    CALLS.clear()
    watcher = Watcher()
    run(tmp_path, make(tmp_path), ("watcher", watcher))
    assert contents(tmp_path / "runs") == before
    assert len(CALLS) == len(set(CALLS)), "nothing is built twice"
    assert len(list((tmp_path / "runs" / ".augkit/damaged").glob("*"))) == 1
    if harm != "manifest":
        note = watcher.of(events.StageNoted)[0]
        assert note.stage.startswith(kind)
        assert note.text.startswith("stored artifact was damaged: ")


def test_other_options_seeds_or_data_give_other_artifacts(tmp_path):
    run(tmp_path, make(tmp_path))
    for change, rebuilt in {
        "segmenter.threshold.level=100": ["fit threshold", "predict"],
        "synthesize.0.generator.painter.brightness=8": ["fit painter", "paint", "fit threshold", "predict"],
        "synthesize.0.per_real=0.5": ["draw", "paint", "fit threshold", "predict"],
        "seed=1": ["fit painter", "draw", "paint", "fit threshold", "predict"],
        "dataset.tiny.train=5": EVERYTHING,
    }.items():
        CALLS.clear()
        run(tmp_path, make(tmp_path, changes=[change]))
        assert rebuilt == CALLS, change


def test_arms_share_what_is_equal_and_their_report_needs_all_of_them(tmp_path, monkeypatch):
    written = []

    def write_report(evidence, folder):
        written.append([arm.scores.arm for arm in evidence.arms])
        write_json(folder / "report.json", {})

    monkeypatch.setattr("augkit.report.page.write_report", write_report)
    plan = make(tmp_path, PLAIN, RECIPE, seeds=[0, 1])
    run(tmp_path, plan)
    built = ["load", *["fit painter", "draw", "paint"] * 2, *["fit threshold", "predict"] * 4]
    judged = ["paint", "predict"]  # the first seed's images, with the plain arm's segmenter
    assert sorted(CALLS) == sorted([*built, *judged])
    assert written == [["plain", "both"]]


def test_a_run_that_failed_continues_with_what_is_missing(tmp_path, monkeypatch):
    def fail(self, train, validation, augment, space):
        write_bytes(space.folder / "half.bin", b"half")
        raise InterruptedRunError(Problem("step 3 of 9", "interrupted; the state is saved"))

    with monkeypatch.context() as patch:
        patch.setattr(Threshold, "fit", fail)
        watcher = Watcher()
        with pytest.raises(InterruptedRunError, match=r"^segmenter threshold: step 3 of 9: interrupted"):
            run(tmp_path, make(tmp_path), ("watcher", watcher))
    assert watcher.events[-1].completed is False
    CALLS.clear()
    found = []
    original = Threshold.fit
    monkeypatch.setattr(
        Threshold, "fit", lambda self, *args: found.extend(args[-1].folder.glob("*")) or original(self, *args)
    )
    run(tmp_path, make(tmp_path))
    assert CALLS == ["fit threshold", "predict"]
    assert [path.name for path in found] == ["half.bin"], "a training finds what an interrupted call left"


def test_a_run_is_on_record_until_its_result_is_there(tmp_path, monkeypatch):
    plan = make(tmp_path)
    seen = []

    def fail(self, train, validation, augment, space):
        seen.extend((tmp_path / "runs" / ".augkit/runs").iterdir())
        raise InterruptedRunError(Problem("step 3 of 9", "interrupted; the state is saved"))

    with monkeypatch.context() as patch:
        patch.setattr(Threshold, "fit", fail)
        with pytest.raises(InterruptedRunError):
            run(tmp_path, plan)
    (record,) = (tmp_path / "runs" / ".augkit/runs").iterdir()
    assert seen == [record]
    kept = json.loads(record.read_text())["stages"]
    assert kept == [stage.address.fingerprint for stage in plan.stages()]
    run(tmp_path, make(tmp_path))
    assert list((tmp_path / "runs" / ".augkit/runs").iterdir()) == []


def test_numbers_of_a_plugin_become_plain_before_they_are_told(tmp_path):
    told = []
    engine = Engine(Store(tmp_path / "runs"), "cpu", told.append)
    engine.log(make(tmp_path).arms[0].dataset).progress(np.int64(1), np.int64(2), {"loss": np.float32(0.5)})
    assert json.loads(json.dumps(events.to_plain(told[0])))["values"] == {"loss": 0.5}


def test_what_a_component_prints_is_no_result_of_the_run(tmp_path, monkeypatch, capsys):
    def load(self):
        print("I read", flush=True)  # noqa: T201
        return original(self)

    original = Tiny.load
    monkeypatch.setattr(Tiny, "load", load)
    run(tmp_path, make(tmp_path))
    assert capsys.readouterr() == ("", "I read\n")


def test_a_stage_that_cannot_continue_begins_in_an_empty_folder(tmp_path):
    plan = make(tmp_path)
    store = Store(tmp_path / "runs")
    write_bytes(store.workplace(plan.arms[0].dataset.address, fresh=True) / "left.bin", b"x")
    run(tmp_path, plan)
    names = {path.name for path in store.path(plan.arms[0].dataset.address).iterdir()}
    assert names == {"train", "validation", "test", "artifact.json"}


def test_an_artifact_damaged_again_at_once_is_an_error_and_no_endless_loop(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "augkit.store.artifacts.find_damage", lambda folder: ["bad disk"] if folder.parent.name == "dataset" else []
    )
    with pytest.raises(DamagedArtifactError, match=r"bad disk\. It will be built again"):
        run(tmp_path, make(tmp_path))
    assert CALLS == ["load", "load"]


def test_a_manifest_says_what_decided_the_bytes(tmp_path):
    plan = make(tmp_path)
    run(tmp_path, plan)
    manifest = Store(tmp_path / "runs").manifest(plan.arms[0].generators[0].address)
    assert manifest["identity"]["components"][0]["options"] == {"brightness": 7}
    assert manifest["identity"]["components"][0]["provider"] == "augkit-tiny 0.1 (tiny)"
    assert manifest["environment"]["device"] == "cpu"
    assert manifest["seconds"] >= 0
    assert {"augkit", "python", "platform", "numpy", "torch"} <= set(environment("cpu"))


@pytest.mark.parametrize("device", ["cuda:77", "meta"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_written(tmp_path, device):
    watcher = Watcher()
    with pytest.raises(InputError, match=f"--device {device}: not usable"):
        Engine(Store(tmp_path / "runs"), device, lambda event: watcher(event)).run(make(tmp_path))
    assert CALLS == []
    assert not (tmp_path / "runs").exists()
    assert watcher.events == []


def test_a_finished_run_needs_no_device(tmp_path):
    folder = run(tmp_path, make(tmp_path))
    assert Engine(Store(tmp_path / "runs"), "cuda:77").run(make(tmp_path)) == folder


def test_a_store_that_cannot_be_written_is_told_in_one_sentence(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StageError, match=r"runs/\.augkit: cannot be written: .*\. Choose another folder with --out"):
        run(tmp_path, make(tmp_path))


# Observers


def test_observers_see_every_stage_in_order(tmp_path):
    watcher = Watcher()
    plan = make(tmp_path)
    run(tmp_path, plan, ("watcher", watcher))
    titles = [
        "dataset tiny", "generator painter", "masks copies", "synthesis painter-copies", "segmenter threshold",
        "evaluation threshold",
    ]  # fmt: skip
    assert watcher.events[0] == events.RunStarted(tuple(titles), 0, tmp_path / "runs")
    assert [event.stage for event in watcher.of(events.StageStarted)] == titles
    assert [event.stage for event in watcher.of(events.StageFinished)] == titles
    finished = watcher.of(events.StageFinished)[-1]
    assert finished.folder == Store(tmp_path / "runs").path(plan.report.address)
    assert watcher.events[-1].completed is True
    inside = [event for event in watcher.events if getattr(event, "stage", "") == "generator painter"]
    assert inside[1] == events.StageAdvanced("generator painter", 1, 2, {"loss": 0.5})
    assert inside[2] == events.StageNoted("generator painter", "half way")
    assert [type(event) for event in inside] == [
        events.StageStarted, events.StageAdvanced, events.StageNoted, events.StageFinished
    ]  # fmt: skip


@pytest.mark.parametrize("error", [RuntimeError("no connection"), SystemExit("no connection")])
def test_a_failing_observer_is_told_once_and_harms_nobody(tmp_path, error):
    calls = []

    def failing(event):
        calls.append(event)
        raise error

    before, after = Watcher(), Watcher()
    run(tmp_path, make(tmp_path), ("before", before), ("board", failing), ("after", after))
    assert len(calls) == 1, "its waiting events are dropped, too"
    assert CALLS == EVERYTHING
    for watcher in (before, after):
        notes = [event for event in watcher.of(events.StageNoted) if event.stage == "observers"]
        assert notes == [events.StageNoted("observers", "board failed and is ignored: no connection")]
        assert isinstance(watcher.events[0], events.RunStarted)
        assert len(watcher.of(events.StageFinished)) == 6
        assert len(watcher.of(events.RunStarted)) == 1


def test_every_observer_may_fail(tmp_path):
    def failing(event):
        raise ValueError("x")

    run(tmp_path, make(tmp_path), ("a", failing), ("b", failing))
    assert CALLS == EVERYTHING


# Several processes

SCRIPT = """
    import sys, time
    from pathlib import Path
    sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.."]
    import test_engine
    from test_engine import CALLS, Engine, Plan, Store, Tiny, events, make

    load = Tiny.load
    Tiny.load = lambda self: (time.sleep(1.5), load(self))[1]
    root = Path(sys.argv[2])
    plan = make(root / sys.argv[3])
    plan = Plan(plan.arms, plan.arms[0].dataset)
    print("ready", flush=True)
    sys.stdin.readline()
    said = []
    tell = lambda event: said.append(event.text) if isinstance(event, events.StageNoted) else None
    Engine(Store(root / "runs"), "cpu", tell).run(plan)
    print([CALLS, said])
"""


def test_two_processes_on_one_store_build_an_artifact_once(tmp_path):
    processes = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        command = [sys.executable, "-c", textwrap.dedent(SCRIPT), Path(__file__).parent, tmp_path, name]
        processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate(timeout=60)[0].replace("'", '"')) for process in processes]
    builder = 0 if answers[0][0] else 1
    assert answers[builder] == [["load"], []]
    calls, (waiting,) = answers[1 - builder]
    assert calls == []
    assert waiting.startswith(f"waiting for process {processes[builder].pid} on {socket.gethostname()} (since ")
    assert waiting.endswith("which is building dataset tiny")


def test_what_another_host_built_is_waited_for_and_not_built_again(tmp_path, monkeypatch):
    plan = make(tmp_path)
    run(tmp_path, plan)
    CALLS.clear()
    folder, hidden = Store(tmp_path / "runs").path(plan.arms[0].dataset.address), tmp_path / "hidden"
    folder.rename(hidden)
    waited = []
    monkeypatch.setattr(time, "sleep", lambda seconds: waited.append(seconds) or hidden.rename(folder))
    engine = Engine(Store(tmp_path / "runs"), "cpu")
    engine.expect([plan.arms[0].dataset])
    assert engine.artifact(plan.arms[0].dataset) == folder
    assert len(waited) == 1
    assert CALLS == []


def test_what_never_comes_into_sight_is_told_and_built_once(tmp_path, monkeypatch):
    monkeypatch.setattr("augkit.store.artifacts.SEEN_SECONDS", 0.05)
    dataset = make(tmp_path).arms[0].dataset
    watcher = Watcher()
    engine = Engine(Store(tmp_path / "runs"), "cpu", watcher)
    engine.expect([dataset])
    folder = engine.artifact(dataset)
    assert CALLS == ["load"]
    assert [note.text for note in watcher.of(events.StageNoted)] == [
        f"{folder} was built elsewhere, but is not seen here; it is built again"
    ]


BESIDE = """
    import fcntl, os, sys, time
    from pathlib import Path
    sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.."]
    from test_engine import CALLS, Engine, Plan, Store, Tiny, make

    fcntl.flock = lambda *_: None  # as where the locks of one host are not those of another
    def wait_and_load(self):
        os.write(answers, b"loads\\n")  # what a plugin prints goes elsewhere
        sys.stdin.readline()
        return load(self)

    load, Tiny.load, answers = Tiny.load, wait_and_load, os.dup(1)
    root = Path(sys.argv[2])
    dataset = make(root / sys.argv[3]).arms[0].dataset
    Engine(Store(root / "runs"), "cpu").build((dataset,))
    print(CALLS)
"""


def test_of_two_drivers_whose_locks_do_not_exclude_each_other_one_builds_and_the_other_says_so(tmp_path):
    drivers = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        command = [sys.executable, "-c", textwrap.dedent(BESIDE), Path(__file__).parent, tmp_path, name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        drivers.append(subprocess.Popen(command, **pipes))
        assert drivers[-1].stdout.readline() == "loads\n"
    first, second = drivers
    _, error = first.communicate("go\n", timeout=60)
    assert first.returncode == 1
    assert "SupersededError: dataset tiny: " in error
    assert f"process {second.pid} on {socket.gethostname()} (since 20" in error
    out, error = second.communicate("go\n", timeout=60)
    assert out == "['load']\n", error
    (folder,) = (tmp_path / "runs" / "dataset").iterdir()
    assert find_damage(folder) == []


def test_an_artifact_that_another_process_built_meanwhile_is_reused(tmp_path, monkeypatch):
    plan = make(tmp_path)
    run(tmp_path, plan)
    CALLS.clear()
    answers = iter([False])  # not there at the first look, there once the lock is held
    original = Store.has
    monkeypatch.setattr(Store, "has", lambda self, address: next(answers, None) is None and original(self, address))
    began = time.monotonic()
    store = Store(tmp_path / "runs")
    Engine(store, "cpu")._ensure(plan.arms[0].dataset)
    assert CALLS == []
    assert time.monotonic() - began < 5

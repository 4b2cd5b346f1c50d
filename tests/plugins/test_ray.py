"""Stages on a real Ray cluster of two nodes on this machine; and what needs none."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from augkit import InputError
from augkit.executors import Site
from augkit.store import Store
from augkit_ray import Ray
from augkit_ray.address import check_address
from ray_nodes import TwoNodes, below, free_port, processes
from samples import file_hashes
from system_faults import failing

RECIPE = """
name: {name}
dataset: {{phantom: {{train: 12, validation: 4, test: 6, size: 32}}}}
segmenter: {{unet: {{width: 4, steps: {steps}, batch_size: 4}}}}
"""

CRASHING = """
import os, signal
from dataclasses import dataclass
from augkit import hookimpl

@dataclass(frozen=True)
class Crashing:
    def sources(self):
        return ()

    def load(self):
        os.kill(os.getpid(), signal.SIGKILL)

@hookimpl
def augkit_datasets():
    return {"crashing": Crashing}
"""

STEPS = 200
"""Of a training: some seconds, enough to see that it is under way and to stop it."""

SECONDS = 420
"""How long a driver may take on a busy machine."""


# What needs no cluster


@pytest.mark.parametrize("address", ["head", "ray://head:10001", "head:0", "head:70000", "auto"])
def test_what_is_no_address_of_a_head_is_refused(address):
    with pytest.raises(InputError) as caught:
        check_address(address, "RAY_ADDRESS")
    allowed = "allowed: HOST:PORT of the head, as in 10.0.0.1:6379. `ray start --head` prints it"
    assert str(caught.value) == f"RAY_ADDRESS: found '{address}'; {allowed}"


def test_a_head_that_does_not_answer_is_named_and_nothing_is_written(tmp_path, monkeypatch, augkit):
    recipe = tmp_path / "a.yaml"
    recipe.write_text(RECIPE.format(name="a", steps=2))
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    code, _, errors = augkit("run", str(recipe), "--out", "none", "--device", "cpu", "--executor", "ray", "--quiet")
    assert code == 2
    assert errors == (
        f"RAY_ADDRESS: no head answers at {address}: Connection refused. "
        "Start one with `ray start --head`, or leave the address out for a head on this machine alone\n"
    )
    assert not (tmp_path / "none").exists()


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    for name in ("RAY_ADDRESS", "RAY_USAGE_STATS_ENABLED", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"Ray cannot be imported .*\. Install it: pip install 'augkit\[ray\]'"):
        Ray().start(Site(tmp_path, "cpu", "float32", 1))


def test_options_of_the_section_are_checked_all_at_once_with_file_and_line(tmp_path, augkit):
    recipe, cluster = tmp_path / "a.yaml", tmp_path / "cluster.yaml"
    recipe.write_text(RECIPE.format(name="a", steps=2))
    cluster.write_text("ray:\n  threads: many\n  gpus: 0\n  slot: 3\n")
    code, _, errors = augkit("run", str(recipe), "--executor", "ray", "--cluster", str(cluster))
    assert code == 2
    assert errors.splitlines() == [
        f"{cluster}:2: ray.threads: found the text 'many'; allowed: a whole number",
        f"{cluster}:3: ray.gpus: found 0; allowed: 0.01 or more",
        f"{cluster}:4: ray has no option 'slot'. Did you mean 'slots'?",
    ]


def test_another_version_on_the_cluster_is_one_sentence():
    reason = pytest.importorskip("augkit_ray.head", exc_type=ImportError)._reason
    text = (
        "Version mismatch: The cluster was started with:\n    Ray: 2.55.0\n    Python: 3.12.1\n"
        "This process on node 10.0.0.2 was started with:\n    Ray: 2.60.0\n    Python: 3.12.4\n"
    )
    what, hint = reason(text, "RuntimeError", "h:1")
    assert what == (
        "the cluster at h:1 runs Ray 2.55.0 with Python 3.12.1, and this process Ray 2.60.0 with Python 3.12.4; "
        "they have to be the same"
    )
    assert hint == "Install the same versions on every machine, and start the cluster anew"


# On a cluster


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with an installed plugin whose data set ends its process, for drivers and nodes to see."""
    folder = tmp_path_factory.mktemp("site")
    facts = folder / "augkit_crashing-1.0.dist-info"
    facts.mkdir()
    (folder / "augkit_crashing.py").write_text(CRASHING)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: augkit-crashing\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[augkit]\ncrashing = augkit_crashing\n")
    return folder


@pytest.fixture(scope="module")
def cluster(site):
    pytest.importorskip("ray", reason="needs Ray: pip install 'augkit[ray]'")
    if not Path("/proc/self/stat").exists():
        pytest.skip("needs /proc to find what runs on the nodes")
    two = TwoNodes(site)
    yield two
    two.end()


class Driver:
    """One `augkit run` in a process of its own."""

    def __init__(self, folder, environment, *words, out="runs"):
        options = ["--out", out, "--device=cpu", "--threads=1", "--observer=jsonl"]
        command = [sys.executable, "-m", "augkit", "run", *options, *words]
        self.out = folder / out
        self.errors = folder / f"{out}.{time.monotonic_ns()}.txt"
        with self.errors.open("w") as stream:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=stream, start_new_session=True
            )

    def events(self):
        lines = [line for log in sorted(self.out.glob("events/*")) for line in log.read_text().splitlines()]
        return [json.loads(line) for line in lines if line.endswith("}")]

    def began(self):
        """The first step that was told of each training that was begun, in order."""
        trainings = [one for one in self.events() if one.get("stage", "").startswith("segmenter ")]
        begins = [at for at, one in enumerate(trainings) if one["event"] == "StageStarted"]
        return [
            next(
                one["step"] for one in trainings[place:] if one["stage"] == trainings[place]["stage"] and "step" in one
            )
            for place in begins
        ]

    def wait_for_steps(self, stages=1):
        """Wait until so many trainings are under way."""
        deadline = time.monotonic() + SECONDS
        while len({one["stage"] for one in self.events() if one.get("step", 0) >= 25}) < stages:
            assert time.monotonic() < deadline, self.errors.read_text()
            assert self.process.poll() is None, self.errors.read_text()
            time.sleep(0.1)

    def end(self):
        """Wait for the end and return (exit code, what it said)."""
        try:
            code = self.process.wait(SECONDS)
        finally:
            if self.process.poll() is None:
                self.process.kill()
        return code, self.errors.read_text()


@pytest.fixture
def run(cluster, tmp_path):
    def start(*words, out="runs", environment=None):
        recipe = tmp_path / "a.yaml"
        recipe.write_text(RECIPE.format(name="a", steps=STEPS))
        driver = Driver(tmp_path, environment or cluster.environment, "a.yaml", *words, out=out)
        drivers.append(driver)
        return driver

    drivers = []
    yield start
    for driver in drivers:
        if driver.process.poll() is None:
            driver.process.kill()


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory):
    """The store of two seeds without any executor."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "a.yaml").write_text(RECIPE.format(name="a", steps=STEPS))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "augkit", "run", "a.yaml", "--seeds=0,1", "--device=cpu", "--jobs=1", "--quiet"]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return folder / "runs"


@pytest.fixture(scope="module")
def reference(one_by_one):
    return file_hashes(one_by_one)


@pytest.fixture
def with_data(one_by_one, tmp_path):
    """The data set is there, so that both trainings begin at once, each with a worker that is new."""
    shutil.copytree(one_by_one / "dataset", tmp_path / "runs" / "dataset")


ON_RAY = ("--seeds=0,1", "--executor=ray")
ALONE = ("--seeds=0,1", "--jobs=1")
"""The same run without Ray, where only what lies in the store is asked about."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_nodes_give_the_bytes_of_one_process(run, reference):
    driver = run(*ON_RAY)
    code, errors = driver.end()
    assert code == 0, errors
    assert file_hashes(driver.out) == reference
    starts = [one for one in driver.events() if one["event"] == "StageStarted"]
    assert [one["stage"].partition(" ")[0] for one in starts][:3] == ["dataset", "segmenter", "segmenter"], (
        "side by side"
    )
    assert [line for line in errors.splitlines() if "RAY_" in line or "ray" in line.lower()] == [], "Ray says nothing"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_head_of_ones_own_gives_the_same_bytes_and_nothing_of_it_is_left(run, reference, cluster):
    alone = {name: value for name, value in cluster.environment.items() if not name.startswith("RAY_")}
    driver = run(*ON_RAY, environment={**alone, "HOME": str(cluster.folder)})
    driver.wait_for_steps()
    listening = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=False).stdout
    own = [
        pid for pid, (parent, words) in processes().items() if parent == driver.process.pid and "gcs_server" in words
    ]
    assert own
    addresses = [line.split()[3] for line in listening.splitlines() if any(f"pid={pid}," in line for pid in own)]
    assert all("127.0.0.1" in address for address in addresses), addresses
    code, errors = driver.end()
    assert code == 0, errors
    assert file_hashes(driver.out) == reference
    assert not any(pid in processes() for pid in own)
    assert not (Path(cluster.folder) / ".ray").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("what", ["augkit.running.worker", "ray::Slot"])
def test_what_a_killed_worker_or_actor_was_building_is_begun_again(run, reference, cluster, what):
    driver = run(*ON_RAY)
    driver.wait_for_steps()
    victims = [*cluster.head.find(what), *cluster.other.find(what)]
    assert victims
    os.kill(victims[0], signal.SIGKILL)
    code, errors = driver.end()
    assert code == 0, errors
    assert "it is begun again, from what it saved" in errors
    assert file_hashes(driver.out) == reference


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_crash_that_always_comes_is_told_after_three_attempts(run, cluster):
    driver = run("--set", "dataset={crashing: {}}", "--executor=ray")
    code, errors = driver.end()
    assert code == 1, errors
    assert errors.count("it is begun again") == 2
    assert "dataset crashing: its process was ended by SIGKILL" in errors.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ctrl_c_once_saves_and_the_same_command_ends_in_the_same_bytes(run, reference, with_data):
    driver = run(*ON_RAY)
    driver.wait_for_steps(2)
    driver.process.send_signal(signal.SIGINT)
    code, errors = driver.end()
    assert code == 130, errors
    assert errors.count("interrupted; the state is saved") == 2
    assert errors.endswith("The same command continues from here.\n")
    code, errors = run(*ON_RAY).end()
    assert code == 0, errors
    assert file_hashes(driver.out) == reference


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ctrl_c_twice_does_not_wait_and_nothing_is_lost(run, reference, cluster, with_data):
    driver = run(*ON_RAY)
    driver.wait_for_steps(2)
    stopped = cluster.workers()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)  # one that does not answer
    driver.process.send_signal(signal.SIGINT)
    time.sleep(2)
    assert driver.process.poll() is None, "it waits for the last words"
    driver.process.send_signal(signal.SIGINT)
    code, errors = driver.end()
    for pid in stopped:  # they outlive their actors, and end when they can
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    assert code == 130, errors
    assert "Traceback" not in errors
    code, errors = run(*ALONE).end()
    assert code == 0, errors
    assert file_hashes(driver.out) == reference


LEAVING_SECONDS = 120
"""How long what a killed driver started may stay: two of Ray's own processes ask for 60 s for a head that is gone."""


def leave(started, killed):
    """Wait until all these processes have ended, whose driver was killed at `killed`, a time of the monotonic clock."""
    deadline = killed + LEAVING_SECONDS
    while left := set(started) & set(processes()):
        named = [processes().get(pid, (0, "ended just now"))[1].strip() for pid in left]
        assert time.monotonic() < deadline, f"after {LEAVING_SECONDS} s there still are {named}"
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("head", ["joined", "of its own"])
def test_a_killed_driver_leaves_no_worker_and_no_lock_and_the_same_command_goes_on(run, reference, cluster, head):
    alone = {name: value for name, value in cluster.environment.items() if not name.startswith("RAY_")}
    environment = None if head == "joined" else alone
    driver = run(*ON_RAY, environment=environment)
    driver.wait_for_steps()
    begun = driver.began()
    started = [*below(driver.process.pid, ""), *cluster.workers()]
    if head == "joined":
        started += [*cluster.head.find("ray::Slot"), *cluster.other.find("ray::Slot")]
    driver.process.kill()
    killed = time.monotonic()
    driver.process.wait()
    code, errors = run(*ON_RAY, environment=environment).end()  # at once
    assert code == 0, errors
    leave(started, killed)
    assert Store(driver.out).held_locks() == []
    assert max(driver.began()[len(begun) :]) > max(begun), "it goes on from what the worker saved when it was alone"
    assert file_hashes(driver.out) == reference
    assert list(driver.out.glob(".augkit/work/*")) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_drivers_at_once_build_each_stage_once(run, reference):
    drivers = [run(*ON_RAY), run(*ON_RAY)]
    for driver in drivers:
        code, errors = driver.end()
        assert code == 0, errors
    finished = [one["stage"] for one in drivers[0].events() if one["event"] == "StageFinished"]
    built = [stage for stage in finished if not stage.startswith("report ")]
    assert len(built) == len(set(built))
    assert file_hashes(drivers[0].out) == reference


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ctrl_c_with_trainings_that_wait_for_room_ends_these_at_once_and_saves_the_others(run, with_data, tmp_path):
    (tmp_path / "cluster.yaml").write_text("ray: {slots: 4}\n")
    driver = run("--seeds=0..3", "--executor=ray", "--cluster=cluster.yaml")
    driver.wait_for_steps(2)
    driver.process.send_signal(signal.SIGINT)
    code, errors = driver.end()
    assert code == 130, errors
    assert errors.count("interrupted; the state is saved") == 2
    assert errors.count("had not begun") == 2


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_collection_during_a_run_on_nodes_removes_nothing(run, reference, cluster, with_data):
    driver = run(*ON_RAY)
    driver.wait_for_steps()
    command = [sys.executable, "-m", "augkit", "cache", "gc", "--out", driver.out, "--unfinished"]
    done = subprocess.run(command, env=cluster.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "in use: segmenter-unet" in done.stderr
    code, errors = driver.end()
    assert code == 0, errors
    assert file_hashes(driver.out) == reference


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"RAY_AUTH_TOKEN": "6" * 64}, "answers, and does not let this process in"),
        ({"RAY_AUTH_MODE": "disabled"}, "answers, and does not let this process in"),
    ],
)
def test_without_the_token_of_the_cluster_nothing_runs_and_nothing_is_written(run, cluster, changes, what):
    driver = run(*ON_RAY, environment={**cluster.environment, **changes})
    code, errors = driver.end()
    assert code == 2
    assert len(errors.splitlines()) == 1
    assert what in errors
    assert not driver.out.exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_more_threads_than_a_node_has_are_refused_before_anything_waits_for_them(run):
    driver = run(*ON_RAY, "--threads=2")
    code, errors = driver.end()
    assert code == 2
    assert "has 2 CPUs; the largest has 1 CPUs and 0 GPUs. Lower --threads" in errors


# What ends nodes has a cluster of its own


@pytest.fixture
def doomed(site):
    pytest.importorskip("ray", reason="needs Ray: pip install 'augkit[ray]'")
    made = []

    def start(both=(), **other):
        made.append(TwoNodes(site, other, both))
        return made[0]

    yield start
    for one in made:
        one.end()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_node_that_dies_loses_at_most_what_was_not_saved(run, doomed, reference, with_data):
    two = doomed()
    driver = run(*ON_RAY, environment=two.environment)
    driver.wait_for_steps(2)
    assert two.other.find("augkit.running.worker"), "a training is on each node"
    two.other.kill("raylet")
    code, errors = driver.end()
    assert code == 0, errors
    assert "it is begun again, from what it saved" in errors
    assert file_hashes(driver.out) == reference


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_head_that_dies_ends_the_run_in_one_sentence_and_nothing_is_lost(run, doomed, reference, with_data):
    two = doomed()
    driver = run(*ON_RAY, environment=two.environment)
    driver.wait_for_steps(2)
    two.head.kill("gcs_server")
    began = time.monotonic()
    code, errors = driver.end()
    assert code == 2, errors
    assert time.monotonic() - began < 55, "before Ray ends this process"
    assert errors.splitlines()[-1] == (
        f"--executor ray: the head of the cluster at {two.environment['RAY_ADDRESS']} does not answer any more. "
        "Start the cluster anew; the same command continues"
    )
    two.end()
    code, errors = run(*ALONE).end()
    assert code == 0, errors
    assert file_hashes(driver.out) == reference


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_node_with_other_instructions_builds_nothing_unless_nodes_may_be_mixed(run, doomed):
    two = doomed(ATEN_CPU_CAPABILITY="default")
    driver = run(*ON_RAY, environment=two.environment)
    code, errors = driver.end()
    assert code == 2, errors
    (line,) = [line for line in errors.splitlines() if line.startswith("node ")]
    assert "CPU instructions" in line
    assert "Use nodes that are alike, or --mixed-nodes" in line
    code, errors = run(*ON_RAY, "--mixed-nodes", environment=two.environment, out="mixed").end()
    assert code == 0, errors
    (report,) = (driver.out.parent / "mixed" / "report").glob("*/report.html")
    assert "The trainings differ in CPU instructions" in report.read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("call", "number", "code", "what"),
    [
        ("flock", errno.ENOSYS, 2, "has no locks (flock: Function not implemented), without which two processes"),
        ("fsync", errno.ENOSPC, 1, "disk full: needs "),
    ],
    ids=["locks", "room"],
)
def test_a_node_on_which_the_folder_has_no_locks_or_no_room_fails_alone_and_nothing_is_lost(
    run, doomed, reference, with_data, tmp_path, call, number, code, what
):
    two = doomed(**failing(tmp_path, tmp_path / "runs", **{call: number}))
    driver = run(*ON_RAY, environment=two.environment)
    ended, errors = driver.end()
    assert ended == code, errors
    assert what in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert len(list(driver.out.glob("segmenter/*/artifact.json"))) == 1, "the other node's"
    two.end()
    ended, errors = run(*ALONE).end()
    assert ended == 0, errors
    assert file_hashes(driver.out) == reference


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_node_whose_memory_is_always_full_is_told_after_three_attempts(run, doomed):
    two = doomed(both={"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "2000"})
    driver = run("--executor=ray", environment=two.environment)
    code, errors = driver.end()
    assert code == 1, errors
    full = "the memory of its node was nearly full, so Ray ended it: Memory usage "
    notes = [one["text"] for one in driver.events() if one["event"] == "StageNoted" and "begun again" in one["text"]]
    assert len(notes) >= 2  # what saved something in between has as many attempts again
    assert all(full in note for note in notes)
    last = errors.splitlines()[-1]
    assert last.startswith((f"dataset phantom: {full}", f"segmenter unet: {full}"))  # as fast as the machine is
    assert "exceeded threshold of " in last
    assert last.endswith(
        "Use fewer --jobs, smaller batches or smaller images; the same command continues from what it saved"
    )

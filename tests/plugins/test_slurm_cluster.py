"""The Slurm executor on a real Slurm of one node (`tests/slurm.py`): what is killed, cancelled or cut short goes on."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import slurm as fixture
from augkit.contracts.precision import precision_of_run
from augkit.contracts.registry import load_registry
from augkit.errors import DetachedRunError, InterruptedRunError, StageError
from augkit.executors import Resources, Site
from augkit.planning.components import check_recipes
from augkit.planning.plan import make_plan
from augkit.planning.recipe import recipe_of
from augkit.running.elsewhere.nodes import versions
from augkit.running.engine import Engine
from augkit.running.scheduler import build_side_by_side
from augkit.store import Digests, Store
from augkit_slurm.cluster import Slurm
from samples import Watcher

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(fixture.missing()), reason=fixture.missing() or "Slurm is there"),
]

SECONDS = 300
VERSIONS = versions()
AUGKIT = (sys.executable, "-m", "augkit")

PLUGIN = """
import os, signal, sys, time
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from augkit import ImageSet, Splits, hookimpl

TORN = Path(__file__).with_name("torn")

def tear():
    from augkit.training import loop
    loop.CHECKPOINT_SECONDS = 0.0
    sync, drafts = os.fsync, []
    def torn(handle):
        if "/checkpoints/draft/.tensors" in os.readlink(f"/proc/self/fd/{handle}"):
            drafts.append(handle)
        if len(drafts) == 3:
            TORN.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        sync(handle)
    os.fsync = torn

if TORN.exists() and "augkit.running.worker" in sys.orig_argv:
    tear()

@dataclass(frozen=True)
class Slow:
    seconds: float = 0.0
    dies: bool = False
    megabytes: int = 0

    def sources(self):
        return ()

    def load(self):
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        held = np.ones(self.megabytes * 10**6, np.uint8)
        deadline = time.monotonic() + self.seconds
        while time.monotonic() < deadline:
            time.sleep(0.01)
        def part(name):
            images, masks = np.full((4, 16, 16, 3), ord(name), np.uint8), np.zeros((4, 16, 16), bool)
            masks[:, 2:5, 2:5] = True
            names = tuple(f"{name}{i}" for i in range(4))
            return ImageSet(names, images, masks, names, ("real",) * 4)
        return Splits(part("a"), part("b"), part("c"))

@hookimpl
def augkit_datasets():
    return {"slow": Slow}
"""


@pytest.fixture(scope="module")
def cluster():
    with begun() as one:
        yield one


@contextmanager
def begun(**other):
    try:
        one = fixture.Slurm(**other)
    except AssertionError as error:  # of a machine on which it is installed and cannot run
        pytest.skip(f"Slurm does not start here: {error}")
    with closing(one):
        yield one


@pytest.fixture
def strict(monkeypatch, slurm):
    """Another cluster, which ends jobs that use more memory than they asked for; with the same plugin."""
    facts = {"JobAcctGatherType": "jobacct_gather/linux", "JobAcctGatherParams": "OverMemoryKill"}
    with begun(**facts, JobAcctGatherFrequency="task=1") as one:
        for name, value in one.environment.items():
            monkeypatch.setenv(name, value)
        yield one


@pytest.fixture
def slurm(cluster, monkeypatch, tmp_path):
    """The cluster, empty, and a plugin in `tmp_path` / "site" that its workers see.

    With a file `torn` beside the plugin, a worker saves after each step and is killed in the midst of the third time.
    """
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "site"
    facts = folder / "augkit_slow-1.0.dist-info"
    facts.mkdir(parents=True)
    (folder / "augkit_slow.py").write_text(PLUGIN)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: augkit-slow\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[augkit]\nslow = augkit_slow\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")])))
    yield cluster
    cluster.empty()
    sys.modules.pop("augkit_slow", None)


OPTIONS = {"threads": 1, "memory": 900, "minutes": 5, "poll_seconds": 0.5}


def arm(root, document):
    """Plan a recipe that trains a segmenter on a data set."""
    recipe = recipe_of({"seed": 0, **document}, document["name"])
    (planned,) = make_plan(check_recipes([recipe], load_registry()), None, Digests(root)).arms
    return planned


def slow(root, *seconds, **options):
    """Return stages that take so many seconds each."""
    documents = [
        {"name": f"slow{i}", "dataset": {"slow": {"seconds": one, **options}}, "segmenter": {"unet": {}}}
        for i, one in enumerate(seconds)
    ]
    return [replace(arm(root, one).dataset, title=one["name"]) for one in documents]


class Run:
    """Stages built by Slurm in this process; what is told can be waited for in another thread."""

    def __init__(self, root, stages, versions=VERSIONS, **options):
        self.root, self.stages = root, stages
        self.watcher = Watcher()
        self._site = Site(root, "cpu", "float32", 1, None, "run", versions, root / "nodes.json")
        self._cluster = Slurm(**{**OPTIONS, **options})

    def build(self, detach=False):
        def resources(stage):
            return Resources(stage.address.kind, self._site.threads)

        build_side_by_side(self.stages, self._cluster.start(self._site), self.watcher, resources, detach)

    def notes(self):
        return [event.text for event in self.watcher.events if type(event).__name__ == "StageNoted"]

    def told(self, kind, times=1):
        return len([event for event in self.watcher.events if type(event).__name__ == kind]) >= times


def until(is_so, what):
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"not so after {SECONDS} s: {what}"
        time.sleep(0.05)


def meanwhile(act):
    """Do something in a thread beside the test; returns what waits for its end and raises what it raised."""
    raised = []

    def run():
        try:
            act()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def end():
        thread.join(SECONDS)
        assert not thread.is_alive()
        if raised:
            raise raised[0]

    return end


def workers():
    """Return the processes that build a unit of a file."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--unit" in words and b"augkit.running.worker" in words and Path(os.fsdecode(words[-2])).exists():
            found.append((int(file.parent.name), Path(os.fsdecode(words[-2]))))
    return found


def kill_worker(root):
    """Kill the process that builds something in a store."""
    for process, unit in workers():
        if unit.is_relative_to(root):
            os.kill(process, signal.SIGKILL)


def files(store, stage):
    return store.manifest(stage.address)["files"]


# Trainings


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training of some seconds, undisturbed, in a store that has all it needs."""
    store = Store(tmp_path_factory.mktemp("trained"))
    document = {
        "name": "training",
        "dataset": {"phantom": {"train": 12, "test": 4, "size": 32}},
        "segmenter": {"unet": {"width": 4, "steps": 200, "batch_size": 4}},
    }
    stage = arm(store.root, document).segmenter
    with precision_of_run("float32"):
        Engine(store, "cpu").artifact(stage)
    return store, stage


@pytest.fixture
def training(trained, tmp_path):
    """A store with all that the training needs, the stage, and the files it leaves when nothing disturbs it."""
    store, stage = trained
    root = tmp_path / "runs"
    shutil.copytree(store.root / "dataset", root / "dataset")
    assert not Store(root).has(stage.address)
    return root, stage, files(store, stage)


def test_a_training_whose_time_is_over_is_requeued_and_goes_on_to_the_same_bytes(slurm, training):
    root, stage, undisturbed = training
    run = Run(root, [stage])
    end = meanwhile(run.build)
    until(lambda: run.told("StageAdvanced"), "the training tells of a step")
    (job,) = slurm.ask("squeue", "-h", "-r", "-o", "%i").split()
    slurm.ask("scancel", "--signal=USR1", "--batch", job)  # what --signal=B:USR1@120 has Slurm do
    end()
    assert [note for note in run.notes() if note == f"goes on as job {job} on {fixture.NODE}, requeued 1 times"]
    steps = [event.step for event in run.watcher.events if type(event).__name__ == "StageAdvanced"]
    assert steps == sorted(set(steps)), "it goes on where it was"
    assert files(Store(root), stage) == undisturbed


def test_killing_the_worker_the_controller_and_the_daemon_of_the_node_costs_a_training_nothing(slurm, training):
    root, stage, undisturbed = training
    run = Run(root, [stage])
    end = meanwhile(run.build)
    until(lambda: run.told("StageAdvanced"), "the training tells of a step")
    kill_worker(root)
    until(lambda: run.told("StageStarted", 2), "the training has begun again")
    slurm.kill("slurmctld")
    slurm.kill("slurmd")
    until(lambda: any("does not answer" in note for note in run.notes()), "the controller is missed")
    slurm.start("slurmctld")
    slurm.start("slurmd")
    end()
    lost, *_ = [note for note in run.notes() if "begun again" in note]  # where the daemon dies, it may be lost again
    assert "its process was ended by SIGKILL; the system does that when the memory is full" in lost
    assert files(Store(root), stage) == undisturbed


def test_a_worker_that_is_killed_while_it_saves_goes_on_from_what_it_saved_before(slurm, training, tmp_path):
    root, stage, undisturbed = training
    (tmp_path / "site" / "torn").touch()
    run = Run(root, [stage])
    run.build()
    assert not (tmp_path / "site" / "torn").exists()
    assert [note for note in run.notes() if "was ended by SIGKILL" in note and "it is begun again" in note]
    assert "continues at step 2" in run.notes()
    assert files(Store(root), stage) == undisturbed


def test_a_node_with_other_versions_builds_nothing_and_says_which(slurm, training):
    root, stage, _ = training
    run = Run(root, [stage], versions={**VERSIONS, "torch": "1.0"})
    with pytest.raises(StageError, match=r"has torch \S+ where the run has 1\.0, so its numbers would differ") as error:
        run.build()
    assert error.value.exit_code == 2
    assert not Store(root).has(stage.address)
    assert not run.told("StageStarted")


def test_a_preempted_training_is_requeued_and_goes_on_to_the_same_bytes(slurm, training):
    root, stage, undisturbed = training
    run = Run(root, [stage])
    end = meanwhile(run.build)
    until(lambda: run.told("StageAdvanced"), "the training tells of a step")
    slurm.ask("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    end()
    assert any("requeued 1 times" in note for note in run.notes())
    steps = [event.step for event in run.watcher.events if type(event).__name__ == "StageAdvanced"]
    assert steps == sorted(set(steps)), "it had saved"
    assert files(Store(root), stage) == undisturbed


# Stages that only take time


def test_a_crash_that_always_comes_ends_after_the_third_time(slurm, tmp_path):
    run = Run(tmp_path / "runs", slow(tmp_path / "runs", 0, dies=True))
    with pytest.raises(StageError, match="ended before it was done: its process was ended by SIGKILL") as error:
        run.build()
    assert len([note for note in run.notes() if "begun again" in note]) == 2
    logs = str(error.value).partition("Its log is ")[2].partition(";")[0]
    assert Path(logs).is_file()
    assert "waits for nobody" not in slurm.queue()


def test_a_stage_that_needs_more_memory_than_it_asked_for_ends_after_the_third_time(strict, tmp_path):
    run = Run(tmp_path / "runs", slow(tmp_path / "runs", 600, megabytes=1000))
    with pytest.raises(StageError) as error:
        run.build()
    assert len([note for note in run.notes() if "it used up its memory, 900M; it is begun again" in note]) == 2
    (problem,) = error.value.problems
    assert problem.where == "slow0"
    assert problem.what.endswith(f"on {fixture.NODE} ended before it was done: it used up its memory, 900M")
    assert problem.hint.startswith("Raise memory in the section 'slurm' of the cluster file")
    assert not strict.queue()


def test_a_stage_that_saves_nothing_gets_more_time_when_its_own_is_not_enough(slurm, tmp_path):
    run = Run(tmp_path / "runs", slow(tmp_path / "runs", 35), minutes=1, save_seconds=55)
    run.build()  # Slurm counts in minutes and looks at the clock twice in one: the warning comes within 30 s
    assert [note for note in run.notes() if "got no further within 1 min, which it had twice" in note]
    assert Store(run.root).has(run.stages[0].address)


def test_a_stage_that_is_requeued_leaves_the_others_of_its_array_alone(slurm, tmp_path):
    run = Run(tmp_path / "runs", slow(tmp_path / "runs", 12, 13))
    end = meanwhile(run.build)
    until(lambda: run.told("StageStarted", 2), "both have begun")
    jobs = slurm.ask("squeue", "-h", "-r", "-o", "%i").split()
    slurm.ask("scancel", "--signal=USR1", "--batch", max(jobs))  # the last one's number is that of the array
    end()
    assert [note.split()[4] for note in run.notes() if "requeued" in note] == [max(jobs)]


@pytest.fixture
def three(slurm, tmp_path):
    """Three stages of which the node takes one at a time, with one under way and two in the queue."""
    run = Run(tmp_path / "runs", slow(tmp_path / "runs", 600, 601, 602), extra=("--exclusive",))

    def wait():
        until(lambda: run.told("StageStarted"), "a stage has begun")
        until(lambda: [state for _, state, _ in slurm.queue()].count("PENDING") == 2, "two wait")

    run.wait = wait
    return run


def press_ctrl_c(run, times):
    """Let Ctrl-C come when the stages are as far as they should be; a second time while the first is obeyed."""

    def press():
        run.wait()
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)

    return meanwhile(press)


def test_ctrl_c_saves_what_runs_and_takes_the_rest_out_of_the_queue(slurm, three):
    end = press_ctrl_c(three, 1)
    with pytest.raises(InterruptedRunError) as error:
        three.build()
    end()
    said = sorted(problem.what for problem in error.value.problems)
    assert said == ["had not begun", "had not begun", "interrupted; it continues from what it had saved, if anything"]
    assert error.value.exit_code == 130
    until(lambda: not slurm.queue(), "the queue is empty")


def test_jobs_that_somebody_cancels_are_failures_that_name_their_logs(slurm, three):
    def cancel():
        three.wait()
        slurm.ask("scancel", *slurm.ask("squeue", "-h", "-r", "-o", "%i").split())

    end = meanwhile(cancel)
    with pytest.raises(StageError) as error:
        three.build()
    end()
    problems = error.value.problems
    assert len(problems) == 3
    assert all("was cancelled, by somebody or by the cluster" in problem.what for problem in problems)
    assert all(problem.hint.startswith(f"Its log is {three.root}") for problem in problems)
    assert not slurm.queue()


def test_a_second_ctrl_c_ends_all_jobs_at_once(slurm, three):
    end = press_ctrl_c(three, 2)
    with pytest.raises((KeyboardInterrupt, InterruptedRunError)):
        three.build()
    end()
    until(lambda: not slurm.queue(), "the queue is empty")


def test_detached_stages_run_on_and_augkit_jobs_shows_them(slurm, three, augkit):
    with pytest.raises(DetachedRunError, match="3 stages are under way") as ended:
        three.build(detach=True)
    assert ended.value.exit_code == 0
    until(lambda: "RUNNING" in str(slurm.queue()), "a job runs")
    code, out, _ = augkit("jobs", "--out", str(three.root))
    assert code == 0
    head, *lines = [line.split() for line in out.splitlines()]
    assert head == ["job", "state", "since", "where", "stage"]
    assert sorted(line[1] for line in lines) == ["runs", "waits", "waits"]
    (runs,) = [line for line in lines if line[1] == "runs"]
    assert (runs[4], " ".join(runs[5:])) == (fixture.NODE, three.stages[0].title)
    assert augkit("jobs", "--out", "elsewhere")[1] == "No job of augkit is in Slurm's queue.\n"


# Whole runs

RECIPE = """\
name: whole
seed: 0
dataset: {phantom: {train: 12, test: 4, size: 32}}
synthesize:
  - {generator: {texture: {}}, masks: {training: {}}, count: 6}
segmenter: {unet: {width: 4, steps: 100, batch_size: 4}}
"""


def artifacts(root):
    """Return what is in every artifact but reports, which say where and when they were made."""
    return {file.parent.name: manifest["files"] for file, manifest in manifests(root) if manifest["kind"] != "report"}


def manifests(root):
    return [(file, json.loads(file.read_text())) for file in root.glob("*/*/artifact.json")]


def test_a_run_that_is_detached_followed_killed_and_followed_again_makes_what_one_process_makes(slurm, tmp_path):
    (tmp_path / "whole.yaml").write_text(RECIPE)
    (tmp_path / "cluster.yaml").write_text("slurm: {threads: 1, memory: 900, poll_seconds: 0.5}\n")
    alone = [*AUGKIT, "run", "whole.yaml", "--device", "cpu"]
    elsewhere = [*alone, "--executor", "slurm", "--cluster", "cluster.yaml"]

    def start(command):
        return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    left = start([*elsewhere, "--detach"])
    assert "1 stage is under way" in left.communicate()[0]
    assert left.returncode == 0
    killed = start(elsewhere)
    until(lambda: "augkit-segmenter" in str(slurm.queue()), "the training is in the queue")
    killed.kill()
    killed.communicate()
    assert "augkit-segmenter" in str(slurm.queue())
    followed = start(elsewhere)
    said = followed.communicate()[0]
    assert followed.returncode == 0, said
    assert "which another run began, is followed" in said
    reference = start([*alone, "--jobs", "1", "--threads", "1", "--out", "alone"])
    assert reference.wait() == 0, reference.communicate()[0]
    reference.communicate()
    assert artifacts(tmp_path / "runs") == artifacts(tmp_path / "alone") != {}
    assert not list((tmp_path / "runs" / ".augkit" / "jobs").glob("augkit-segmenter-*"))


def test_two_runs_at_once_make_a_set_in_shards_as_one_process_makes_it(slurm, tmp_path):
    cut = RECIPE.replace("texture: {}", "noise: {}").replace("training: {}", "shapes: {}")
    (tmp_path / "whole.yaml").write_text(cut.replace("count: 6", "count: 300, shard: 256"))
    (tmp_path / "cluster.yaml").write_text("slurm: {threads: 1, memory: 900, poll_seconds: 0.5}\n")
    one = [*AUGKIT, "run", "whole.yaml", "--device=cpu", "--quiet"]
    elsewhere = [*one, "--executor=slurm", "--cluster=cluster.yaml"]
    runs = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for command in (elsewhere, elsewhere, [*one, "--jobs=1", "--threads=1", "--out=alone"])
    ]
    said = [run.communicate(timeout=SECONDS)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], said
    assert artifacts(tmp_path / "runs") == artifacts(tmp_path / "alone") != {}
    assert len(list((tmp_path / "runs" / "synthesis-shard").iterdir())) == 2
    assert not list((tmp_path / "runs" / ".augkit" / "work").glob("*"))
    assert not slurm.queue()


PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"


def test_the_page_about_slurm_is_followed_to_the_letter(slurm, tmp_path):
    part = re.search(r"^## On Slurm$(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S).group(1)
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", part, re.M | re.S)
    for name in "ab":
        plain = RECIPE.replace("whole", name)
        (tmp_path / f"{name}.yaml").write_text(plain if name == "a" else re.sub("synthesize.*\n.*\n", "", plain))
    told = []
    for language, text in blocks:
        if language == "yaml":
            (tmp_path / "cluster.yaml").write_text(text)
            continue
        for line in text.splitlines():
            command = [*AUGKIT, *shlex.split(line)[1:]]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            told.append(done.stdout + done.stderr)
    ran, left, jobs, followed = told
    assert "report.html" in ran
    assert "under way" in left
    assert "job " in jobs
    assert "comparison.html" in followed


# What a cluster does not take


@pytest.fixture
def refused(augkit, tmp_path):
    """Give the command with a file of clusters; returns what it says when it ends with exit code 2."""

    def give(**options):
        text = ", ".join(f"{name}: {value}" for name, value in {**OPTIONS, **options}.items())
        (tmp_path / "cluster.yaml").write_text(f"slurm: {{{text}}}\n")
        (tmp_path / "whole.yaml").write_text(RECIPE)
        code, _, err = augkit("run", "whole.yaml", "-q", "--executor", "slurm", "--cluster", "cluster.yaml")
        assert code == 2, err
        assert not list(tmp_path.glob("runs/.augkit/jobs/*"))
        return err

    return give


CHANGE = "Change the section 'slurm' of the cluster file; `sinfo` lists partitions and their limits\n"


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"partition": "nope"}, "invalid partition specified: nope"),
        ({"memory": 900_000}, "Requested node configuration is not available"),
        ({"constraint": "nope"}, "Invalid feature specification"),
        ({"extra": "[--nope]"}, "unrecognized option '--nope'"),
    ],
)
def test_what_sbatch_refuses_is_told_before_anything_begins(slurm, refused, options, what):
    assert refused(**options) == f"--executor slurm: sbatch refuses the job: {what}. {CHANGE}"


def test_a_controller_that_does_not_answer_is_told_before_anything_begins(slurm, refused):
    slurm.kill("slurmctld")
    said = refused()
    slurm.start("slurmctld")
    assert said == (
        "--executor slurm: Slurm does not answer: Unable to contact slurm controller (connect failure). "
        "Wait until `squeue` answers, and give the same command again; jobs that are under way go on\n"
    )

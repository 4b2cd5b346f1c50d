"""The Slurm executor against a queue that is played; `test_slurm_cluster.py` has a real one."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from augkit import InputError, Problem
from augkit.executors import Resources, Site, Unit
from augkit_slurm import arrays, executor, programs
from augkit_slurm.arrays import write_array
from augkit_slurm.cluster import Slurm
from augkit_slurm.executor import SlurmExecutor
from augkit_slurm.following import Words
from augkit_slurm.programs import FullError, Row, UnreachableError, read_rows

RECORDED = """\
12|3|PENDING|JobArrayTaskLimit||N/A|2026-11-27T14:12:01|900M|/my runs/.augkit/jobs/augkit-masks-0f3a9c2d/stage.sh
12|1|RUNNING|None|n1|2026-11-27T14:12:03|2026-11-27T14:12:01|900M|/my runs/.augkit/jobs/augkit-masks-0f3a9c2d/stage.sh
9|2|PENDING|BeginTime||2026-11-27T14:12:51|2026-11-27T14:10:50|4G|/data/r/.augkit/jobs/augkit-masks-77/stage.sh
5|4|CANCELLED|BeginTime||2026-11-27T14:10:44|2026-11-27T14:10:00|900M|/scratch/j|ob.sh
7|N/A|RUNNING|None|n1|2026-11-27T14:12:03|2026-11-27T14:12:01|900M|(null)
"""
"""What squeue of Slurm 22.05 prints for `_COLUMNS`: of a requeued job, N/A, and a script with a bar in its name."""


def test_jobs_are_read_from_what_squeue_prints():
    rows = read_rows(RECORDED)
    assert [row.job for row in rows] == ["12_3", "12_1", "9_2", "5_4"]
    assert [row.since[-8:] for row in rows] == ["14:12:01", "14:12:03", "14:10:50", "14:10:00"]
    assert [row.waits for row in rows] == [True, False, True, False]
    assert [row.memory for row in rows] == ["900M", "900M", "4G", "900M"]
    assert [row.has_ended for row in rows] == [False, False, False, True]
    assert rows[0].script.parts[1] == "my runs"
    assert rows[3].script == Path("/scratch/j|ob.sh")


# What sbatch is asked for


def test_twice_the_estimate_is_asked_for_within_what_the_file_says():
    cluster = Slurm(partition="gpu", constraint="a100", minutes=30, most_minutes=600, memory=4000, extra=("--nice=5",))
    small = Resources("masks", 2, 0.0, int(1e9), 60.0)
    large = Resources("masks", 2, 0.0, int(7.4e9), 7000.0)
    options = cluster.options([small, large], 1)
    for wanted in ("--partition=gpu", "--constraint=a100", "--cpus-per-task=2", "--mem=14800", "--time=234"):
        assert wanted in options
    assert options[-1] == "--nice=5"
    assert not [option for option in options if "gres" in option or "account" in option]
    assert "--mem=4000" in cluster.options([small], 1)
    assert "--time=30" in cluster.options([small], 1)
    assert "--time=468" in cluster.options([large], 2), "grown, because a job has shown to need it"
    assert "--time=600" in cluster.options([large], 4)


def test_the_memory_of_a_gpu_is_not_asked_of_the_node():
    options = Slurm(gres="gpu:a100:1", memory=4000).options([Resources("segmenter", 4, 1.0, int(60e9), None)], 1)
    assert "--gres=gpu:a100:1" in options
    assert "--mem=4000" in options
    assert "--time=60" in options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"minutes": 2000}, "minutes is 2000; allowed: at most most_minutes, 1440"),
        ({"minutes": 2, "save_seconds": 120}, "save_seconds is 120; allowed: less than minutes, 120 s"),
        ({"extra": ("exclude=n7",)}, "extra has 'exclude=n7'; allowed: options of sbatch, such as --exclude=node7"),
    ],
)
def test_options_that_cannot_be_are_refused(options, said):
    with pytest.raises(ValueError, match=r"allowed") as error:
        Slurm(**options)
    assert str(error.value) == said


# The script


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path / "my runs", "cpu", "float32", 3)


def unit(name="a", kind="segmenter"):
    return Unit({"name": "r"}, name * 20, f"stage {name}", Resources(kind, 3))


WORKER = """
import json, os, signal, sys, time
def stop(number, frame):
    os.write(1, b"TERM\\n")  # it may come while a line is being printed
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
order = json.load(open(sys.argv[1]))
print(order["title"], os.environ["OMP_NUM_THREADS"], os.environ["SETUP"], flush=True)
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), flush=True)
open(sys.argv[1] + "l", "a").write('{"half')
time.sleep(float(os.environ.get("SECONDS_TO_WORK", 60)))
sys.exit(7)
"""


class Script:
    """A job's script, run by a shell as Slurm does, with a worker and a `scontrol` that are played."""

    def __init__(self, site, monkeypatch, folder, seconds=60):
        (folder / "worker.py").write_text(WORKER)
        scontrol = folder / "bin" / "scontrol"
        scontrol.parent.mkdir()
        scontrol.write_text('#!/bin/sh\necho "scontrol $*"\n')
        scontrol.chmod(0o755)
        monkeypatch.setattr(arrays, "worker_command", lambda: [sys.executable, "-S", str(folder / "worker.py")])
        self.array = write_array(site, [unit("a"), unit("b")], ["SETUP='of mine'; export SETUP"])
        script = self.array.script
        script.write_text(script.read_text().replace('" --unit', '"').replace(" --unit ", " "))
        environment = {
            **os.environ,
            "PATH": f"{scontrol.parent}{os.pathsep}{os.environ['PATH']}",
            "SLURM_JOB_ID": "42",
            "SLURM_ARRAY_JOB_ID": "42",
            "SLURM_ARRAY_TASK_ID": "2",
            "SLURM_RESTART_COUNT": "1",
            "SLURMD_NODENAME": "n7",
            "SECONDS_TO_WORK": str(seconds),
        }
        self.process = subprocess.Popen(
            ["sh", str(script)], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.lines = [self.process.stdout.readline().strip() for _ in range(2)]

    def end(self, number=None, group=False):
        if number is not None:
            (os.killpg if group else os.kill)(self.process.pid, number)
        out, _ = self.process.communicate(timeout=30)
        self.lines += out.split("\n")[:-1]
        return Words(self.array.words("b" * 20)).new()


def test_a_script_starts_the_worker_of_its_task_with_threads_and_no_blocked_signals(site, monkeypatch, tmp_path):
    script = Script(site, monkeypatch, tmp_path, seconds=0)
    began, ended = script.end()
    assert script.lines == ["stage b 3 of mine", "set()"]
    assert began == {"slurm": "began", "job": "42_2", "node": "n7", "restarts": 1, "code": 0, "again": False}
    assert (ended["slurm"], ended["code"], ended["again"]) == ("ended", 7, False), "after half a line of a killed one"
    assert script.process.returncode == 7


def test_when_its_time_is_over_a_job_saves_and_is_requeued(site, monkeypatch, tmp_path):
    script = Script(site, monkeypatch, tmp_path)
    _, ended = script.end(signal.SIGUSR1)
    assert script.lines[2:] == ["TERM", "scontrol requeue 42_2"], "not 42, which is all of its tasks"
    assert (ended["code"], ended["again"]) == (143, True)


def test_a_job_that_is_to_end_saves_and_is_not_requeued(site, monkeypatch, tmp_path):
    script = Script(site, monkeypatch, tmp_path)
    _, ended = script.end(signal.SIGUSR2)
    assert script.lines[2:] == ["TERM"]
    assert (ended["code"], ended["again"]) == (143, False)


def test_a_signal_to_all_processes_of_a_job_reaches_the_worker_once(site, monkeypatch, tmp_path):
    script = Script(site, monkeypatch, tmp_path)
    _, ended = script.end(signal.SIGTERM, group=True)
    assert script.lines[2:] == ["TERM"]
    assert (ended["code"], ended["again"]) == (143, False)


# The executor


class Played:
    """A controller whose queue the test writes."""

    def __init__(self):
        self.rows, self.calls, self.fault = [], [], None

    def look(self):
        if isinstance(self.fault, UnreachableError):
            raise self.fault
        return list(self.rows)

    def submit(self, options, script):
        if self.fault:
            raise self.fault
        self.calls.append(("submit", script.parent.name, [one for one in options if "array" in one or "time" in one]))

    def cancel(self, rows):
        gone = [row.job for row in rows]
        self.calls.append(("cancel", gone))
        self.rows = [replace(row, state="CANCELLED") if row.job in gone else row for row in self.rows]

    def ask_to_save(self, rows):
        self.calls.append(("save", [row.job for row in rows]))

    def of(self, kind):
        return [call[1:] for call in self.calls if call[0] == kind and call[1]]


@pytest.fixture
def slurmctld(monkeypatch):
    monkeypatch.setattr(executor, "_LISTEN_SECONDS", 0.001)
    return Played()


@pytest.fixture
def started(site, slurmctld):
    def start(**options):
        return SlurmExecutor(Slurm(poll_seconds=0.1, **options), site, slurmctld, slurmctld.rows)

    return start


def row_of(array, task, state, reason="None", node="n1"):
    return Row(
        f"12_{task}",
        task,
        state,
        reason,
        "" if state == "PENDING" else node,
        "2026-11-27T14:00:00",
        "900M",
        array.script,
    )


def one_job(running, slurmctld, state="RUNNING", name="a"):
    """Submit a unit and let its job be seen once; returns its array."""
    running.submit(unit(name))
    running._send()
    array = running._jobs[name * 20].array
    slurmctld.rows = [row_of(array, 1, state)]
    running._look()
    return array


def say(array, *lines, name="a"):
    with array.words(name * 20).open("a") as stream:
        stream.writelines(json.dumps(line) + "\n" for line in lines)


BEGAN = {"slurm": "began", "job": "12_1", "node": "n1", "restarts": 0, "code": 0, "again": False}
ENDED = {**BEGAN, "slurm": "ended"}
SAVED = {"problems": [["stage a", "saved", ""]], "exit_code": 143, "interrupted": True}


def test_units_of_a_kind_that_begin_together_are_one_array(started, slurmctld, site):
    one = started(at_once=7)
    for name, kind in (("a", "segmenter"), ("b", "masks"), ("c", "segmenter")):
        one.submit(unit(name, kind))
    assert slurmctld.calls == []
    one._send()
    submitted = slurmctld.of("submit")
    assert [name for name, _ in submitted] == [f"augkit-segmenter-{'a' * 12}", f"augkit-masks-{'b' * 12}"]
    assert "--array=1-2%7" in submitted[0][1]
    array = one._jobs["c" * 20].array
    assert array.fingerprints() == ["a" * 20, "c" * 20]
    assert array.order("c" * 20)["title"] == "stage c"
    assert array.order("c" * 20)["root"] == str(site.root)


def test_an_array_is_never_larger_than_slurm_takes(started, slurmctld, monkeypatch):
    monkeypatch.setattr(executor, "MOST_TASKS", 2)
    one = started()
    for name in "abcde":
        one.submit(unit(name))
    one._send()
    assert [options[1][:11] for _, options in slurmctld.of("submit")] == ["--array=1-2", "--array=1-2", "--array=1-1"]


def test_what_a_stage_says_is_passed_on_until_its_last_word(started, slurmctld):
    one = started()
    array = one_job(one, slurmctld)
    noted = {"event": "StageNoted", "stage": "stage a", "text": "x"}
    say(array, BEGAN, noted, {"problems": []}, noted)
    assert [one.wait().facts for _ in range(2)] == [noted, {"problems": []}]
    assert one.wait() is None
    one.close()
    assert not array.folder.exists(), "nothing went wrong, so nobody needs it"


@pytest.mark.parametrize(
    ("state", "code", "what", "preempted"),
    [
        ("FAILED", 137, "its process was ended by SIGKILL; the system does that when the memory is full", False),
        ("FAILED", 1, "exit code 1; the last that it printed is: No module named augkit", False),
        ("NODE_FAIL", None, "its node failed", False),
        ("PREEMPTED", 143, "another job took its place", True),
        ("COMPLETED", None, "Slurm says COMPLETED; the last that it printed is: No module named augkit", False),
    ],
)
def test_a_job_that_is_gone_without_a_word_is_lost(started, slurmctld, state, code, what, preempted):
    one = started()
    array = one_job(one, slurmctld)
    array.log(1).write_text("Traceback\nNo module named augkit\n\n")
    slurmctld.rows = [row_of(array, 1, state)]
    say(array, BEGAN, *([] if code is None else [{**ENDED, "code": code}]))
    facts = one.wait().facts
    ((where, found, hint),) = facts["problems"]
    assert (where, found) == ("stage a", f"its job 12_1 on n1 ended before it was done: {what}")
    assert hint == f"Its log is {array.folder}/1.log; the same command continues from what it saved"
    assert (facts["lost"], facts["preempted"], facts["exit_code"]) == (True, preempted, 1)
    one.close()
    assert array.log(1).exists()


@pytest.mark.parametrize(
    ("state", "printed"),
    [
        ("OUT_OF_MEMORY", ""),
        ("FAILED", "slurmstepd-n1: error: Exceeded job memory limit"),
        ("FAILED", "slurmstepd: error: Detected 1 oom_kill event in StepId=12.batch. Some of the step tasks have been"),
    ],
)
def test_a_job_whose_memory_is_used_up_says_how_much_it_had_and_what_to_change(started, slurmctld, state, printed):
    one = started()
    array = one_job(one, slurmctld)
    array.log(1).write_text(f"{printed}\n")
    slurmctld.rows = [row_of(array, 1, state)]
    say(array, BEGAN)
    facts = one.wait().facts
    assert facts["problems"] == [
        [
            "stage a",
            "its job 12_1 on n1 ended before it was done: it used up its memory, 900M",
            "Raise memory in the section 'slurm' of the cluster file; the same command continues from what it saved",
        ]
    ]
    assert facts["lost"] is True


def test_a_job_is_given_up_after_the_second_look_and_its_last_word_may_come_between(started, slurmctld):
    one = started()
    array = one_job(one, slurmctld)
    slurmctld.rows = []
    one._look()
    assert not one._said
    say(array, {"problems": []})
    one._look()
    assert one.wait().facts == {"problems": []}


def test_a_job_that_is_gone_from_the_queue_before_it_began_was_cancelled(started, slurmctld):
    one = started()
    one_job(one, slurmctld, "PENDING")
    slurmctld.rows = []
    facts = one.wait().facts
    assert facts["problems"][0][1] == "its job 12_1 was cancelled, by somebody or by the cluster"
    assert "lost" not in facts


def test_a_job_that_somebody_cancels_is_not_begun_again(started, slurmctld):
    one = started()
    array = one_job(one, slurmctld)
    say(array, BEGAN, SAVED, {**ENDED, "code": 143})
    slurmctld.rows = [row_of(array, 1, "CANCELLED")]
    facts = one.wait().facts
    assert facts["problems"][0][1] == "its job 12_1 on n1 was cancelled, by somebody or by the cluster"
    assert "lost" not in facts


def test_a_job_that_is_requeued_goes_on_and_its_earlier_end_is_no_last_word(started, slurmctld):
    one = started()
    array = one_job(one, slurmctld)
    say(array, BEGAN, SAVED, {**ENDED, "code": 143, "again": True})
    slurmctld.rows = [row_of(array, 1, "PENDING", "BeginTime")]
    one._look()
    one._look()
    say(array, {**BEGAN, "restarts": 1}, {"problems": []})
    assert one.wait().facts["text"] == "goes on as job 12_1 on n1, requeued 1 times"
    assert one.wait().facts == {"problems": []}
    assert slurmctld.of("cancel") == []


def test_a_job_that_wanted_to_be_requeued_and_is_gone_counts_as_preempted(started, slurmctld):
    one = started()
    array = one_job(one, slurmctld)
    say(array, BEGAN, SAVED, {**ENDED, "code": 143, "again": True})
    slurmctld.rows = []
    facts = one.wait().facts
    assert facts["problems"][0][1].endswith("its time was over, and Slurm did not requeue it")
    assert facts["preempted"]


def attempt(step, restarts):
    advanced = {"event": "StageAdvanced", "stage": "stage a", "step": step, "total": 90, "values": {}}
    return {**BEGAN, "restarts": restarts}, advanced, SAVED, {**ENDED, "code": 143, "again": True}


def test_a_job_that_gets_no_further_in_its_time_begins_again_with_twice_as_much(started, slurmctld):
    one = started(minutes=30, most_minutes=100)
    for minutes, lost in ((30, True), (60, True), (100, False)):
        array = one_job(one, slurmctld)
        assert f"--time={minutes}" in slurmctld.of("submit")[-1][1]
        say(array, *attempt(5, 0), *attempt(5, 1))
        slurmctld.rows = [row_of(array, 1, "PENDING", "BeginTime")]
        while "problems" not in (facts := one.wait().facts):
            pass
        assert facts["problems"][0][1] == f"its job 12_1 got no further within {minutes} min, which it had twice"
        assert facts["lost"] is lost
        assert slurmctld.of("cancel")[-1] == (["12_1"],), "only when it waits, because its script may still requeue it"


def test_a_job_that_gets_further_each_time_may_be_requeued_for_ever(started, slurmctld):
    one = started()
    array = one_job(one, slurmctld)
    say(array, *(line for number in range(9) for line in attempt(number * 10, number)))
    slurmctld.rows = [row_of(array, 1, "PENDING", "BeginTime")]
    one._look()
    assert not [said for said in one._said if "problems" in said.facts]


def test_a_job_whose_time_was_over_before_it_had_saved_gets_twice_as_much(started, slurmctld):
    one = started(minutes=30)
    array = one_job(one, slurmctld)
    slurmctld.rows = [row_of(array, 1, "TIMEOUT")]
    assert one.wait().facts["problems"][0][1].endswith("its time was over before it had saved")
    one_job(one, slurmctld)
    assert "--time=60" in slurmctld.of("submit")[-1][1]


def test_why_a_job_may_wait_for_ever_is_told_once(started, slurmctld):
    one = started()
    array = one_job(one, slurmctld, "PENDING")
    slurmctld.rows = [row_of(array, 1, "PENDING", "PartitionTimeLimit")]
    one._look()
    one._look()
    assert [said.facts["text"] for said in one._said] == [
        "job 12_1 waits, maybe for ever: Slurm says PartitionTimeLimit"
    ]


# Ends


def test_an_interrupt_cancels_what_waits_and_has_the_rest_save_once(started, slurmctld):
    one = started()
    for name in "abc":
        one.submit(unit(name))
    one._send()
    array = one._jobs["a" * 20].array
    one.submit(unit("d"))
    slurmctld.rows = [row_of(array, 1, "RUNNING"), row_of(array, 2, "PENDING"), row_of(array, 3, "RUNNING")]
    one.interrupt()
    one._look()
    assert slurmctld.of("cancel") == [(["12_2"],)]
    assert slurmctld.of("save") == [(["12_1", "12_3"],)], "a second signal would cost the state"
    slurmctld.rows = [row_of(array, 2, "CANCELLED", node="")]
    say(array, BEGAN, SAVED, {**ENDED, "code": 143})
    last = {}
    while (said := one.wait()) is not None:
        last[said.unit.title] = said.facts
    assert last["stage a"] == SAVED
    assert last["stage d"]["problems"] == [["stage d", "had not begun", ""]]
    assert all(facts["interrupted"] for facts in last.values())
    assert len(last) == 4


def test_close_cancels_what_is_under_way_and_a_detached_run_leaves_it(started, slurmctld):
    for leaves in (False, True):
        one = started()
        array = one_job(one, slurmctld, name="ab"[leaves])
        if leaves:
            one.detach()
        one.close()
        assert slurmctld.of("cancel") == [(["12_1"],)]
        assert array.folder.exists()


def test_detaching_submits_first_and_says_where_that_is_refused(started, slurmctld):
    one = started()
    one.submit(unit("a"))
    one.detach()
    assert len(slurmctld.of("submit")) == 1
    two = started()
    two.submit(unit("b"))
    slurmctld.fault = InputError(Problem("--executor slurm", "no", ""))
    with pytest.raises(InputError, match="--executor slurm: no"):
        two.detach()


def test_the_next_run_follows_the_job_of_an_earlier_one(started, slurmctld):
    array = one_job(started(), slurmctld)
    say(array, BEGAN, SAVED, {**ENDED, "code": 143, "again": True})
    say(array, {**BEGAN, "restarts": 1}, {"event": "StageStarted", "stage": "stage a"})
    two = started()
    assert two.wait() is None
    two.submit(unit("a"))
    told = [two.wait().facts.get("text") for _ in range(3)]
    assert told[:2] == [
        "job 12_1, which another run began, is followed",
        "goes on as job 12_1 on n1, requeued 1 times",
    ]
    assert len(slurmctld.of("submit")) == 1
    say(array, {"problems": []})
    assert two.wait().facts == {"problems": []}


def test_a_job_that_computes_otherwise_is_not_followed_and_not_ended(started, slurmctld, site):
    one_job(started(), slurmctld)
    other = Site(site.root, "cpu", "bfloat16", 3)
    two = SlurmExecutor(Slurm(), other, slurmctld, slurmctld.rows)
    two.submit(unit("a"))
    with pytest.raises(InputError) as error:
        two.wait()
    two.close()
    assert str(error.value) == (
        "stage a: is under way as job 12_1 with AUGKIT_PRECISION float32, not bfloat16. "
        "Give the command that began it, or end it: scancel 12_1"
    )
    assert slurmctld.of("cancel") == []


# A cluster that refuses


def test_a_controller_that_does_not_answer_is_asked_again_and_told_of_once(started, slurmctld):
    one = started()
    array = one_job(one, slurmctld)
    slurmctld.fault = UnreachableError("connect failure")
    for _ in range(3):
        one._look()
    assert [said.facts["text"] for said in one._said] == [
        "does not answer, and is asked again; jobs that run go on: connect failure"
    ]
    one._said.clear()
    slurmctld.fault = None
    say(array, {"problems": []})
    assert one.wait().facts == {"problems": []}


def test_jobs_that_may_have_been_taken_are_looked_for_before_they_are_begun_again(started, slurmctld):
    one = started()
    slurmctld.fault = UnreachableError("socket timed out")
    one.submit(unit("a"))
    one._send()
    slurmctld.fault = None
    slurmctld.rows = [row_of(one._jobs["a" * 20].array, 1, "RUNNING")]
    one._look()
    assert one._jobs["a" * 20].row.job == "12_1"
    one.submit(unit("b"))
    slurmctld.fault = UnreachableError("socket timed out")
    one._send()
    slurmctld.fault = None
    one._said.clear()
    said = one.wait()
    assert (said.unit.title, said.facts["lost"]) == ("stage b", True)


def test_a_full_queue_is_waited_for(started, slurmctld):
    one = started()
    array = one_job(one, slurmctld)
    slurmctld.fault = FullError("Job violates accounting/QOS policy (job submit limit)")
    one.submit(unit("b"))
    one._send()
    assert one.capacity == 1
    slurmctld.fault = None
    say(array, {"problems": []})
    assert one.wait().unit.title == "stage a"
    one._send()
    assert len(slurmctld.of("submit")) == 2


def test_a_refused_job_is_the_failure_of_its_stages_alone(started, slurmctld):
    one = started()
    array = one_job(one, slurmctld)
    slurmctld.fault = programs.refused("Invalid qos specification")
    one.submit(unit("b"))
    said = one.wait()
    assert said.unit.title == "stage b"
    assert said.facts["exit_code"] == 2
    assert said.facts["problems"] == [
        [
            "--executor slurm",
            "sbatch refuses the job: Invalid qos specification",
            "Change the section 'slurm' of the cluster file; `sinfo` lists partitions and their limits",
        ]
    ]
    assert [folder.name for folder in array.folder.parent.iterdir()] == [array.name]


def test_a_machine_without_slurm_is_refused_in_one_sentence(augkit, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = augkit("jobs")
    assert code == 2
    assert err == (
        "--executor slurm: found no sbatch, squeue, scontrol, scancel on this machine. "
        "Give the command on a login node of the cluster, or without --executor slurm\n"
    )


def test_folders_that_nobody_looks_at_any_more_are_removed(started, slurmctld):
    array = one_job(started(), slurmctld)
    long_ago = time.time() - 8 * 24 * 3600
    os.utime(array.folder, (long_ago, long_ago))
    started()
    assert array.folder.exists(), "its job is in the queue"
    slurmctld.rows = []
    started()
    assert not array.folder.exists()

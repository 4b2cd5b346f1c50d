import os
import re
import signal
import sys
import textwrap
import time

import pytest

from augkit.contracts.executor import Site, Unit
from augkit.running import local as executors
from augkit.running.elsewhere import process
from augkit.running.local import LocalExecutor, threads_of

WORKER = """
    import json, os, signal, sys, time
    def say(**facts):
        sys.stdout.write(json.dumps(facts) + "\\n"); sys.stdout.flush()
    for line in sys.stdin:
        order = json.loads(line)
        say(event="StageNoted", stage=order["title"], text=os.environ["OMP_NUM_THREADS"])
        exec(order["document"]["do"])
        say(problems=[])
"""


@pytest.fixture
def executor(tmp_path, monkeypatch):
    """An executor whose workers do the Python text that is their unit's document."""

    def start(capacity, gpus=()):
        monkeypatch.setattr(executors, "visible_gpus", lambda: list(gpus))
        made = LocalExecutor(Site(tmp_path, "cuda" if gpus else "cpu", "float32", 3, capacity))
        made._command = [sys.executable, "-c", textwrap.dedent(WORKER)]
        started.append(made)
        return made

    started = []
    yield start
    for one in started:
        one.close()


def unit(do, title="unet"):
    return Unit({"do": do}, title, title)


def last_words(executor, units):
    """Submit units and return (title -> last word, everything else that was said)."""
    for one in units:
        executor.submit(one)
    last, said = {}, []
    while len(last) < len(units):
        one = executor.wait()
        if "problems" in one.facts:
            last[one.unit.title] = one.facts
        else:
            said.append(one.facts)
    return last, said


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_build_side_by_side_and_one_after_another_with_their_threads(executor):
    one = executor(2)
    last, said = last_words(one, [unit("time.sleep(0.3); say(pid=os.getpid())", name) for name in "ab"])
    assert last == {"a": {"problems": []}, "b": {"problems": []}}
    pids = {facts["pid"] for facts in said if "pid" in facts}
    assert len(pids) == 2
    assert {facts["text"] for facts in said if "text" in facts} == {"3"}
    _, said = last_words(one, [unit("say(pid=os.getpid())", "c")])
    assert {facts["pid"] for facts in said if "pid" in facts} < pids, "an idle worker is used again"
    one.close()
    assert not any(alive(pid) for pid in pids)


@pytest.mark.parametrize(
    ("do", "what"),
    [
        ("os._exit(7)", "its process ended by itself with exit code 7"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "its process was ended by SIGSEGV"),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "its process was ended by SIGKILL; the system does that when the memory is full",
        ),
        ("sys.stdout.write('{\"problems'); sys.stdout.flush(); os._exit(7)", "ended by itself with exit code 7"),
    ],
)
def test_the_death_of_a_worker_is_explained_and_the_next_unit_gets_another(executor, do, what):
    one = executor(1)
    last, _ = last_words(one, [unit(do)])
    ((where, found, hint),) = last["unet"]["problems"]
    assert (where, last["unet"]["exit_code"], last["unet"]["lost"]) == ("unet", 1, True)
    assert what in found
    assert "same command continues" in hint
    assert last_words(one, [unit("pass")])[0] == {"unet": {"problems": []}}


def test_a_worker_ended_for_want_of_memory_is_named_as_such(executor, tmp_path, monkeypatch):
    counter = tmp_path / "vmstat"
    counter.write_text("nr_free_pages 1\noom_kill 4\n")
    monkeypatch.setattr(process, "OOM_COUNTER", counter)
    kill = f"open({str(counter)!r}, 'w').write('oom_kill 5'); os.kill(os.getpid(), signal.SIGKILL)"
    last, _ = last_words(executor(1), [unit(kill)])
    ((_, found, hint),) = last["unet"]["problems"]
    assert found == "its process was ended by the system because the memory was full (out-of-memory killer)"
    assert hint.startswith("Use fewer --jobs, smaller batches or smaller images")


def test_a_system_that_counts_nothing_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "OOM_COUNTER", tmp_path / "none")
    assert process.ooms() == 0


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="nothing can be stopped here")
def test_a_worker_that_was_stopped_is_named_once_and_can_go_on(executor):
    slow = executor(1)
    slow.submit(unit("os.kill(os.getpid(), signal.SIGSTOP)"))
    slow.wait()  # its threads
    found = slow.wait().facts["text"]
    pid = int(re.fullmatch(r"its process (\d+) has been stopped by a signal; `kill -CONT \1` lets it go on", found)[1])
    for worker in slow._workers:
        worker.tell_if_stopped()
    os.kill(pid, signal.SIGCONT)
    assert slow.wait().facts == {"problems": []}


def test_nobody_is_waited_for_when_nothing_is_under_way(executor):
    one = executor(1)
    assert one.wait() is None
    last_words(one, [unit("pass")])
    assert one.wait() is None


def test_close_ends_busy_workers_at_once(executor):
    one = executor(1)
    one.submit(unit("say(pid=os.getpid()); time.sleep(600)"))
    said = [one.wait(), one.wait()]
    began = time.monotonic()
    one.close()
    assert time.monotonic() - began < 30
    assert not alive(said[1].facts["pid"])


def test_a_worker_is_out_of_reach_of_the_terminals_signals(executor):
    _, said = last_words(executor(1), [unit("say(group=os.getpgid(0))")])
    assert said[1]["group"] != os.getpgid(0)


def test_workers_are_spread_over_the_gpus(executor):
    see = "say(gpu=os.environ['CUDA_VISIBLE_DEVICES']); time.sleep(0.5)"
    _, said = last_words(executor(4, ["0", "5"]), [unit(see, name) for name in "abcd"])
    assert sorted(facts["gpu"] for facts in said if "gpu" in facts) == ["0", "0", "5", "5"]


def test_the_gpus_are_those_that_the_process_may_see(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-7ab")
    assert executors.visible_gpus() == ["2", "GPU-7ab"]


def test_threads_are_a_share_of_the_cores_or_what_the_environment_says(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert [threads_of(jobs) for jobs in (1, 3, 8, 20)] == [8, 2, 1, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert threads_of(3) == 5
    monkeypatch.setenv("OMP_NUM_THREADS", "5,2")
    assert threads_of(2) == 4

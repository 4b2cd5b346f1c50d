"""Threads that have nothing to do sleep soon where other programs need the cores, and only there."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from augkit.running.machine import waiting
from augkit.running.machine.processor import Usage
from augkit.running.machine.waiting import briefly_beside_others


class Watched:
    """What a watcher of two threads on two cores does, looking twice a second, while others use so many cores."""

    def __init__(self, monkeypatch):
        self.states = []
        self.added = 0
        monkeypatch.setattr(waiting, "own_cores", lambda: 2)
        monkeypatch.setattr(waiting, "threads", lambda: 2)
        self._patch = monkeypatch

    def see(self, *others):
        work = iter([0.0, *others])
        moment, worked = 100.0, 0.0

        def usage():
            nonlocal moment, worked
            moment += waiting.LOOK_SECONDS
            worked += next(work) * waiting.LOOK_SECONDS
            return Usage(moment, all=worked + 1.5 * moment, own=1.5 * moment)

        self._patch.setattr(waiting, "usage", usage)
        looks = iter(others)

        def ended(seconds):
            self.states.append(self.added)
            return next(looks, None) is None

        waiting._watch(ended, self._sleepers)
        return self.states[1:]

    @contextmanager
    def _sleepers(self):
        self.added += 1
        yield
        self.added -= 1


@pytest.fixture
def watched(monkeypatch):
    return Watched(monkeypatch)


def test_threads_wait_briefly_from_the_look_that_finds_another_program_on(watched):
    assert watched.see(0.0, 0.1, 1.0, 0.9, 1.0) == [0, 0, 1, 1, 1]
    assert watched.added == 0, "at its end all is as before"


def test_threads_wait_long_again_when_the_cores_were_free_for_a_while(watched):
    assert watched.see(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0) == [1, 1, 1, 1, 0, 0, 1]


def test_a_pause_of_the_other_program_changes_nothing(watched):
    assert watched.see(1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0) == [1] * 7


def test_what_others_do_on_cores_that_nobody_here_wants_does_not_count(watched, monkeypatch):
    monkeypatch.setattr(waiting, "threads", lambda: 1)
    assert watched.see(1.0, 1.1, 2.0) == [0, 0, 1]


def test_where_the_system_does_not_count_nothing_is_watched(monkeypatch):
    monkeypatch.setattr(waiting, "usage", lambda: None)
    with briefly_beside_others():
        assert not any(thread.name == "waiting" for thread in threading.enumerate())


@pytest.mark.parametrize("name", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"])
def test_what_the_user_chose_for_waiting_threads_holds(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    with briefly_beside_others():
        assert not any(thread.name == "waiting" for thread in threading.enumerate())


def test_nothing_of_it_is_left_behind():
    with briefly_beside_others():
        assert any(thread.name == "waiting" for thread in threading.enumerate())
    assert not any(thread.name == "waiting" for thread in threading.enumerate())


def test_where_there_is_no_room_for_threads_none_is_added(monkeypatch):
    starts = iter([True, False])

    def start(thread, begin=threading.Thread.start):
        if not next(starts):
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(waiting, "_libraries", lambda: ["a library that must not be asked"])
    before = threading.active_count()
    with waiting.more_threads_than_cores():
        assert threading.active_count() == before


SPENDS = """
import time, torch
from augkit.running.machine.waiting import _libraries, more_threads_than_cores
torch.set_num_threads(2)
numbers = torch.ones(1 << 20)

def spent():
    total = 0.0
    for _ in range(30):
        numbers.add_(1)
        began = time.process_time()
        time.sleep(0.02)
        total += time.process_time() - began
    return total

numbers.add_(1)
long = spent()
with more_threads_than_cores():
    brief = spent()
print(len(_libraries()), brief < long / 3, spent() > 3 * brief)
"""


@pytest.mark.skipif(not waiting.MAPPED.exists(), reason="needs a system that lists what it has loaded")
@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda _: ())(0)) < 2, reason="needs two cores")
def test_torchs_threads_take_processor_time_after_their_work_but_not_beside_threads_that_sleep():
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "OMP_"))}
    done = subprocess.run([sys.executable, "-c", SPENDS], env=kept, capture_output=True, text=True, check=True)
    libraries, fewer, again = done.stdout.split()
    if libraries == "0":
        pytest.skip("torch uses another OpenMP here")
    assert (fewer, again) == ("True", "True")

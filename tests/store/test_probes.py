"""What two processes find out about a folder that they share, also where it does not keep what a store needs."""

import os
import subprocess
import sys
import textwrap
import time

import pytest

from augkit.errors import InputError
from augkit.store import probes
from augkit.store.owners import Owner

CODE = "0a1b2c"
NAMES = ["locks", "renames", "hard links", "a new file", "a changed file", "clocks"]

FOLLOWER = """
    import errno, fcntl, os, sys, time
    from pathlib import Path
    from augkit.store import probes

    {fault}
    other, findings = probes.join(Path(sys.argv[1]), sys.argv[2], 20)
    print(other.pid, [finding.name for finding in findings if finding.is_fault])
"""


def follow(folder, fault="pass", code=CODE):
    """Start the other process, as on another host where `fault` is true."""
    program = textwrap.dedent(FOLLOWER).format(fault=fault)
    command = [sys.executable, "-c", program, str(folder), code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def probe(folder, fault="pass"):
    """Return what is found, by name, and what the other process says it heard."""
    follower = follow(folder, fault)
    try:
        other, findings = probes.lead(folder, CODE, patience=60)
    finally:
        said, error = follower.communicate(timeout=60)
    assert other.pid == follower.pid, error
    assert [finding.name for finding in findings] == NAMES
    assert list(folder.iterdir()) == []
    return {finding.name: finding for finding in findings}, said


def test_a_good_folder_has_no_fault_and_nothing_stays_in_it(tmp_path):
    found, said = probe(tmp_path)
    assert said == f"{os.getpid()} []\n"
    assert found["locks"].fact == "exclude the other process"
    assert found["renames"].fact == "in 5 of 5 contests for a name one process had it, whole"
    assert found["hard links"].fact == "work; checkpoints that change hosts are not copied"
    for name in ("a new file", "a changed file"):
        assert found[name].fact.startswith("is seen after 0.")
    assert found["clocks"].fact.startswith("differ by 0.")


def test_a_lock_that_each_host_has_by_itself_is_found(tmp_path):
    found, said = probe(tmp_path, "fcntl.flock = lambda *_: None")
    assert said == f"{os.getpid()} ['locks']\n"
    assert found["locks"].fact == "both processes had the same lock at once: the locks of each are its own"
    assert found["locks"].hint == (
        "Mount it with locks that all hosts share (Lustre: -o flock in place of localflock; NFS: without local_lock "
        "and nolock), or use one host at a time"
    )


def test_it_is_found_too_where_the_host_that_leads_is_the_one(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    found, _ = probe(tmp_path)
    assert found["locks"].fact.startswith("both processes had the same lock at once")


NO_FLOCK = """def flock(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    fcntl.flock = flock
"""


def test_a_host_without_locks_is_found(tmp_path):
    found, _ = probe(tmp_path, textwrap.dedent("    " + NO_FLOCK))
    assert found["locks"].fact == "there are none for the other process (flock: Function not implemented)"
    assert found["locks"].hint.startswith("Mount it with locks (Lustre: -o flock; NFS: without nolock)")


def test_a_leader_without_locks_is_found(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(38, os.strerror(38))

    monkeypatch.setattr("fcntl.flock", flock)
    found, _ = probe(tmp_path)
    assert found["locks"].fact == "there are none (flock: Function not implemented)"


def test_two_winners_of_a_contest_are_found(tmp_path):
    found, _ = probe(tmp_path, "probes._contest = lambda folder, number, name: number < 2 or name == 'leader'")
    assert found["renames"].fact == "in 2 of 5 contests for a name not exactly one process had it"
    assert found["renames"].is_fault


def test_a_file_that_is_seen_late_is_told_and_one_that_is_not_seen_in_time_is_a_fault(tmp_path):
    late = "is_there = probes._is_there\nsince = {}\n"
    late += "probes._is_there = lambda path: is_there(path) and (path.name != 'new' or\n"
    late += "    time.time() - since.setdefault(path, time.time()) > DELAY)"
    found, _ = probe(tmp_path, late.replace("DELAY", "0.5"))
    assert float(found["a new file"].fact.split()[3]) >= 0.4
    assert not found["a new file"].is_fault
    found, _ = probe(tmp_path, f"probes.SEEN_SECONDS = -0.5\n{late.replace('DELAY', '3')}")
    assert found["a new file"].fact == "is not seen after 60 s"
    assert "NFS: acdirmax" in found["a new file"].hint


def test_a_clock_that_is_wrong_is_found(tmp_path):
    found, _ = probe(tmp_path, "now = time.time; time.time = lambda: now() + 600")
    assert found["clocks"].fact.startswith(("differ by 600.", "differ by 599."))
    assert found["clocks"].is_fault
    assert found["a new file"].fact.startswith("is seen after 0."), "delays are told by one clock"


def test_hard_links_are_not_needed(tmp_path, monkeypatch):
    def refuse(path, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    found, _ = probe(tmp_path)
    assert (
        found["hard links"].fact == "are not there (Operation not permitted); checkpoints that change hosts are copied"
    )
    assert not found["hard links"].is_fault


def test_when_nobody_joins_nothing_stays(tmp_path):
    assert probes.lead(tmp_path, CODE, patience=0.1) is None
    assert list(tmp_path.iterdir()) == []


def test_when_the_other_process_dies_it_is_told_and_nothing_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(probes, "ANSWER_SECONDS", 0.5)
    follower = follow(tmp_path, "probes._Follower.lock = lambda self, asked: os._exit(9)")
    with pytest.raises(InputError, match=r"the other process has ended, or what it writes is not seen here\. Give the"):
        probes.lead(tmp_path, CODE, patience=60)
    follower.communicate()
    assert list(tmp_path.iterdir()) == []


def test_when_the_leader_dies_the_other_process_removes_what_stays(tmp_path):
    (tmp_path / f".augkit-probe-{CODE}").mkdir()
    follower = follow(tmp_path, "probes.ANSWER_SECONDS = 0.5")
    assert "the other process has ended" in follower.communicate(timeout=60)[1]
    assert list(tmp_path.iterdir()) == []


def test_what_a_probe_left_whose_processes_were_killed_goes_with_the_next_one(tmp_path):
    for name, age in ((".augkit-probe-ffffff", 7200), (".augkit-probe-eeeeee", 60), ("mine", 7200)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
        for path in (tmp_path / name / "file", tmp_path / name):
            os.utime(path, (time.time() - age,) * 2)
    probes.lead(tmp_path, CODE, patience=0)
    assert {path.name for path in tmp_path.iterdir()} == {".augkit-probe-eeeeee", "mine"}


@pytest.mark.parametrize("code", ["abcdef", "../..", "", "0A1B2C"])
def test_a_code_that_nobody_waits_with_is_refused(tmp_path, code):
    with pytest.raises(
        InputError, match=r"--join .*: no probe of this name waits in .*Start one with: augkit doctor --shared"
    ):
        probes.join(tmp_path, code, patience=0.1)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "none"):
        with pytest.raises(InputError, match=rf"--shared {path}: is no folder; allowed: one that both hosts see"):
            probes.lead(path, CODE, 0)
    assert Owner.me().is_me

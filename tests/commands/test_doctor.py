"""`augkit doctor` tells what this machine is, faults included."""

import re
import shlex
import socket
import subprocess
import sys
import time

import pytest

from augkit.cli import app
from augkit.commands import doctor
from augkit.contracts.registry import Fault, Provider, Registry, load_registry


def test_it_tells_versions_device_speeds_disk_and_plugins(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(doctor._MATRIX, "cpu", 64)
    with pytest.raises(SystemExit) as ended:
        app(["doctor", "--device", "cpu", "--out", str(tmp_path / "runs")])
    assert ended.value.code in (0, None)
    told = capsys.readouterr().out
    for title in ("versions", "device", "speed of a matrix product", "disk", "plugins"):
        assert f"\n{title}\n" in f"\n{told}"
    assert re.search(r"torch +[0-9]+\.[0-9]+", told)
    assert re.search(r"float32 +[0-9.e+-]+ TFLOP/s", told)
    assert re.search(r"bfloat16 +([0-9.e+-]+ TFLOP/s|not available)", told)
    assert "GB free" in told
    assert not (tmp_path / "runs").exists()


def test_a_precision_without_units_of_its_own_is_measured_once(monkeypatch):
    monkeypatch.setattr(doctor, "_MOST_SECONDS", 0.0)
    calls = []
    doctor._median_seconds(lambda: calls.append(1))
    assert len(calls) == 2


def test_a_plugin_with_a_fault_is_named_with_its_reason():
    broken = Provider("odd", "augkit-odd", "0.1")
    facts = doctor.plugins(Registry({}, (Fault(broken, "ImportError: no module named 'odd'"),)))
    assert facts == {"augkit-odd 0.1 (odd)": "not usable: ImportError: no module named 'odd'"}


def test_every_component_is_listed_under_its_provider():
    registry = load_registry()
    listed = ", ".join(doctor.plugins(registry).values()).split(", ")
    commands = [f"augkit {name}" for name in registry.commands]
    assert sorted(listed) == sorted([*(name for _, name in registry.entries), *commands])


# A shared folder


def start_doctor(folder, *arguments):
    command = [sys.executable, "-m", "augkit", "doctor", "--shared", str(folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_shared_folder_is_probed_by_two_processes_and_by_a_second_host_with_the_command_that_is_printed(tmp_path):
    first = start_doctor(tmp_path, "--wait", "60")
    told = []
    while not told or "--join" not in told[-1]:
        told.append(first.stdout.readline().rstrip())
    assert told[0] == f"{tmp_path}, two processes of {socket.gethostname()}"
    assert told[1].split() == ["locks", "exclude", "the", "other", "process"]
    assert told[-2] == "within 1 min 00 s, give this on a second host (Ctrl-C to do without):"
    words = shlex.split(told[-1])
    assert words[:4] == ["augkit", "doctor", "--shared", str(tmp_path)]
    second = start_doctor(tmp_path, *words[4:])
    out, error = first.communicate(timeout=60)
    assert first.returncode == 0, error
    assert second.communicate(timeout=60)[0].splitlines()[1:] == out.splitlines()[1:]
    assert second.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_probe_that_is_ended_leaves_nothing(tmp_path):
    probe = start_doctor(tmp_path, "--wait", "60")
    while "--join" not in probe.stdout.readline():
        pass
    while not list(tmp_path.iterdir()):
        time.sleep(0.01)
    probe.terminate()
    probe.communicate(timeout=60)
    assert probe.returncode == 143
    assert list(tmp_path.iterdir()) == []


def test_a_fault_ends_with_one_and_says_what_to_do(tmp_path, augkit, monkeypatch):
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    code, out, _ = augkit("doctor", f"--shared={tmp_path}", "--wait=0")
    assert code == 1
    assert "  locks            FAULT: both processes had the same lock at once: the locks of each are its own\n" in out
    assert "Lustre: -o flock in place of localflock" in out
    assert list(tmp_path.iterdir()) == []


def test_no_second_host_is_no_fault_but_said(tmp_path, augkit):
    code, out, _ = augkit("doctor", f"--shared={tmp_path}", "--wait=1")
    assert code == 0
    assert out.endswith("no second host has joined, so what is true between hosts is not known\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--shared=none"], "--shared none: is no folder; allowed: one that both hosts see under this name\n"),
        (["--join=abcdef"], "--join abcdef: names no folder. Add --shared DIR, as the first host printed it\n"),
    ],
)
def test_a_probe_of_no_folder_ends_with_two(augkit, arguments, said):
    assert augkit("doctor", *arguments) == (2, "", said)

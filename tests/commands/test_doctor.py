"""`augkit doctor` tells what this machine is, faults included."""

import re

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

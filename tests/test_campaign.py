"""The campaign of faults counts what it tries, and what does not hold ends it with exit code 1."""

import importlib
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
TESTS = """
import pytest

def test_holds():
    pass

@pytest.mark.parametrize("number", [1, 2])
def test_holds_once(number):
    assert number == 1

@pytest.mark.slow
def test_is_slow():
    pass

@pytest.fixture
def broken():
    raise OSError("no fixture")

def test_cannot_begin(broken):
    pass
"""


@pytest.fixture
def campaign(monkeypatch, capsys):
    """Import the campaign; a call runs it with arguments on faults of the test's own: its exit code, table, record."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.delitem(sys.modules, "campaign", raising=False)
    module = importlib.import_module("campaign")

    def run(faults, *arguments):
        monkeypatch.setattr(module, "FAULTS", faults)
        monkeypatch.setattr(sys, "argv", ["campaign.py", *arguments])
        with pytest.raises(SystemExit) as end:
            module.main()
        printed = capsys.readouterr()
        _, *table, last = printed.out.splitlines()
        return int(end.value.code), table, json.loads(last), printed.err

    module.run = run
    yield module
    del sys.modules["campaign"]


def form(*found):
    return lambda quick: iter(found[:1] if quick else found)


def test_every_fault_of_the_plan_has_an_entry_and_what_it_names_is_there(campaign):
    assert list(campaign.FAULTS) == [f"T{number}" for number in range(1, 21)]
    for fault, how, forms in campaign.FAULTS.values():
        assert fault
        assert forms
        for named in how.split(", "):
            assert named in ("tests", "counted here") or (BENCHMARKS / named).is_file(), named
        for one in forms:
            inside = dict(
                zip(one.__code__.co_freevars, (cell.cell_contents for cell in one.__closure__ or ()), strict=True)
            )
            assert all((BENCHMARKS.parent / place).exists() for place in inside.get("places", ())), inside
            assert "module" not in inside or f"faults/{inside['module']}.py" in how


def test_what_does_not_hold_is_counted_told_and_ends_the_campaign_with_exit_code_1(campaign):
    faults = {"T1": ("kill -9", "tests", (form("", "half a file", ""),)), "T2": ("disk", "tests", (form(""), form("")))}
    code, table, record, told = campaign.run(faults)
    assert code == 1
    assert [line.split()[:5] for line in table] == [["T1", "kill", "-9", "3", "2"], ["T2", "disk", "2", "2", "0.0"]]
    assert "T1 kill -9: did not hold: half a file\n" in told
    assert {name: (row["tried"], row["held"]) for name, row in record["values"].items()} == {"T1": (3, 2), "T2": (2, 2)}
    assert (record["benchmark"], record["quick"]) == ("campaign", False)


def test_only_and_quick_choose(campaign):
    faults = {"T1": ("one", "tests", (form("", "bad"),)), "T2": ("two", "tests", (form("bad"),))}
    code, table, record, _ = campaign.run(faults, "--only", "T1", "--quick")
    assert (code, len(table), list(record["values"])) == (0, 1, ["T1"])
    assert record["quick"] is True


def test_a_campaign_that_is_stopped_ends_with_the_rows_it_has(campaign):
    def stopped(quick):
        yield ""
        raise KeyboardInterrupt

    faults = {"T1": ("one", "tests", (form(""),)), "T2": ("two", "tests", (stopped,))}
    code, table, record, _ = campaign.run(faults)
    assert code == 130
    assert table[0].startswith("T1   one")
    assert table[1] == "T2: stopped after 1 tried, 1 held"
    assert record["stopped"] is True
    assert record["values"]["T1"]["held"] == 1


def test_tests_that_hold_a_fault_are_counted_one_by_one(campaign, tmp_path):
    file = tmp_path / "test_some.py"
    file.write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n  gpu\n")
    quick = list(campaign.held_by(str(file))(True))
    assert [one.rpartition("::")[2] for one in quick if one] == ["test_holds_once[2]", "test_cannot_begin"]
    assert len(quick) == 4
    assert list(campaign.held_by(str(file), names="slow")(False)) == [""]


def test_a_form_in_which_nothing_is_tried_quickly_counts_nothing_and_a_broken_one_does_not_hold(campaign, tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n  gpu\n")
    file = tmp_path / "test_some.py"
    file.write_text(TESTS)
    assert list(campaign.held_by(str(file), names="slow")(True)) == []
    assert list(campaign.held_by(str(tmp_path / "test_missing.py"))(True)) == ["pytest ended with exit code 4"]


def test_a_program_s_faults_are_counted_and_one_that_breaks_does_not_hold(campaign, tmp_path, monkeypatch):
    monkeypatch.setattr(campaign, "HERE", tmp_path)
    (tmp_path / "kills.py").write_text('print("{\\"values\\": {\\"kills\\": 4, \\"damaged\\": 1, \\"slow\\": 0}}")')
    (tmp_path / "broken.py").write_text("raise SystemExit(3)")
    counted = campaign.counted_by("kills.py", [], [], "kills", ("damaged", "slow"))
    assert list(counted(True)) == ["1 damaged", "", "", ""]
    broken = campaign.counted_by("broken.py", [], [], "kills", ())
    assert list(broken(True)) == ["broken.py ended with exit code 3"]

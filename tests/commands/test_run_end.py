"""What `run` says at its end."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from augkit.commands import running
from augkit.running.session import How


@pytest.mark.parametrize(
    ("verdicts", "came"), [([], False), (["no verdict"], False), (["no verdict", "equivalent"], True)]
)
def test_a_run_knows_whether_it_came_to_a_verdict(verdicts, came, monkeypatch, capsys):
    contrasts = [{"verdict": verdict} for verdict in verdicts]
    report = SimpleNamespace(arms=(), comparison={"contrasts": contrasts}, warnings=(), external={})
    monkeypatch.setattr("augkit.report.recorded.read_report", lambda folder: report)
    monkeypatch.setattr(running, "print_comparison", lambda *facts: None)
    assert running._print_result(Path("runs/report/x")) is came
    assert capsys.readouterr().out == f"Report: {Path('runs/report/x/report.html')}\n"


def test_the_command_for_a_verdict_builds_as_this_run_did():
    assert How().options() == []
    assert How(device="auto", precision="auto").options() == []
    how = How(Path("my runs"), "cpu", "float32", 2, 1)
    assert how.options() == ["--out 'my runs'", "--device cpu", "--precision float32", "--jobs 2", "--threads 1"]

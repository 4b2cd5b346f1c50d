import dataclasses
import json
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from types import ModuleType

import pluggy
import pytest
from rich.console import Console

from augkit.contracts import events, hookspecs
from augkit.contracts.registry import Registry, load_registry
from augkit.errors import InputError
from augkit_observers.jsonl import JsonLines
from augkit_observers.progress import ProgressDisplay, choose_display

RUN = [
    events.RunStarted(("gan", "unet · a", "unet · b"), 2, Path()),
    events.StageStarted("unet · a"),
    events.StageStarted("unet · b"),
    events.StageAdvanced("unet · a", 5, 10, {"loss": 0.25}),
    events.StageAdvanced("unet · b", 1, 10, {"loss": float("nan")}),
    events.StageNoted("unet · b", "[bold] is no markup"),
    events.StageFinished("unet · a", 65.0, Path("x")),
    events.RunFinished(70.0, True),
]


def show(terminal, monkeypatch=None):
    text = StringIO()
    display = ProgressDisplay(Console(file=text, width=120, force_terminal=terminal, color_system=None))
    lines = []
    for event in RUN:
        display.augkit_event(event=event)
        live = display._live
        lines.append([(task.description, task.fields["facts"]) for task in live.tasks] if live else [])
    return text.getvalue(), lines


def test_the_display_shows_all_running_stages_with_their_own_progress():
    _, lines = show(terminal=True)
    assert lines[0] == []
    assert [name for name, _ in lines[2]] == ["unet · a", "unet · b"]
    assert lines[4] == [("unet · a", "step 5/10  loss 0.25"), ("unet · b", "step 1/10  loss nan")]
    assert [name for name, _ in lines[6]] == ["unet · b"]
    assert lines[7] == [], "the live lines are taken away at the end"


def test_without_a_terminal_the_display_writes_plain_lines(monkeypatch):
    monkeypatch.setattr("augkit_observers.progress.PLAIN_SECONDS", -1.0)
    text, _ = show(terminal=False)
    assert text.splitlines() == [
        "3 stages to build, 2 already there",
        "  [2/3] unet · a",
        "  [3/3] unet · b",
        "        unet · a: step 5/10  loss 0.25",
        "        unet · b: step 1/10  loss nan",
        "  unet · b: [bold] is no markup",
        "  done  unet · a                                     1 min 05 s",
    ]


def test_the_display_shows_progress_of_a_stage_it_has_not_seen_begin():
    display = ProgressDisplay(Console(file=StringIO()))
    display.augkit_event(event=RUN[3])
    display.augkit_event(event=RUN[6])


def test_json_lines_are_whole_valid_and_one_file_per_run(tmp_path, monkeypatch):
    log = JsonLines()
    for number in (1, 2):
        monkeypatch.setattr("os.getpid", lambda number=number: number)
        log.augkit_event(event=events.RunStarted(("a",), 0, tmp_path))
        for event in RUN[1:]:
            log.augkit_event(event=event)
    files = sorted((tmp_path / "events").iterdir())
    assert len(files) == 2
    lines = [json.loads(line, parse_constant=pytest.fail) for line in files[0].read_text(encoding="utf-8").splitlines()]
    assert [line["event"] for line in lines] == [type(event).__name__ for event in RUN]
    assert lines[4]["values"] == {"loss": None}, "JSON has no word for what is not a number"
    assert all(line["time"].endswith("+00:00") for line in lines)


def test_json_lines_before_any_run_go_nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    JsonLines().augkit_event(event=RUN[1])
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_has_one_curve_per_stage_and_value(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra augkit[tensorboard] is not installed")
    code = f"""
from pathlib import Path
from augkit.contracts import events
from augkit_observers.tensorboard import TensorBoard
board = TensorBoard()
board.augkit_event(event=events.RunStarted(("unet · a",), 0, Path({str(tmp_path)!r})))
for step in (25, 50):
    board.augkit_event(event=events.StageAdvanced("unet · a", step, 50, {{"loss": 1 / step, "D right": 0.5}}))
board.augkit_event(event=events.RunFinished(1.0, True))
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
(folder,) = Path({str(tmp_path)!r}).glob("tensorboard/*/*")
found = EventAccumulator(str(folder)); found.Reload()
print(folder.name, sorted(found.Tags()["scalars"] or found.Tags()["tensors"]))
read = found.Scalars if found.Tags()["scalars"] else found.Tensors
print([event.step for event in read("loss")])
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["unet-a ['D right', 'loss']", "[25, 50]"]


def test_a_missing_tensorboard_is_told_with_what_to_install(tmp_path, monkeypatch):
    from augkit_observers.tensorboard import TensorBoard

    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match=r"pip install 'augkit\[tensorboard\]'"):
        TensorBoard().augkit_event(event=events.RunStarted((), 0, tmp_path))


# Choosing


def test_the_built_in_observers_are_registered_as_a_strangers_would_be():
    registry = load_registry()
    chosen = registry.choose_observers(["progress", "jsonl", "augkit:tensorboard", "jsonl"], "--observer")
    assert [name for name, _ in chosen] == ["augkit:progress", "augkit:jsonl", "augkit:tensorboard"]


def test_an_observer_that_is_none_or_has_a_twin_is_refused_with_what_is_allowed():
    registry = Registry({}, (), (("augkit:jsonl", print), ("acme:jsonl", print), ("acme:bell", print)))
    with pytest.raises(InputError) as caught:
        registry.choose_observers(["bel", "jsonl", "acme:jsonl"], "--observer")
    assert [str(problem) for problem in caught.value.problems] == [
        "--observer bel: no installed plugin 'bel' observes runs. Did you mean 'bell'?",
        "--observer jsonl: is the name of augkit:jsonl and acme:jsonl; name one of them in full",
    ]


def test_the_observer_on_the_page_about_observers_is_one():
    page = (Path(__file__).parents[2] / "docs" / "observers.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    bell = ModuleType("augkit_bell")
    exec(code, vars(bell))
    manager = pluggy.PluginManager("augkit")
    manager.add_hookspecs(hookspecs)
    manager.register(bell)
    manager.check_pending()
    assert manager.hook.augkit_event(event=events.StageStarted("x")) == []
    assert [one.plugin for one in manager.hook.augkit_event.get_hookimpls()] == [bell]


def test_the_lines_on_the_page_about_observers_are_events():
    page = (Path(__file__).parents[2] / "docs" / "observers.md").read_text()
    (lines,) = re.findall(r"```json\n(.*?)```", page, re.S)
    for line in lines.splitlines():
        facts = json.loads(line)
        fields = {field.name for field in dataclasses.fields(getattr(events, facts["event"]))}
        assert set(facts) == {"time", "event", *fields}


class Shown:
    """The part of IPython that a notebook's progress uses."""

    def __init__(self, monkeypatch, kernel=True):
        self.pages = []
        shell = type("Shell", (), {"kernel": object()} if kernel else {})()
        ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
        ipython.get_ipython = lambda: shell
        display.HTML = str
        display.display = self.display
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", display)

    def display(self, page, display_id):
        self.pages.append(page)
        return self

    def update(self, page):
        self.pages.append(page)


def test_in_a_notebook_bars_are_shown_and_replaced_and_what_stages_say_stays(monkeypatch):
    shown = Shown(monkeypatch)
    monkeypatch.setattr("augkit_observers.notebook.UPDATE_SECONDS", 0.0)
    display = choose_display()
    for event in RUN:
        display.augkit_event(event=event)
    assert '<td>all stages</td><td><progress max="1" value="0.0000"></progress></td><td>0 of 3</td>' in shown.pages[0]
    assert '<td>unet · a</td><td><progress max="1" value="0.5000">' in shown.pages[4]
    assert "step 5/10  loss 0.25" in shown.pages[4]
    assert shown.pages[-1].count("<tr>") == 1
    assert "<div>unet · b: [bold] is no markup</div><div>1 stages built in 1 min 10 s</div>" in shown.pages[-1]


def test_a_run_with_nothing_to_build_shows_nothing_in_a_notebook(monkeypatch):
    shown = Shown(monkeypatch)
    display = choose_display()
    display.augkit_event(event=events.RunStarted((), 4, Path()))
    display.augkit_event(event=events.RunFinished(0.1, True))
    assert shown.pages == []


def test_a_shell_without_a_kernel_is_a_terminal(monkeypatch):
    Shown(monkeypatch, kernel=False)
    assert isinstance(choose_display(), ProgressDisplay)

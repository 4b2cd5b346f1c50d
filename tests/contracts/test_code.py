"""Which changes of code rebuild which artifacts: exactly those that what the code does can change."""

import ast
import importlib
import shutil
import sys
from pathlib import Path

import pytest

from augkit.contracts import code
from augkit.planning.tasks import CODE, COPIES, Gather, code_of
from augkit.running.stages import STAGES

SAMPLE = """
'The module.'
import os
from typing import Annotated

CONSTANT = 3  # a comment
'''Says what it is.'''

class Thing:
    'A thing.'
    width: Annotated[int, 4] = 16

    def method(self, x, *rest, key=None, **more):
        'Does it.'
        pass

def f(x: float = 1e-3) -> str:
    if x and not (yield):
        return f"{x!r:>{CONSTANT}} and {'a' 'b'} {x=}" "c"
    with open(os.devnull) as stream, stream:
        return {1, *[2]} and {**{}, 'a': lambda: (x,)} or b'\\x00'
    match x:
        case None | [1, *_] if x > 1:
            raise ValueError from None
    return 'Ä \U0001fae0' + str(-1.50)
"""


def test_the_hash_is_the_same_on_every_python():
    assert code.meaning(SAMPLE) == "cc85d073504e897f53ecab92c9bb84727eab6fe4c40776f34846eb7d6c74c348"


def test_comments_docstrings_and_layout_do_not_count():
    plain = ast.unparse(ast.parse(SAMPLE.replace("'The module.'", "").replace("'Does it.'", "")))
    assert plain.count("\n") != SAMPLE.count("\n")
    assert code.meaning(plain) == code.meaning(SAMPLE)


@pytest.mark.parametrize(
    ("old", "new"),
    [("= 3", "= 4"), ("1e-3", "1e-4"), ("Annotated[int, 4]", "Annotated[int, 5]"), ("(x,)", "(x)"), ("!r", "!s")]
)  # fmt: skip
def test_words_and_numbers_count(old, new):
    assert old in SAMPLE
    assert code.meaning(SAMPLE.replace(old, new)) != code.meaning(SAMPLE)


@pytest.fixture
def core(tmp_path):
    """A copy of the core whose files may be changed; nothing imports it."""
    root = tmp_path / "augkit"
    shutil.copytree(code.CORE, root, ignore=shutil.ignore_patterns("__pycache__", "recipes"))
    yield root
    code._source.cache_clear()
    code._template_text.cache_clear()


TASKS = {task.__name__: module for task, module in CODE.items()}


def hashes(root: Path) -> dict[str, str]:
    code._source.cache_clear()
    code._template_text.cache_clear()
    return {task.__name__: code_of(task, root) for task in CODE}


def rebuilt(root: Path, file: str) -> set[str]:
    """The tasks whose artifacts get another name when a constant is added to a file."""
    before = hashes(root)
    with (root / file).open("a") as stream:
        stream.write("\nADDED = 1\n")
    after = hashes(root)
    return {task for task in TASKS if before[task] != after[task]}


def test_every_task_is_hashed_by_the_module_that_does_it():
    """But for a list of shards, which has the name of what it lists."""
    assert {task: f"augkit.{module}".replace("/", ".") for task, module in CODE.items()} == {
        task: function.__module__ for task, function in STAGES.items() if task is not Gather
    }


def test_modules_and_rooms_that_decide_no_bytes_exist():
    for name in {*code.DECIDE_NO_BYTES, *code.DRAW_ONLY, COPIES}:
        assert (code.CORE / f"{name}.py").is_file() or (code.CORE / name / "__init__.py").is_file(), name


def test_no_module_of_a_room_that_decides_no_bytes_counts():
    assert "from augkit.store import" in (code.CORE / "training/checkpoints.py").read_text()
    assert [name for name in code.core_modules("training/checkpoints") if name.startswith("store/")] == []


def test_a_comment_a_docstring_or_a_pass_anywhere_rebuilds_nothing(core):
    before = hashes(core)
    for file in core.rglob("*.py"):
        file.write_text(f"# A comment.\n{file.read_text()}\n\n'''Words.'''\npass\n")
    for file in core.rglob("*.j2"):
        file.write_text(f"{{# A comment. #}}{file.read_text()}")
    comments = {name: digest for name, digest in hashes(core).items() if digest != before[name]}
    assert comments == {}


EVERY = set(TASKS)
REPORT = {"WriteReport"}
DATASET = {"LoadDataset", "HoldOutDevelopment", "TakeFold", "TakeShare"}


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("running/stages/report.py", REPORT),
        ("report/words.py", REPORT),
        ("report/verdict/scores.py", REPORT),
        ("report/templates/report.html.j2", REPORT),
        ("report/templates/parts.html.j2", REPORT),
        ("report/templates/comparison.html.j2", set()),
        ("authors/templates/generator.py.j2", set()),
        ("authors/conformance/training.py", set()),
        ("report/templates/style.css.j2", REPORT),
        ("figures/tiles.py", {"WriteReport", "JudgeQuality"}),
        ("figures/lines.py", REPORT),
        ("quality/judge.py", {"JudgeQuality"}),
        ("quality/features.py", {"JudgeQuality"}),
        ("quality/copies.py", {"JudgeQuality", "PoolExternal"}),
        ("data/stored/evaluations.py", {"Evaluate", "WriteReport"}),
        ("metrics.py", {"Evaluate", "SelectAdherent", "JudgeQuality", "WriteReport"}),
        ("running/stages/predictions.py", {"Evaluate", "SelectAdherent", "JudgeQuality", "Synthesise"}),
        ("running/stages/masks.py", {"DrawMasks"}),
        ("running/stages/dataset.py", DATASET),
        ("training/pipeline.py", {"TrainSegmenter"}),
        ("data/draws.py", EVERY),
        ("commands/terminal.py", set()),
        ("running/engine.py", set()),
        ("planning/plan.py", set()),
    ],
)
def test_a_change_rebuilds_exactly_what_it_can_change(core, file, wanted):
    assert rebuilt(core, file) == wanted


def test_templates_that_the_report_uses_are_found_and_no_others():
    files = code.core_modules(TASKS["WriteReport"])
    assert [file for file in files if file.endswith(".j2")] == [
        "report/templates/answer.html.j2",
        "report/templates/base.html.j2",
        "report/templates/parts.html.j2",
        "report/templates/report.html.j2",
        "report/templates/section.html.j2",
        "report/templates/style.css.j2",
    ]


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A plugin of one module, written by a function; its hash is returned."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text: str) -> str:
        code._source.cache_clear()
        (tmp_path / "acme_plugin.py").write_text(text)
        importlib.import_module("acme_plugin")
        return code.package_code("acme_plugin")

    yield write
    sys.modules.pop("acme_plugin", None)
    code._source.cache_clear()


def test_a_comment_in_a_plugin_does_not_count_and_a_constant_does(plugin):
    first = plugin("WIDTH = 3\n")
    assert plugin("# Why.\nWIDTH = 3\n") == first
    assert plugin("WIDTH = 4\n") != first


USES_METRICS = "from augkit import Draws\nfrom augkit.metrics import scores\nfrom augkit.figures import gallery\n"


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("metrics.py", True),
        ("data/draws.py", True),
        ("contracts.py", False),
        ("figures/tiles.py", False),
        ("training/loop.py", False),
    ],
)
def test_what_a_plugin_uses_of_the_core_counts_but_for_pictures(plugin, core, file, counts):
    plugin(USES_METRICS)
    before = code.package_code("acme_plugin", core)
    with (core / file).open("a") as stream:
        stream.write("\nADDED = 1\n")
    code._source.cache_clear()
    assert (code.package_code("acme_plugin", core) != before) == counts


@pytest.mark.parametrize(
    "text", ["import augkit.training\n", "import augkit.training as t\n", "from augkit.training import *\n"]
)
def test_a_door_that_is_imported_as_a_whole_counts_as_a_whole(plugin, core, text):
    plugin(text)
    before = code.package_code("acme_plugin", core)
    with (core / "training" / "ema.py").open("a") as stream:
        stream.write("\nADDED = 1\n")
    code._source.cache_clear()
    assert code.package_code("acme_plugin", core) != before

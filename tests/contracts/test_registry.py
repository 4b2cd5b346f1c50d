"""Plugins of strangers: whatever one of them does, the others stay usable and the message says who and why."""

from __future__ import annotations

import signal
import sys
import textwrap
from dataclasses import replace
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import pytest

from augkit.contracts.registry import OWN_COMMANDS, Entry, Provider, Registry, load_registry
from augkit.errors import Problem
from augkit.starting import end_by_exception, exit_code

GOOD = """
from dataclasses import dataclass
from augkit import hookimpl

@dataclass(frozen=True)
class Painter:
    \"\"\"Paints.\"\"\"
    width: int = 4

    def fit(self, train, space): ...
    def open(self, folder, device): ...

@hookimpl
def augkit_generators():
    return {"painter": Painter}
"""


class Shelf:
    """A folder of installed distributions, each with one plugin module."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, distribution: str, source: str, plugin: str | None = None, version: str = "1.0") -> None:
        module = f"shelf_{distribution.replace('-', '_')}"
        (self.folder / f"{module}.py").write_text(textwrap.dedent(source))
        facts = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (facts / "entry_points.txt").write_text(f"[augkit]\n{plugin or distribution} = {module}\n")

    def load(self) -> Registry:
        points: list[EntryPoint] = []
        for distribution in distributions(path=[str(self.folder)]):
            points += distribution.entry_points.select(group="augkit")
        return load_registry(points)


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Shelf(tmp_path)
    for name in [name for name in sys.modules if name.startswith("shelf_")]:
        del sys.modules[name]


def reasons(registry: Registry) -> list[str]:
    return [str(fault) for fault in registry.faults]


def wanted(registry: Registry, name: str, kind: str = "generator") -> str:
    found = registry.find(kind, name, "r.yaml:5")
    assert isinstance(found, Problem)
    return str(found)


def test_a_plugin_is_registered_with_the_distribution_that_provides_it(shelf):
    shelf.add("acme", GOOD, version="2.1")
    registry = shelf.load()
    found = registry.find("generator", "painter", "r.yaml:5")
    assert isinstance(found, Entry)
    assert found.provider == Provider("acme", "acme", "2.1")
    assert str(found.provider) == "acme 2.1 (acme)"
    assert registry.names("generator") == ("painter",)
    assert registry.faults == ()


BROKEN = [
    ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
    ("import sys; sys.exit('no licence')", "SystemExit: no licence"),
    ("raise SystemExit", "SystemExit"),
    ("raise RuntimeError('two\\nlines')", "RuntimeError: two"),
    ("raise BaseException('anything')", "BaseException: anything"),
    ("def oops(:", "SyntaxError: invalid syntax (shelf_acme.py, line 1)"),
    (GOOD.replace("return {", "raise KeyError('x')\n    return {"), "KeyError: 'x'"),
    (GOOD.replace("return {", "import sys; sys.exit(0)\n    return {"), "SystemExit: 0"),
    (
        GOOD.replace("return {", "return None and {"),
        "augkit_generators returned None; allowed: a mapping from name to class",
    ),
    (
        GOOD.replace('return {"painter": Painter}', "return ['painter']"),
        "augkit_generators returned ['painter']; allowed: a mapping from name to class",
    ),
    (
        GOOD.replace('"painter"', "5"),
        "generator name '5'; allowed: up to 40 lower-case letters, digits, '_', '-'",
    ),
    (
        GOOD.replace('"painter"', '"My Painter"'),
        "generator name 'My Painter'; allowed: up to 40 lower-case letters, digits, '_', '-'",
    ),
    (
        GOOD.replace('"painter"', '"../painter"'),
        "generator name '../painter'; allowed: up to 40 lower-case letters, digits, '_', '-'",
    ),
    (
        GOOD.replace("@dataclass(frozen=True)", ""),
        "generator 'painter' is <class 'shelf_acme.Painter'>; allowed: a class decorated with @dataclass(frozen=True)",
    ),
    (
        GOOD.replace("(frozen=True)", ""),
        "generator 'painter' is <class 'shelf_acme.Painter'>; allowed: a class decorated with @dataclass(frozen=True)",
    ),
    (
        GOOD.replace("Painter}", "Painter()}"),
        "generator 'painter' is Painter(width=4); allowed: a class decorated with @dataclass(frozen=True)",
    ),
    (GOOD.replace("def open", "def opne"), "generator 'painter' (Painter) has no method open"),
    (
        GOOD.replace("def open", "def opne").replace("def fit", "def train"),
        "generator 'painter' (Painter) has no method fit, open",
    ),
    (
        GOOD.replace("augkit_generators", "augkit_generatrs"),
        "there is no hook 'augkit_generatrs'. Did you mean 'augkit_generators'?",
    ),
    (
        GOOD.replace("@hookimpl", "@hookimpl(specname='augkit_generatrs')"),
        "there is no hook 'augkit_generatrs'. Did you mean 'augkit_generators'?",
    ),
    (
        GOOD.replace("def augkit_generators", "def generators"),
        "there is no hook 'generators'. Did you mean 'augkit_generators'?",
    ),
    (GOOD.replace("@hookimpl", ""), "function 'augkit_generators' is not marked with @hookimpl"),
]


@pytest.mark.parametrize(
    ("source", "reason"), BROKEN, ids=[f"{i}-{reason[:30]}" for i, (_, reason) in enumerate(BROKEN)]
)
def test_a_broken_plugin_is_a_fault_and_stops_no_other(shelf, source, reason):
    shelf.add("acme", source)
    shelf.add("zeta", GOOD.replace('"painter"', '"zeta-painter"'))
    registry = shelf.load()
    assert reasons(registry) == [f"acme 1.0 (acme): {reason}"]
    assert registry.names("generator") == ("zeta-painter",)


def test_a_hook_that_asks_for_arguments_is_a_fault(shelf):
    shelf.add("acme", GOOD.replace("augkit_generators()", "augkit_generators(registry)"))
    assert reasons(shelf.load()) == [
        "acme 1.0 (acme): Plugin 'acme:acme' for hook 'augkit_generators'; "
        "hookimpl definition: augkit_generators(registry); "
        "Argument(s) {'registry'} are declared in the hookimpl but can not be found in the hookspec"
    ]


def test_what_a_plugin_prints_while_it_is_loaded_is_no_result(shelf, capsys):
    loud = GOOD.replace("    return {", "    print('I am asked')\n    return {")
    shelf.add("acme", "print('I am loaded')\n" + loud)
    assert shelf.load().faults == ()
    assert capsys.readouterr() == ("", "I am loaded\nI am asked\n")


def test_a_plugin_that_takes_the_standard_output_or_the_working_folder_does_not_keep_it(shelf, tmp_path):
    before = Path.cwd(), sys.stdout
    shelf.add("acme", f"import io, os, sys\nsys.stdout = io.StringIO()\nos.chdir({str(tmp_path)!r})\n{GOOD}")
    assert shelf.load().names("generator") == ("painter",)
    assert (Path.cwd(), sys.stdout) == before


def test_an_entry_point_that_names_nothing_is_a_fault():
    (fault,) = load_registry([EntryPoint("ghost", "no_such_module_here", "augkit")]).faults
    assert str(fault) == "unknown 0 (ghost): ModuleNotFoundError: No module named 'no_such_module_here'"


def test_ctrl_c_during_an_import_is_not_swallowed(shelf):
    shelf.add("acme", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        shelf.load()


def test_a_plugin_that_fails_in_one_hook_registers_nothing(shelf):
    half = "\n@hookimpl\ndef augkit_segmenters():\n    raise ValueError('half')\n"
    shelf.add("acme", GOOD + half)
    registry = shelf.load()
    assert registry.entries == {}
    assert reasons(registry) == ["acme 1.0 (acme): ValueError: half"]


def test_a_name_that_two_distributions_provide_is_usable_from_neither_and_names_both(shelf):
    shelf.add("acme", GOOD)
    shelf.add("zeta", GOOD, version="3.0")
    registry = shelf.load()
    both = "generator 'painter' is provided by acme 1.0 (acme) and zeta 3.0 (zeta); uninstall one"
    assert reasons(registry) == [f"acme 1.0 (acme): {both}"]
    assert registry.names("generator") == ()
    assert wanted(registry, "painter") == (
        f"r.yaml:5: generator 'painter' is not usable: {both}. Provided by acme 1.0 (acme)"
    )


def test_a_name_claimed_twice_for_one_kind_is_free_for_another(shelf):
    shelf.add("acme", GOOD)
    shelf.add("zeta", GOOD)
    assert wanted(shelf.load(), "painter", "dataset") == (
        "r.yaml:5: no dataset is called 'painter'. No installed plugin provides a dataset"
    )


def test_two_distributions_may_have_the_same_entry_point_name(shelf):
    shelf.add("acme", GOOD, plugin="painting")
    shelf.add("zeta", GOOD.replace('"painter"', '"other"'), plugin="painting")
    registry = shelf.load()
    assert registry.names("generator") == ("other", "painter")
    assert registry.faults == ()


def test_the_same_name_in_two_kinds_is_allowed(shelf):
    both = GOOD + "\n@hookimpl\ndef augkit_segmenters():\n    return {'painter': Painter}\n"
    shelf.add("acme", both)
    registry = shelf.load()
    assert set(registry.entries) == {("generator", "painter"), ("segmenter", "painter")}


def test_a_recipe_that_needs_a_broken_plugin_is_told_the_plugin_and_the_reason(shelf):
    shelf.add("acme", "import nothing_of_this_name")
    registry = shelf.load()
    reason = "ModuleNotFoundError: No module named 'nothing_of_this_name'"
    assert wanted(registry, "acme") == (
        f"r.yaml:5: generator 'acme' is not usable: {reason}. Provided by acme 1.0 (acme)"
    )
    assert wanted(registry, "painter") == (
        "r.yaml:5: no generator is called 'painter'. No installed plugin provides a generator "
        f"(plugins that failed to load: acme 1.0 (acme): {reason})"
    )


def test_an_unknown_name_is_told_with_the_nearest_one(shelf):
    shelf.add("acme", GOOD)
    registry = shelf.load()
    assert wanted(registry, "paintr") == "r.yaml:5: no generator is called 'paintr'. Did you mean 'painter'?"
    assert wanted(registry, "zzz") == "r.yaml:5: no generator is called 'zzz'. Allowed: painter"


def test_a_component_used_as_another_kind_is_told_what_it_is(shelf):
    shelf.add("acme", GOOD)
    assert wanted(shelf.load(), "painter", "segmenter").startswith(
        "r.yaml:5: no segmenter is called 'painter'. 'painter' is a generator"
    )


def test_an_observer_is_registered_with_the_name_of_its_plugin(shelf):
    shelf.add("acme", "from augkit import hookimpl\n@hookimpl\ndef augkit_event(event): ...\n", plugin="watch")
    ((name, function),) = shelf.load().observers
    assert name == "acme:watch"
    assert callable(function)


def test_a_plugin_may_call_its_helpers_as_it_likes(shelf):
    shelf.add("acme", GOOD + "\ndef augkit_acme_helper(): ...\n")
    assert shelf.load().faults == ()


def test_the_source_hash_changes_with_the_source_only(shelf, monkeypatch):
    from augkit.contracts import code

    shelf.add("acme", GOOD)
    entry = shelf.load().entries["generator", "painter"]
    before = entry.source_hash()
    code._source.cache_clear()
    (shelf.folder / "unrelated.py").write_text("x = 1\n")
    with (shelf.folder / "shelf_acme.py").open("a") as stream:
        stream.write("# a comment\n")
    assert entry.source_hash() == before
    code._source.cache_clear()
    with (shelf.folder / "shelf_acme.py").open("a") as stream:
        stream.write("CHANGED = 1\n")
    assert entry.source_hash() != before
    code._source.cache_clear()


def test_the_source_hash_changes_with_the_package_of_a_base_class(shelf):
    from augkit.contracts import code

    shelf.add("acme", GOOD)
    base = shelf.load().entries["generator", "painter"]
    derived = replace(base, cls=type("Derived", (base.cls,), {"__module__": "unrelated"}))
    before = base.source_hash(), derived.source_hash()
    code._source.cache_clear()
    with (shelf.folder / "shelf_acme.py").open("a") as stream:
        stream.write("CHANGED = 1\n")
    assert all(now != then for now, then in zip((base.source_hash(), derived.source_hash()), before, strict=True))
    code._source.cache_clear()


def test_the_installed_plugins_all_load():
    registry = load_registry()
    assert registry.faults == ()
    assert {"phantom", "folder", "isic"} <= set(registry.names("dataset"))


GREETING = """
from augkit import InputError, Problem, hookimpl

def greet(name: str = "you", loud: bool = False):
    '''Say hello.

    More words.
    '''
    if name == "nobody":
        raise InputError(Problem("NAME", "found nobody; allowed: somebody"))
    print(f"hello {name}{'!' if loud else ''}")

@hookimpl
def augkit_commands():
    return {"greet": greet}
"""


def test_a_command_is_registered_with_the_distribution_that_provides_it(shelf):
    shelf.add("acme", GREETING, version="2.1")
    registry = shelf.load()
    assert registry.faults == ()
    assert [(name, str(one.provider)) for name, one in registry.commands.items()] == [("greet", "acme 2.1 (acme)")]
    assert registry.find_command("greet") is registry.commands["greet"]
    assert registry.find_command("great") is None


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (GREETING.replace('"greet": greet', '"greet": 3'), "command 'greet' is 3; allowed: a function"),
        (
            GREETING.replace('{"greet": greet}', "greet"),
            "allowed: a mapping from name to function",
        ),
        (
            GREETING.replace('"greet"', '"run"'),
            "command 'run' is provided by augkit itself, too; allowed: another name",
        ),
        (
            GREETING.replace('"greet"', '"say it"'),
            "command name 'say it'; allowed: up to 40 lower-case letters, digits, '_', '-'",
        ),
        (GREETING.replace("    return {", "    raise OSError('no disk')\n    return {"), "OSError: no disk"),
    ],
)
def test_a_broken_command_is_a_fault_and_stops_no_other(shelf, source, reason):
    shelf.add("acme", source)
    shelf.add("zeta", GREETING.replace('"greet"', '"zeta"'))
    registry = shelf.load()
    (said,) = reasons(registry)
    assert said.startswith("acme 1.0 (acme): ")
    assert said.endswith(reason)
    assert list(registry.commands) == ["zeta"]


def test_a_command_that_two_distributions_provide_is_usable_from_neither_and_names_both(shelf):
    shelf.add("acme", GREETING)
    shelf.add("zeta", GREETING, version="3.0")
    registry = shelf.load()
    both = "command 'greet' is provided by acme 1.0 (acme) and zeta 3.0 (zeta); uninstall one"
    assert reasons(registry) == [f"acme 1.0 (acme): {both}"]
    assert registry.commands == {}
    assert str(registry.find_command("greet")) == (
        f"augkit greet: command 'greet' is not usable: {both}. Provided by acme 1.0 (acme)"
    )


def test_words_that_are_commands_of_augkit_cannot_be_taken():
    from augkit.cli import COMMANDS

    assert {name.split()[0] for name, _, _ in COMMANDS} == OWN_COMMANDS


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_while_a_plugin_is_loaded_ends_the_process_and_is_not_the_plugins_fault(shelf, number, code):
    shelf.add("slow", f"import signal\nsignal.raise_signal({int(number)})")
    before = signal.signal(number, end_by_exception)
    try:
        with pytest.raises(KeyboardInterrupt) as ended:
            shelf.load()
    finally:
        signal.signal(number, before)
    assert exit_code(ended.value) == code

"""Commands that plugins add, as a person meets them; a broken one never hurts the others."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from augkit import InputError, Problem
from augkit.contracts.registry import Command, Fault, Provider, Registry

ACME = Provider("acme", "augkit-acme", "0.3")


def greet(name: str = "you", loud: bool = False) -> None:
    """Say hello.

    To whom you like.
    """
    if name == "nobody":
        raise InputError(Problem("--name nobody", "found nobody; allowed: somebody"))
    print(f"hello {name}{'!' if loud else ''}")


def broken(what: NoSuchType) -> None:  # noqa: F821 - that is the mistake
    """Be broken."""


FAULT = Fault(Provider("zeta", "augkit-zeta", "1"), "ImportError: no licence")


@pytest.fixture(autouse=True)
def plugins(monkeypatch):
    commands = {name: Command(name, function, ACME) for name, function in [("greet", greet), ("broken", broken)]}
    monkeypatch.setattr("augkit.contracts.registry.load_registry", lambda: Registry({}, (FAULT,), (), commands))


def test_a_command_of_a_plugin_takes_its_options_and_explains_itself(augkit):
    assert augkit("greet", "--name", "Ada", "--loud") == (0, "hello Ada!\n", "")
    code, out, _ = augkit("greet", "-h")
    assert code == 0
    assert "To whom you like." in out
    assert "Provided by augkit-acme 0.3 (acme)" in out


def test_its_input_errors_are_told_as_ours_are(augkit):
    assert augkit("greet", "--name", "nobody") == (2, "", "--name nobody: found nobody; allowed: somebody\n")


def test_help_lists_it_below_ours_without_the_broken_ones(augkit):
    code, out, err = augkit("--help")
    assert (code, err) == (0, "")
    ours, theirs = out.split("Commands of plugins")
    assert "doctor" in ours
    assert "greet" in theirs
    assert "Say hello." in theirs
    assert "broken" not in out


def test_a_broken_one_is_told_when_it_is_asked_for(augkit):
    code, out, err = augkit("broken")
    assert (code, out) == (2, "")
    assert err == (
        "augkit broken: command 'broken' is not usable: NameError: name 'NoSuchType' is not defined. "
        "Provided by augkit-acme 0.3 (acme)\n"
    )


def test_a_command_of_a_plugin_that_does_not_load_is_told_with_the_reason(augkit):
    code, _, err = augkit("zeta")
    assert code == 2
    assert err == (
        "augkit zeta: command 'zeta' is not usable: ImportError: no licence. Provided by augkit-zeta 1 (zeta)\n"
    )


def test_plugin_list_shows_commands_and_who_provides_them(augkit):
    code, out, _ = augkit("plugin", "list")
    assert code == 0
    assert "commands\n  greet          Say hello.\n                 from augkit-acme 0.3 (acme)\n" in out
    assert "not usable: augkit-zeta 1 (zeta): ImportError: no licence" in out
    assert "not usable: augkit-acme 0.3 (acme): command 'broken': NameError: name 'NoSuchType' is not defined" in out


def test_the_command_in_the_tutorial_of_authors_works(augkit, monkeypatch, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "plugin-author.md").read_text(encoding="utf-8")
    section = page[page.index("A command of its own") : page.index("8. Publish")]
    code = textwrap.dedent("\n".join(re.findall(r"^(?:    .*|)$", section, re.M)))
    names: dict[str, Any] = {}
    exec(code, names)
    commands = {name: Command(name, function, ACME) for name, function in names["augkit_commands"]().items()}
    monkeypatch.setattr("augkit.contracts.registry.load_registry", lambda: Registry({}, (), (), commands))
    (tmp_path / "some" / ".hidden").mkdir(parents=True)
    (tmp_path / "some" / "file").touch()
    assert augkit("count", "some") == (0, "1\n", "")
    assert augkit("count", "some", "--hidden") == (0, "2\n", "")
    assert augkit("count", "none") == (2, "", "none: is not a folder; allowed: a folder\n")


def test_our_commands_do_not_wait_for_plugins(augkit, monkeypatch):
    def load() -> Registry:
        raise AssertionError("plugins were loaded")

    monkeypatch.setattr("augkit.contracts.registry.load_registry", load)
    assert augkit("run", "--help")[0] == 0

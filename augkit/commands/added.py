"""Commands that plugins add to ours (`augkit_commands`). Whatever is wrong with one, the others stay usable."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import TYPE_CHECKING, Any

import typer

from augkit.commands.terminal import explained

if TYPE_CHECKING:
    from augkit.contracts.registry import Command, Registry

PANEL = "Commands of plugins"
"""What stands above them in ``augkit --help``."""


def names() -> list[str]:
    """Return the commands that can be used, sorted; imports the plugins."""
    return [name for name, command in sorted(_registry().commands.items()) if fault_of(command) == ""]


def command_named(name: str) -> Any:
    """Return the command of a plugin; None where there is none of this name.

    One that is there and cannot be used ends the process with a sentence and exit code 2.
    """
    from augkit.contracts.registry import Command
    from augkit.errors import InputError, Problem

    found = _registry().find_command(name)
    with explained():
        if isinstance(found, Problem):
            raise InputError(found)
        if isinstance(found, Command) and (fault := fault_of(found)):
            what = f"command '{name}' is not usable: {fault}"
            raise InputError(Problem(f"augkit {name}", what, f"Provided by {found.provider}"))
    return _made(found) if isinstance(found, Command) else None


def fault_of(command: Command) -> str:
    """Return why typer cannot make a command of a function, in one line; nothing where it can."""
    try:
        _made(command)
    except Exception as error:  # the annotations are the plugin's, and anything may be wrong with them
        return f"{type(error).__name__}: {error}".partition("\n")[0]
    return ""


def _registry() -> Registry:
    from augkit.contracts.registry import load_registry

    return _loaded(load_registry)


@cache
def _loaded(load: Callable[[], Registry]) -> Registry:
    return load()


def _made(command: Command) -> Any:
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    settings = {"help_option_names": ["-h", "--help"]}
    note = f"Provided by {command.provider}"
    alone.command(command.name, epilog=note, rich_help_panel=PANEL, context_settings=settings)(
        _explaining(command.function)
    )
    return typer.main.get_command(alone)


def _explaining(function: Callable[..., object]) -> Callable[..., None]:
    """Return the function with its `InputError` told in sentences, as those of our commands are."""

    @wraps(function)
    def run(*arguments: Any, **options: Any) -> None:
        with explained():
            function(*arguments, **options)

    return run

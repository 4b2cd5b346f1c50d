"""Commands for those who use and write plugins: plugin list, show, check, new."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augkit.commands.added import fault_of
from augkit.commands.arguments import Kind, Name, Options
from augkit.commands.terminal import complain, explained

if TYPE_CHECKING:
    from augkit.contracts.registry import Entry


def list_plugins() -> None:
    """Show every component with its options, their defaults, and who provides it; then commands of plugins."""
    with explained():
        from augkit.contracts.kinds import EXECUTOR, KINDS
        from augkit.contracts.registry import load_registry
        from augkit.errors import said_by
        from augkit.planning.options import describe_options

        registry = load_registry()
        faults = [str(fault) for fault in registry.faults]
        for kind in (*KINDS, EXECUTOR.name):
            print(f"{kind}s")
            for name in registry.names(kind):
                entry = registry.entries[kind, name]
                try:
                    options = describe_options(entry.cls)
                except (Exception, SystemExit) as error:  # annotations and defaults are the plugin's
                    faults.append(f"{entry.provider}: {kind} '{name}': {type(error).__name__}: {said_by(error)}")
                    continue
                summary = (entry.cls.__doc__ or "").strip().split("\n")[0]
                print(f"  {name:<14} {summary}\n{'':<17}from {entry.provider}")
                for option, type_name, default in options:
                    print(f"{'':<17}{option}: {default or 'required'}{'':<3}({type_name})")
        if registry.commands:
            print("commands")
        for name, command in sorted(registry.commands.items()):
            if fault := fault_of(command):
                faults.append(f"{command.provider}: command '{name}': {fault}")
                continue
            summary = (command.function.__doc__ or "").strip().split("\n")[0]
            print(f"  {name:<14} {summary}\n{'':<17}from {command.provider}")
        for fault in faults:
            print(f"not usable: {fault}")


def show_plugin(name: Name, kind: Kind = None) -> None:
    """Show a component: what it does, its options with types, bounds and defaults, provider, version and licence."""
    with explained():
        from augkit.authors.reference import describe_component

        for i, entry in enumerate(_entries(name, kind)):
            print(*([""] if i else []), *describe_component(entry), sep="\n")


def check_plugin(name: Name, kind: Kind = None, changes: Options = None) -> None:
    """Hold a component to the contract of its kind, on toy data; exit code 1 if it breaks it."""
    with explained():
        from tempfile import TemporaryDirectory

        from augkit.authors.conformance import KITS, try_component
        from augkit.errors import InputError, Problem
        from augkit.planning.alone import build_alone

        broken = 0
        for entry in _entries(name, kind):
            if entry.kind not in KITS:
                what = f"is an {entry.kind}, for which there are no checks; allowed: {', '.join(KITS)}"
                raise InputError(Problem(f"component '{name}'", what, "Build a small recipe with it and with --jobs 1"))
            component = build_alone(entry, changes or [])
            print(f"{entry.kind} {entry.name}, {entry.provider}")
            with TemporaryDirectory(prefix="augkit-check-") as folder:
                for finding in try_component(entry.kind, component, Path(folder)):
                    broken += finding.state == "failed"
                    print(f"  {finding.state:<8} {finding.check}{finding.text and ': ' + finding.text}", flush=True)
        if broken:
            complain(f"{broken} of the checks failed")
            sys.exit(1)


def new_plugin(
    name: Annotated[str, typer.Argument(help="The component's name in recipes; the package is called augkit-NAME.")],
    kind: Annotated[
        str, typer.Option(metavar="KIND", help="generator, mask-source, augmentation, segmenter or dataset.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder in which the package's folder is made.")] = Path(),
) -> None:
    """Write a package with a component that works, its contract test and a recipe."""
    with explained():
        from augkit.authors.scaffold import write_package
        from augkit.contracts.kinds import kind_named
        from augkit.contracts.registry import load_registry

        folder = write_package(name, kind_named(kind), out, load_registry())
        print(f"{folder}\nNext: pip install -e '{folder}' && augkit plugin check {name}")


def _entries(name: str, kind: str | None) -> list[Entry]:
    """Return the components of this name, of one kind or of all."""
    from augkit.contracts.kinds import EXECUTOR, KINDS, kind_named
    from augkit.contracts.registry import Entry, load_registry
    from augkit.errors import InputError

    registry = load_registry()
    kinds = [kind_named(kind).name] if kind else [one for one in (*KINDS, EXECUTOR.name) if name in registry.names(one)]
    if not kinds:
        kinds = ["generator"]  # any kind: the problem says what is wrong with the plugin, or that nobody provides it
    found = [registry.find(one, name, f"component '{name}'") for one in kinds]
    problems = [one for one in found if not isinstance(one, Entry)]
    if problems:
        known = sorted({other for _, other in registry.entries})
        if kind is None and "no generator" in problems[0].what:
            from augkit.errors import Problem, did_you_mean

            raise InputError(Problem(f"component '{name}'", "no plugin provides it", did_you_mean(name, known)))
        raise InputError(*problems)
    return [one for one in found if isinstance(one, Entry)]

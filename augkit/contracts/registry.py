"""Entry points -> an immutable table (kind, name) -> component class, with the distribution that provides it.

pluggy's own entry-point loading stops at the first plugin whose import fails, so the loop is here: one broken plugin is
a `Fault`, listed and skipped, and matters only to a recipe that needs it.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, is_dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from augkit.contracts import hookspecs
from augkit.contracts.code import package_code
from augkit.contracts.executor import LOCAL
from augkit.contracts.kinds import EXECUTOR, KINDS, Kind
from augkit.contracts.manners import contained
from augkit.errors import InputError, Problem, did_you_mean, said_by

OWN_COMMANDS = frozenset(
    [
        "cache",
        "compare",
        "controls",
        "cp",
        "data",
        "doctor",
        "export",
        "figures",
        "generator",
        "ls",
        "plan",
        "plugin",
        "power",
        "preview",
        "quality",
        "reproduce",
        "run",
        "schema",
        "search",
        "share",
        "validate",
    ]
)
"""Words after ``augkit`` that mean something already."""

Observer = tuple[str, Callable[..., object]]
"""A plugin's name as ``distribution:plugin``, and its function that takes ``event=``."""


@dataclass(frozen=True)
class Provider:
    """The plugin that provides a component: entry-point name, distribution and its version."""

    plugin: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} ({self.plugin})"


@dataclass(frozen=True)
class Entry:
    """A registered component class."""

    kind: str
    name: str
    cls: type[Any]
    provider: Provider

    def source_hash(self) -> str:
        """Return a hash of what the packages do that define the class and its bases, and of what they use of the core.

        Edits are noticed by it, but for comments, docstrings and layout. What comes with Python does not count.
        """
        packages = dict.fromkeys(cls.__module__.partition(".")[0] for cls in self.cls.__mro__)
        hashes = [package_code(name) for name in packages if name not in {*sys.stdlib_module_names, "augkit"}]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


@dataclass(frozen=True)
class Command:
    """A function that a plugin adds to the command line under a name."""

    name: str
    function: Callable[..., object]
    provider: Provider


@dataclass(frozen=True)
class Fault:
    """A plugin, or some (kind, name) of it, that cannot be used, and why; a command is of the kind ``command``."""

    provider: Provider
    reason: str
    names: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.provider}: {self.reason}"


class PluginError(Exception):
    """A plugin that loads and yet registers something that cannot be used."""


@dataclass(frozen=True)
class Registry:
    """Everything the installed plugins provide."""

    entries: Mapping[tuple[str, str], Entry]
    faults: tuple[Fault, ...]
    observers: tuple[Observer, ...] = ()
    commands: Mapping[str, Command] = field(default_factory=dict)

    def names(self, kind: str) -> tuple[str, ...]:
        """Return the registered names of one kind, sorted."""
        return tuple(sorted(name for k, name in self.entries if k == kind))

    def find(self, kind: str, name: str, where: str) -> Entry | Problem:
        """Return the component, or the problem to report at `where`."""
        entry = self.entries.get((kind, name))
        if entry is not None:
            return entry
        unusable = self._unusable(kind, name, where)
        return unusable or Problem(where, f"no {kind} is called '{name}'", self._hint(kind, name))

    def find_command(self, name: str) -> Command | Problem | None:
        """Return the command that a plugin adds, the problem of one that cannot be used, or None for no such thing."""
        return self.commands.get(name) or self._unusable("command", name, f"augkit {name}")

    def _unusable(self, kind: str, name: str, where: str) -> Problem | None:
        for fault in self.faults:
            whole = not fault.names and name in (fault.provider.plugin, fault.provider.distribution)
            if whole or (kind, name) in fault.names:
                return Problem(where, f"{kind} '{name}' is not usable: {fault.reason}", f"Provided by {fault.provider}")
        return None

    def choose_observers(self, names: Iterable[str], where: str) -> tuple[Observer, ...]:
        """Return observers by their plugins' names, each once; raises `InputError` for names that are not one's.

        names: ``jsonl``, or ``augkit:jsonl`` where two distributions have one of that name.
        """
        chosen: list[Observer] = []
        problems: list[Problem] = []
        for name in dict.fromkeys(names):
            found = [observer for observer in self.observers if name in (observer[0], observer[0].partition(":")[2])]
            if len(found) == 1:
                chosen += found
            elif found:
                both = " and ".join(observer[0] for observer in found)
                problems.append(Problem(f"{where} {name}", f"is the name of {both}; name one of them in full"))
            else:
                known = [observer[0].partition(":")[2] for observer in self.observers]
                problems.append(Problem(f"{where} {name}", self._no_observer(name), did_you_mean(name, known)))
        if problems:
            raise InputError(*problems)
        return tuple(dict.fromkeys(chosen))

    def _no_observer(self, name: str) -> str:
        faults = [fault for fault in self.faults if fault.provider.plugin == name]
        return f"is not usable: {faults[0]}" if faults else f"no installed plugin '{name}' observes runs"

    def _hint(self, kind: str, name: str) -> str:
        others = [other for other, same in self.entries if same == name]
        if others:
            return f"'{name}' is a {' and a '.join(others)}. Allowed: {', '.join(self.names(kind))}"
        hint = did_you_mean(name, self.names(kind)) or f"No installed plugin provides a {kind}"
        broken = "; ".join(str(fault) for fault in self.faults if not fault.names)
        return f"{hint} (plugins that failed to load: {broken})" if broken else hint


def load_registry(points: Iterable[EntryPoint] | None = None) -> Registry:
    """Load every entry point of the group ``augkit`` and ask each plugin what it provides."""
    manager = pluggy.PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    faults: list[Fault] = []
    claims: dict[tuple[str, str], list[Entry | Command]] = {}
    observers: list[Observer] = []
    for point in sorted(entry_points(group=hookspecs.GROUP) if points is None else points, key=_order):
        provider = _provider(point)
        try:
            with contained():
                plugin = point.load()
                name = f"{provider.distribution}:{point.name}"
                manager.register(plugin, name=name)
                _refuse_misspelt_hooks(plugin)
                found = _ask(manager, plugin, provider)
                added = _commands(manager, plugin, provider)
            for entry in found:
                claims.setdefault((entry.kind, entry.name), []).append(entry)
            for command in added:
                claims.setdefault(("command", command.name), []).append(command)
            observers += _observers(manager, plugin, name)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # a plugin may raise anything, SystemExit included; it must not stop the others
            faults.append(Fault(provider, _reason(error)))
    entries: dict[tuple[str, str], Entry] = {}
    commands: dict[str, Command] = {}
    for key, owners in claims.items():
        if len(owners) > 1:
            both = " and ".join(str(owner.provider) for owner in owners)
            reason = f"{key[0]} '{key[1]}' is provided by {both}; uninstall one"
            faults.append(Fault(owners[0].provider, reason, (key,)))
        elif isinstance(owners[0], Command):
            commands[key[1]] = owners[0]
        else:
            entries[key] = owners[0]
    return Registry(entries, tuple(faults), tuple(observers), commands)


def _reason(error: BaseException) -> str:
    """Return an exception in one line; a `PluginError` is a sentence already."""
    if isinstance(error, pluggy.PluginValidationError):  # three lines, of which the last one has the reason
        return "; ".join(str(error).splitlines())
    kind = "" if isinstance(error, PluginError) else f"{type(error).__name__}: "
    return f"{kind}{said_by(error)}".removesuffix(": ")


def _order(point: EntryPoint) -> tuple[str, str]:
    return ((point.dist.name or "") if point.dist else "", point.name)


def _provider(point: EntryPoint) -> Provider:
    if point.dist is None:
        return Provider(point.name, "unknown", "0")
    return Provider(point.name, point.dist.name, point.dist.version)


def _refuse_misspelt_hooks(plugin: object) -> None:
    """Refuse hooks that would never be called: of an unknown name, or without `hookimpl`."""
    known = [name for name in vars(hookspecs) if name.startswith("augkit_")]
    for name, value in inspect.getmembers(plugin, inspect.isroutine):
        mark = getattr(value, f"{hookspecs.GROUP}_impl", None)
        hook = (mark or {}).get("specname") or name
        if mark is not None and hook not in known:
            raise PluginError(f"there is no hook '{hook}'. {did_you_mean(hook, known)}")
        if mark is None and name in known and not hasattr(value, f"{hookspecs.GROUP}_spec"):
            raise PluginError(f"function '{name}' is not marked with @hookimpl")


def _ask(manager: pluggy.PluginManager, plugin: object, provider: Provider) -> list[Entry]:
    entries = []
    for kind in (*KINDS.values(), EXECUTOR):
        for implementation in getattr(manager.hook, kind.hook).get_hookimpls():
            if implementation.plugin is plugin:
                components = implementation.function()
                if not isinstance(components, Mapping):
                    raise PluginError(f"{kind.hook} returned {components!r}; allowed: a mapping from name to class")
                for name, cls in components.items():
                    _check_component(kind, name, cls)
                    entries.append(Entry(kind.name, name, cls, provider))
    return entries


def _commands(manager: pluggy.PluginManager, plugin: object, provider: Provider) -> list[Command]:
    commands = []
    for implementation in manager.hook.augkit_commands.get_hookimpls():
        if implementation.plugin is plugin:
            functions = implementation.function()
            if not isinstance(functions, Mapping):
                what = f"augkit_commands returned {functions!r}; allowed: a mapping from name to function"
                raise PluginError(what)
            for name, function in functions.items():
                _check_name("command", name)
                if not callable(function):
                    raise PluginError(f"command '{name}' is {function!r}; allowed: a function")
                if name in OWN_COMMANDS:
                    raise PluginError(f"command '{name}' is provided by augkit itself, too; allowed: another name")
                commands.append(Command(name, function, provider))
    return commands


def _observers(manager: pluggy.PluginManager, plugin: object, name: str) -> list[Observer]:
    implementations = manager.hook.augkit_event.get_hookimpls()
    return [(name, implementation.function) for implementation in implementations if implementation.plugin is plugin]


def _check_name(kind: str, name: object) -> None:
    if not isinstance(name, str) or re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", name) is None:
        raise PluginError(f"{kind} name '{name}'; allowed: up to 40 lower-case letters, digits, '_', '-'")


def _check_component(kind: Kind, name: object, cls: object) -> None:
    _check_name(kind.name, name)
    if kind is EXECUTOR and name == LOCAL:
        raise PluginError(f"executor '{name}' is provided by augkit itself; allowed: another name")
    if not (isinstance(cls, type) and is_dataclass(cls) and _is_frozen(cls)):
        raise PluginError(f"{kind.name} '{name}' is {cls!r}; allowed: a class decorated with @dataclass(frozen=True)")
    missing = [method for method in kind.methods if not callable(getattr(cls, method, None))]
    if missing:
        raise PluginError(f"{kind.name} '{name}' ({cls.__qualname__}) has no method {', '.join(missing)}")


def _is_frozen(cls: type[Any]) -> bool:
    parameters: Any = getattr(cls, "__dataclass_params__", None)
    return parameters is not None and bool(parameters.frozen)

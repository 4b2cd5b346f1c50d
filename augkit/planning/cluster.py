"""The user's file of clusters -> where the stages of a run are built. Recipes describe science, not machines."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augkit.contracts.executor import LOCAL, Cluster, Detachable
from augkit.contracts.registry import Registry
from augkit.errors import InputError, Problem, did_you_mean
from augkit.planning.document import Document, Value, read_document
from augkit.planning.options import build_component
from augkit.planning.recipe import Reference

EXECUTOR = "executor"


@dataclass(frozen=True)
class Elsewhere:
    """Where stages are built other than by worker processes of this machine.

    executor:    its name, as after ``--executor``.
    cluster:     its options and how to start it.
    file:        the file that somebody named; None for the user's own, or none.
    mixed_nodes: whether nodes may differ in what decides bits.
    detach:      whether the run ends as soon as what can begin has begun.
    """

    executor: str
    cluster: Cluster
    file: Path | None = None
    mixed_nodes: bool = False
    detach: bool = False

    def options(self) -> list[str]:
        """Return the options of a command that builds there."""
        named = [] if self.file is None else [f"--cluster {shlex.quote(str(self.file))}"]
        return [f"--executor {self.executor}", *named, *(["--mixed-nodes"] if self.mixed_nodes else [])]


def own_file() -> Path:
    """Return the user's own file of clusters, which need not exist."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "augkit" / "cluster.yaml"


def find_executor(
    name: str, file: Path | None, mixed_nodes: bool, detach: bool, registry: Registry
) -> Elsewhere | None:
    """Return where an executor of this name builds, with its options of a file; None for this machine.

    file: None for `own_file`, if there is one. Every section of it is checked.

    Raises `InputError` with everything that is wrong with the file, and for an executor that is not there.
    """
    problems: list[Problem] = []
    clusters = {} if name == LOCAL else _read(file, registry, problems)
    if name != LOCAL and (EXECUTOR, name) not in registry.entries:
        found = registry.find(EXECUTOR, name, f"--executor {name}")
        hint = did_you_mean(name, [LOCAL, *registry.names(EXECUTOR)])
        what = f"no executor is called '{name}'"
        whole = isinstance(found, Problem) and "is not usable" in found.what
        problems.insert(0, found if whole and isinstance(found, Problem) else Problem("--executor", what, hint))
    if name == LOCAL and file is not None:
        problems.append(Problem(f"--cluster {file}", "is not read for workers on this machine", "Add --executor NAME"))
    if name == LOCAL:
        given = [word for word, is_given in (("--mixed-nodes", mixed_nodes), ("--detach", detach)) if is_given]
        problems += [Problem(word, "is for other machines than this one", "Add --executor NAME") for word in given]
    if problems:
        raise InputError(*problems)
    if name == LOCAL:
        return None
    cluster = clusters.get(name) or _section(name, {}, None, registry, problems)
    if problems or cluster is None:
        raise InputError(*problems)
    return Elsewhere(name, cluster, file, mixed_nodes, detach)


def check_detachable(elsewhere: Elsewhere, executor: object) -> None:
    """Refuse to detach from an executor whose units end with the run. Raises `InputError`."""
    if elsewhere.detach and not isinstance(executor, Detachable):
        what = f"executor '{elsewhere.executor}' ends its workers with the run; allowed: without this option"
        raise InputError(Problem("--detach", what))


def _read(file: Path | None, registry: Registry, problems: list[Problem]) -> Mapping[str, Any]:
    """Return the cluster of each section of the file; what is wrong with it is added to `problems`."""
    place = file or own_file()
    if not place.exists():
        if file is not None:
            what = "no such file"
            problems.append(Problem(f"--cluster {file}", what, f"Without this option it is {own_file()}, if there"))
        return {}
    if place.is_dir():
        problems.append(Problem(str(place), "is a folder; allowed: a file", f"As in {place / 'cluster.yaml'}"))
        return {}
    document = read_document(place, problems)
    if document is None or document.root is None:
        return {}
    if not isinstance(document.root, dict):
        what = "found no mapping; allowed: a section for each executor, such as 'slurm:'"
        problems.append(Problem(document.place(), what))
        return {}
    return {name: _section(name, options, document, registry, problems) for name, options in document.root.items()}


def _section(
    name: str, options: Value, document: Document | None, registry: Registry, problems: list[Problem]
) -> Any | None:
    """Return the cluster that a section describes, or None after adding to `problems`."""
    where = document.place(name) if document else f"--executor {name}"
    if name == LOCAL:
        problems.append(Problem(where, f"'{LOCAL}' has no options; allowed: --jobs and --threads"))
        return None
    entry = registry.find(EXECUTOR, name, where)
    if isinstance(entry, Problem):
        problems.append(entry)
        return None
    if not isinstance(options or {}, dict):
        problems.append(Problem(where, f"found no mapping; allowed: options of executor '{name}'"))
        return None
    chosen = options if isinstance(options, dict) else {}
    places = document.places_below((name,), chosen) if document else {}
    return build_component(entry, Reference(name, chosen, where, places), problems)

"""What a store holds, which runs need it, and removing what none does.

What may be removed is what lies in the store's private folder, and artifacts: folders whose manifest is sealed and
names the very place they lie in, and which hold no file that it does not list. Everything else under ``--out`` is
somebody else's.

A run on disk is a finished one, by its report, or an unfinished one, by the record it leaves when it begins and removes
when it ends well. Both refer to artifacts by fingerprint, and these to what they were made from; all that is kept.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augkit.errors import Problem, StageError
from augkit.planning.tasks import Stage, in_order
from augkit.store import MANIFEST, Store, added_files, private_folder, read_json, write_json

SHORT = 12
"""Letters of a fingerprint in the name of a folder."""

LEFT_OVERS: Mapping[str, str] = {"work": "unfinished", "damaged": "damaged", "errors": "traceback"}
"""Folder in the private one of a store -> the kind of what lies in it."""


@dataclass(frozen=True)
class Item:
    """One thing in a store.

    age:     seconds since it was last written to.
    used_by: the runs that need it, and files of somebody else in it; none for what may go.
    """

    kind: str
    path: Path
    size: int
    age: float
    used_by: tuple[str, ...]


def record_run(store: Store, wanted: Sequence[Stage]) -> None:
    """Enter an unfinished run to these stages, so that nothing it has or will have is removed."""
    stages = [stage.address.fingerprint for stage in in_order(wanted)]
    record = {"title": wanted[0].address.label, "since": time.strftime("%Y-%m-%d %H:%M"), "stages": stages}
    with store.lock_list_of_runs():
        write_json(_record_of(store, wanted), record)


def forget_run(store: Store, wanted: Sequence[Stage]) -> None:
    """Remove the record of a run that has ended well, and what its nodes had in common."""
    with store.lock_list_of_runs():
        for record in (_record_of(store, wanted), nodes_of(store.root, wanted[0].address.name)):
            if record.exists():
                store.discard(record)


def nodes_of(root: Path, run: str) -> Path:
    """Return the file of a store in which the first node of a run notes what it is."""
    return private_folder(root) / "nodes" / f"{run}.json"


def contents(store: Store) -> list[Item]:
    """Return everything in the store, kind by kind, the largest first."""
    runs = {run.title: run.needed for run in _runs(store)}
    items = []
    for kind, path in _things(store):
        short = path.name.removesuffix(".txt")[-SHORT:]
        users = tuple(title for title, needed in runs.items() if kind != "damaged" and short in needed)
        items.append(Item(kind, path, *_size_and_age(path), users + _added(path)))
    return sorted(items, key=lambda item: (item.kind, -item.size, item.path.name))


def collect(store: Store, older_than: float, unfinished: bool, dry: bool) -> list[Item]:
    """Remove what no run on disk needs and was not written to for `older_than` seconds; return what went.

    unfinished: also give up runs that never wrote a report, if their record is that old; their artifacts then go, too,
                unless another run needs them.
    dry:        only return what would go.

    Raises `StageError` while another process builds something in the store, and where a run cannot be read: it is
    not known what that one needs.
    """
    if not store.root.is_dir():
        return []
    if dry:
        return _removable(store, older_than, unfinished)
    with store.lock_list_of_runs():
        _refuse_unknown(store)
        store.empty_trash()
        given_up = _old_records(store, older_than) if unfinished else []
        items = _removable(store, older_than, unfinished)
        for path in (*given_up, *(item.path for item in items)):
            store.discard(path)
    return items


def _refuse_unknown(store: Store) -> None:
    hint = "Nothing was removed; try again when that has ended"
    problems = [Problem(str(store.root), f"in use: {who}", hint) for who in store.held_locks()]
    what, hint = (
        "cannot be read, so it is not known what this run needs",
        "Nothing was removed; look at it, and move it away",
    )
    problems += [Problem(str(run.file), what, hint) for run in _runs(store) if not run.readable]
    if problems:
        raise StageError(*problems)


def _removable(store: Store, older_than: float, unfinished: bool) -> list[Item]:
    given_up = {_title_of(path) for path in _old_records(store, older_than)} if unfinished else set()
    return [item for item in contents(store) if item.age >= older_than and not set(item.used_by) - given_up]


# Runs on disk


@dataclass(frozen=True)
class _Run:
    """A run on disk, the beginnings of the fingerprints it needs, and the file that says so."""

    title: str
    file: Path
    needed: frozenset[str]
    readable: bool = True


def _runs(store: Store) -> list[_Run]:
    """Return finished and unfinished runs."""
    manifests = dict(store.published())
    inputs = {facts["fingerprint"]: facts["identity"]["inputs"] for facts in manifests.values()}
    runs = []
    for folder in sorted((store.root / "report").glob("*")):
        if re.search(rf"-[0-9a-f]{{{SHORT}}}$", folder.name):  # or it is somebody else's
            facts = manifests.get(folder, {})
            needed = _reached(facts["fingerprint"], inputs) if facts else ()
            runs.append(_run(f"report {folder.name}", folder, needed, bool(facts)))
    for path in _records(store):
        facts = _read(path, "stages")
        runs.append(_run(_title_of(path), path, facts["stages"] if facts else (), bool(facts)))
    return runs


def _run(title: str, file: Path, needed: Iterable[str], readable: bool) -> _Run:
    return _Run(title, file, frozenset(fingerprint[:SHORT] for fingerprint in needed), readable)


def _read(path: Path, *keys: str) -> Mapping[str, Any]:
    """Return what a file says; empty where it cannot be read or lacks one of the keys."""
    with suppress(OSError, ValueError, AttributeError):
        facts: Mapping[str, Any] = read_json(path)
        if all(key in facts.keys() for key in keys):  # noqa: SIM118 - must be a mapping
            return facts
    return {}


def _reached(first: str, inputs: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [first]
    while waiting:
        fingerprint = waiting.pop()
        if fingerprint not in found:
            found.add(fingerprint)
            waiting += inputs.get(fingerprint, ())
    return found


def _record_of(store: Store, wanted: Sequence[Stage]) -> Path:
    return store.make_private("runs") / f"{wanted[0].address.name}.json"


def _records(store: Store) -> list[Path]:
    return sorted(store.private("runs").glob("*.json"))


def _old_records(store: Store, older_than: float) -> list[Path]:
    return [path for path in _records(store) if _size_and_age(path)[1] >= older_than]


def _title_of(record: Path) -> str:
    return f"unfinished run {record.stem}"


# Files


def _things(store: Store) -> Iterator[tuple[str, Path]]:
    """Yield (kind, path) of every artifact, built or half built, and of what went wrong."""
    for name, kind in LEFT_OVERS.items():
        yield from ((kind, path) for path in sorted(store.private(name).glob("*")))
    yield from ((facts["kind"], folder) for folder, facts in store.published())


def _added(folder: Path) -> tuple[str, ...]:
    """Return why a sealed folder stays: somebody put a file into it."""
    files = _read(folder / MANIFEST, "files").get("files")
    added = added_files(folder, files) if isinstance(files, dict) else []
    return (f"holds {added[0]}, which augkit did not write",) if added else ()


def _size_and_age(path: Path) -> tuple[int, float]:
    """Return bytes and seconds since the last write."""
    size, newest = 0, 0.0
    for file in (path, *path.rglob("*")):
        with suppress(OSError):  # another process may be busy here
            stat = file.stat()
            newest = max(newest, stat.st_mtime)
            size += 0 if file.is_dir() else stat.st_size
    return size, time.time() - newest if newest else 0.0

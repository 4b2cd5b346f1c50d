"""Attempts to build an artifact, one after another: each continues from what the one before it had saved."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from augkit.store.folders import newest_write, remove_folder
from augkit.store.owners import FILES, OWNER, Owner, owner_of
from augkit.store.seals import MANIFEST
from augkit.store.writing import HALF, flush, write_json

_TAKEN = "taken"
"""In an attempt: the files of another one, while they are copied."""


def begin(place: Path, fresh: bool) -> Path:
    """Begin an attempt under `place` and return the folder of its files.

    Who owned an earlier one can write and publish nothing more. Unless `fresh`, its files are there. They are moved
    where it is known to have ended; otherwise they are copied, so that nothing it still does changes them. At every
    moment they lie in one place from where the next attempt finds them.
    """
    earlier = _with_files(place)
    attempt = place / os.urandom(8).hex()
    attempt.mkdir(parents=True)
    write_json(attempt / OWNER, Owner.me().facts())
    for files in () if fresh else earlier[:1]:
        owner = owner_of(files.parent)
        _disown(files.parent)
        if files.name == FILES and owner and (owner.is_dead or owner.is_me):
            _move(files, attempt / FILES)
        else:
            _copy(files, attempt)
    (attempt / FILES).mkdir(exist_ok=True)
    for other in place.iterdir():
        if other != attempt:
            _disown(other)
            remove_folder(other)
    return attempt / FILES


def end(attempt: Path) -> None:
    """Remove what is left of an attempt whose files were published."""
    with suppress(OSError):  # the artifact is there, and the next collection finds what stays here
        remove_folder(attempt)
        attempt.parent.rmdir()


def attempts_of(place: Path) -> Iterator[tuple[Path, Owner]]:
    """Yield the attempts under `place` that somebody owns."""
    for attempt in sorted(place.glob("*")):
        if owner := owner_of(attempt):
            yield attempt, owner


def _with_files(place: Path) -> list[Path]:
    """Return the files of earlier attempts, whole ones first, and of these the newest."""
    for name in (FILES, _TAKEN):
        found = [path for path in place.glob(f"*/{name}") if path.is_dir()]
        if found:
            return sorted(found, key=newest_write, reverse=True)
    return []


def _disown(attempt: Path) -> None:
    with suppress(OSError):
        (attempt / OWNER).unlink()


def _move(files: Path, place: Path) -> None:
    with suppress(FileNotFoundError):  # its owner has published them just now
        files.rename(place)


def _copy(files: Path, attempt: Path) -> None:
    """Take files away from an owner who may live, and copy them: who still writes by an old view changes the others."""
    taken, draft = attempt / _TAKEN, attempt / "draft"
    _move(files, taken)
    if not taken.exists():
        return
    draft.mkdir()
    for path in sorted(taken.rglob("*")):
        place = draft / path.relative_to(taken)
        with suppress(FileNotFoundError):
            if path.is_dir():
                place.mkdir(exist_ok=True)
            elif HALF not in path.name:
                _link_or_copy(path, place)
    for path in [*draft.rglob("*"), draft]:
        flush(path)
    draft.rename(attempt / FILES)
    remove_folder(taken)


def _link_or_copy(path: Path, place: Path) -> None:
    """Bring one file; those of a sealed folder, such as a checkpoint, nobody writes into, so a second name will do."""
    if (path.parent / MANIFEST).exists():
        with suppress(OSError):
            place.hardlink_to(path)
            return
    shutil.copyfile(path, place)

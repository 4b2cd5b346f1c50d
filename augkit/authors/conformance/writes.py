"""Which files a call writes, heard from Python's audit events."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate")
_DESCRIPTOR = {"os.mkdir": 2, "os.rename": 2, "os.remove": 1, "os.rmdir": 1, "os.link": 2}
"""Event -> which of its arguments is the open folder that the path is relative to, or -1 where it is to no such one."""

_EXEMPT = ("__pycache__", ".cache", ".config", "dev", "proc")
"""Folders of compiled code, of libraries' own caches, and of devices."""

_LISTENERS: list[tuple[Path | None, list[str]]] = []
_HOOKED: list[bool] = []


@contextmanager
def writes_outside(folder: Path | None) -> Iterator[list[str]]:
    """Collect the paths that are written, made, moved or removed outside `folder`, or anywhere where it is None."""
    if not _HOOKED:  # an audit hook stays for the life of the process, so there is one, which mostly does nothing
        _HOOKED.append(True)
        sys.addaudithook(_hear)
    strays: list[str] = []
    listener = (folder.resolve() if folder else None, strays)
    _LISTENERS.append(listener)
    try:
        yield strays
    finally:
        _LISTENERS.remove(listener)


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if not _LISTENERS:
        return
    if event == "open":
        flags = arguments[2]
        if not (isinstance(flags, int) and flags & _WRITING):
            return
    elif event not in _CHANGING:
        return
    path, folder = arguments[0], _folder_of(event, arguments)
    if folder is not None and isinstance(path, (str, bytes, os.PathLike)):
        _note(folder / os.fsdecode(path))


def _folder_of(event: str, arguments: tuple[object, ...]) -> Path | None:
    """Return what a relative path of an event is relative to; None where the system does not tell.

    Only removing a folder with all that is in it names open folders, and its last step, the folder itself, does not.
    """
    descriptor = arguments[_DESCRIPTOR[event]] if event in _DESCRIPTOR else -1
    if descriptor == -1:
        return Path.cwd()
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    except OSError:
        return None


def _note(path: Path) -> None:
    if any(part in _EXEMPT or part.startswith("torchinductor_") for part in path.parts):
        return
    for folder, strays in _LISTENERS:
        if folder is None or not (path == folder or folder in path.parents or folder in path.resolve().parents):
            strays.append(str(path))

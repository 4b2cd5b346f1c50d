"""Which files a call writes, heard from Python's audit events."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate")
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
    path = arguments[0]
    if isinstance(path, (str, bytes, os.PathLike)):
        _note(Path.cwd() / os.fsdecode(path))


def _note(path: Path) -> None:
    if any(part in _EXEMPT or part.startswith("torchinductor_") for part in path.parts):
        return
    for folder, strays in _LISTENERS:
        if folder is None or not (path == folder or folder in path.parents or folder in path.resolve().parents):
            strays.append(str(path))

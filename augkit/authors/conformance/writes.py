"""Which files a call writes, heard from Python's audit events."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGED: Mapping[str, tuple[tuple[int, int | None], ...]] = {
    "os.mkdir": ((0, 2),),
    "os.rename": ((0, 2), (1, 3)),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
}
"""Event -> which of its arguments are paths that change, and which the open folder that each is relative to: -1 where
it is to no such one."""

_CONTENT: Mapping[str, tuple[tuple[int, int | None], ...]] = {"open": ((0, None),), "os.truncate": ((0, None),)}
"""Likewise events that change what a path leads to, where it is a link."""

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
    for number, descriptor in _CHANGED.get(event) or _CONTENT.get(event, ()):
        path = arguments[number]
        folder = _folder_of(-1 if descriptor is None else arguments[descriptor])
        if folder is not None and isinstance(path, (str, bytes, os.PathLike)):
            with suppress(OSError, ValueError, RuntimeError):  # such a path leads nowhere
                _note(folder / os.fsdecode(path), follow=event in _CONTENT)


def _folder_of(descriptor: object) -> Path | None:
    """Return what a relative path of an event is relative to; None where the system does not tell.

    Only removing a folder with all that is in it names open folders, and its last step, the folder itself, does not.
    """
    if descriptor == -1:
        return Path.cwd()
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    except OSError:
        return None


def _note(path: Path, follow: bool) -> None:
    """Note a path where it really lies, whatever links and ``..`` it is written with.

    follow: whether it counts where a link by this name leads; otherwise the link itself does.
    """
    place = path.resolve() if follow else path.parent.resolve() / path.name
    if any(part in _EXEMPT or part.startswith("torchinductor_") for part in path.parts):
        return
    for folder, strays in _LISTENERS:
        if folder is None or not place.is_relative_to(folder):
            strays.append(str(path))

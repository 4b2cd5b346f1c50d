"""Folders that appear whole under their name, and vanish whole."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from augkit.errors import InputError, Problem
from augkit.store.explaining import explained
from augkit.store.owners import check_owned, is_running
from augkit.store.seals import FileFacts, files_in
from augkit.store.writing import flush


def publish_folder(work: Path, target: Path) -> None:
    """Rename a folder to its final name; an equal one published meanwhile by another process is kept.

    Raises `SupersededError` for files of an attempt that another process has taken over.
    """
    for path in [*work.rglob("*"), work]:
        flush(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    check_owned(work)  # last of all: while it has an owner it is whole, and once it has none it is elsewhere
    try:
        work.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(work)
    flush(target.parent)


def write_unflushed(path: Path, data: bytes) -> FileFacts:
    """Write a new file into a folder that nobody reads before `publish_whole` has given it its name.

    Returns what `seal` records of it: size and hash of the bytes that were to be written.
    """
    with explained(path, len(data)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            stream.write(data)
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def publish_whole(work: Path, target: Path) -> None:
    """Rename a folder of many new files to its name, which must be free or an empty folder.

    One call makes the bytes of all of them, and their names, survive a power cut (Linux waits for the disk here). It
    also waits for what other programs have written, and still takes a third of the time of flushing thousands of files
    by 64 threads, and a hundredth of flushing them one by one.
    """
    with explained(target):
        os.sync()
        work.rename(target)
        flush(target.parent)


_DRAFT = ".augkit-draft-"

_LONGEST = 255
"""Bytes of a name in most file systems."""


def draft_beside(target: Path) -> Path:
    """Return the path of a folder to fill before it gets its name, hidden beside `target`; it is nobody else's.

    Drafts there of processes of this machine that have died are removed: they may hold copies of images.
    """
    target = target.absolute()
    host = re.sub(r"[^A-Za-z0-9]", "", socket.gethostname())[:24] or "host"
    for left in target.parent.glob(f".*{_DRAFT}{host}-*"):
        owner = left.name.rpartition(_DRAFT)[2].split("-")[1]
        if owner.isdecimal() and not is_running(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    begins = target.name.encode("utf-8", "surrogateescape")[:100].decode("utf-8", "ignore")
    return target.parent / f".{begins}{_DRAFT}{host}-{os.getpid()}-{time.time_ns()}"


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a draft to fill, and let its files appear in `folder` when all of them are written; other files there stay.

    A new folder appears by one rename. In one that is there, each file does, pages last.
    """
    draft = draft_beside(folder)
    with explained(folder):
        try:
            draft.mkdir(parents=True)
            yield draft
            if folder.exists():
                for file in sorted(files_in(draft), key=lambda path: path.suffix == ".html"):
                    place = folder / file.relative_to(draft)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    file.replace(place)
            else:
                publish_folder(draft, folder)
        finally:
            remove_folder(draft)


def check_place(folder: Path, option: str) -> None:
    """Refuse a place that no folder can be given by one rename; `option` is the one that named it.

    These are links, mount points, the working folder, files, and places where nothing may be written. Raises
    `InputError`; nothing is written.
    """
    there = folder.absolute()
    try:
        parent = next(place for place in there.parents if place.exists())
        folder.exists()
        is_long = any(len(os.fsencode(part)) > _LONGEST for part in there.parts)
    except OSError:  # the path as a whole is too long
        is_long = True
    if is_long:
        what = f"is too long; allowed: names of up to {_LONGEST} bytes, and paths that the system takes"
        raise InputError(Problem(f"{option} {folder}", what, "Choose another name"))
    what = ""
    if ".." in there.relative_to(parent).parts:
        what, hint = "leads up from a folder that is not there", "Write it without '..'"
    elif folder.is_symlink():
        what, hint = "is a link; allowed: a new or empty folder", "Name the folder that it leads to"
    elif folder.exists() and not folder.is_dir():
        what, hint = "is a file; allowed: a new or empty folder", "Choose another name"
    elif os.path.ismount(folder):
        what, hint = "is a mount point; allowed: a new or empty folder", "Name a new folder in it"
    elif folder.is_dir() and folder.samefile(Path.cwd()):
        what, hint = "is the folder you are in; allowed: a new or empty folder", "Name a new folder in it"
    elif not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        what, hint = f"cannot be made: {parent} cannot be written into", "Choose another place"
    if what:
        raise InputError(Problem(f"{option} {folder}", what, hint))


def remove_folder(folder: Path) -> None:
    """Remove a folder that is no longer needed, such as an old checkpoint.

    It vanishes from its place by one rename, so that a process that is killed meanwhile leaves no half of it there.
    """
    gone = folder.with_name(f"{folder.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)  # of a process that was killed
    with suppress(OSError):
        folder.rename(gone)
    for path in (gone, folder):  # the folder itself only where it cannot be renamed
        shutil.rmtree(path, ignore_errors=True)


def newest_write(folder: Path) -> float:
    """Return when anything in a folder was last written, in seconds since 1970; 0.0 where it is gone."""
    newest = 0.0
    for path in (folder, *folder.rglob("*")):
        with suppress(OSError):  # another process may be busy here
            newest = max(newest, path.stat().st_mtime)
    return newest

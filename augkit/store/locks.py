"""Locks that are held by a process (flock), so that a killed one leaves nothing to clean up."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from augkit.errors import InputError, Problem
from augkit.store.explaining import explained
from augkit.store.owners import Owner
from augkit.store.writing import read_json, write_json

WITHOUT_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
"""What flock answers where a file system has none."""

HOW_TO_LOCK = "Mount it with locks (Lustre: -o flock; NFS: without nolock), or choose another folder"


@contextmanager
def held(file: Path, waiting: Callable[[str], None], patience: float = 0.5) -> Iterator[None]:
    """Hold the lock of this file, which is made if need be.

    waiting: told once who has it, where another process still has it after `patience` seconds; what it raises goes on.

    Raises `InputError` where the file system has no locks: a file that only says "locked" would outlive its holder.
    """
    lock = FileLock(file, fallback_to_soft=False)
    if not _is_acquired(lock, file, patience):
        waiting(holder(file))
        _is_acquired(lock, file, -1)
    try:
        write_json(file.with_suffix(".json"), Owner.me().facts())
        yield
    finally:
        lock.release()


def is_held(file: Path) -> bool:
    """Tell whether a process holds the lock of this file, which is there."""
    lock = FileLock(file, fallback_to_soft=False)
    if not _is_acquired(lock, file, 0):
        return True
    lock.release()
    return False


def holder(file: Path) -> str:
    """Return who holds the lock of this file, or did last."""
    try:
        return str(Owner.of(read_json(file.with_suffix(".json"))))
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _is_acquired(lock: FileLock, file: Path, patience: float) -> bool:
    with explained(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            return False
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
            what = f"has no locks (flock: {error.strerror}), without which two processes would build one artifact"
            raise InputError(Problem(f"the file system of {file.parent}", what, HOW_TO_LOCK)) from error
    return True

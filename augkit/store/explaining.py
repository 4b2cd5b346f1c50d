"""Errors of the operating system while writing, each as one sentence."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from augkit.errors import Problem, StageError

_option: ContextVar[str] = ContextVar("option", default="--out")


@contextmanager
def named_by(option: str) -> Iterator[None]:
    """Let errors of writing, in this context, name the option that chose the place; otherwise that is ``--out``."""
    token = _option.set(option)
    try:
        yield
    finally:
        _option.reset(token)


@contextmanager
def explained(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn an operating-system error while writing into one sentence with the path and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = f"disk full: needs {max(needed, 1000) / 1e6:.3f} MB, {free_bytes(path) / 1e6:.3f} MB free"
            hint = f"Free some space or choose another folder with {_option.get()}; the same command continues"
        else:
            what, hint = f"cannot be written: {error.strerror}", f"Choose another folder with {_option.get()}"
        raise StageError(Problem(str(path), what, hint)) from error


def free_bytes(path: Path) -> int:
    """Return the free space of the disk on which `path` is or would be."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free

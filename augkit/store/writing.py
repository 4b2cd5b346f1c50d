"""Files: each has either all of its new bytes or what it had before."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from augkit.store.explaining import explained
from augkit.store.owners import check_owned

HALF = ".tmp-"
"""In the name of a file that is being written."""


def need_memory(size: int) -> None:
    """Raise `MemoryError` where so many bytes cannot be had: before a library asks that would end the process."""
    np.empty(size, np.uint8)  # which, unlike `bytearray`, does not fill what it gets


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that it has either all of `data` or what it had before; its folder is made if need be.

    Raises `SupersededError` among the files of an attempt that another process has taken over.
    """
    with whole_file(path, len(data)) as write:
        write(data)


@contextmanager
def whole_file(path: Path, needed: int = 0) -> Iterator[Callable[[Any], None]]:
    """Give a function that writes the next bytes of a file, which appears when all are written, or stays as it was.

    needed: how many bytes there will be, for who is told that the disk is full. Whatever else is raised meanwhile is no
            error of writing, and is passed on.

    Raises `SupersededError` among the files of an attempt that another process has taken over.
    """
    check_owned(path)
    temporary = path.with_name(f".{path.name}{HALF}{os.getpid()}")
    with explained(path, needed):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = temporary.open("wb")

    def write(data: Any) -> None:
        with explained(path, needed):
            stream.write(data)

    try:
        yield write
        with explained(path, needed):
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()
            temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            stream.close()
        with suppress(OSError):
            temporary.unlink()
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    write_bytes(path, text.encode())


def write_pieces(path: Path, pieces: Iterable[str]) -> None:
    """Write UTF-8 text that is never whole in memory, whole or not at all."""
    with whole_file(path) as write:
        for piece in pieces:
            write(piece.encode())


def append_line(path: Path, text: str) -> None:
    """Add one line to a log that must not wait for the disk; after a power cut its last lines may be missing."""
    with explained(path, len(text)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")


def write_json(path: Path, value: object) -> None:
    """Write JSON, whole or not at all."""
    write_text(path, to_json(value))


def claim_json(path: Path, value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write JSON where nothing is yet, and return what is there then: of several processes, one writes."""
    draft = path.with_name(f".{path.name}{HALF}{socket.gethostname()}-{os.getpid()}")
    with explained(path):
        if not path.exists():
            write_json(draft, value)
            try:
                os.link(draft, path)
            except FileExistsError:
                pass
            except OSError:  # a file system without hard links
                draft.replace(path)
            with suppress(FileNotFoundError):
                draft.unlink()
    found: Mapping[str, Any] = read_json(path)
    return found


def read_json(path: Path) -> Any:
    """Return the value in a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def temporary_folder(files: Mapping[str, bytes]) -> Iterator[Path]:
    """Write files, by names such as ``recipes/a.yaml``, into a new folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="augkit-") as name:
        for path, data in files.items():
            write_bytes(Path(name) / path, data)
        yield Path(name)


def to_json(value: object) -> str:
    """Return the text of a JSON file; `ValueError` for numbers that are not finite."""
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def flush(path: Path) -> None:
    """Make the bytes of a file, or the names in a folder, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""SHA-256 of the users' files, remembered."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import Any

from augkit.errors import InputError, Problem
from augkit.store.private import make_private_folder, private_folder
from augkit.store.seals import sealed, sha256_of
from augkit.store.writing import read_json, write_text

_DIGESTS = "digests.json"


class Digests:
    """SHA-256 of input files, remembered by path, size and times, so that a second look costs a stat.

    What is remembered bears a seal: a file of it with any changed bit is forgotten.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, list[Any]] = {}
        file = private_folder(root) / _DIGESTS
        with suppress(OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
            known = read_json(file)
            if file.read_text(encoding="utf-8") == sealed({"files": known["files"]}):  # otherwise it is damaged
                self._known = {str(path): list(facts) for path, facts in known["files"].items()}
        self._changed = False

    def of(self, paths: Sequence[Path]) -> str:
        """Return one digest for the names and contents of `paths`, in order; '' for none."""
        if not paths:
            return ""
        total = hashlib.sha256()
        for path in paths:
            total.update(f"{path.name}\0{self._one(path)}\n".encode())
        return total.hexdigest()

    def each(self, paths: Sequence[Path]) -> tuple[tuple[str, str], ...]:
        """Return the name of every file below the folder that all of them are in, and its digest."""
        absolute = [str(path.absolute()) for path in paths]
        names = [path.name for path in paths]
        with suppress(ValueError):  # there is no such folder, as of two drives
            folder = os.path.commonpath([str(Path(path).parent) for path in absolute])
            names = [Path(path).relative_to(folder).as_posix() for path in absolute]
        return tuple((name, self._one(path)) for name, path in zip(names, paths, strict=True))

    def save(self) -> None:
        """Remember what was hashed."""
        if self._changed:
            write_text(make_private_folder(self._root) / _DIGESTS, sealed({"files": self._known}))

    def _one(self, path: Path) -> str:
        name = str(path.absolute())
        try:
            stat = path.stat()
            facts = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]  # copying tools restore mtime, never ctime
            *known, digest = self._known.get(name) or [""]
            if not S_ISREG(stat.st_mode):  # a pipe would be waited for
                raise InputError(Problem(str(path), "is no regular file", "Give a file, not a pipe, device or folder"))
            if known != facts:
                digest = sha256_of(path)
                self._known[name] = [*facts, digest]
                self._changed = True
        except OSError as error:
            raise InputError(Problem(str(path), f"cannot be read: {error.strerror}")) from error
        return str(digest)

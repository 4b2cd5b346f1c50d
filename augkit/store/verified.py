"""Which artifacts this node has verified lately, so that its other processes need not read every byte again.

A record names the manifest's seal and, of every file, size, times and number. A file that differs in any of these is
read again, as is everything after a day. What changes bytes and none of these, as a failing disk may, is found then.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR

from augkit.errors import AugkitError
from augkit.store.explaining import free_bytes
from augkit.store.seals import added_files, sealed, sealed_manifest
from augkit.store.writing import write_text

TRUSTED_SECONDS = 86400.0
"""For how long a record counts; older ones are removed."""

_LEFT_BYTES = 10**7
"""Of free space below which nothing is recorded."""

_NAME = re.compile("[0-9a-f]{64}[.]json")


class Verified:
    """The records of one node, in a folder that only this user can write into, or none where there is no such."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path(tempfile.gettempdir()) / f"augkit-{getattr(os, 'getuid', int)()}"

    def knows(self, artifact: Path, seen: str) -> bool:
        """Tell whether the artifact was verified here when it looked as in `seen`."""
        file = self._file(artifact)
        with suppress(OSError, ValueError):
            is_recent = 0 <= time.time() - file.stat().st_mtime < TRUSTED_SECONDS
            return bool(seen) and self._is_ours() and is_recent and file.read_text(encoding="utf-8") == seen
        return False

    def remember(self, artifact: Path, seen: str) -> None:
        """Record that the artifact was sound when it looked as in `seen`; where that cannot be written, do nothing."""
        with suppress(OSError, AugkitError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if seen and self._is_ours() and free_bytes(self.folder) > _LEFT_BYTES:
                self._forget_old_ones()
                write_text(self._file(artifact), seen)

    def _file(self, artifact: Path) -> Path:
        return self.folder / f"{hashlib.sha256(str(artifact.resolve()).encode()).hexdigest()}.json"

    def _is_ours(self) -> bool:
        facts = self.folder.lstat()
        mine = facts.st_uid == getattr(os, "getuid", lambda: facts.st_uid)()
        return S_ISDIR(facts.st_mode) and mine and not facts.st_mode & 0o022

    def _forget_old_ones(self) -> None:
        for file in self.folder.iterdir():
            if _NAME.fullmatch(file.name) and time.time() - file.stat().st_mtime > TRUSTED_SECONDS:
                file.unlink(missing_ok=True)


def look(artifact: Path) -> str:
    """Return what is seen of a sealed folder without reading its files, under a seal; "" where that is not in order."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        manifest = sealed_manifest(artifact)
        if not added_files(artifact, manifest["files"]):
            files = {name: _facts(artifact / name) for name in manifest["files"]}
            return sealed({"artifact": str(artifact.resolve()), "manifest": manifest["seal"], "files": files})
    return ""


def _facts(file: Path) -> list[int]:
    facts = file.stat()
    # Copying tools restore the time of the last write, never that of the last change.
    return [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino, facts.st_dev]

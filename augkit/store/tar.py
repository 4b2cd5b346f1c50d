"""Tar files with equal bytes for equal members."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

from augkit.store.explaining import explained
from augkit.store.seals import FileFacts


class _Hashing:
    """What is written into a stream, counted and hashed on the way."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._total, self._bytes = stream, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self._total.update(data)
        self._bytes += len(data)
        return self._stream.write(data)

    def facts(self) -> FileFacts:
        return {"bytes": self._bytes, "sha256": self._total.hexdigest()}


@contextmanager
def tar_unflushed(path: Path) -> Iterator[tuple[Callable[[str, bytes], None], Callable[[], FileFacts]]]:
    """Write a tar file into a folder such as `write_unflushed` does, member by member.

    Gives a function that adds a member, name and content, and one that returns, after the end, what `seal` records.
    Equal members give equal bytes: no member has a time, an owner, or other rights than to be read.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            hashing = _Hashing(stream)
            with tarfile.open(fileobj=cast(Any, hashing), mode="w|", format=tarfile.PAX_FORMAT) as tar:

                def add(name: str, data: bytes) -> None:
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, BytesIO(data))

                yield add, hashing.facts

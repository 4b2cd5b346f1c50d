"""Bits that flip: in the artifacts of a run, and in its memory of digests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from augkit.store import Digests, find_damage
from faults.runs import Tiny


def attempts(quick: bool) -> Iterator[str]:
    """Flip 1,000 single bits of artifacts, 100 if quick, and 400 and 40 of the memory of digests, and look for them."""
    numbers = np.random.Generator(np.random.Philox(key=0))
    with tempfile.TemporaryDirectory() as name:
        tiny = Tiny(Path(name))
        store = tiny.folder / "reference"
        tiny.reference()
        yield from of_artifacts(store, 100 if quick else 1000, numbers)
        yield from of_digests(store, tiny.folder / "tiny.yaml", 40 if quick else 400, numbers)


def of_artifacts(store: Path, count: int, numbers: np.random.Generator) -> Iterator[str]:
    """Flip bits of any file of any artifact; each must be found."""
    files = [
        (file, artifact.parent)
        for artifact in sorted(store.glob("*/*/artifact.json"))
        for file in sorted(artifact.parent.rglob("*"))
        if file.is_file()
    ]
    for _ in range(count):
        file, artifact = files[numbers.integers(len(files))]
        with changed(file, numbers) as is_changed:
            if is_changed:
                yield "" if find_damage(artifact) else f"a flipped bit of {file.relative_to(store)} was not found"


def of_digests(store: Path, known: Path, count: int, numbers: np.random.Generator) -> Iterator[str]:
    """Flip bits of what a store remembers of a file; none may be used."""
    digests = Digests(store)
    expected = digests.of([known])
    digests.save()
    for _ in range(count):
        with changed(store / ".augkit" / "digests.json", numbers) as is_changed:
            if is_changed:
                yield (
                    "" if Digests(store).of([known]) == expected else "a flipped bit of the memory of digests was used"
                )


class changed:  # noqa: N801 - it reads as a word
    """A file with one bit flipped, for as long as the context lasts; an empty one has none, which `__enter__` tells."""

    def __init__(self, file: Path, numbers: np.random.Generator) -> None:
        self._file, self._whole = file, file.read_bytes()
        self._place = int(numbers.integers(8 * len(self._whole))) if self._whole else 0

    def __enter__(self) -> bool:
        if not self._whole:
            return False
        damaged = bytearray(self._whole)
        damaged[self._place // 8] ^= 1 << self._place % 8
        self._file.write_bytes(damaged)
        return True

    def __exit__(self, *error: object) -> None:
        self._file.write_bytes(self._whole)

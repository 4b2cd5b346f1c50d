"""The artifacts under one folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augkit.errors import DamagedArtifactError, InputError, Problem
from augkit.store.attempts import attempts_of, begin, end
from augkit.store.explaining import explained
from augkit.store.folders import newest_write, publish_folder
from augkit.store.locks import held, holder, is_held
from augkit.store.owners import WORK, attempt_of, owner_of, superseded
from augkit.store.private import make_private_folder, private_folder
from augkit.store.seals import MANIFEST, find_damage, seal, sealed_manifest
from augkit.store.verified import Verified, look
from augkit.store.writing import HALF, read_json

SEEN_SECONDS = 60.0
"""How long what another host has published may stay unseen: NFS remembers for so long that a name was not there."""


@dataclass(frozen=True)
class Address:
    """Where an artifact lives: its kind, a label for people, and the fingerprint that identifies it."""

    kind: str
    label: str
    fingerprint: str

    @property
    def name(self) -> str:
        """The folder name: ``unet-0f3a9c2d41be``."""
        return f"{self.label}-{self.fingerprint[:12]}"

    def __str__(self) -> str:
        return f"{self.kind} {self.label}"


class Store:
    """The artifacts under one folder: ``<root>/<kind>/<label>-<fingerprint>/``. Nothing is created until needed.

    verified: where processes of this node tell each other what they have verified; None to read every byte oneself.
    """

    def __init__(self, root: Path, verified: Verified | None = None) -> None:
        self.root = root
        self._verified = verified

    def private(self, name: str) -> Path:
        """Return a folder of the private one, to look at; `InputError` where that is somebody else's."""
        return private_folder(self.root) / name

    def make_private(self, name: str) -> Path:
        """Return a folder of the private one, to write into; `InputError` where that is somebody else's."""
        return make_private_folder(self.root) / name

    def published(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Yield folder and manifest of every artifact that was published here, and of nothing else that lies here.

        Its manifest bears its seal and the very names of the folders that it lies in. Links are not followed.
        """
        for file in sorted(self.root.glob(f"*/*/{MANIFEST}")):
            folder = file.parent
            with suppress(OSError, ValueError, KeyError, AttributeError, TypeError):
                manifest = sealed_manifest(folder)
                address = Address(*(manifest[key] for key in ("kind", "label", "fingerprint")))
                is_link = folder.is_symlink() or folder.parent.is_symlink()
                if self.path(address) == folder and not is_link:
                    yield folder, manifest

    def path(self, address: Address) -> Path:
        """Return where the artifact is or will be."""
        return self.root / address.kind / address.name

    def has(self, address: Address) -> bool:
        """Tell whether the artifact was published; its bytes are verified by `open`."""
        return (self.path(address) / MANIFEST).is_file()

    def appears(self, address: Address, seconds: float | None = None) -> bool:
        """Wait until an artifact that another host has published is seen here; tell whether it is.

        seconds: for how long to wait, `SEEN_SECONDS` unless said otherwise.
        """
        deadline = time.monotonic() + (SEEN_SECONDS if seconds is None else seconds)
        pause = 0.02
        while not self.has(address):
            for folder in (self.root, self.path(address).parent, self.path(address)):
                with suppress(OSError):
                    list(folder.iterdir())  # has NFS ask the server, where a look at the name alone does not
            if self.has(address):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)
            pause = min(2 * pause, 1.0)
        return True

    def manifest(self, address: Address) -> Mapping[str, Any]:
        """Return what was recorded when the artifact was published."""
        return _read_manifest(self.path(address))

    def open(self, address: Address) -> Path:
        """Return the folder after verifying every byte; a damaged one is set aside: `DamagedArtifactError`.

        Bytes that another process of this node has verified lately are not read again, where `verified` was given.
        """
        folder = self.path(address)
        seen = look(folder) if self._verified else ""
        if self._verified and self._verified.knows(folder, seen):
            return folder
        if find_damage(folder):
            # Another process may be building it again: look twice, and the second time with the lock.
            with self.lock(address, lambda _: None):
                self._set_aside_if_damaged(address)
        elif self._verified:
            self._verified.remember(folder, seen)
        return folder

    def _set_aside_if_damaged(self, address: Address) -> None:
        folder = self.path(address)
        damage = find_damage(folder)
        if not damage:
            return
        aside = self.make_private("damaged") / f"{address.kind}-{address.name}-{time.time_ns()}"
        with explained(aside):
            aside.parent.mkdir(parents=True, exist_ok=True)
            if folder.exists():
                folder.rename(aside)
        raise DamagedArtifactError(*(Problem(str(aside), what, "It will be built again") for what in damage))

    def workplace(self, address: Address, fresh: bool) -> Path:
        """Return the folder in which the artifact is built; unless `fresh`, with what an interrupted run left there.

        Call it with the artifact's lock. Who had a workplace of it before can write into that no more.
        """
        place = self.make_private(WORK) / f"{address.kind}-{address.name}"
        with explained(place):
            folder = begin(place, fresh)
            for half in folder.rglob(f".*{HALF}*"):  # what a killed writer left must not become part of the artifact
                half.unlink()
        return folder

    def publish(self, address: Address, work: Path, facts: Mapping[str, Any]) -> Path:
        """Seal the work folder and make it the artifact in one rename; returns the artifact's folder.

        Raises `SupersededError` where another process has begun the artifact since `workplace` was called.
        """
        with explained(work):
            try:
                identity = {"kind": address.kind, "label": address.label, "fingerprint": address.fingerprint}
                seal(work, {**identity, **facts})
                if self.path(address).exists():  # without its manifest, or it would not have been built again
                    with suppress(DamagedArtifactError):
                        self._set_aside_if_damaged(address)
                publish_folder(work, self.path(address))
            except FileNotFoundError as error:
                attempt = attempt_of(work)
                if attempt is None or owner_of(attempt):
                    raise
                raise superseded(attempt) from error
        if attempt := attempt_of(work):
            end(attempt)
        return self.path(address)

    @contextmanager
    def lock(self, address: Address, waiting: Callable[[str], None]) -> Iterator[None]:
        """Hold the artifact's lock; while another process has it, `waiting` is told once who does."""
        file = self.make_private("locks") / f"{address.kind}-{address.name}.lock"
        with held(file, lambda who: waiting(f"waiting for {who}, which is building {address}")):
            yield

    @contextmanager
    def hold(self, folder: Path) -> Iterator[None]:
        """Hold a folder of results alone; `InputError` at once where another process does."""

        def refuse(who: str) -> None:
            hint = "Wait until it has ended, or choose another --out"
            raise InputError(Problem(str(folder), f"is held by {who}", hint))

        file = self.make_private("locks") / f"{folder.parent.name}-{folder.name}.lock"
        with held(file, refuse, patience=0):
            yield

    @contextmanager
    def lock_list_of_runs(self) -> Iterator[None]:
        """Hold the lock under which runs enter themselves and things are removed: never both at once."""
        with held(self.make_private("locks") / "runs.lock", lambda _: None):
            yield

    def held_locks(self) -> list[str]:
        """Return who holds a lock of an artifact, one line each; the lock of the list of runs does not count."""
        files = [file for file in sorted(self.private("locks").glob("*.lock")) if file.name != "runs.lock"]
        return [f"{file.stem}: {holder(file)}" for file in files if is_held(file)]

    def attempts_elsewhere(self) -> list[tuple[str, float]]:
        """Return who on another host is building something, or was, and how many seconds ago that was last written to.

        Whether they live cannot be seen from here, and their locks may not be either.
        """
        found = []
        for place in sorted(self.private(WORK).glob("*")):
            for attempt, owner in attempts_of(place):
                if owner.is_elsewhere:
                    found.append((f"{place.name}: {owner}", time.time() - newest_write(attempt)))
        return found

    def discard(self, path: Path) -> None:
        """Remove a file or folder of the store. It vanishes from its place by one rename, so never by halves."""
        trash = self.make_private("trash") / f"{path.name}-{time.time_ns()}"
        with explained(trash):
            trash.parent.mkdir(parents=True, exist_ok=True)
            path.rename(trash)
        self.empty_trash()

    def empty_trash(self) -> None:
        """Remove what `discard` set aside, also what a killed process left there."""
        shutil.rmtree(self.private("trash"), ignore_errors=True)


def _read_manifest(folder: Path) -> Mapping[str, Any]:
    manifest: Mapping[str, Any] = read_json(folder / MANIFEST)
    return manifest

"""What a folder that several hosts share keeps of the promises that a store needs, asked from two processes.

One process leads and asks, the other follows and answers, by files in a folder of their own in the shared one, which
is removed at the end. Nothing but the shared folder connects them, so they may be anywhere.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from augkit.errors import InputError, Problem
from augkit.store.artifacts import SEEN_SECONDS
from augkit.store.explaining import explained
from augkit.store.folders import newest_write
from augkit.store.locks import HOW_TO_LOCK, WITHOUT_LOCKS
from augkit.store.owners import Owner
from augkit.store.writing import read_json, write_bytes, write_json

ANSWER_SECONDS = SEEN_SECONDS + 30.0
"""For how long an answer is waited for: NFS may show it a minute late."""

CLOCK_SECONDS = 60.0
"""By how much clocks may differ."""

_FOLDER = ".augkit-probe-"
_CODE = re.compile("[0-9a-f]{6}")
_LEFT_SECONDS = 3600.0
"""After which the folder of a probe whose processes were killed is removed by the next one."""

_CONTESTS = 5


@dataclass(frozen=True)
class Finding:
    """One promise: its name, what was seen, and where it is not kept, what to do."""

    name: str
    fact: str
    hint: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether the promise is not kept."""
        return bool(self.hint)


def new_code() -> str:
    """Return the name of a new probe."""
    return os.urandom(3).hex()


def lead(shared: Path, code: str, patience: float) -> tuple[Owner, list[Finding]] | None:
    """Wait for another process that joins the probe, and return who it is and what was found.

    patience: seconds to wait for it; None comes back when nobody has joined by then.

    Raises `InputError` where the folder cannot be used, and where the other process ends in the middle.
    """
    _check_folder(shared)
    for left in shared.glob(f"{_FOLDER}*"):
        if time.time() - newest_write(left) > _LEFT_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    folder = shared / f"{_FOLDER}{code}"
    with explained(folder):
        folder.mkdir()
    try:
        if _heard(folder / "hello.json", patience) is None:
            return None
        write_json(folder / "leader.json", Owner.me().facts())
        leader = _Leader(folder)
        other = Owner.of(leader.ask("who"))
        findings = leader.findings()
        leader.ask("end", findings=[asdict(finding) for finding in findings])
        return other, findings
    finally:
        _remove(folder)


def join(shared: Path, code: str, patience: float = ANSWER_SECONDS) -> tuple[Owner, list[Finding]]:
    """Answer the process that leads a probe; return who that was and what it found.

    Raises `InputError` where no such probe waits, and where the other process ends in the middle.
    """
    _check_folder(shared)
    folder = shared / f"{_FOLDER}{code}"
    deadline = time.monotonic() + patience
    is_code = _CODE.fullmatch(code) is not None
    while is_code and not _is_there(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    if not is_code or not _is_there(folder):
        hint = f"Start one with: augkit doctor --shared {shared}"
        raise InputError(Problem(f"--join {code}", f"no probe of this name waits in {shared}", hint))
    try:
        write_json(folder / "hello.json", {})
        return _Follower(folder).answer_all()
    except BaseException:
        _remove(folder)  # or it would stay where the leader was killed
        raise


def _check_folder(shared: Path) -> None:
    if not shared.is_dir():
        what = "is no folder; allowed: one that both hosts see under this name"
        raise InputError(Problem(f"--shared {shared}", what))
    if not os.access(shared, os.W_OK | os.X_OK):
        raise InputError(Problem(f"--shared {shared}", "cannot be written into", "Choose another folder"))


def _remove(folder: Path) -> None:
    for _ in range(3):  # the other process may just have written into it
        shutil.rmtree(folder, ignore_errors=True)


# What both do


def _is_there(path: Path) -> bool:
    """Tell whether a path is there, as `Store.appears` does: the parent is listed first."""
    with suppress(OSError):
        list(path.parent.iterdir())
    return path.exists()


def _is_new(file: Path) -> bool:
    with suppress(OSError):
        return file.read_bytes() == b"new"
    return False


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of the probe; `Timeout` at once where the other process does."""
    with FileLock(folder / "lock", timeout=0, fallback_to_soft=False):
        yield


def _contest(folder: Path, number: int, name: str) -> bool:
    """Give a folder of one's own the name that both want, as an artifact is published; tell whether it has it."""
    mine = folder / f"{name}-{number}"
    write_bytes(mine / "whose", name.encode())
    try:
        mine.rename(folder / f"published-{number}")
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _heard(file: Path, patience: float) -> Mapping[str, Any] | None:
    deadline, pause = time.monotonic() + patience, 0.01
    while not _is_there(file):
        if time.monotonic() > deadline or not file.parent.is_dir():
            return None
        time.sleep(pause)
        pause = min(1.5 * pause, 0.2)  # a second host is waited for, and a server is asked every time
    facts: Mapping[str, Any] = read_json(file)
    return facts


def _expected(file: Path) -> Mapping[str, Any]:
    said = _heard(file, ANSWER_SECONDS)
    if said is None:
        what = "the other process has ended, or what it writes is not seen here"
        raise InputError(Problem(str(file.parent.parent), what, "Give the command again, on both hosts"))
    return said


@dataclass
class _Leader:
    folder: Path
    asked: int = 0
    clock: tuple[float, float] = (0.0, 0.0)
    """By how many seconds the other clock is ahead, and how far that may be off."""

    def ask(self, task: str, **facts: Any) -> Mapping[str, Any]:
        self.tell(task, **facts)
        return self.hear()

    def tell(self, task: str, **facts: Any) -> None:
        self.asked += 1
        write_json(self.folder / f"ask-{self.asked}.json", {"task": task, **facts})

    def hear(self) -> Mapping[str, Any]:
        return _expected(self.folder / f"answer-{self.asked}.json")

    def findings(self) -> list[Finding]:
        clocks = self.clocks()
        seen = self.delay("see", "a new file", lambda file: write_bytes(file, b"new"))
        write_bytes(self.folder / "changed", b"old")
        changed = self.delay("reread", "a changed file", lambda file: write_bytes(file, b"new"))
        return [self.locks(), self.renames(), self.links(), seen, changed, clocks]

    def clocks(self) -> Finding:
        rounds = []
        for _ in range(3):
            began = time.time()
            there = float(self.ask("time")["time"])
            half = (time.time() - began) / 2
            rounds.append((half, there - began - half))
        error, ahead = min(rounds)
        self.clock = ahead, error
        fact = f"differ by {abs(ahead):.2f} s (± {error:.2f} s)"
        if abs(ahead) - error <= CLOCK_SECONDS:
            return Finding("clocks", fact)
        return Finding("clocks", fact, "Set them by NTP: ages of files, which `cache gc` goes by, are told wrong")

    def locks(self) -> Finding:
        try:
            with _locked(self.folder):
                while_held = self.ask("lock")
            after = self.ask("lock")
            self.ask("hold")
            try:
                with _locked(self.folder):
                    mine = {"has": True}
            except Timeout:
                mine = {"has": False}
            self.ask("release")
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
            return Finding("locks", f"there are none (flock: {error.strerror})", HOW_TO_LOCK)
        if without := [said["error"] for said in (while_held, after) if "error" in said]:
            return Finding("locks", f"there are none for the other process (flock: {without[0]})", HOW_TO_LOCK)
        if while_held["has"] or mine["has"]:
            what = "both processes had the same lock at once: the locks of each are its own"
            hint = "Mount it with locks that all hosts share (Lustre: -o flock in place of localflock; NFS: without"
            return Finding("locks", what, f"{hint} local_lock and nolock), or use one host at a time")
        if not after["has"]:
            return Finding("locks", "one that was given up stays taken", HOW_TO_LOCK)
        return Finding("locks", "exclude the other process")

    def renames(self) -> Finding:
        lost = 0
        for number in range(_CONTESTS):
            self.tell("rename", number=number)
            mine = _contest(self.folder, number, "leader")
            other = self.hear()["won"]
            winner = (self.folder / f"published-{number}" / "whose").read_text(encoding="utf-8")
            lost += mine == other or winner != ("leader" if mine else "follower")
        if lost:
            what = f"in {lost} of {_CONTESTS} contests for a name not exactly one process had it"
            return Finding("renames", what, "Choose another folder: nothing could be published safely in this one")
        return Finding("renames", f"in {_CONTESTS} of {_CONTESTS} contests for a name one process had it, whole")

    def links(self) -> Finding:
        one, other = self.folder / "link-1", self.folder / "link-2"
        write_bytes(one, b"x")
        try:
            other.hardlink_to(one)
        except OSError as error:
            return Finding("hard links", f"are not there ({error.strerror}); checkpoints that change hosts are copied")
        if self.ask("links")["links"] != 2:
            return Finding("hard links", "are made, but the other process sees two files; checkpoints are copied then")
        return Finding("hard links", "work; checkpoints that change hosts are not copied")

    def delay(self, task: str, what: str, write: Callable[[Path], None]) -> Finding:
        self.tell(task)
        _expected(self.folder / f"watching-{self.asked}.json")
        time.sleep(0.1)
        write(self.folder / {"see": "new", "reread": "changed"}[task])
        written = time.time()
        seen = self.hear()["seen"]
        if seen is None:
            hint = "Mount it so that names and files are asked for again sooner (NFS: acdirmax, acregmax)"
            return Finding(what, f"is not seen after {SEEN_SECONDS:.0f} s", hint)
        ahead, error = self.clock
        return Finding(what, f"is seen after {max(0.0, seen - ahead - written):.2f} s (± {error:.2f} s)")


@dataclass
class _Follower:
    folder: Path
    held: list[FileLock] = field(default_factory=list)
    number: int = 0

    def answer_all(self) -> tuple[Owner, list[Finding]]:
        """Do what is asked until the end; return who asked, and the findings."""
        leader = Owner.of(_expected(self.folder / "leader.json"))
        try:
            while True:
                self.number += 1
                asked = _expected(self.folder / f"ask-{self.number}.json")
                answer = self.tasks()[asked["task"]](asked)
                write_json(self.folder / f"answer-{self.number}.json", answer)
                if asked["task"] == "end":
                    return leader, [Finding(**facts) for facts in asked["findings"]]
        finally:
            self.release({})

    def tasks(self) -> Mapping[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]]:
        return {
            "who": lambda _: Owner.me().facts(),
            "time": lambda _: {"time": time.time()},
            "lock": self.lock,
            "hold": self.hold,
            "release": self.release,
            "rename": lambda asked: {"won": _contest(self.folder, asked["number"], "follower")},
            "links": lambda _: {"links": (self.folder / "link-2").stat().st_nlink},
            "see": lambda _: self.watch(lambda: _is_there(self.folder / "new")),
            "reread": lambda _: self.watch(lambda: _is_new(self.folder / "changed")),
            "end": lambda _: {},
        }

    def lock(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            with _locked(self.folder):
                return {"has": True}
        except Timeout:
            return {"has": False}
        except OSError as error:
            return {"has": False, "error": error.strerror}

    def hold(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        lock = FileLock(self.folder / "lock", fallback_to_soft=False)
        with suppress(OSError):
            lock.acquire(timeout=5)
            self.held.append(lock)
        return {}

    def release(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        while self.held:
            self.held.pop().release()
        return {}

    def watch(self, is_seen: Callable[[], bool]) -> Mapping[str, Any]:
        is_seen()  # so that the system remembers what was there before
        write_json(self.folder / f"watching-{self.number}.json", {})
        deadline = time.monotonic() + SEEN_SECONDS + 1
        while not is_seen():
            if time.monotonic() > deadline:
                return {"seen": None}
            time.sleep(0.01)
        return {"seen": time.time()}

"""Who works on what: a process of a host, told apart from all others, and the folder of an attempt that it owns.

An attempt to build an artifact lies in ``.augkit/work/<artifact>/<attempt>/``: its files in ``files``, its owner in
``owner.json``. Who takes an attempt over removes its owner file first, and then its files by one rename. So a process
that was thought dead finds its owner file gone before it writes, and no files where it would publish them from, even
where its view of the folder is an old one, as NFS may show.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from augkit.errors import Problem, SupersededError

PRIVATE = ".augkit"
"""The one folder beside the artifacts for what is augkit's own business: work, locks, and what may be removed."""

WORK = "work"
FILES = "files"
OWNER = "owner.json"
PROC = Path("/proc")
"""Where Linux tells of processes."""

_ATTEMPT = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True)
class Owner:
    """A process.

    host, pid, since: for people; since when it holds what it owns.
    node:             what tells hosts, boots and containers apart, whatever they are called; the host's name where the
                      system does not say.
    start:            when the process began, in the system's own count: a later process may have its number.
    """

    host: str
    pid: int
    since: str
    node: str
    start: str

    @staticmethod
    def me() -> Owner:
        """Return this process, from now on."""
        return Owner(
            socket.gethostname(), os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S"), _node(), _start_of(os.getpid())
        )

    @staticmethod
    def of(facts: Mapping[str, Any]) -> Owner:
        """Return the owner that `facts` tells; `KeyError`, `TypeError` where it tells none."""
        return Owner(
            str(facts["host"]), int(facts["pid"]), str(facts["since"]), str(facts["node"]), str(facts["start"])
        )

    def facts(self) -> Mapping[str, Any]:
        """Return the owner, fit for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} (since {self.since})"

    @property
    def is_elsewhere(self) -> bool:
        """Whether it is a process of another host or container, or may be: of these nothing can be seen from here."""
        return self.node != _node()

    @property
    def is_me(self) -> bool:
        """Whether it is this very process."""
        return not self.is_elsewhere and (self.pid, self.start) == (os.getpid(), _start_of(self.pid))

    @property
    def is_dead(self) -> bool:
        """Whether it is known to have ended."""
        return not self.is_elsewhere and _start_of(self.pid) != self.start


def _node() -> str:
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(PROC / 'self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return socket.gethostname()


def _start_of(pid: int) -> str:
    """Return when a process of this host began; "" where there is none, or it has ended and only waits to be heard."""
    if not (PROC / "self").exists():
        return "running" if is_running(pid) else ""
    with suppress(OSError, IndexError):
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    return ""


def is_running(pid: int) -> bool:
    """Tell whether a process of this host has this number."""
    if os.name == "nt":  # where asking would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True


def attempt_of(path: Path) -> Path | None:
    """Return the folder of the attempt among whose files `path` is, or would be; None for other paths."""
    parts = path.parts
    for i in range(len(parts) - 4):
        if parts[i : i + 2] == (PRIVATE, WORK) and parts[i + 4] == FILES and _ATTEMPT.fullmatch(parts[i + 3]):
            return Path(*parts[: i + 4])
    return None


def owner_of(attempt: Path) -> Owner | None:
    """Return who owns an attempt; None where nobody does, or it cannot be read."""
    # Opened, because NFS answers a mere look at the name from memory.
    with suppress(OSError, ValueError, KeyError, TypeError), (attempt / OWNER).open(encoding="utf-8") as stream:
        return Owner.of(json.load(stream))
    return None


def check_owned(path: Path) -> None:
    """Refuse to write among the files of an attempt that was taken over; other paths pass. Raises `SupersededError`."""
    attempt = attempt_of(path)
    if attempt is not None and owner_of(attempt) is None:
        raise superseded(attempt)


def superseded(attempt: Path) -> SupersededError:
    """Return the error of who wanted to write into an attempt, with the owner of the one that followed it."""
    others = [owner_of(other) for other in sorted(attempt.parent.glob("*"))] if attempt.parent.is_dir() else []
    who = next((str(owner) for owner in others if owner), "another process")
    what = f"{who} has taken this over, so nothing more of it is written here"
    hint = "If that should not have begun, see whether locks exclude other hosts: augkit doctor --shared DIR"
    return SupersededError(Problem(str(attempt), what, hint))

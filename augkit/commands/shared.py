"""`augkit doctor --shared DIR`: what a folder that several hosts share keeps of what a store needs."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from augkit.amounts import duration
from augkit.commands.terminal import end_on_signals, say
from augkit.errors import InputError, Problem
from augkit.store.owners import Owner
from augkit.store.probes import Finding, join, lead, new_code

_START_SECONDS = 60.0
"""For how long the second process of this host may take to start."""


def probe(shared: Path | None, code: str | None, wait: int) -> int:
    """Probe a shared folder, or join a probe, and print what was found; return 1 where something is wrong, else 0.

    wait: seconds that a second host may take to join; 0 for none.
    """
    end_on_signals()
    if shared is None:
        raise InputError(Problem(f"--join {code}", "names no folder", "Add --shared DIR, as the first host printed it"))
    if code is not None:
        return _tell(shared, *join(shared, code))

    # Two processes of this host, which need no second person.
    code = new_code()
    beside = subprocess.Popen(
        _command(shared, code, [sys.executable, "-P", "-m", "augkit"]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        found = lead(shared, code, _START_SECONDS)
    finally:
        beside.terminate()
        beside.wait()
    if found is None:
        raise InputError(Problem(f"--shared {shared}", "what one process writes there, another of this host never saw"))
    result = _tell(shared, *found)

    # And a second host.
    if wait == 0:
        return result
    code = new_code()
    say(f"within {duration(wait)}, give this on a second host (Ctrl-C to do without):")
    say(f"  {shlex.join(_command(shared, code, ['augkit']))}")
    found = lead(shared, code, wait)
    if found is None:
        say("no second host has joined, so what is true between hosts is not known")
        return result
    return max(result, _tell(shared, *found))


def _command(shared: Path, code: str, program: Sequence[str]) -> list[str]:
    return [*program, "doctor", "--shared", str(shared.absolute()), "--join", code]


def _tell(shared: Path, other: Owner, findings: Sequence[Finding]) -> int:
    me = Owner.me()
    hosts = f"{me.host} and {other.host}" if other.is_elsewhere else f"two processes of {me.host}"
    say(f"{shared}, {hosts}")
    for finding in findings:
        say(f"  {finding.name:<16} {'FAULT: ' * finding.is_fault}{finding.fact}")
        if finding.is_fault:
            say(f"  {'':<16} {finding.hint}")
    return int(any(finding.is_fault for finding in findings))

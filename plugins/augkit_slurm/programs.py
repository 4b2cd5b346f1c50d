"""Slurm's own programs: sbatch, squeue and scancel, and what is said when they fail."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from augkit import InputError, Problem

PROGRAMS = ("sbatch", "squeue", "scontrol", "scancel")
SAVE = "USR2"
"""The signal by which a job's script learns that its stage is to be saved and ended."""

_SECONDS = 60.0
"""How long one of them may take."""

_COLUMNS = "%F|%K|%T|%r|%N|%S|%V|%m|%o"
"""Job or array, task, state, reason, node, start, submission, memory, script."""

_ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
}  # fmt: skip
_BROKEN_CONNECTION = re.compile(
    r"unable to contact slurm controller|socket timed out|zero bytes were transmitted|connection (refused|reset)"
    r"|connection timed out|communication connection failure|protocol authentication|munge|dns srv"
    r"|configuration source|message (send|receive)",
    re.I,
)
_LIMIT = re.compile(r"submit limit|QOSMaxSubmit|AssocMaxSubmit|MaxSubmitJob|temporarily", re.I)


class UnreachableError(Exception):
    """The controller does not answer just now; the jobs run on."""


class FullError(Exception):
    """No more jobs may be in the queue just now."""


@dataclass(frozen=True)
class Row:
    """One job as squeue shows it.

    job:    as scancel takes it, ``812_3``.
    task:   number in its array, from 1.
    state:  in Slurm's words, ``RUNNING``.
    reason: why it waits or has ended, in Slurm's words.
    node:   where it runs or ran; '' while it waits.
    since:  when it began, or was submitted where it waits, as ``2026-11-27T14:04:46``.
    memory: what it asked for, as ``8000M``.
    script: the file that it runs.
    """

    job: str
    task: int
    state: str
    reason: str
    node: str
    since: str
    memory: str
    script: Path

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state in _ENDED

    @property
    def waits(self) -> bool:
        """Whether it is in the queue."""
        return self.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "REQUEUE_FED")


def require_programs() -> None:
    """Refuse a machine that has no Slurm."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    absent = [name for name in PROGRAMS if not any(os.access(folder / name, os.X_OK) for folder in folders)]
    if absent:
        what = f"found no {', '.join(absent)} on this machine"
        hint = "Give the command on a login node of the cluster, or without --executor slurm"
        raise InputError(Problem("--executor slurm", what, hint))


class Slurmctld:
    """The controller of a cluster, as this user may speak to it."""

    def jobs(self) -> list[Row]:
        """Return all jobs of this user, those too that ended a moment ago; raises `InputError` for no answer."""
        try:
            return self.look()
        except UnreachableError as error:
            hint = "Wait until `squeue` answers, and give the same command again; jobs that are under way go on"
            raise InputError(Problem("--executor slurm", f"Slurm does not answer: {error}", hint)) from error

    def look(self) -> list[Row]:
        """Return the same; raises `UnreachableError`."""
        done = _call("squeue", f"--user={os.getuid()}", "--noheader", "--array", "--states=all", f"--format={_COLUMNS}")
        if done.returncode != 0:
            raise UnreachableError(_said(done))
        return read_rows(done.stdout)

    def try_out(self, options: Sequence[str]) -> None:
        """Refuse options with which sbatch would take no job; nothing is submitted. Raises `InputError`."""
        done = _call("sbatch", "--test-only", *options, "--wrap=true")
        if done.returncode != 0:
            raise refused(_said(done))

    def submit(self, options: Sequence[str], script: Path) -> None:
        """Submit a job or an array. Raises `UnreachableError`, `FullError`, or `InputError` where it is refused."""
        done = _call("sbatch", "--parsable", *options, str(script))
        if done.returncode != 0:
            said = _said(done)
            if _BROKEN_CONNECTION.search(said):
                raise UnreachableError(said)
            if _LIMIT.search(said):
                raise FullError(said)
            raise refused(said)

    def cancel(self, rows: Iterable[Row]) -> None:
        """End jobs, waiting ones without a word, running ones as a node does that is shut down."""
        self._scancel([], rows)

    def ask_to_save(self, rows: Iterable[Row]) -> None:
        """Let the scripts of running jobs have their stages saved and end."""
        self._scancel([f"--signal={SAVE}", "--batch"], rows)

    def _scancel(self, options: Sequence[str], rows: Iterable[Row]) -> None:
        names = [row.job for row in rows]
        if names:  # one that has just ended makes it fail, which is as well
            _call("scancel", *options, *names)


def read_rows(text: str) -> list[Row]:
    """Return the jobs of arrays that squeue printed."""
    rows = []
    for line in text.splitlines():
        array, task, state, reason, node, start, submitted, memory, script = line.split("|", 8)
        if task.isdecimal():  # ours are all in arrays
            since = submitted if start in ("N/A", "") or not node else start
            rows.append(Row(f"{array}_{task}", int(task), state, reason, node, since, memory, Path(script)))
    return rows


def refused(what: str) -> InputError:
    """Return the error for a job that sbatch does not take."""
    hint = "Change the section 'slurm' of the cluster file; `sinfo` lists partitions and their limits"
    return InputError(Problem("--executor slurm", f"sbatch refuses the job: {what}", hint))


def _call(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Slurm out of reach of Ctrl-C, without the variables of a job that this process may be in."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SLURM_") or name in ("SLURM_CONF", "SLURM_CLUSTERS")
    }
    try:
        return subprocess.run(
            command,
            env=inherited,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        what = f"socket timed out: {command[0]} took longer than {_SECONDS:.0f} s"
        return subprocess.CompletedProcess(command, 1, "", what)


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """Return the line in which a program names its fault: squeue's last, sbatch's first."""
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    said = lines[0 if done.args[0] == "sbatch" else -1] if lines else f"exit code {done.returncode}"
    return re.sub(r"^((sbatch|squeue): )?(error: |fatal: |slurm_load_jobs error: |allocation failure: )?", "", said)

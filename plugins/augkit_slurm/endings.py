"""Last words for jobs that had none of their own."""

from __future__ import annotations

import re
import signal

from augkit.executors import Unit
from augkit_slurm.following import Facts, Job

_CONTINUES = "the same command continues from what it saved"
_OUT_OF_MEMORY = re.compile(r"memory limit|oom.kill|out-of-memory", re.I)
"""What slurmstepd prints into the log of a job that it ends for its memory; its state may be another, then."""

_STATES = {
    "NODE_FAIL": "its node failed",
    "PREEMPTED": "another job took its place",
    "TIMEOUT": "its time was over before it had saved",
    "BOOT_FAIL": "its node did not start",
    "DEADLINE": "its deadline was over",
}


def interrupted(unit: Unit, has_begun: bool) -> Facts:
    """Return that of a unit which ends because the run does."""
    what = "interrupted; it continues from what it had saved, if anything" if has_begun else "had not begun"
    return {"problems": [[unit.title, what, ""]], "exit_code": 128 + signal.SIGINT, "interrupted": True}


def cancelled(job: Job) -> Facts:
    """Return that of a job which somebody else ended."""
    what = f"its {_name(job)} was cancelled, by somebody or by the cluster"
    hint = f"Its log is {job.array.log(job.task)}; {_CONTINUES}"
    return {"problems": [[job.unit.title, what, hint]], "exit_code": 1}


def lost(job: Job, preempted: bool) -> Facts:
    """Return that of a job which is gone without a word."""
    hint = f"Its log is {job.array.log(job.task)}; {_CONTINUES}"
    why = _why(job)
    if job.row is not None and (job.row.state == "OUT_OF_MEMORY" or _OUT_OF_MEMORY.search(job.last_line())):
        why = f"it used up its memory, {job.row.memory}"
        hint = f"Raise memory in the section 'slurm' of the cluster file; {_CONTINUES}"
    problem = [job.unit.title, f"its {_name(job)} ended before it was done: {why}", hint]
    return {"problems": [problem], "exit_code": 1, "lost": True, "preempted": preempted}


def needs_more_time(job: Job, minutes: int, most_minutes: int) -> Facts:
    """Return that of a job which got no further in its time; there is nothing to repeat where it had the most."""
    what = f"its {_name(job)} got no further within {minutes} min, which it had twice"
    hint = "Raise most_minutes in the section 'slurm' of the cluster file"
    return {"problems": [[job.unit.title, what, hint]], "exit_code": 1, "lost": minutes < most_minutes}


def _name(job: Job) -> str:
    """Return which job it was, and where."""
    number = job.row.job if job.row else (job.ended or {}).get("job")
    node = job.row.node if job.row else ""
    return (f"job {number}" if number else f"job of array {job.array.name}") + (f" on {node}" if node else "")


def _why(job: Job) -> str:
    state = job.row.state if job.row and job.row.has_ended else ""
    if state in _STATES:
        return _STATES[state]
    if job.ended is not None:
        code = job.ended["code"]
        if job.ended["again"]:
            return "its time was over, and Slurm did not requeue it"
        if code == 128 + signal.SIGKILL:
            return "its process was ended by SIGKILL; the system does that when the memory is full"
        said = job.last_line()
        return f"exit code {code}" + (f"; the last that it printed is: {said}" if said else "")
    said = job.last_line()
    return f"Slurm says {state or 'nothing'}" + (f"; the last that it printed is: {said}" if said else "")

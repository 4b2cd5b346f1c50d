"""Stages as tasks of job arrays: begun by sbatch, followed by the files they append to and by squeue."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from augkit import InputError, Problem, events
from augkit.executors import Said, Site, Unit
from augkit.store import remove_folder
from augkit_slurm.arrays import Array, arrays_of, remove_old, write_array
from augkit_slurm.endings import cancelled, interrupted, lost, needs_more_time
from augkit_slurm.following import Facts, Job
from augkit_slurm.options import SlurmOptions
from augkit_slurm.programs import FullError, Row, Slurmctld, UnreachableError

MOST_TASKS = 1000
"""Of one array; Slurm's own limit is 1000 unless a cluster sets another."""

_LISTEN_SECONDS = 0.3
_LISTEN_SECONDS_PER_JOB = 0.01
"""How long after one look at the files of all jobs comes the next."""

_ENDING_SECONDS = 1.0
"""Between two looks at the queue when the run is to end."""

_LOOKS = 2
"""How often in a row a job must be missing in the queue: what it wrote may become visible late."""

_FOR_EVER = (
    "AccountNotAllowed", "AssocMaxJobsLimit", "BadConstraints", "InvalidAccount", "InvalidQOS", "JobHeldAdmin",
    "JobHeldUser", "PartitionDown", "PartitionInactive", "PartitionNodeLimit", "PartitionTimeLimit", "QOSNotAllowed",
    "ReqNodeNotAvail",
)  # fmt: skip
"""Reasons for which a job may wait until somebody does something."""


class SlurmExecutor:
    """Stages as jobs of a cluster. Jobs are known by the script they run, so that any run finds them again."""

    def __init__(self, cluster: SlurmOptions, site: Site, slurmctld: Slurmctld, rows: Sequence[Row]) -> None:
        self.capacity = site.jobs or cluster.queued
        self._cluster = cluster
        self._site = site
        self._slurmctld = slurmctld
        remove_old(site.root, rows)
        self._new: list[Unit] = []
        self._jobs: dict[str, Job] = {}
        self._said: deque[Said] = deque()
        self._grown: dict[str, int] = {}
        self._done_with: set[Array] = set()
        self._to_keep: set[Array] = set()
        self._looked_at = 0.0
        self._answers = True
        self._ends = False
        self._leaves = False

    def submit(self, unit: Unit) -> None:
        """Begin the unit, or follow the job that builds it already, with the next `wait`."""
        self._new.append(unit)

    def wait(self) -> Said | None:
        """Return the next thing said."""
        while not self._said:
            self._send()
            if not self._jobs and not self._new and not self._said:
                return None
            self._listen()
            every = min(self._cluster.poll_seconds, _ENDING_SECONDS if self._ends else math.inf)
            if not self._said and time.monotonic() - self._looked_at >= every:
                self._look()
            if not self._said:
                time.sleep(_LISTEN_SECONDS + _LISTEN_SECONDS_PER_JOB * len(self._jobs))
        return self._said.popleft()

    def interrupt(self) -> None:
        """Cancel the jobs that wait, and have the others save and end."""
        self._ends = True
        for unit in self._new:
            self._said.append(Said(unit, interrupted(unit, has_begun=False)))
        self._new = []
        self._look()

    def detach(self) -> None:
        """Submit what was to begin, and leave all jobs to Slurm."""
        self._send()
        self._leaves = True
        refused = [Problem(*problem) for said in self._said for problem in said.facts.get("problems", ())]
        if self._new or not self._answers:
            refused.append(Problem("--detach", "Slurm takes no jobs just now", "Give the same command again"))
        if refused:
            raise InputError(*dict.fromkeys(refused))

    def close(self) -> None:
        """Cancel what is under way, unless it is left to Slurm."""
        if not self._leaves:
            if self._jobs:
                rows = self._rows()
                self._slurmctld.cancel(row for job in self._jobs.values() if (row := rows.get(job.key)))
            for array in self._done_with - self._to_keep - {job.array for job in self._jobs.values()}:
                remove_folder(array.folder)

    # To Slurm

    def _send(self) -> None:
        """Submit what is to begin, an array of each kind; what another run has submitted meanwhile is followed."""
        if not self._new:
            return
        units, self._new = self._new, []
        others = self._others()
        kinds: dict[str, list[Unit]] = {}
        for unit in units:
            if unit.fingerprint in others:
                self._follow(unit, *others[unit.fingerprint])
            else:
                kinds.setdefault(unit.resources.kind, []).append(unit)
        for of_a_kind in kinds.values():
            for first in range(0, len(of_a_kind), MOST_TASKS):
                self._send_array(of_a_kind[first : first + MOST_TASKS])

    def _others(self) -> dict[str, tuple[Array, Row]]:
        """Return the jobs that build for this store, by the fingerprints of their stages."""
        try:
            rows = self._slurmctld.look()
        except UnreachableError:  # so that nothing can be submitted either
            return {}
        return {
            fingerprint: (array, row)
            for row, array, fingerprint in arrays_of(rows)
            if not row.has_ended and array.folder.is_relative_to(self._site.root)
        }

    def _follow(self, unit: Unit, array: Array, row: Row) -> None:
        self._refuse_unlike(unit, array, row)
        job = self._jobs[unit.fingerprint] = Job(unit, array, row.task, row)
        self._note(job, f"job {row.job}, which another run began, is followed")
        for facts in job.words.of_last_attempt():
            self._hear(job, facts)

    def _send_array(self, units: Sequence[Unit]) -> None:
        array = write_array(self._site, units, self._cluster.setup)
        jobs = {unit.fingerprint: Job(unit, array, task) for task, unit in enumerate(units, start=1)}
        self._jobs |= jobs  # before they are: a signal may come when they just are
        grown = max(self._grown.get(unit.fingerprint, 1) for unit in units)
        options = self._cluster.options([unit.resources for unit in units], grown)
        try:
            self._slurmctld.submit([*options, *array.sbatch(len(units), self._cluster.at_once)], array.script)
            return
        except UnreachableError as error:  # it may have taken them, which the queue will show
            self._complain(str(error))
            return
        except FullError as error:
            self._jobs = {name: job for name, job in self._jobs.items() if name not in jobs}
            if self._jobs and not self._ends:
                self._new += units
                self.capacity = max(1, len(self._jobs))
            else:
                self._refuse(units, Problem("--executor slurm", f"Slurm takes no more jobs: {error}"))
        except InputError as error:
            self._jobs = {name: job for name, job in self._jobs.items() if name not in jobs}
            self._refuse(units, *error.problems)
        remove_folder(array.folder)

    def _refuse(self, units: Sequence[Unit], *problems: Problem) -> None:
        plain = [[problem.where, problem.what, problem.hint] for problem in problems]
        self._said.extend(Said(unit, {"problems": plain, "exit_code": 2}) for unit in units)

    def _refuse_unlike(self, unit: Unit, array: Array, row: Row) -> None:
        """Refuse to follow a job that computes otherwise than this run would. Raises `InputError`."""
        order = array.order(unit.fingerprint)
        wanted = {**self._site.environment(), "device": self._site.device}
        found = {**order["environment"], "device": order["device"]}
        unlike = [f"{name} {found.get(name)}, not {wanted[name]}" for name in wanted if found.get(name) != wanted[name]]
        if unlike:
            self._leaves = True
            what = f"is under way as job {row.job} with {', '.join(unlike)}"
            hint = f"Give the command that began it, or end it: scancel {row.job}"
            raise InputError(Problem(unit.title, what, hint))

    # From Slurm

    def _listen(self) -> None:
        """Take in what workers and scripts have said since."""
        for job in list(self._jobs.values()):
            for facts in job.words.new():
                self._hear(job, facts)

    def _hear(self, job: Job, facts: Facts) -> None:
        if self._jobs.get(job.unit.fingerprint) is not job:
            return  # it has had its last word
        if facts.get("slurm") == "began":
            job.begin()
            if facts["restarts"]:
                self._note(job, f"goes on as job {facts['job']} on {facts['node']}, requeued {facts['restarts']} times")
        elif facts.get("slurm") == "ended":
            job.end(facts)
        elif facts.get("interrupted"):
            job.held = facts
        elif "problems" in facts:
            self._end(job, facts)
        else:
            if facts.get("event") == "StageAdvanced":
                job.advance(facts["step"])
            self._said.append(Said(job.unit, facts))

    def _end(self, job: Job, facts: Facts) -> None:
        """Pass on a last word."""
        del self._jobs[job.unit.fingerprint]
        self._done_with.add(job.array)
        if facts["problems"] and not facts.get("interrupted"):
            self._to_keep.add(job.array)  # for somebody to look at the log
        self._said.append(Said(job.unit, facts))

    def _rows(self) -> dict[tuple[Path, int], Row]:
        """Return the queue as it is now; what it was where Slurm does not answer."""
        self._looked_at = time.monotonic()
        try:
            rows = {(row.script, row.task): row for row in self._slurmctld.look()}
        except UnreachableError as error:
            self._complain(str(error))
            return {job.key: job.row for job in self._jobs.values() if job.row}
        self._answers = True
        return rows

    def _look(self) -> None:
        """See which jobs wait, run, or are gone, and do what follows from it."""
        rows = self._rows()
        if not self._answers:
            return
        self._listen()  # what was said before a job had ended
        waiting, running = [], []
        for job in list(self._jobs.values()):
            row = rows.get(job.key)
            job.row = row or job.row
            if row is None or row.has_ended:
                job.missed += 1
                if job.missed >= _LOOKS or self._ends:
                    self._end(job, self._ending(job))
                continue
            job.missed = 0
            if row.waits and job.stuck:
                waiting.append(row)
                self._let_grow(job)
            elif row.waits and self._ends:
                waiting.append(row)
            elif self._ends and row.state == "RUNNING" and not job.asked:
                job.asked = True
                running.append(row)
            elif row.waits and row.reason.split(",")[0] in _FOR_EVER and row.reason not in job.told:
                job.told.add(row.reason)
                self._note(job, f"job {row.job} waits, maybe for ever: Slurm says {row.reason}")
        self._slurmctld.cancel(waiting)
        self._slurmctld.ask_to_save(running)

    def _let_grow(self, job: Job) -> None:
        """End a job that needs more time than it gets; it is to begin again with twice as much."""
        name = job.unit.fingerprint
        grown = self._grown.get(name, 1)
        had = self._cluster.time([job.unit.resources], grown)
        self._grown[name] = 2 * grown
        self._end(job, needs_more_time(job, had, self._cluster.most_minutes))

    def _ending(self, job: Job) -> Facts:
        """Return the last word of a job that is gone without one."""
        if self._ends:
            return job.held or interrupted(job.unit, has_begun=job.row is not None and not job.row.waits)
        if job.ended is not None and job.ended["again"]:
            return lost(job, preempted=True)
        if job.row is not None and job.row.state == "TIMEOUT":
            self._grown[job.unit.fingerprint] = 2 * self._grown.get(job.unit.fingerprint, 1)
        if job.row is not None and (job.row.state == "CANCELLED" or job.row.waits):
            return cancelled(job)
        if job.held is not None and (job.row is None or job.row.state not in ("PREEMPTED", "TIMEOUT", "NODE_FAIL")):
            return cancelled(job)
        return lost(job, preempted=job.row is not None and job.row.state == "PREEMPTED")

    def _note(self, job: Job, text: str) -> None:
        self._said.append(Said(job.unit, events.to_plain(events.StageNoted(job.unit.title, text))))

    def _complain(self, what: str) -> None:
        """Say, once, that Slurm does not answer."""
        if self._answers and self._jobs:
            job = next(iter(self._jobs.values()))
            text = f"does not answer, and is asked again; jobs that run go on: {what}"
            self._said.append(Said(job.unit, events.to_plain(events.StageNoted("Slurm", text))))
        self._answers = False

"""What lies in a store for each job array: its script, its units, what each says, and its logs."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augkit.executors import Site, Unit, worker_command
from augkit.store import make_private_folder, read_json, remove_folder, write_json, write_text
from augkit_slurm.programs import Row

JOBS = "jobs"
"""The folder of all arrays, beside the artifacts."""

SCRIPT = "stage.sh"
_UNITS = "units"
_SHORT = 12
_KEPT_SECONDS = 7 * 24 * 3600.0
"""How long an array's folder is kept that something went wrong in."""

_TEXT = """\
#!/bin/sh
# Each task of this job array builds one stage. USR1 comes when its time is nearly over: it saves, is requeued and goes
# on. USR2 comes when it is to save and end. Both come to this shell alone, which tells the worker once: a second signal
# would cost it the state. TERM is what Slurm sends to all processes of a job, so it is not passed on.
{setup}
here={here}
unit=$(sed -n "${{SLURM_ARRAY_TASK_ID}}p" "$here/{units}")
again=false
say() {{
    printf '\\n{{"slurm": "%s", "job": "%s_%s", "node": "%s", "restarts": %d, "code": %d, "again": %s}}\\n' "$1" \\
        "$SLURM_ARRAY_JOB_ID" "$SLURM_ARRAY_TASK_ID" "$SLURMD_NODENAME" "${{SLURM_RESTART_COUNT:-0}}" "$2" "$again" \\
        >> "$here/$unit.jsonl"
}}
say began 0
{command} "$here/$unit.json" &
worker=$!
told=
tell() {{
    [ $told ] || kill -TERM $worker
    told=yes
}}
trap 'again=true; tell' USR1
trap tell USR2
trap 'told=yes' TERM
code=0
while kill -0 $worker 2> /dev/null; do # a signal ends `wait`, not the worker
    wait $worker
    code=$?
done
[ $code = 143 ] || again=false
say ended $code
# By this name, because the number alone may be that of the whole array.
[ $again = true ] && scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
exit $code
"""


@dataclass(frozen=True)
class Array:
    """The folder of one job array, whose name is that of its jobs."""

    folder: Path

    @property
    def name(self) -> str:
        """What its jobs are called."""
        return self.folder.name

    @property
    def script(self) -> Path:
        """What its jobs run."""
        return self.folder / SCRIPT

    def fingerprints(self) -> list[str]:
        """Return the fingerprints of its stages, that of task 1 first; none where the folder is gone."""
        with suppress(OSError):
            return (self.folder / _UNITS).read_text(encoding="utf-8").split()
        return []

    def words(self, fingerprint: str) -> Path:
        """Return the file to which a stage's words are appended."""
        return self.folder / f"{fingerprint}.jsonl"

    def order(self, fingerprint: str) -> Mapping[str, Any]:
        """Return what a worker was told to build."""
        order: Mapping[str, Any] = read_json(self.folder / f"{fingerprint}.json")
        return order

    def log(self, task: int) -> Path:
        """Return the file of what a job prints."""
        return self.folder / f"{task}.log"

    def sbatch(self, tasks: int, at_once: int) -> list[str]:
        """Return the options of sbatch that belong to this folder."""
        place = str(self.folder).replace("%", "%%")
        return [f"--job-name={self.name}", f"--array=1-{tasks}%{at_once}", f"--output={place}/%a.log"]


def write_array(site: Site, units: Sequence[Unit], setup: Iterable[str]) -> Array:
    """Write the folder of a new array of stages of one kind."""
    root = make_private_folder(site.root) / JOBS
    name = f"augkit-{units[0].resources.kind}-{units[0].fingerprint[:_SHORT]}"
    names = (name, *(f"{name}-{number}" for number in range(2, 1_000_000)))
    array = Array(next(root / name for name in names if not (root / name).exists()))
    environment = site.environment()
    for unit in units:
        write_json(array.folder / f"{unit.fingerprint}.json", {**site.order(unit), "environment": environment})
    write_text(array.folder / _UNITS, "".join(f"{unit.fingerprint}\n" for unit in units))
    lines = [*setup, *(f"export {name}={shlex.quote(value)}" for name, value in environment.items())]
    text = _TEXT.format(
        setup="\n".join(lines),
        here=shlex.quote(str(array.folder)),
        units=_UNITS,
        command=shlex.join([*worker_command(), "--unit"]),
    )
    write_text(array.script, text)
    return array


def arrays_of(rows: Iterable[Row]) -> Iterator[tuple[Row, Array, str]]:
    """Yield the jobs that run an array's script, each with its array and the fingerprint of its stage."""
    known: dict[Path, list[str]] = {}
    for row in rows:
        array = Array(row.script.parent)
        if row.script.name == SCRIPT and array.folder.parent.name == JOBS:
            fingerprints = known.setdefault(array.folder, array.fingerprints())
            if row.task <= len(fingerprints):
                yield row, array, fingerprints[row.task - 1]


def remove_old(root: Path, rows: Sequence[Row]) -> None:
    """Remove the folders of arrays that have no job any more and were kept long enough to look at."""
    busy = {row.script.parent for row in rows if not row.has_ended}
    for folder in (make_private_folder(root) / JOBS).glob("*"):
        with suppress(OSError):
            if folder not in busy and time.time() - folder.stat().st_mtime > _KEPT_SECONDS:
                remove_folder(folder)

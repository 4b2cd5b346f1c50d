"""``augkit jobs``: the stages that are on a Slurm cluster."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

_WORDS = {
    "PENDING": "waits",
    "RUNNING": "runs",
    "COMPLETING": "ends",
    "CONFIGURING": "begins",
    "SUSPENDED": "is suspended",
    "COMPLETED": "done",
    "CANCELLED": "cancelled",
    "TIMEOUT": "out of time",
    "OUT_OF_MEMORY": "out of memory",
}


def jobs(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Only those that build for this folder of artifacts.")
    ] = None,
) -> None:
    """Show the stages that are under way as jobs of a Slurm cluster, and those that ended a moment ago.

    The command that began them follows them; `scancel` ends them, and they continue when that command is given again.

    Example: augkit jobs
    """
    from augkit_slurm.arrays import arrays_of
    from augkit_slurm.programs import Slurmctld, require_programs

    require_programs()
    lines = [("job", "state", "since", "where", "stage")]
    for row, array, fingerprint in arrays_of(Slurmctld().jobs()):
        order = {}
        with suppress(OSError, ValueError):
            order = dict(array.order(fingerprint))
        root = Path(order.get("root", "?"))
        if out is None or root == out.absolute():
            where = row.node or f"({row.reason})"
            stage = order.get("title", array.name) if out else f"{order.get('title', array.name)}  {root}"
            state = _WORDS.get(row.state, row.state.lower())
            lines.append((row.job, state, row.since.replace("T", " "), where, stage))
    if len(lines) == 1:
        print("No job of augkit is in Slurm's queue.")
        return
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())

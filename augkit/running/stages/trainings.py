"""What stages that train have in common."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from augkit.contracts.components import Frame
from augkit.contracts.manners import Settings
from augkit.contracts.rules import refusal_of
from augkit.data.formats import Format
from augkit.errors import InputError, Problem
from augkit.running.job import Job


@contextmanager
def training(job: Job) -> Iterator[None]:
    """Let a stage train inside: the other processes of torchrun are called to it, and its checkpoints end with it.

    What a plugin did to the whole process meanwhile is told, not refused, for a training may have taken days; it is put
    back after the stage.
    """
    from augkit.training import ranks
    from augkit.training.checkpoints import remove_checkpoints

    if ranks.rank() == 0:
        ranks.announce(f"{job.stage.address.kind}-{job.stage.address.name}")
    before = Settings.now()
    yield
    _tell_changes(job, before)
    remove_checkpoints(job.folder)


def _tell_changes(job: Job, before: Settings) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # then others may have done it
    now = Settings.now()
    who = " or ".join(dict.fromkeys(part.provider for part in job.stage.components)) or "the stage"
    for change in before.changes(now):
        job.log.note(f"{who} {change} while it trained; it is put back")
    if used := before.used_generators(now):
        names = " and ".join(sorted(used))
        job.log.note(f"{who} used the global random generator of {names}: another run may end in other bits")


def refuse_data(job: Job, size: tuple[int, int], format: Format) -> None:
    """Refuse images that a component of the stage does not take: a data set need not tell what they are beforehand."""
    problems = [
        Problem(f"{part.component.entry.kind} '{part.name}'", said, "Choose other images or another component")
        for part in job.stage.components
        if (said := refusal_of(part.component.instance, Frame(*size), format))
    ]
    if problems:
        raise InputError(*problems)

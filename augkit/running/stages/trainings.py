"""What stages that train have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from augkit.contracts.components import Frame
from augkit.contracts.rules import refusal_of
from augkit.data.formats import Format
from augkit.errors import InputError, Problem
from augkit.running.job import Job


@contextmanager
def training(job: Job) -> Iterator[None]:
    """Let a stage train inside: the other processes of torchrun are called to it, and its checkpoints end with it."""
    from augkit.training import ranks
    from augkit.training.checkpoints import remove_checkpoints

    if ranks.rank() == 0:
        ranks.announce(job.folder.name)
    yield
    remove_checkpoints(job.folder)


def refuse_data(job: Job, size: tuple[int, int], format: Format) -> None:
    """Refuse images that a component of the stage does not take: a data set need not tell what they are beforehand."""
    problems = [
        Problem(f"{part.component.entry.kind} '{part.name}'", said, "Choose other images or another component")
        for part in job.stage.components
        if (said := refusal_of(part.component.instance, Frame(*size), format))
    ]
    if problems:
        raise InputError(*problems)

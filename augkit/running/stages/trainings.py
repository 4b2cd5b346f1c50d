"""What stages that train have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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

"""Slurm: stages as jobs of a cluster, spoken to by its own programs; ``augkit jobs`` shows them."""

from collections.abc import Callable, Mapping

from augkit import hookimpl
from augkit.executors import Cluster
from augkit_slurm.cluster import Slurm
from augkit_slurm.command import jobs


@hookimpl
def augkit_executors() -> Mapping[str, type[Cluster]]:
    """Register the executor ``slurm``."""
    return {"slurm": Slurm}


@hookimpl
def augkit_commands() -> Mapping[str, Callable[..., object]]:
    """Add the command."""
    return {"jobs": jobs}

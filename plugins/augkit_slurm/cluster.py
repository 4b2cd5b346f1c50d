"""A cluster that Slurm manages, as the executor ``slurm``."""

from __future__ import annotations

from dataclasses import dataclass

from augkit.executors import Executor, Resources, Site
from augkit_slurm.executor import SlurmExecutor
from augkit_slurm.options import SlurmOptions
from augkit_slurm.programs import Slurmctld, require_programs


@dataclass(frozen=True)
class Slurm(SlurmOptions):  # noqa: D101 - what it is stands beside its options
    __doc__ = SlurmOptions.__doc__

    def start(self, site: Site) -> Executor:
        """Return an executor for one run; `InputError` where Slurm is not there or does not take such jobs."""
        require_programs()
        slurmctld = Slurmctld()
        rows = slurmctld.jobs()
        gpus = float(site.device == "cuda")
        slurmctld.try_out(self.options([Resources(threads=site.threads, gpus=gpus)], 1))
        return SlurmExecutor(self, site, slurmctld, rows)

"""Who builds the stages of a run: how an executor is started, and what is settled for its workers beforehand."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from augkit.contracts.executor import Executor, Resources, Site
from augkit.contracts.precision import wanted_precision
from augkit.errors import InputError, Problem
from augkit.planning.cluster import Elsewhere, check_detachable
from augkit.planning.tasks import Stage
from augkit.running.cache import nodes_of
from augkit.running.costs import Estimates
from augkit.running.elsewhere.nodes import versions
from augkit.running.local import LocalExecutor, threads_of


@dataclass(frozen=True)
class Workers:
    """Workers for the runs of one store.

    root:      the store's folder, absolute.
    jobs:      as many units at most; None for as many as there is room for.
    asked:     the threads that somebody asked for.
    elsewhere: where they are; None for worker processes of this machine.
    prepare:   is called before the first unit is given to one.
    """

    root: Path
    jobs: int | None
    asked: int | None
    elsewhere: Elsewhere | None
    prepare: Callable[[], None]

    @property
    def threads(self) -> int:
        """CPU threads of each worker."""
        if self.asked is not None:
            return self.asked
        if self.elsewhere is None or os.environ.get("OMP_NUM_THREADS", "").isdigit():
            return threads_of(self.jobs or 1)
        return self.elsewhere.cluster.threads

    @property
    def detach(self) -> bool:
        """Whether to leave what has begun to itself."""
        return self.elsewhere is not None and self.elsewhere.detach

    def device(self, wanted: str) -> str:
        """Return the device of the workers, for a wish such as ``auto``; imports torch. Raises `InputError`.

        Nodes may have GPUs that this machine has not.
        """
        from augkit.training.precision import choose_device

        if self.elsewhere is None:
            return choose_device(wanted)
        if ":" in wanted:
            what = f"names a GPU of this machine; allowed with --executor {self.elsewhere.executor}: auto, cpu, cuda"
            raise InputError(Problem(f"--device {wanted}", what))
        return wanted if wanted == "cuda" else choose_device(wanted)

    def start(self, device: str, run: str) -> Executor:
        """Return an executor for one run, which has a name. Raises `InputError` where it cannot be had."""
        if self.elsewhere is None:
            self.prepare()
            return LocalExecutor(Site(self.root, device, wanted_precision(), self.threads, self.jobs, run))
        nodes = nodes_of(self.root, run)
        site = Site(
            self.root,
            device,
            self._precision(device),
            self.threads,
            self.jobs,
            run,
            versions(),
            None if self.elsewhere.mixed_nodes else nodes,
        )
        executor = self.elsewhere.cluster.start(site)
        try:
            check_detachable(self.elsewhere, executor)
        except InputError:
            executor.close()
            raise
        self.prepare()
        return executor

    def resources(self, estimates: Estimates, device: str) -> Callable[[Stage], Resources]:
        """Return what tells the resources of a stage."""

        def of(stage: Stage) -> Resources:
            known = estimates.of(stage.address.fingerprint)
            memory, seconds = (known.memory, known.seconds) if known else (None, None)
            return Resources(stage.address.kind, self.threads, float(device.startswith("cuda")), memory, seconds)

        return of

    def _precision(self, device: str) -> str:
        """Return the precision of all workers. Raises `InputError` where this machine cannot tell what is native."""
        import torch

        from augkit.training.precision import choose_precision

        if device == "cuda" and not torch.cuda.is_available() and wanted_precision() == "auto":
            what = "found auto, and this machine has no GPU to ask; allowed with --device cuda: float32, bfloat16"
            raise InputError(Problem("--precision", what, "bfloat16 is what auto takes on GPUs since 2020"))
        return choose_precision(device)

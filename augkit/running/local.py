"""Worker processes on this machine: the executor that no plugin provides, and the example for those that do."""

from __future__ import annotations

import os
import queue
from contextlib import suppress

from augkit.contracts.executor import Said, Site, Unit
from augkit.running.elsewhere.process import WorkerProcess, worker_command
from augkit.running.machine.processor import own_cores


class LocalExecutor:
    """Worker processes on this machine, `Site.jobs` of them, each building one stage after another.

    ``cuda`` is every GPU there is.
    """

    def __init__(self, site: Site) -> None:
        self.capacity = site.jobs or 1
        self._site = site
        self._command = worker_command()
        self._environment = {**os.environ, **site.environment()}
        self._gpus = visible_gpus() if site.device == "cuda" else []
        self._said: queue.Queue[Said] = queue.Queue()
        self._workers: list[WorkerProcess] = []

    def submit(self, unit: Unit) -> None:
        """Give the unit to an idle worker, started if need be."""
        self._workers = [worker for worker in self._workers if worker.is_alive]
        idle = [worker for worker in self._workers if worker.is_idle]
        order = self._site.order(unit)
        if not any(worker.begin(unit, order) for worker in idle):
            self._start().begin(unit, order)

    def wait(self) -> Said | None:
        """Return the next thing said."""
        while True:
            with suppress(queue.Empty):
                return self._said.get(timeout=0.2)
            for worker in self._workers:
                worker.tell_if_stopped()
            if all(worker.is_idle for worker in self._workers) and self._said.empty():
                return None

    def interrupt(self) -> None:
        """Ask the workers to stop, through their input: a signal could reach them twice."""
        for worker in self._workers:
            worker.hang_up()

    def close(self) -> None:
        """End the workers: idle ones by hanging up, the others by force."""
        for worker in self._workers:
            worker.end()
        self._workers = []

    def _start(self) -> WorkerProcess:
        environment = dict(self._environment)
        taken = [worker.gpu for worker in self._workers]
        gpu = min(self._gpus, key=taken.count, default="")
        if gpu:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        worker = WorkerProcess(self._command, environment, self._said.put, gpu)
        self._workers.append(worker)
        return worker


def visible_gpus() -> list[str]:
    """Return the CUDA devices of this process, as CUDA_VISIBLE_DEVICES names them."""
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    if named:
        return named
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def threads_of(jobs: int) -> int:
    """Return each job's share of the cores that this process may use, unless OMP_NUM_THREADS says how many."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return max(1, own_cores() // jobs)

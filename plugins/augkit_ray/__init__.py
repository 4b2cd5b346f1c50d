"""Stages on Ray: a cluster that is there already, or a head of one's own on this machine."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from augkit import AtLeast, InputError, Problem, Within, hookimpl
from augkit.executors import Executor, Site
from augkit_ray.address import check_address


@dataclass(frozen=True)
class Ray:
    """Build stages in actors of a Ray cluster, each of which keeps one worker process (needs augkit[ray]).

    address: ``HOST:PORT`` of the cluster's head; RAY_ADDRESS if not given. Without either a head is started on this
             machine for the run, which nobody else can reach. Run augkit on a machine of the cluster. Beyond one
             machine, Ray must ask for a token (RAY_AUTH_MODE=token): without, everybody on the network can run code.
    threads: CPU threads of each worker, and CPUs that Ray sets aside for it.
    gpus:    share of a GPU that a worker is given with ``--device cuda``: at 0.25 four workers share one.
    slots:   workers side by side; as many as the cluster has room for if not given. With a number, a cluster that
             grows on demand grows to it.
    """

    address: str | None = None
    threads: Annotated[int, Within(1, 1024)] = 1
    gpus: Annotated[float, Within(0.01, 8)] = 1.0
    slots: Annotated[int, AtLeast(1)] | None = None

    def start(self, site: Site) -> Executor:
        """Return an executor on the cluster, or on a head that is started."""
        address, where = self.address or os.environ.get("RAY_ADDRESS", ""), "address" if self.address else "RAY_ADDRESS"
        if address:
            check_address(address, where)
        _settle(own_head=not address)
        try:
            import ray  # noqa: F401
        except ImportError as error:
            what = f"Ray cannot be imported ({error})"
            raise InputError(Problem("--executor ray", what, "Install it: pip install 'augkit[ray]'")) from error
        from augkit_ray.executor import RayExecutor
        from augkit_ray.head import join

        gpus = self.gpus if site.device == "cuda" else 0.0
        head = join(address, where, site.threads, site.jobs or self.slots or 1, gpus)
        return RayExecutor(site, head, gpus, self.slots)


def _settle(own_head: bool) -> None:
    """Settle what Ray takes from the environment, before it is imported.

    It would tell its makers of the run. A head of one's own is reached from this machine alone, where others may be
    logged in, so it asks for a token, which Ray would otherwise keep in the user's home.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it warns of what is told in a sentence here
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "5")  # seconds until a head is given up that lets nobody in
    if own_head:
        os.environ.setdefault("RAY_worker_niceness", "0")  # or other programs of this machine went before
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # on Linux, too, 0 has it listen on the loopback alone
    if own_head and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


@hookimpl
def augkit_executors() -> Mapping[str, type[Ray]]:
    """Return the executor."""
    return {"ray": Ray}

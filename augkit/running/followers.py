"""The other processes of torchrun: they train with the first one, and write nothing that is kept.

The first rank runs the plan with the engine. At the start of every stage that may train it tells the stage's name, and
the others do the same stage in a folder that is thrown away; what they compute reaches the first rank's result through
the gradients. When one of them is killed, torchrun ends all and starts them again, and the run continues from the last
checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from augkit.contracts.components import SilentLog
from augkit.contracts.manners import contained
from augkit.errors import AugkitError, Problem, StageError
from augkit.planning.plan import Plan
from augkit.planning.tasks import Stage
from augkit.running.job import Job
from augkit.running.machine.allocator import keep_freed_memory
from augkit.running.stages import run_stage
from augkit.store import Store
from augkit.training import ranks
from augkit.training.precision import choose_device

_END = ""


def meet() -> int:
    """Wait for the other processes that torchrun started; return the rank of this one."""
    ranks.join()
    return ranks.rank()


def follow(plan: Plan, store: Store, device: str) -> None:
    """Do the stages that the first rank calls for, until it says that the run is over; then leave it."""
    device = choose_device(device)
    stages = {f"{stage.address.kind}-{stage.address.name}": stage for stage in plan.stages()}
    try:
        while name := ranks.announce(_END):
            _join_in(stages[name], store, device)
        ranks.leave()
    except AugkitError:
        raise
    except RuntimeError as error:  # what torch.distributed raises when a connection breaks
        raise StageError(
            Problem(f"process {ranks.rank()}", f"lost the others: {str(error).splitlines()[0]}")
        ) from error


def dismiss() -> None:
    """Tell the other ranks that the run is over."""
    ranks.announce(_END)
    ranks.leave()


def _join_in(stage: Stage, store: Store, device: str) -> None:
    for upstream in stage.inputs.values():
        store.appears(upstream.address)  # the first rank has them, maybe on another host
    inputs = {name: store.path(upstream.address) for name, upstream in stage.inputs.items()}
    manifests = {name: store.manifest(upstream.address) for name, upstream in stage.inputs.items()}
    keep_freed_memory()
    with TemporaryDirectory(prefix="augkit-") as folder, contained():
        run_stage(Job(stage, Path(folder), device, SilentLog(), inputs, manifests))

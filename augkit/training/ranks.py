"""One training on several processes: torchrun starts them, and each computes a part of every batch.

Networks are not wrapped. Gradients are flattened and reduced once per network and step, because two forward passes and
one backward, as a GAN has, confuse wrappers. ``fast`` is one all-reduce. ``ordered`` cuts every batch into four shards,
computes each by itself and adds them in one order, so that 1, 2 and 4 processes end in the same bits; a norm's batch
statistics are then those of a shard, whoever computes it.

The first rank runs the job and is the only one that writes; the others follow it. A learner that does not use
`Gradients` is computed whole by every rank, which is right but no faster.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from augkit.errors import InputError, Problem

Reduction = Literal["fast", "ordered"]
SHARDS = 4
"""Shards of a batch under ``ordered``."""

STEP_SECONDS = 120
WAITING_DAYS = 30
"""How long a rank waits for the others within a training, and for the first rank between two trainings."""

_waiting: list[dist.ProcessGroup] = []


def rank() -> int:
    """Return which of the processes this is; 0 is the one that writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def join() -> None:
    """Meet the other processes that torchrun started, if it started any."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        store, number, size = next(iter(rendezvous("env://")))
        # torchrun's store outlives the processes that it starts again, and still holds the addresses of dead ones.
        count = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        attempt = dist.PrefixStore(f"attempt {count}", store)  # type: ignore[attr-defined]
        wait = timedelta(seconds=STEP_SECONDS)
        dist.init_process_group(_backends(), store=attempt, rank=number, world_size=size, timeout=wait)
        group = dist.new_group(backend="gloo", timeout=timedelta(days=WAITING_DAYS))
        assert isinstance(group, dist.ProcessGroup)
        _waiting[:] = [group]


def _backends() -> str:
    """Return who reduces what: nccl on GPUs, of which it wants one for each process; otherwise gloo."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return "cpu:gloo,cuda:nccl" if int(os.environ.get("LOCAL_WORLD_SIZE", "1")) <= gpus else "gloo"


def leave() -> None:
    """Part from the other processes."""
    if dist.is_initialized():
        _waiting.clear()
        dist.destroy_process_group()


def announce(name: str) -> str:
    """Tell the other ranks a name, or hear the one that the first rank tells, however long that takes."""
    return _sent(name.encode(), _waiting[0]).decode() if world() > 1 else name


def share(data: bytes) -> bytes:
    """Return the first rank's bytes on every rank."""
    return _sent(data, None) if world() > 1 else data


def agree(flags: int) -> int:
    """Return the largest of all ranks' flags; the host waits for the other hosts, not for its device."""
    if world() == 1:
        return flags
    value = torch.tensor(flags)
    dist.all_reduce(value, dist.ReduceOp.MAX)
    return int(value)


def average(values: Tensor) -> Tensor:
    """Return the mean over ranks; exact for float64 sums of float32 numbers, so the order of ranks does not show."""
    if world() > 1:
        dist.all_reduce(values)
        values /= world()
    return values


class Gradients:
    """Which parts of every batch this process computes, and how their gradients become one.

    parts: slices of a batch; the whole batch where there is nothing to cut.
    """

    def __init__(self, reduction: Reduction, batch_size: int) -> None:
        """Raises `InputError` where a batch cannot be cut evenly."""
        count = SHARDS if reduction == "ordered" else world()
        if batch_size % count or count % world():
            what = f"found {batch_size} with reduction '{reduction}' and {world()} process{'es' * (world() > 1)}"
            allowed = f"multiples of {count}" + (", and 1, 2 or 4 processes" if reduction == "ordered" else "")
            raise InputError(Problem("batch_size", f"{what}; allowed: {allowed}"))
        size, mine = batch_size // count, count // world()
        first = rank() * mine
        self.parts = tuple(slice(i * size, (i + 1) * size) for i in range(first, first + mine))
        self._whole = count == 1
        self._ordered = reduction == "ordered"

    def descend(self, network: nn.Module, optimizer: torch.optim.Optimizer, losses: Iterable[Tensor]) -> None:
        """Do one optimiser step of the network along the mean of the losses of all parts, on whatever rank.

        losses: one scalar per part of this process. Where the network has buffers, such as running statistics, its
                forward pass must happen when the loss is asked for: each part then starts from the same buffers, and
                they end as the mean over the parts.
        """
        if self._whole:
            for loss in losses:
                _differentiate(loss, optimizer)
        else:
            self._differentiate_parts(network, optimizer, losses)
        optimizer.step()

    @torch.no_grad()
    def _differentiate_parts(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, losses: Iterable[Tensor]
    ) -> None:
        buffers = list(network.buffers())
        before = [buffer.clone() for buffer in buffers]
        after, flat = before, []
        with torch.enable_grad():
            for loss in losses:
                _differentiate(loss, optimizer)
                after = [buffer.clone() for buffer in buffers]
                flat.append(torch.cat([value.reshape(-1) for value in _reducible(network)]))
                _copy(before, buffers)
        _copy(after, buffers)  # counters, such as the number of batches seen; the others are overwritten
        targets = _reducible(network)
        parts = torch.split(self._mean(torch.stack(flat)), [target.numel() for target in targets])
        _copy([part.view(target.shape) for part, target in zip(parts, targets, strict=True)], targets)

    def _mean(self, mine: Tensor) -> Tensor:
        """Return the mean over all parts, float32 (P,), from those of this process, float32 (parts, P)."""
        if not self._ordered:
            dist.all_reduce(mine)
            return mine[0] / world()
        parts = [mine]
        if world() > 1:
            parts = [torch.empty_like(mine) for _ in range(world())]
            dist.all_gather(parts, mine)
        shards = torch.cat(parts)
        return ((shards[0] + shards[1]) + (shards[2] + shards[3])) / SHARDS


def _differentiate(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]


def _reducible(network: nn.Module) -> list[Tensor]:
    """Return gradients and running statistics, in the network's order."""
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return gradients + [buffer for buffer in network.buffers() if buffer.is_floating_point()]


@torch.no_grad()
def _copy(values: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    for value, target in zip(values, targets, strict=True):
        target.copy_(value)


def _sent(data: bytes, group: dist.ProcessGroup | None) -> bytes:
    """Return the first rank's bytes: first how many, then they themselves."""
    size = torch.tensor(len(data))
    dist.broadcast(size, 0, group=group)
    if not int(size):
        return b""
    content = torch.frombuffer(bytearray(data if rank() == 0 else int(size)), dtype=torch.uint8)
    dist.broadcast(content, 0, group=group)
    return content.numpy().tobytes()

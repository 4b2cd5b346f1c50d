"""The samples of a batch spread over threads of a CPU, so that no thread waits for another after every operation.

torch gives each of its threads an equal share of every operation and waits for the last one. Beside a busy program
that is the thread whose core is taken, for as long as the system leaves the core to the other: two threads then fall
far behind one. Here a thread takes the next few samples when it is done with some, and is waited for once, at the end.
What is computed for a sample does not depend on who does it, so the number of threads changes no bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from math import isfinite
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_FEW = 4
"""Samples that a thread takes at a time."""


def spread(count: int, work: Callable[[range], None]) -> None:
    """Do `work` on 0 .. count - 1 with as many threads as torch may use; answers must not share memory.

    Work that leaves Python, as NumPy and OpenCV do, goes on side by side; none of it may use torch, which would bring
    threads of its own. Equal shares would wait for the slowest: OpenMP's threads, which torch uses, keep a core busy
    for milliseconds after they have nothing left to do.
    """
    threads = max(1, min(torch.get_num_threads(), count))
    few = count if threads == 1 else _FEW
    parts = iter([range(begin, min(begin + few, count)) for begin in range(0, count, max(few, 1))])

    def take() -> None:
        for part in parts:
            work(part)

    waiting = [_pool(threads - 1).submit(take) for _ in range(threads - 1)]
    take()
    for one in waiting:
        one.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="augkit")


if hasattr(os, "register_at_fork"):  # a forked process has the pool without its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def taken(stored: Tensor, where: Tensor) -> Tensor:
    """Return the samples of a tensor (N, ...) on the CPU that int64 `where` names, in its order."""
    found = torch.empty((len(where), *stored.shape[1:]), dtype=stored.dtype)
    source, out, index = stored.numpy(), found.numpy(), where.numpy()

    def work(part: range) -> None:
        some = slice(part.start, part.stop)
        np.take(source, index[some], axis=0, out=out[some], mode="clip")  # the others check and copy once more

    spread(len(index), work)
    return found


def floats(stored: Tensor, top: int) -> Tensor:
    """Return uint8 (N, ...) in 0..top on the CPU as float32 in 0..1, in the same memory layout."""
    unit = torch.empty_like(stored, dtype=torch.float32)
    source, out = stored.numpy(), unit.numpy()

    def work(part: range) -> None:
        some = slice(part.start, part.stop)
        np.divide(source[some], np.float32(top), out=out[some], dtype=np.float32)

    spread(len(source), work)
    return unit


def all_finite(pixels: Tensor) -> bool:
    """Return whether every value of float32 (N, C, H, W) on the CPU is finite."""
    in_place = pixels if pixels.is_contiguous() else pixels.permute(0, 2, 3, 1)
    flat: NDArray[Any] = in_place.detach().flatten(1).numpy()
    sums = np.zeros(len(flat))

    def work(part: range) -> None:
        for i in part:
            sums[i] = flat[i].sum()

    spread(len(flat), work)
    return isfinite(float(sums.sum()))

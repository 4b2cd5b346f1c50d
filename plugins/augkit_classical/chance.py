"""Which samples of a batch a change is made to, and in what pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_CHUNK = 4
"""Samples that a CPU works on at a time, per thread, so that the steps between find them in its cache."""


def _chunks(images: Tensor) -> Iterator[slice]:
    """Yield slices of the batch: a few samples each on a CPU, all at once on a GPU."""
    import torch

    step = _CHUNK * torch.get_num_threads() if images.device.type == "cpu" else max(len(images), 1)
    for begin in range(0, len(images), step):
        yield slice(begin, begin + step)


def change_some(images: Tensor, applied: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return a copy of images float32 (N, C, H, W) where the samples with `applied`, bool (N,), are changed.

    change: images (n, C, H, W) and their places int64 (n,) in the batch -> what they become. A CPU hands over only the
            samples that are changed; a GPU all of them, because to find out which would make it wait.
    """
    import torch

    if images.device.type == "cpu":
        out = images.clone()
        some = applied.nonzero()[:, 0]
        for part in _chunks(some):
            where = some[part]
            out[where] = change(images[where], where)
        return out
    everyone = torch.arange(len(images), device=images.device)
    return torch.where(applied[:, None, None, None], change(images, everyone), images)

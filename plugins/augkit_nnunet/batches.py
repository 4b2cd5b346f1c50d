"""Training batches by their number, drawn when they are asked for, or ahead of that in other processes."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from augkit_nnunet.package import foreign_randomness


class Numbered(Dataset[Any]):
    """The batches of nnU-Net's loader; the random numbers of a batch belong to its number."""

    def __init__(self, loader: Any, *seed: int) -> None:
        self._loader = loader
        self._seed = seed

    def __getitem__(self, number: int) -> Any:
        with foreign_randomness(*self._seed, number):
            return next(self._loader)


class Ahead:
    """Batches that so many processes draw ahead, in the order of their numbers; the same as without them."""

    def __init__(self, batches: Numbered, steps: int, workers: int) -> None:
        self._batches = batches
        self._steps = steps
        self._workers = workers if "fork" in multiprocessing.get_all_start_methods() else 0
        self._stream: Iterator[Any] = iter(())
        self._next = -1

    def at(self, number: int) -> Any:
        """Return batch `number`; asked for in order, it is there already."""
        if not self._workers:
            return self._batches[number]
        if number != self._next:
            self._begin(number)
        self._next = number + 1
        return next(self._stream)

    def _begin(self, number: int) -> None:
        """Let new processes draw from `number` on; those that drew before end."""
        self._stream = iter(())
        loader: DataLoader[Any] = DataLoader(
            self._batches,
            batch_size=None,
            sampler=range(number, self._steps),
            num_workers=self._workers,
            multiprocessing_context="fork",
            generator=torch.Generator(),  # it would draw a seed from the global one
        )
        with warnings.catch_warnings(
            action="ignore"
        ):  # of forking beside threads; the processes take no lock of theirs
            self._stream = iter(loader)

"""Painting masks with a network, many at a time, so that an image does not depend on its neighbours in a batch.

Kernels are chosen by the shape of a batch, and two kernels differ in the last bits of the same sum. So a network sees
one shape only: every batch is filled up, and what fills it is thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augkit.data.arrays import Masks
from augkit.data.draws import Draws, TensorDraws
from augkit.data.formats import Format, class_masks

PAINTING_BATCH = 32
"""Images that are painted at once."""

_DRAFTING = ContextVar("drafting", default=False)


@contextmanager
def drafting() -> Iterator[None]:
    """Let batches hold the masks that there are and no more, in this context and thread.

    A few masks then take a fraction of the time. The last bits of an image may be others than those that a run stores.
    """
    token = _DRAFTING.set(True)
    try:
        yield
    finally:
        _DRAFTING.reset(token)


def filled_batches(
    masks: Masks,
    draws: Draws[NDArray[Any]],
    device: str,
    size: int = PAINTING_BATCH,
    format: Format | None = None,
) -> Iterator[tuple[slice, Tensor, TensorDraws]]:
    """Yield where a batch lies in `masks`, the batch, and the draws of its samples, on the device.

    masks: (N, H, W), as a set of the format has them, bool unless told. A batch is float32 (size, K, H, W) in {0, 1},
           as in `Batch`: with ignored pixels, the background is the last of K + 1 classes. The last batch is filled up
           with empty masks. Of what is painted of a batch, only the first ``where.stop - where.start`` images count.
    """
    if _DRAFTING.get():
        size = min(size, max(1, len(masks)))
    what = format or Format()
    classes = len(what.classes)
    height, width = masks.shape[1:]
    for begin in range(0, len(masks), size):
        where = slice(begin, min(begin + size, len(masks)))
        count = where.stop - begin
        batch = np.zeros((size, classes + what.ignore, height, width), np.float32)
        batch[:count, :classes] = class_masks(masks[where], classes)
        if what.ignore:
            batch[:count, classes] = masks[where] == 0
        keys = np.zeros(size, np.int64)
        keys[:count] = draws[where].keys
        yield where, torch.from_numpy(batch).to(device), Draws(torch.from_numpy(keys).to(device))

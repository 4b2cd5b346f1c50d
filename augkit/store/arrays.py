"""Arrays in files of their own, written and read without a copy of them in memory."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit.store.writing import whole_file

_PIECE = 1 << 24
"""Bytes of an array that are written at a time."""


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write one array as .npy, whole or not at all, without a copy of it in memory."""
    columns = isinstance(array, np.ndarray) and array.flags.f_contiguous and not array.flags.c_contiguous
    with array_file(path, array.shape, array.dtype, columns) as add:
        rows = array.T if columns else array if array.ndim else array[None]
        step = max(1, _PIECE // max(1, rows.nbytes // max(1, len(rows))))
        for begin in range(0, len(rows), step):
            add(rows[begin : begin + step])


@contextmanager
def array_file(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], columns: bool = False
) -> Iterator[Callable[[NDArray[Any]], None]]:
    """Give a function that adds the next rows of an array to a .npy file, which appears when all are written.

    columns: the array lies in memory column by column, and so does the file; what is added are rows of its transpose.
    """
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be saved; allowed: numbers and truth values")
    header = BytesIO()
    facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": columns, "shape": shape}
    np.lib.format.write_array_header_1_0(header, facts)
    with whole_file(path, math.prod(shape) * dtype.itemsize) as write:
        write(header.getvalue())

        def add(rows: NDArray[Any]) -> None:
            # Not by tofile, whose errors do not tell a full disk from others.
            write(np.ascontiguousarray(rows, dtype).data.cast("B") if rows.size else b"")

        yield add


def let_go(array: NDArray[Any]) -> None:
    """Take what was read of an array that `read_array` mapped out of this process's memory; it can be read again.

    Otherwise whoever reads here and there in many large files ends up with all of them in memory.
    """
    mapped = getattr(array, "base", None)
    while isinstance(mapped, np.ndarray):  # of a view
        mapped = mapped.base
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def read_array(path: Path) -> NDArray[Any]:
    """Return an array, mapped from disk and read-only."""
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array

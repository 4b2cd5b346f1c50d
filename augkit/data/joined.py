"""Arrays that stand one after the other in several files, as one that is read by index and never whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from augkit.store import let_go


class Joined:
    """Arrays joined along their first axis, or chosen rows of them; what is asked for is read, and nothing is kept.

    It has `shape`, `dtype`, `ndim`, `nbytes` and a length, and an index along its first axis, a number, a slice, a list
    or an array of numbers or truth values, returns a new array of those rows, as for any array. ``np.asarray`` reads
    all of it into memory.
    """

    def __init__(self, parts: Sequence[Any], chosen: NDArray[np.int64] | None = None) -> None:
        """`parts`: arrays, mapped or not, that differ in their first axis only; `chosen`: int64 (n,), rows of all."""
        self._parts = tuple(parts)
        self._begins = np.cumsum([0, *(len(part) for part in self._parts)])
        self._chosen = chosen
        unlike = dict.fromkeys((part.dtype, part.shape[1:]) for part in self._parts)
        if len(unlike) != 1:
            found = ", ".join(f"{dtype} {shape}" for dtype, shape in unlike) or "nothing"
            raise ValueError(f"found {found}; allowed: one or more arrays of one dtype and shape")
        self.dtype: np.dtype[Any] = self._parts[0].dtype
        self.shape: tuple[int, ...] = (len(self), *self._parts[0].shape[1:])

    def __len__(self) -> int:
        return int(self._begins[-1]) if self._chosen is None else len(self._chosen)

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes all of it has."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, index: Any) -> NDArray[Any]:
        if isinstance(index, tuple):
            first, *others = index
            rows = self[first]
            return rows[tuple(others) if rows.ndim < self.ndim else (slice(None), *others)]
        where = _places(index, len(self))
        rows = self._read(np.atleast_1d(where))
        return rows if where.ndim else rows[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[place] for place in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:] if dtype is None else self[:].astype(dtype)

    def __getattr__(self, name: str) -> Any:
        hint = "index it, as in images[begin:end], or read all of it by np.asarray"
        raise AttributeError(f"arrays in shards have no '{name}'; {hint}")

    def rows(self, where: NDArray[np.int64]) -> Self:
        """Return some rows as such an array again, int64 (n,); nothing is read."""
        return type(self)(self._parts, where if self._chosen is None else self._chosen[where])

    def view(self, dtype: Any) -> Self:
        """Return the same bytes as another dtype of that size."""
        return type(self)([part.view(dtype) for part in self._parts], self._chosen)

    def _read(self, where: NDArray[np.int64]) -> NDArray[Any]:
        where = where if self._chosen is None else self._chosen[where]
        rows = np.empty((len(where), *self.shape[1:]), self.dtype)
        which = np.searchsorted(self._begins, where, side="right") - 1
        for place in np.unique(which):
            here, part = which == place, self._parts[place]
            rows[here] = part[where[here] - self._begins[place]]
            let_go(part)
        return rows


def _places(index: Any, count: int) -> NDArray[np.int64]:
    """Return the rows that an index along an axis of `count` stands for, int64 (n,), or () for a number."""
    if isinstance(index, slice):
        return np.arange(*index.indices(count), dtype=np.int64)
    where = np.asarray(index)
    if where.dtype == np.bool_ and where.shape == (count,):
        return np.flatnonzero(where).astype(np.int64)
    if where.size and (where.dtype.kind not in "iu" or where.ndim > 1):
        raise IndexError(f"index is {where.dtype} {where.shape}; allowed: a number, a slice, or a list of them")
    where = where.astype(np.int64)
    if where.size and not (-count <= where.min() and where.max() < count):
        raise IndexError(f"index {where.min()} .. {where.max()} is out of range; allowed: 0 .. {count - 1}")
    return np.where(where < 0, where + count, where)


def some_rows(array: Any, where: NDArray[np.int64] | slice) -> Any:
    """Return some rows of an array: views or copies of one in memory, and of a joined one what is read later."""
    return array.rows(_places(where, len(array))) if isinstance(array, Joined) else array[where]


def join(arrays: Sequence[Any], in_memory: bool) -> Any:
    """Return arrays joined along their first axis: in memory, or where they are if one of them is read by index."""
    if in_memory and not any(isinstance(array, Joined) for array in arrays):
        return np.concatenate(arrays)
    return Joined(arrays)

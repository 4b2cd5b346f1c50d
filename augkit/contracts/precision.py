"""The precision that somebody asked for: of one run, or else of the whole process.

Of the process it is in the environment, as ``AUGKIT_PRECISION``, like the number of threads; of a run it goes with the
thread that runs it, so that two runs of a notebook do not hand theirs to each other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

VARIABLE = "AUGKIT_PRECISION"
PRECISIONS = ("auto", "float32", "bfloat16")

_OF_THE_RUN: ContextVar[str | None] = ContextVar("precision of the run", default=None)


def wanted_precision() -> str:
    """Return what was asked for, as it was written; ``auto`` where nobody asked."""
    return _OF_THE_RUN.get() or os.environ.get(VARIABLE, "auto")


@contextmanager
def precision_of_run(precision: str | None) -> Iterator[None]:
    """Let what this thread computes in this context be in a precision; None for what the environment says."""
    token = _OF_THE_RUN.set(precision)
    try:
        yield
    finally:
        _OF_THE_RUN.reset(token)

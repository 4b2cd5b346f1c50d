"""Keeping freed memory for the next step of the same process."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 2**31 - 1


@cache
def keep_freed_memory() -> bool:
    """Let the C library keep what is freed instead of giving it back to the system; return whether it does.

    A training step asks for the same large arrays again and again. By default glibc maps those above 32 MB anew every
    time, and the system clears each page when it is first written: elastic deformation of 64 images of 128 x 128 took
    1.6 times as long. No result changes; up to 2 GB that a process once used stay with it. Linux with glibc only.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    return mallopt is not None and bool(mallopt(_MMAP_THRESHOLD, _KEPT_BYTES) and mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))

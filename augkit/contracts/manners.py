"""Keeping a plugin's code from the process around it: what it prints goes to people, and the working folder stays."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path


@contextmanager
def contained() -> Iterator[None]:
    """Let what is printed in this context go to the standard error, and come back to the working folder after it.

    The standard output is for results, which programs read. Both belong to all threads of a process, so in another
    thread than the main one everything is left as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    folder = None
    with suppress(OSError):  # it was removed
        folder = Path.cwd()
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if folder is not None:
            os.chdir(folder)

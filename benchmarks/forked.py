"""augkit's command line in a copy of this process: everything is imported already, so that an attempt is all work."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.update({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})  # a process with threads must not fork

import augkit_classical.host
import augkit_mask2lesion.training
import augkit_texture.generator
import augkit_unet.training
from augkit.__main__ import main
from augkit.report import page as report
from augkit.running import worker
from augkit.training import loop

PRELOADED = (
    augkit_classical.host,
    augkit_mask2lesion.training,
    augkit_texture.generator,
    augkit_unet.training,
    report,
    worker,
)
"""Imported before processes part ways."""

CHECKPOINT_SECONDS = 0.05


def start(
    arguments: Sequence[str],
    log: Path,
    prepare: Callable[[], None] = lambda: None,
    conclude: Callable[[], None] = lambda: None,
) -> int:
    """Start augkit with a command line and return the process; what it says is added to `log`.

    prepare, conclude: called in the copy, before it begins and before it ends.
    """
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        saying = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(saying, 1)
        os.dup2(saying, 2)
        loop.CHECKPOINT_SECONDS = CHECKPOINT_SECONDS
        sys.argv = ["augkit", *arguments]
        prepare()
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        conclude()
        os._exit(code)


def code_of(process: int, seconds: float) -> int | None:
    """Return the exit code of a process, -9 where SIGKILL ended it; None where it has not ended after that time."""
    until = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            return None
        time.sleep(0.005)


def end(process: int) -> None:
    """End a process that was started here."""
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)

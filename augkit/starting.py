"""What must stand before the command line is imported: signals during imports, and how threads wait for each other.

What is imported by `python -m augkit` and by the `augkit` script before a line of theirs is run can be guarded by
nobody else. Where another program imports augkit, nothing is changed.
"""

import _thread
import os
import sys
import threading
from types import FrameType, TracebackType


def end_quietly(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Tell of Ctrl-C in one word; of anything else as Python does."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write("Interrupted.\n")
    sys.exit(130)


AGAIN_SECONDS = 0.05
"""From a signal that came where its exception would be dropped to its coming again."""


def comes_again(number: int, frame: FrameType | None) -> bool:
    """Let a signal come again a moment later where Python would drop what its handler raises; return whether it will.

    Every import has such a moment, in the callback of a weak reference: Python prints the exception and goes on.
    For handlers of SIGTERM; Ctrl-C keeps Python's own.
    """
    while frame is not None:
        if frame.f_code.co_name == "cb" and frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            threading.Timer(AGAIN_SECONDS, _thread.interrupt_main, (number,)).start()
            return True
        frame = frame.f_back
    return False


BRIEFLY = {} if "OMP_WAIT_POLICY" in os.environ else {"GOMP_SPINCOUNT": "1000"}
"""What lets OpenMP's threads, once torch is imported, sleep soon after their work; what the user chose holds.

By default GNU's keep their cores busy for milliseconds. Beside another program two threads of a U-Net's training then
had 0.4 to 0.7 times the rate of one, and so 0.9; on an idle machine that costs 5 to 7 % (2 cores, AVX2, torch 2.13).
The number is what that library takes by itself where it sees more threads than cores. No bit changes.
"""


if sys.argv and sys.argv[0].endswith(("-m", "augkit", "augkit.exe")):
    sys.excepthook = end_quietly
    os.environ.update(BRIEFLY | os.environ)

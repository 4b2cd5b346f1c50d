"""What must stand before the command line is imported: signals during imports.

What is imported by `python -m augkit` and by the `augkit` script before a line of theirs is run can be guarded by
nobody else. Where another program imports augkit, nothing is changed.
"""

import _thread
import signal
import sys
import threading
from types import FrameType, TracebackType


class Terminated(KeyboardInterrupt):
    """SIGTERM came: what Ctrl-C is by its signal, and so no failure of the code that it came in."""


def exit_code(end: KeyboardInterrupt) -> int:
    """Return what a process that was ended so ends with: 128 and the number of the signal, as a shell has it."""
    return 128 + (signal.SIGTERM if isinstance(end, Terminated) else signal.SIGINT)


def end_quietly(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Tell of Ctrl-C and SIGTERM in one word; of anything else as Python does."""
    if not isinstance(error, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write("Interrupted.\n")
    sys.exit(exit_code(error))


AGAIN_SECONDS = 0.05
"""From a signal that came where its exception would be dropped to its coming again."""


def end_by_exception(number: int, frame: FrameType | None) -> None:
    """Handle SIGINT or SIGTERM: raise what ends the process, or come again where Python would drop what is raised.

    Every import has such a moment, in the callback of a weak reference: Python prints the exception and goes on.
    """
    while frame is not None:
        if frame.f_code.co_name == "cb" and frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            threading.Timer(AGAIN_SECONDS, _thread.interrupt_main, (number,)).start()
            return
        frame = frame.f_back
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


if sys.argv and sys.argv[0].endswith(("-m", "augkit", "augkit.exe")):
    sys.excepthook = end_quietly
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end_by_exception)

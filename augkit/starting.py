"""Ctrl-C while the command line is still being imported: it ends as quietly as later, in a sentence and with 130.

What is imported by `python -m augkit` and by the `augkit` script before a line of theirs is run can be guarded by
nobody else. Where another program imports augkit, nothing is changed.
"""

import sys
from types import TracebackType


def end_quietly(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Tell of Ctrl-C in one word; of anything else as Python does."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write("Interrupted.\n")
    sys.exit(130)


if sys.argv and sys.argv[0].endswith(("-m", "augkit", "augkit.exe")):
    sys.excepthook = end_quietly

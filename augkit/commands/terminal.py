"""What somebody at a terminal meets in every command: tables, sentences instead of tracebacks, exit codes, signals."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augkit.contracts.events import COMPARISON, Event, StageNoted
from augkit.starting import end_by_exception, exit_code

if TYPE_CHECKING:
    from rich.console import Console

    from augkit.contracts.registry import Registry
    from augkit.report.verdict.scores import ArmScores
    from augkit.running.audience import Audience


_BAD_NAMES = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENOENT, errno.EROFS)
"""What the system says of a name on the command line that no file can have, or that is not ours to use."""


@contextmanager
def explained() -> Iterator[None]:
    """Turn failures into sentences and exit codes: 2 bad input, 130 interrupted, 1 or 4 a run that failed."""
    from augkit.errors import AugkitError, InterruptedRunError

    try:
        yield
    except InterruptedRunError as error:
        complain(*(str(problem) for problem in error.problems), "The same command continues from here.")
        sys.exit(error.exit_code)
    except AugkitError as error:
        complain(*(str(problem) for problem in error.problems))
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename is None or error.errno == errno.EPIPE:
            raise  # of the standard output, which `written` tells
        complain(f"{error.filename}: {error.strerror}")
        sys.exit(2 if error.errno in _BAD_NAMES else 1)
    except KeyboardInterrupt as end:
        complain("Interrupted; finished stages are kept. The same command continues.")
        sys.exit(exit_code(end))


@contextmanager
def written() -> Iterator[None]:
    """End with a sentence where the standard output takes no more, as of a full disk, and on a signal at any time."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt as end:
        complain("Interrupted.")
        sys.exit(exit_code(end))
    except OSError as error:
        if error.errno == errno.EBADF:  # the output was closed, and nobody waits for it
            raise
        complain(f"reading or writing failed: {error.strerror or error}")
        with suppress(OSError, ValueError):  # what waits to be printed would fail again when the process ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def complain(*lines: str) -> None:
    """Print lines on standard error."""
    for line in lines:
        print(_visible(line), file=sys.stderr)


def say(line: str) -> None:
    """Print a line on standard output."""
    print(_visible(line))


def shown(path: Path) -> str:
    """Return a path as somebody would write it here: from the working folder on, if it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _visible(text: str) -> str:
    """Return the text with what cannot be printed spelt out: names of files and recipes must not steer a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def prepare(registry: Registry, quiet: bool, observers: Sequence[str] = ()) -> Audience:
    """Make this process ready to build stages, and return those who hear of the progress."""
    from augkit.running.audience import Audience

    watching = registry.choose_observers([*([] if quiet else ["progress"]), *observers], "--observer")
    end_on_signals()
    for fault in registry.faults if not quiet else ():
        complain(f"skipped plugin: {fault}")
    return Audience((*watching, ("losses", _complain_of_losses)) if quiet else watching)


def _complain_of_losses(event: Event) -> None:
    """Tell what is worth a word also where all is quiet.

    An observer failed, for instance because its library is missing, and somebody asked for it by name; or no verdict
    can come out of a comparison, which may take days.
    """
    if isinstance(event, StageNoted) and event.stage in ("observers", COMPARISON):
        complain(f"{event.stage}: {event.text}" if event.stage == COMPARISON else event.text)


def fill_closed_streams() -> None:
    """Let what would go to a stream that was closed from the start go nowhere.

    Otherwise the next file that is opened has its number, and gets what compiled code prints.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest number that is free
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def own_output() -> None:
    """Keep the standard output of this process for results: what compiled code prints goes to the standard error.

    Python's prints of plugins are kept away where their code is called; this is for code that writes to the descriptor
    itself. It is done once and for all, because a descriptor belongs to all threads.
    """
    output = sys.stdout
    with suppress(OSError, ValueError):  # a stream that is no file of the system, or is closed
        if not isinstance(output, TextIOWrapper) or output.fileno() != 1:
            return
        output.flush()
        results = os.dup(1)
        os.dup2(2, 1)
        by_line = 1  # so that who waits for a line behind a pipe, such as the other host's of `doctor`, gets it
        sys.stdout = os.fdopen(results, "w", by_line, encoding=output.encoding, errors=output.errors)


def end_on_signals() -> None:
    """End by exception on SIGTERM, and treat a closed terminal as that, unless it is ignored as by nohup.

    In another thread than the main one, signals are the business of the program around us.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGTERM, end_by_exception)
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is not None and signal.getsignal(hang_up) != signal.SIG_IGN:
        signal.signal(hang_up, lambda number, frame: signal.raise_signal(signal.SIGTERM))


_UNBOUNDED = 1000
"""Columns where the output is no terminal: a table in a file or a pipe loses nothing."""


def open_console() -> Console:
    """Return the console of standard output."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _UNBOUNDED)


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]], console: Console) -> None:
    """Print a table with a title above; cells are wrapped where a terminal is narrow, never cut."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # As text, because in a plain string "[...]" is markup.
    table = Table(box=box.SIMPLE, title=Text(title), title_justify="left", title_style="")
    for name in header:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_visible(cell)) for cell in row))
    console.print(table)


MOST_WARNINGS = 5
"""Lines of warnings that the end of a command prints; the page folds what is more, too."""


def print_comparison(arms: Sequence[ArmScores], comparison: Mapping[str, Any], warnings: Iterable[str]) -> None:
    """Print the answer, warnings, Table 1 and the sentences of a recorded comparison, in the words of its page."""
    from augkit.report.tables import table_rows, table_title
    from augkit.report.verdict.finding import NO_VERDICT

    console = open_console()

    def tell(line: str, style: str = "") -> None:
        console.print(_visible(line), soft_wrap=True, markup=False, style=style)

    answer = comparison["answer"]
    tell(answer["title"])
    tell(answer["sentence"], "bold")
    if answer["settle"]:
        tell(answer["settle"])
    told = list(dict.fromkeys((*comparison["cautions"], *warnings)))
    for warning in told[:MOST_WARNINGS]:
        tell(f"⚠ {warning}")
    if len(told) > MOST_WARNINGS:
        tell(f"⚠ {len(told) - MOST_WARNINGS} more warnings are in the report.")
    header, *rows = table_rows(arms)
    print_table(table_title(arms[0]), header, rows, console)
    for contrast in comparison["contrasts"]:
        if contrast["verdict"] != NO_VERDICT:  # the answer says why there is none
            tell(contrast["sentence"])
    if "ranking" in comparison:
        tell(f"Which one? {comparison['ranking']['sentence']}")
    for remark in comparison["remarks"]:
        tell(remark)

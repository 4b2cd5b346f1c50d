"""What the command line sets before anything else is imported, and other programs are spared."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

DROPS = """
import signal, sys, time
from augkit.starting import end_by_exception, end_quietly
sys.excepthook = end_quietly
signal.signal({number}, {handler})

def at_the_moment(frame, event, argument):
    if frame.f_code.co_name == "cb" and event == "call":
        sys.setprofile(None)
        signal.raise_signal({number})

sys.setprofile(at_the_moment)
import colorsys
assert sys.getprofile() is None, "no import has such a moment any more"
time.sleep(30)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_where_python_would_drop_its_exception_ends_the_process_a_moment_later(number: int, code: int) -> None:
    program = DROPS.format(number=int(number), handler="end_by_exception")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (code, "Interrupted.\n")


def test_ctrl_c_is_handled_so_in_the_command_alone() -> None:
    tell = "import signal, sys; sys.argv[0] = {name!r}; import augkit; print(signal.getsignal(signal.SIGINT))"
    for name, handler in (("/usr/bin/augkit", "end_by_exception"), ("notebook.py", "default_int_handler")):
        done = subprocess.run(
            [sys.executable, "-c", tell.format(name=name)], capture_output=True, text=True, check=True
        )
        assert handler in done.stdout


def test_the_exception_of_a_usual_handler_is_dropped_there() -> None:
    code = DROPS.format(number=int(signal.SIGINT), handler="signal.default_int_handler").replace("time.sleep(30)", "")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0
    assert "Exception ignored" in done.stderr

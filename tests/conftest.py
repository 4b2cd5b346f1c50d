"""What every test may rely on."""

import os
import signal

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    # Before torch is imported. Networks of tests are too small for two threads, and threads of workers side by side
    # would wait for each other.
    os.environ.setdefault(_name, "1")


def pytest_configure():
    """Let Ctrl-C reach the tests and the processes they start, also where a script runs them in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)

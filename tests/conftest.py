"""What every test may rely on."""

import signal


def pytest_configure():
    """Let Ctrl-C reach the tests and the processes they start, also where a script runs them in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)

"""What every test may rely on."""

import os
import signal
import sys

import pytest

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    # Before torch is imported. Networks of tests are too small for two threads, and threads of workers side by side
    # would wait for each other.
    os.environ.setdefault(_name, "1")


def pytest_configure():
    """Let Ctrl-C reach the tests and the processes they start, also where a script runs them in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def the_same_weights_every_time():
    """Let a test that draws weights draw the same ones always, so that it never fails by chance."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture
def no_waiting_for_the_disk(monkeypatch):
    """For tests that are not about power cuts."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def augkit(tmp_path, monkeypatch, capsys):
    """Run a command line in an empty folder; returns exit code, standard output and standard error."""
    from augkit import cli  # imports torch, which reads what is set above

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["augkit", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.app(list(arguments), prog_name="augkit")
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return int(ended.value.code or 0), out, err

    return run

"""What the command line sets before anything else is imported, and other programs are spared."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TELL = "import sys; sys.argv[0] = '{name}'; import augkit, os; print(os.environ.get('GOMP_SPINCOUNT'))"


def spins(name: str, **chosen: str) -> str:
    """Return how long OpenMP's threads wait in a process of this name, after augkit has been imported."""
    kept = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    command = [sys.executable, "-c", TELL.format(name=name)]
    return subprocess.run(command, env=kept | chosen, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("name", ["/usr/bin/augkit", "-m"])
def test_threads_of_the_command_sleep_soon_after_their_work(name: str) -> None:
    assert spins(name) == "1000"


def test_threads_of_other_programs_wait_as_before() -> None:
    assert spins("notebook.py") == "None"


def test_what_the_user_chose_for_threads_holds() -> None:
    assert spins("augkit", GOMP_SPINCOUNT="5") == "5"
    assert spins("augkit", OMP_WAIT_POLICY="active") == "None"

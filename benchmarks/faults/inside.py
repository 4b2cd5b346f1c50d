"""A module of faults in namespaces of Linux, which need no rights: file systems and networks of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def attempts_inside(module: str, *arguments: str) -> Iterator[str]:
    """Run ``python -m module`` with file systems and a network of its own; yield the lines that it prints."""
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "--net"]
    command = [*unshare, sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True) as inside:
        assert inside.stdout is not None
        for line in inside.stdout:
            yield line.rstrip("\n")
    if inside.returncode:
        yield f"the program in the namespace ended with exit code {inside.returncode}"

"""Runs on a disk that is too small: a file system in memory, in a namespace of its own, which needs no rights."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from faults.inside import attempts_inside
from faults.runs import Tiny, difference, end_of, last_line
from kills import damage

ENOUGH = "64m"


def attempts(quick: bool) -> Iterator[str]:
    """20 sizes between nothing and what a run needs, 3 if quick; each time the same command then gets a larger disk."""
    return attempts_inside("faults.disk", "3" if quick else "20")


def main() -> None:
    """Print a line for every size."""
    with tempfile.TemporaryDirectory() as name:
        tiny = Tiny(Path(name))
        reference = tiny.reference()
        files = (file for file in (tiny.folder / "reference").rglob("*") if file.is_file())
        needed = sum(file.stat().st_size for file in files)
        for kilobytes in np.linspace(40, needed / 1024 * 0.98, int(sys.argv[1])):
            print(too_small(tiny, int(kilobytes), reference), flush=True)


def too_small(tiny: Tiny, kilobytes: int, reference: dict[str, str]) -> str:
    """Run on a disk of that size, then on a larger one; return what was wrong."""
    disk = tiny.folder / f"disk-{kilobytes}"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(disk)]
    subprocess.run(mount, check=True)
    try:
        store = disk / f"runs-{kilobytes}"
        log = tiny.log(store)
        code = end_of(tiny.start(store, "--quiet"))
        said = log.read_text()
        if code == 0 or not isinstance(code, int) or code < 0:
            return f"{kilobytes} kB: exit code {code}"
        if "Traceback" in said or str(store) not in said or "Free some space" not in said:
            return f"{kilobytes} kB: {last_line(log)}"
        if damaged := sum(damage(store).values()):
            return f"{kilobytes} kB: {damaged} damaged under a final name"
        subprocess.run(["mount", "-o", f"remount,size={ENOUGH}", str(disk)], check=True)
        return tiny.finish(store) or difference(store, reference)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


if __name__ == "__main__":
    main()

"""Let the n-th call that changes the store fail, run again, and compare what comes out, bit for bit.

``python benchmarks/failing.py [--every | --tries 60] [--seed 0]``: the two tiny arms of `kills.py`. A healthy
run counts its calls; then each attempt lets one of them, drawn from the seed, raise EIO, ENOSPC or EACCES, once or from
there on, or ends the process. It must end with an exit code that is not 0 and one sentence, or with the right bytes;
whatever lies under a final name must be whole, and the next healthy run must end in the bytes of an undisturbed one.
"""

from __future__ import annotations

import argparse
import builtins
import errno
import io
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import forked  # first of augkit: it sets the number of threads
import kills

WATCHED = ("fsync", "link", "mkdir", "open", "rename", "replace", "rmdir", "unlink", "write")
FAULTS = ("EIO", "ENOSPC", "EACCES", "kill")
_WRITES = os.O_WRONLY | os.O_RDWR


@dataclass
class Shim:
    """Counts the calls that change what lies under a folder, and lets one fail.

    at:      number of the call that fails, the first is 1; 0 lets none fail.
    fault:   name of an error, or ``kill``.
    forever: whether all calls after it fail, too.
    """

    store: str
    at: int
    fault: str
    forever: bool
    calls: int = 0

    def install(self) -> None:
        """Put itself before the functions of `os` and before `open`."""
        for name in WATCHED:
            setattr(os, name, self._before(name, getattr(os, name)))
        builtins.open = io.open = self._opening(builtins.open)

    def tell(self, file: Path) -> None:
        """Write how many calls there were."""
        file.write_text(str(self.calls))

    def _before(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def shim(*given: Any, **named: Any) -> Any:
            if self._concerned(name, given):
                self._count(name)
            return call(*given, **named)

        return shim

    def _opening(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def shim(file: Any, mode: str = "r", *given: Any, **named: Any) -> Any:
            if set(mode) & set("wax+") and self._below(file):
                self._count("open")
            return call(file, mode, *given, **named)

        return shim

    def _concerned(self, name: str, given: tuple[Any, ...]) -> bool:
        if name == "open" and not (len(given) > 1 and given[1] & _WRITES):
            return False
        if name in ("fsync", "write") and isinstance(given[0], int):
            try:
                return str(Path(f"/proc/self/fd/{given[0]}").readlink()).startswith(self.store)
            except OSError:
                return False
        return any(self._below(one) for one in given[:2])

    def _below(self, path: object) -> bool:
        return isinstance(path, (str, os.PathLike)) and str(Path(os.fspath(path)).absolute()).startswith(self.store)

    def _count(self, name: str) -> None:
        self.calls += 1
        if self.at and (self.calls == self.at or (self.forever and self.calls > self.at)):
            if self.fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            number = getattr(errno, self.fault)
            raise OSError(number, os.strerror(number), self.store)


def main() -> None:
    """Print one table, then one JSON line; the exit code is 1 when anything was lost, swallowed or told badly."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--every", action="store_true", help="every call once, each with a fault drawn for it")
    arguments.add_argument("--tries", type=int, default=60)
    arguments.add_argument("--seed", type=int, default=0)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        values = attempts(Path(folder), 0 if chosen.every else chosen.tries, chosen.seed)
    for name, value in values.items():
        print(f"{name:<28} {value}")
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.system()}
    versions = {name: version(name) for name in ("augkit", "torch", "numpy")} | {"python": platform.python_version()}
    print(
        json.dumps({"benchmark": "failing", "ratios": {}, "values": values, "machine": machine, "versions": versions})
    )
    sys.exit(any(values[name] for name in ("wrong after exit 0", "damaged", "different files", "tracebacks")))


def attempts(folder: Path, tries: int, seed: int) -> dict[str, Any]:
    """Return how many failing calls were survived, and what was not right afterwards; 0 tries: every call."""
    moments = np.random.Generator(np.random.Philox(key=seed))
    _, calls, _ = run(folder / "reference", 0, "", False)
    reference = kills.results(folder / "reference")
    wrong = Counter({"wrong after exit 0": 0, "damaged": 0, "different files": 0, "tracebacks": 0})
    ended: Counter[str] = Counter()
    for number in range(tries or calls):
        at = int(moments.integers(1, calls + 1)) if tries else number + 1
        fault, forever = FAULTS[int(moments.integers(len(FAULTS)))], bool(moments.integers(2))
        store = folder / f"attempt-{number}"
        code, _, said = run(store, at, fault, forever)
        ended[f"exit {code}"] += 1
        found = kills.results(store)
        faults = Counter({"damaged": sum(kills.damage(store).values())})
        faults["wrong after exit 0"] = int(code == 0 and found != reference)
        faults["tracebacks"] = int("Traceback" in said)
        code, _, again = run(store, 0, "", False)
        found = kills.results(store)
        faults["different files"] = int(code != 0) + sum(found.get(n) != reference.get(n) for n in found | reference)
        if faults.total():
            print(f"call {at}, {fault}, forever: {forever}: {dict(faults)}\n{said}{again}", file=sys.stderr, flush=True)
        wrong.update(faults)
        shutil.rmtree(store)
    counts = {"calls in a healthy run": calls, "attempts": tries or calls, "files compared": len(reference)}
    return {**counts, **wrong, "ended with": dict(ended)}


def run(store: Path, at: int, fault: str, forever: bool) -> tuple[int, int, str]:
    """Run the command of `kills.py` in a process; return its exit code, how many calls it made and what it said."""
    told, log = store.with_suffix(".calls"), store.with_suffix(".log")
    log.unlink(missing_ok=True)
    shim = Shim(f"{store}{os.sep}", at, fault, forever)
    arguments = [*kills.COMMAND, "--out", str(store)]
    child = forked.start(arguments, log, shim.install, lambda: shim.tell(told))
    _, status = os.waitpid(child, 0)
    calls = int(told.read_text()) if told.exists() else 0
    return os.waitstatus_to_exitcode(status), calls, log.read_text()


if __name__ == "__main__":
    main()

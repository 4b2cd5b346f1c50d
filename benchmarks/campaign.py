"""Every fault that augkit promises to survive, counted: T1 to T20.

``python benchmarks/campaign.py [--only T8 ...] [--quick]``: a fault is tried by a program of its own (`kills.py`,
`failing.py`), by a module of `faults/`, or by the tests that hold it, slow ones included; the table says by which. How
far it is, and what did not hold, is told on the standard error. A row stands as soon as its faults have been tried, and
a campaign that is stopped ends with the rows it has. The exit code is 1 where something did not hold.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent


Form = Callable[[bool], Iterator[str]]
"""Tries a kind of fault, in fewer ways where it is quick, and yields for each what was wrong; nothing where it held."""

TELLING_SECONDS = 20.0
"""From one word about how far it is to the next."""


def held_by(*places: str, names: str = "") -> Form:
    """Return the form of a fault that tests hold: files or single tests, of these only `names` as pytest's ``-k``."""

    def run(quick: bool) -> Iterator[str]:
        chosen = ["-k", names] if names else []
        slow = ["-m", "not slow and not gpu"] if quick else ["-m", "not gpu"]
        plainly = ["-p", "no:cacheprovider", "--color=no", "--tb=short"]
        command = [sys.executable, "-m", "pytest", "-n", "0", "-v", *plainly, *slow, *chosen, *places]
        with tempfile.TemporaryFile("w+") as errors:
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True) as tests:
                assert tests.stdout is not None
                rest = []
                for line in tests.stdout:
                    if found := re.match(r"(\S+::.*?) (PASSED|FAILED|ERROR)\b", line):
                        yield "" if found[2] == "PASSED" else found[1]
                    else:
                        rest.append(line)
            if tests.returncode:
                errors.seek(0)
                print(*rest[-60:], errors.read(), sep="", file=sys.stderr)
            if tests.returncode not in (0, 1, NO_TESTS):
                yield f"pytest ended with exit code {tests.returncode}"

    return run


NO_TESTS = 5
"""Pytest's exit code where no test was chosen: of some faults there is no quick form."""


def counted_by(program: str, quick: Sequence[str], full: Sequence[str], tried: str, faults: Sequence[str]) -> Form:
    """Return the form of a fault that a program counts: `tried` and `faults` are names of its values."""

    def run(is_quick: bool) -> Iterator[str]:
        command = [sys.executable, str(HERE / program), *(quick if is_quick else full)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        try:
            values = json.loads(done.stdout.splitlines()[-1])["values"]
        except (IndexError, ValueError):
            yield f"{program} ended with exit code {done.returncode}"
            return
        wrong = [f"{values[name]} {name}" for name in faults if values[name]]
        lost = min(sum(values[name] for name in faults), values[tried])
        yield from ["; ".join(wrong)] * lost + [""] * (values[tried] - lost)

    return run


def tried_by(module: str) -> Form:
    """Return the form of a fault that a module of `faults/` tries."""

    def run(quick: bool) -> Iterator[str]:
        attempts: Form = importlib.import_module(f"faults.{module}").attempts
        return attempts(quick)

    return run


def stopped_by(signal: str) -> Form:
    """Return the form of 50 signals at random moments."""
    full = ["--kills", "100" if signal == "KILL" else "50", "--signal", signal]
    bad = ("damaged artifacts", "damaged checkpoints", "different files", "tracebacks", "slow ends")
    few = ["--kills", "20" if signal == "KILL" else "5", "--signal", signal]
    return counted_by("kills.py", few, full, "kills", bad)


FAILING = counted_by(
    "failing.py",
    ["--tries", "12"],
    ["--tries", "100"],
    "attempts",
    ("wrong after exit 0", "damaged", "different files", "tracebacks"),
)


FAULTS: dict[str, tuple[str, str, Sequence[Form]]] = {
    "T1": ("kill -9", "kills.py, tests", (stopped_by("KILL"), held_by("tests/test_store.py", names="kill"))),
    "T2": (
        "failing writes, places",
        "failing.py, tests",
        (
            FAILING,
            held_by(
                "tests/test_store.py", "tests/test_places.py", names="disk or written or place or error or explained"
            ),
        ),
    ),
    "T3": (
        "stop and resume",
        "tests",
        (held_by("tests/training/test_loop.py", names="stop or resume or continu or checkpoint"),),
    ),
    "T4": (
        "signals",
        "kills.py, tests",
        (
            stopped_by("TERM"),
            stopped_by("INT"),
            held_by(
                "tests/training/test_loop.py",
                "tests/running/test_scheduler.py",
                "tests/test_end_to_end.py",
                names="signal or interrupted",
            ),
        ),
    ),
    "T5": (
        "full disk",
        "faults/disk.py, tests",
        (
            tried_by("disk"),
            held_by(
                "tests/test_store.py",
                "tests/training/test_loop.py",
                "tests/test_places.py",
                names="full_disk or takes_no_more",
            ),
        ),
    ),
    "T6": (
        "out of memory",
        "faults/memory.py, tests",
        (
            tried_by("memory"),
            held_by("tests/running/test_local.py", "tests/running/test_stages.py", names="memory"),
        ),
    ),
    "T7": (
        "two runs, stale locks",
        "faults/pairs.py, tests",
        (
            tried_by("pairs"),
            held_by("tests/test_store.py", "tests/running/test_engine.py", names="lock or holder or processes"),
        ),
    ),
    "T8": (
        "bit rot",
        "faults/rot.py, tests",
        (
            tried_by("rot"),
            held_by(
                "tests/data/test_wholeness.py",
                "tests/test_store.py",
                "tests/training/test_loop.py",
                names="flipped or damaged or refused_by_name",
            ),
        ),
    ),
    "T9": (
        "hostile weights",
        "tests",
        (
            held_by(
                "tests/training/test_foreign_weights.py",
                "tests/plugins/test_mask2lesion_checkpoint.py",
                "tests/test_lint.py",
                names="refused or run_code or foreign",
            ),
        ),
    ),
    "T10": (
        "hostile recipes",
        "tests",
        (held_by("tests/test_cli.py", "tests/planning/test_document.py", names="hostile or bomb or refused"),),
    ),
    "T11": (
        "paths and archives",
        "tests",
        (
            held_by("tests/test_names.py"),
            held_by(
                "tests/sharing", "tests/plugins/test_coco.py", "tests/test_places.py", names="outside or zip or place"
            ),
        ),
    ),
    "T12": (
        "bombs, parts of images",
        "tests",
        (
            held_by(
                "tests/data/test_images.py",
                "tests/data/test_wholeness.py",
                names="bomb or bad or damaged or part_of or decode",
            ),
        ),
    ),
    "T13": ("meaning of images", "tests", (held_by("tests/data/test_images.py"),)),
    "T14": (
        "NaN, divergence",
        "faults/nan.py, tests",
        (
            tried_by("nan"),
            held_by(
                "tests/training/test_loop.py",
                "tests/running/test_conduct.py",
                names="finite or nan or infinite or left_out",
            ),
        ),
    ),
    "T15": (
        "workers of a run",  # augkit has no data loader with workers
        "faults/workers.py, tests",
        (
            tried_by("workers"),
            held_by("tests/running/test_local.py", "tests/running/test_worker.py"),
            held_by("tests/running/test_scheduler.py", "tests/training/test_ranks.py", names="kill or lost or end"),
        ),
    ),
    "T16": (
        "plugins at run time",
        "tests",
        (
            held_by("tests/running/test_misbehaviour.py"),
            held_by("tests/running/test_conduct.py", "tests/authors/conformance/test_kit.py"),
            held_by("tests/running/test_stages.py", names="breach or contract or changed"),
        ),
    ),
    "T17": (
        "a rank dies, a bad network",
        "faults/ranks.py, faults/network.py, tests",
        (tried_by("ranks"), tried_by("network"), held_by("tests/training/test_ranks.py")),
    ),
    "T18": (
        "clock, locale, umask, odd paths",
        "tests",
        (held_by("tests/running/test_surroundings.py", names="odd or read_only"),),
    ),
    "T19": ("slow leaks", "tests", (held_by("tests/running/test_surroundings.py", names="200_epochs"),)),
    "T20": ("an upgrade", "tests", (held_by("tests/test_kept.py"),)),
}


def main() -> None:
    """Print one table, then one JSON line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--only", nargs="+", metavar="T8", choices=FAULTS, default=list(FAULTS))
    arguments.add_argument("--quick", action="store_true", help="fewer of each, no slow tests")
    chosen = arguments.parse_args()
    values: dict[str, dict[str, int | float]] = {}
    print(f"{'':<4} {'fault':<32} {'tried':>6} {'held':>6} {'time':>8}  by", flush=True)
    stopped = False
    try:
        for name in chosen.only:
            fault, how, forms = FAULTS[name]
            values[name] = row = {"tried": 0, "held": 0, "seconds": 0.0}
            count(name, fault, forms, chosen.quick, row)
            print(f"{name:<4} {fault:<32} {row['tried']:>6} {row['held']:>6} {row['seconds']:>6} s  {how}", flush=True)
    except KeyboardInterrupt:
        stopped = True
        print(f"{name}: stopped after {row['tried']} tried, {row['held']} held", flush=True)
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.system()}
    versions = {name: version(name) for name in ("augkit", "torch", "numpy")} | {"python": platform.python_version()}
    record = {"benchmark": "campaign", "ratios": {}, "values": values, "machine": machine, "versions": versions}
    print(json.dumps(record | {"quick": chosen.quick} | ({"stopped": True} if stopped else {})))
    sys.exit(130 if stopped else any(value["held"] < value["tried"] for value in values.values()))


def count(name: str, fault: str, forms: Sequence[Form], quick: bool, row: dict[str, int | float]) -> None:
    """Try a kind of fault in all its forms; keep `row` as it stands, and tell how far it is and what did not hold."""
    began = told = time.monotonic()
    for number, form in enumerate(forms, 1):
        where = f"{name} {fault}" + (f", part {number} of {len(forms)}" if len(forms) > 1 else "")
        print(f"{where} ...", file=sys.stderr, flush=True)
        for wrong in form(quick):
            row["tried"] += 1
            row["held"] += not wrong
            now = time.monotonic()
            row["seconds"] = round(now - began, 1)
            if wrong:
                print(f"{where}: did not hold: {wrong}", file=sys.stderr, flush=True)
            if now - told > TELLING_SECONDS:
                told = now
                print(f"{where}: {row['held']} of {row['tried']} held", file=sys.stderr, flush=True)
    row["seconds"] = round(time.monotonic() - began, 1)


if __name__ == "__main__":
    main()

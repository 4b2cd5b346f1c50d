"""Every fault that augkit promises to survive, counted: T1 to T20.

``python benchmarks/campaign.py [--only T8 ...] [--quick]``: a fault is tried by a program of its own (`kills.py`), by
counting here (bit flips), or by the tests that hold it, slow ones included; the table says by which. ``missing`` means
that nothing tries it in its full form. The exit code is 1 where something did not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parent


@dataclass(frozen=True)
class Count:
    """How many faults were tried, and how many held; 0 tried: nothing tries them."""

    tried: int
    held: int


Form = Callable[[bool], Count]
"""Tries a kind of fault, in fewer ways where it is quick."""


def held_by(*places: str, names: str = "") -> Form:
    """Return the form of a fault that tests hold: files or single tests, of these only `names` as pytest's ``-k``."""

    def run(quick: bool) -> Count:
        chosen = ["-k", names] if names else []
        slow = ["-m", "not slow and not gpu"] if quick else ["-m", "not gpu"]
        command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "--tb=line", *slow, *chosen, *places]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        found = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|error)", done.stdout)}
        held = found.get("passed", 0)
        if done.returncode not in (0, 1):
            print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
            return Count(max(held, 1), 0)
        return Count(sum(found.values()), held)

    return run


def kills(quick: bool) -> Count:
    """Kill -9 over the whole pipeline, by ``kills.py``."""
    command = [sys.executable, str(HERE / "kills.py"), *(["--quick"] if quick else ["--kills", "100"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    values = json.loads(done.stdout.splitlines()[-1])["values"]
    bad = sum(values[name] for name in ("damaged artifacts", "damaged checkpoints", "different files"))
    return Count(values["kills"], values["kills"] - min(bad, values["kills"]))


def failing(quick: bool) -> Count:
    """Let calls that change the store fail: errors and kills, once or from there on."""
    command = [sys.executable, str(HERE / "failing.py"), *(["--quick"] if quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    values = json.loads(done.stdout.splitlines()[-1])["values"]
    wrong = sum(values[name] for name in ("wrong after exit 0", "damaged", "different files", "tracebacks"))
    return Count(values["attempts"], max(values["attempts"] - wrong, 0))


RECIPE = """\
name: tiny
seed: 0
dataset: {phantom: {train: 6, test: 3, size: 32}}
synthesize:
  - generator: {texture: {}}
    masks: {training: {}}
    per_real: 1.0
segmenter: {unet: {width: 2, steps: 3, batch_size: 2}}
"""


def flips(quick: bool) -> Count:
    """Flip single bits of the artifacts, exported files and the memory of digests of a run, and look for them."""
    from augkit.store import Digests, find_damage

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "r.yaml").write_text(RECIPE)
        command = [sys.executable, "-m", "augkit", "run", "r.yaml", "--quiet", "--device", "cpu"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        files = [
            (file, artifact.parent)
            for artifact in sorted(folder.glob("runs/*/*/artifact.json"))
            for file in sorted(artifact.parent.rglob("*"))
            if file.is_file()
        ]
        numbers = np.random.Generator(np.random.Philox(key=0))
        tried = held = 0
        for _ in range(100 if quick else 1000):
            file, artifact = files[numbers.integers(len(files))]
            with changed(file, numbers) as is_changed:
                tried += is_changed
                held += is_changed and bool(find_damage(artifact))
        inputs = [folder / "r.yaml"]
        digests = Digests(folder / "runs")
        expected = digests.of(inputs)
        digests.save()
        for _ in range(40 if quick else 400):
            with changed(folder / "runs/.augkit/digests.json", numbers) as is_changed:
                tried += is_changed
                held += is_changed and Digests(folder / "runs").of(inputs) == expected
    return Count(tried, held)


class changed:  # noqa: N801 - it reads as a word
    """A file with one bit flipped, for as long as the context lasts; an empty one has none, which `__enter__` tells."""

    def __init__(self, file: Path, numbers: np.random.Generator) -> None:
        self._file, self._whole = file, file.read_bytes()
        self._place = int(numbers.integers(8 * len(self._whole))) if self._whole else 0

    def __enter__(self) -> bool:
        if not self._whole:
            return False
        damaged = bytearray(self._whole)
        damaged[self._place // 8] ^= 1 << self._place % 8
        self._file.write_bytes(damaged)
        return True

    def __exit__(self, *error: object) -> None:
        self._file.write_bytes(self._whole)


FAULTS: dict[str, tuple[str, str, Sequence[Form]]] = {
    "T1": ("kill -9", "kills.py, tests", (kills, held_by("tests/test_store.py", names="kill"))),
    "T2": (
        "failing writes, places",
        "failing.py, tests",
        (
            failing,
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
        "tests",
        (
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
        "tests",
        (
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
        "tests",
        (held_by("tests/running/test_local.py", "tests/running/test_stages.py", names="memory"),),
    ),
    "T7": (
        "two runs, stale locks",
        "tests",
        (held_by("tests/test_store.py", "tests/running/test_engine.py", names="lock or holder or processes"),),
    ),
    "T8": (
        "bit rot",
        "counted here, tests",
        (
            flips,
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
        "tests",
        (
            held_by(
                "tests/training/test_loop.py",
                "tests/running/test_conduct.py",
                names="finite or nan or infinite or left_out",
            ),
        ),
    ),
    "T15": (
        "workers of a run",  # augkit has no data loader with workers
        "tests",
        (
            held_by("tests/running/test_local.py", "tests/running/test_worker.py"),
            held_by("tests/running/test_scheduler.py", "tests/training/test_ranks.py", names="kill or lost or end"),
        ),
    ),
    "T16": (
        "plugins at run time",
        "tests",
        (
            held_by("tests/running/test_conduct.py", "tests/authors/conformance/test_kit.py"),
            held_by("tests/running/test_stages.py", names="breach or contract or changed"),
        ),
    ),
    "T17": ("a rank dies", "tests", (held_by("tests/training/test_ranks.py"),)),
    "T18": ("clock, locale, umask, odd paths", "tests", (held_by("tests/running/test_surroundings.py", names="odd"),)),
    "T19": ("slow leaks", "tests", (held_by("tests/running/test_surroundings.py", names="200_epochs"),)),
    "T20": ("an upgrade", "tests", (held_by("tests/test_kept.py"),)),
}


def main() -> None:
    """Print one table, then one JSON line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--only", nargs="+", metavar="T8", choices=FAULTS, default=list(FAULTS))
    arguments.add_argument("--quick", action="store_true", help="20 kills, 140 flips, no slow tests")
    chosen = arguments.parse_args()
    values: dict[str, dict[str, int | float]] = {}
    print(f"{'':<4} {'fault':<32} {'tried':>6} {'held':>6} {'time':>8}  by")
    for name in chosen.only:
        fault, how, forms = FAULTS[name]
        began = time.monotonic()
        counts = [form(chosen.quick) for form in forms]
        tried, held = sum(count.tried for count in counts), sum(count.held for count in counts)
        seconds = round(time.monotonic() - began, 1)
        values[name] = {"tried": tried, "held": held, "seconds": seconds}
        print(f"{name:<4} {fault:<32} {tried:>6} {held:>6} {seconds:>6} s  {how}", flush=True)
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.system()}
    versions = {name: version(name) for name in ("augkit", "torch", "numpy")} | {"python": platform.python_version()}
    record = {"benchmark": "campaign", "ratios": {}, "values": values, "machine": machine, "versions": versions}
    print(json.dumps(record))
    sys.exit(any(value["held"] < value["tried"] for value in values.values()))


if __name__ == "__main__":
    main()

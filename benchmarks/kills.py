"""Stop at random moments over the whole pipeline, restart, and compare what comes out, bit for bit.

``python benchmarks/kills.py [--kills 100] [--signal KILL] [--seed 0]``: two tiny arms (GAN, synthesis, two
U-Nets, report). Every attempt is a process of its own that gets SIGKILL, or SIGTERM or SIGINT, at a moment drawn from
the seed; whatever lies in the store under a final name must then be whole. After SIGTERM and SIGINT it must end within
ten seconds, with 143 or 130 and no traceback; a second signal follows in every third attempt, and it must end at once.
A round ends when it is stopped while it writes the report; it is then run to the end and compared with an uninterrupted
run: weights, predictions, counts, synthetic images, metrics.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import forked  # first of augkit: it sets the number of threads
from augkit.store import find_damage

RECIPES = Path(__file__).parents[1] / "recipes"
COMMAND = [
    "run", str(RECIPES / "noaug.yaml"), str(RECIPES / "allaug.yaml"), "--quiet", "--device", "cpu",
    "--set=dataset.phantom={train: 8, test: 4, size: 32}",
    "--set=segmenter.unet={width: 2, steps: 24, batch_size: 4}",
    "--set=synthesize.0.generator={mask2lesion: {width: 4, norm: instance, patch_layers: 1, epochs: 10,"
    " decay_epochs: 0, batch_size: 4, sample_every: 0}}",
]  # fmt: skip
CODES = {signal.SIGKILL: (-9,), signal.SIGTERM: (143, -15), signal.SIGINT: (130,)}
"""What stops an attempt, and the exit codes that it then may have: a shell says 143 where -15 stands here."""
PATIENCE_SECONDS = 10.0
AGAIN_SECONDS = 0.05
"""From one signal to a second one."""


def main() -> None:
    """Print one table, then one JSON line; the exit code is 1 when anything differed or did not load."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=100)
    arguments.add_argument("--signal", choices=["KILL", "TERM", "INT"], default="KILL")
    arguments.add_argument("--seed", type=int, default=0)
    chosen = arguments.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background would ignore it
    with tempfile.TemporaryDirectory() as folder:
        stop = signal.Signals[f"SIG{chosen.signal}"]
        values = torture(Path(folder), chosen.kills, chosen.seed, stop)
    for name, value in values.items():
        print(f"{name:<28} {value}")
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.system()}
    versions = {name: version(name) for name in ("augkit", "torch", "numpy")} | {"python": platform.python_version()}
    record = {"benchmark": "kills", "ratios": {}, "values": values, "machine": machine, "versions": versions}
    print(json.dumps(record))
    sys.exit(any(values[name] for name in FAULTS))


FAULTS = ("damaged artifacts", "damaged checkpoints", "different files", "tracebacks", "slow ends")


def torture(folder: Path, kills: int, seed: int, stop: signal.Signals = signal.SIGKILL) -> dict[str, Any]:
    """Return how many kills were survived, where they fell, and everything that was not right afterwards."""
    moments = np.random.Generator(np.random.Philox(key=seed))
    _, work, _ = run(folder / "reference")
    reference = results(folder / "reference")
    fell: Counter[str] = Counter()
    faults = Counter(dict.fromkeys(FAULTS, 0))
    slowest = 0.0
    done = rounds = 0
    while done < kills:
        store = folder / f"round-{rounds}"
        stage = ""
        while stage != "report" and done < kills:
            # The report takes most of the time and can only begin anew: kills are timed by what comes before it.
            limit = float(moments.uniform(0, work / 2))
            killed, _, seconds = run(store, limit, stop, twice=stop != signal.SIGKILL and done % 3 == 2)
            stage = where(store) if killed else "report"
            slowest = max(slowest, seconds)
            if killed:
                fell[stage] += 1
                done += 1
                faults["slow ends"] += seconds > PATIENCE_SECONDS
            faults.update(damage(store))
        run(store)
        found = results(store)
        faults["different files"] += sum(found.get(name) != reference.get(name) for name in found | reference)
        said = store.with_suffix(".log").read_text()
        if "Traceback" in said:
            print(said[said.index("Traceback") :][:4000], file=sys.stderr)
        faults["tracebacks"] += said.count("Traceback")
        rounds += 1
        shutil.rmtree(store)
        print(f"{done} of {kills}, {rounds} rounds: {dict(faults)}", file=sys.stderr, flush=True)
    counts = {"kills": done, "rounds": rounds, "files compared in each": len(reference)}
    return {**counts, **faults, "seconds of the slowest end": round(slowest, 2), "killed during": dict(fell)}


def run(
    store: Path, limit: float | None = None, stop: signal.Signals = signal.SIGKILL, twice: bool = False
) -> tuple[bool, float, float]:
    """Run the command in a process; return whether it was stopped, its CPU seconds before its report, and how it ended.

    limit: CPU seconds after which it is stopped. Not seconds of the clock: on a busy machine it would never get far.
    twice: whether a second signal follows.

    The last value is the seconds of the clock from the signal to the end.
    """
    child = forked.start([*COMMAND, "--out", str(store)], store.with_suffix(".log"))
    clock, work = (~child << 3) | 2, 0.0  # Linux's clock of the CPU time of a process
    signalled = 0.0
    while (code := forked.code_of(child, 0)) is None:
        used = time.clock_gettime(clock)
        if not any(store.glob(".augkit/work/report-*")):
            work = used
        if limit is not None and used >= limit and not signalled:
            signalled = time.monotonic()
            os.kill(child, stop)
        elif twice and signalled and time.monotonic() - signalled > AGAIN_SECONDS:
            os.kill(child, stop)
            twice = False
        time.sleep(0.002)
    seconds = time.monotonic() - signalled if signalled else 0.0
    if code not in (0, *CODES[stop]):
        raise SystemExit(f"exit code {code}: {store.with_suffix('.log').read_text()}")
    return code != 0, work, seconds


def where(store: Path) -> str:
    """Return the kind of the stage whose work lies unfinished; ``between stages`` for none."""
    begun = [path.name for path in sorted((store / ".augkit/work").glob("*"))] or ["between stages"]
    kinds = (
        "report",
        "quality",
        "evaluation",
        "segmenter",
        "synthesis",
        "masks",
        "generator",
        "dataset",
        "between stages",
    )
    return next(kind for kind in kinds if any(name.startswith(kind) for name in begun))


def damage(store: Path) -> dict[str, int]:
    """Return how many things under a final name do not have the bytes that were written."""
    artifacts = [path for path in store.glob("[!.]*/*") if path.is_dir()]
    checkpoints = [path for path in store.glob(".augkit/work/*/*/files/checkpoints/*") if path.name.isdigit()]
    return {
        "damaged artifacts": sum(bool(find_damage(path)) for path in artifacts),
        "damaged checkpoints": sum(bool(find_damage(path)) for path in checkpoints),
    }


def results(store: Path) -> dict[str, str]:
    """Return file -> SHA-256 of every artifact's files, and the report's metrics."""
    found: dict[str, str] = {}
    for file in sorted(store.glob("*/*/artifact.json")):
        manifest: Mapping[str, Any] = json.loads(file.read_text())
        if manifest["kind"] == "report":
            arms = json.loads((file.parent / "report.json").read_text())["arms"]
            found["metrics"] = json.dumps({name: arm["metrics"] for name, arm in arms.items()}, sort_keys=True)
        else:
            place = file.parent.relative_to(store)
            found |= {f"{place}/{name}": facts["sha256"] for name, facts in manifest["files"].items()}
    return found


if __name__ == "__main__":
    main()

"""Kill -9 at random moments over the whole pipeline, restart, and compare what comes out, bit for bit.

``python benchmarks/kills.py [--quick | --kills 100] [--seed 0]``: two tiny arms (GAN, synthesis, two U-Nets, report).
Every attempt is a process of its own that the kernel ends at a moment drawn from the seed; whatever lies in the store
under a final name must then be whole. A round ends when it is killed while it writes the report; it is then run to the
end and compared with an uninterrupted run: weights, predictions, counts, synthetic images, metrics.
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

os.environ.update({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})  # a process with threads must not fork

import numpy as np

import augkit_classical.host
import augkit_mask2lesion.training
import augkit_unet.training
from augkit import cli
from augkit.report import page as report
from augkit.running import worker
from augkit.store import find_damage
from augkit.training import loop

RECIPES = Path(__file__).parents[1] / "recipes"
COMMAND = [
    "run", str(RECIPES / "noaug.yaml"), str(RECIPES / "allaug.yaml"), "--quiet", "--device", "cpu",
    "--set=dataset.phantom={train: 8, test: 4, size: 32}",
    "--set=segmenter.unet={width: 2, steps: 24, batch_size: 4}",
    "--set=synthesize.0.generator={mask2lesion: {width: 4, norm: instance, patch_layers: 1, epochs: 10,"
    " decay_epochs: 0, batch_size: 4, sample_every: 0}}",
]  # fmt: skip
CHECKPOINT_SECONDS = 0.05
PRELOADED = (augkit_classical.host, augkit_mask2lesion.training, augkit_unet.training, report, worker)
"""Imported before processes part ways, so that an attempt is all work."""


def main() -> None:
    """Print one table, then one JSON line; the exit code is 1 when anything differed or did not load."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="20 kills")
    arguments.add_argument("--kills", type=int, default=100)
    arguments.add_argument("--seed", type=int, default=0)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        values = torture(Path(folder), 20 if chosen.quick else chosen.kills, chosen.seed)
    for name, value in values.items():
        print(f"{name:<28} {value}")
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.system()}
    versions = {name: version(name) for name in ("augkit", "torch", "numpy")} | {"python": platform.python_version()}
    record = {"benchmark": "kills", "ratios": {}, "values": values, "machine": machine, "versions": versions}
    print(json.dumps(record))
    sys.exit(bool(values["damaged artifacts"] or values["damaged checkpoints"] or values["different files"]))


def torture(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Return how many kills were survived, where they fell, and everything that was not right afterwards."""
    moments = np.random.Generator(np.random.Philox(key=seed))
    _, work = run(folder / "reference")
    reference = results(folder / "reference")
    fell: Counter[str] = Counter()
    faults = Counter({"damaged artifacts": 0, "damaged checkpoints": 0, "different files": 0})
    done = rounds = 0
    while done < kills:
        store = folder / f"round-{rounds}"
        stage = ""
        while stage != "report" and done < kills:
            # The report takes most of the time and can only begin anew: kills are timed by what comes before it.
            killed, _ = run(store, float(moments.uniform(0, work / 2)))
            stage = where(store) if killed else "report"
            if killed:
                fell[stage] += 1
                done += 1
            faults.update(damage(store))
        run(store)
        found = results(store)
        faults["different files"] += sum(found.get(name) != reference.get(name) for name in found | reference)
        rounds += 1
        shutil.rmtree(store)
        print(f"{done} kills, {rounds} rounds: {dict(faults)}", file=sys.stderr, flush=True)
    counts = {"kills": done, "rounds": rounds, "files compared in each": len(reference)}
    return {**counts, **faults, "killed during": dict(fell)}


def run(store: Path, limit: float | None = None) -> tuple[bool, float]:
    """Run the command in a process; return whether it was killed, and its CPU seconds before its report began.

    limit: CPU seconds after which it is killed. Not seconds of the clock: on a busy machine it would never get far.
    """
    child = os.fork()
    if child == 0:
        _be_augkit(store)
    clock, work = (~child << 3) | 2, 0.0  # Linux's clock of the CPU time of a process
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        used = time.clock_gettime(clock)
        if not any(store.glob(".augkit/work/report-*")):
            work = used
        if limit is not None and used >= limit:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, -signal.SIGKILL):
        raise SystemExit(f"exit code {code}: {store.with_suffix('.log').read_text()}")
    return code != 0, work


def _be_augkit(store: Path) -> None:
    code = 99
    try:
        log = os.open(store.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        loop.CHECKPOINT_SECONDS = CHECKPOINT_SECONDS
        cli.app([*COMMAND, "--out", str(store)])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        os._exit(code)


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

"""What an executor costs beside the work: 24 tiny trainings by worker processes here, on Ray, and on Slurm.

``python benchmarks/executors.py [--quick] [--jobs 2] [--cluster FILE]``: the same U-Nets of 24 seeds in fresh stores.
The overhead of a stage is the time from a stage's end, as the jsonl observer heard it, to the beginning of the one
that takes its place: handing over, planning, reading what it needs, locking. The first stage of each worker, which
starts it, does not count. Ray starts a head of its own, unless RAY_ADDRESS names one. Where no Slurm answers, one of
one node with two processors is started on this machine, as the tests do it (``tests/slurm.py``). An executor that is
not there is skipped, with the reason.

It also prints what 300 trainings take on 8 GPUs, on paper: from times on an H100, not from this machine.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median

TRAININGS = 24
GOAL_SECONDS = 1.5

RECIPE = """
name: tiny
dataset: {phantom: {train: 24, validation: 4, test: 8, size: 32}}
segmenter: {unet: {width: 4, steps: 60, batch_size: 4}}
"""

CLUSTER = "slurm: {threads: 1, memory: 1500, minutes: 10, poll_seconds: 0.5}\n"
"""Without --cluster: jobs of which two fit on the node that is started here."""

UNET_SECONDS, GAN_SECONDS, PAINTING_SECONDS, SMALL_SECONDS = 75.8, 162.1, 0.6, 0.4
"""On one H100, of 2026-11-27-gpu-h100.md: the mean of three U-Nets (6,300 steps of 32 at 128 pixels), one GAN, 2000
images painted, one evaluation."""

ARMS, SEEDS, FOLDS, GPUS = 6, 10, 5, 8


def main() -> None:
    """Print one table, one on paper, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="Four trainings.")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cluster", type=Path, help="As of augkit run.")
    chosen = parser.parse_args()
    trainings = 4 if chosen.quick else TRAININGS
    found: dict[str, dict[str, float]] = {}
    skipped: dict[str, str] = {}
    hashes: dict[str, list[str]] = {}
    print(f"{'executor':<10} {'in all':>9} {'overhead of a stage: median':>28} {'mean':>9} {'most':>9}")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as started:
        (Path(folder) / "tiny.yaml").write_text(RECIPE)
        (Path(folder) / "cluster.yaml").write_text(chosen.cluster.read_text() if chosen.cluster else CLUSTER)
        for executor in ("local", "ray", "slurm"):
            if reason := why_not(executor, started):
                skipped[executor] = reason
                print(f"{executor:<10} skipped: {reason}")
                continue
            store = Path(folder) / executor
            seconds, gaps = measure(store, executor, chosen.jobs, trainings)
            hashes[executor] = weights(store)
            found[executor] = {"seconds": seconds, "median": median(gaps), "mean": mean(gaps), "most": max(gaps)}
            words = (f"{found[executor][name]:.2f} s" for name in ("seconds", "median", "mean", "most"))
            print("{:<10} {:>9} {:>28} {:>9} {:>9}".format(executor, *words), flush=True)
    equal = len({tuple(one) for one in hashes.values()}) == 1
    print(f"Weights {'equal' if equal else 'DIFFER'}. Goal on warm workers (local, ray): below {GOAL_SECONDS} s.\n")
    paper = on_paper(max(found[name]["mean"] for name in ("local", "ray") if name in found))
    record = {
        "benchmark": "executors",
        "ratios": {f"{name} overhead to goal": one["mean"] / GOAL_SECONDS for name, one in found.items()},
        "values": {"trainings": trainings, "jobs": chosen.jobs, "weights_equal": equal, **found},
        "skipped": skipped,
        "paper": paper,
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "system": platform.system()},
        "versions": {name: version(name) for name in ("augkit", "torch", "numpy")},
    }
    print(json.dumps(record))


def why_not(executor: str, started: ExitStack) -> str:
    """Return why an executor cannot be measured here; empty where it can. What is started for it `started` ends."""
    if executor == "ray" and importlib.util.find_spec("ray") is None:
        return "Ray is not installed"
    if executor != "slurm" or subprocess.run("sinfo", shell=True, capture_output=True, check=False).returncode == 0:
        return ""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    slurm = importlib.import_module("slurm")
    reason: str = slurm.missing()
    if not reason:
        os.environ |= started.enter_context(closing(slurm.Slurm())).environment
    return reason


def measure(store: Path, executor: str, jobs: int, trainings: int) -> tuple[float, list[float]]:
    """Return the seconds from the first stage's beginning to the last one's end, and the overheads."""
    command = [
        sys.executable, "-m", "augkit", "run", str(store.parent / "tiny.yaml"), "--quiet", "--device=cpu",
        f"--seeds=0..{trainings - 1}", f"--out={store}", "--observer=jsonl", f"--jobs={jobs}", "--threads=1",
        f"--executor={executor}", *([] if executor == "local" else [f"--cluster={store.parent / 'cluster.yaml'}"]),
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (log,) = (store / "events").iterdir()
    return overheads([json.loads(line) for line in log.read_text().splitlines()], jobs)


def overheads(told: list[dict[str, str]], jobs: int) -> tuple[float, list[float]]:
    """Return the seconds in all, and how long each stage began after the one whose place it took.

    So many workers are busy from the first training on: the stage that begins as number `jobs` + i takes the place of
    the i-th that ends. The data set before and the report after them are left out.
    """
    times: dict[str, list[datetime]] = {"StageStarted": [], "StageFinished": []}
    for facts in told:
        if facts["event"] in times and not facts["stage"].startswith(("dataset ", "report ")):
            times[facts["event"]].append(datetime.fromisoformat(facts["time"]))
    starts, ends = times["StageStarted"], times["StageFinished"]
    gaps = [(start - end).total_seconds() for start, end in zip(starts[jobs:], ends, strict=False)]
    return (max(ends) - min(starts)).total_seconds(), gaps


def weights(store: Path) -> list[str]:
    """Return the hashes of all trained weights, sorted."""
    manifests = [json.loads(file.read_text()) for file in sorted(store.glob("segmenter/*/artifact.json"))]
    return sorted(one["files"]["unet.safetensors"]["sha256"] for one in manifests)


def on_paper(overhead: float) -> dict[str, float]:
    """Print and return what 300 trainings take on 8 GPUs, one worker for each, with an overhead for each stage."""
    unets, gans = ARMS * SEEDS * FOLDS, SEEDS * FOLDS
    rows = [
        (f"{unets} U-Nets ({ARMS} arms, {SEEDS} seeds, {FOLDS} folds)", unets, UNET_SECONDS),
        (f"{gans} GANs, shared by the arms", gans, GAN_SECONDS),
        (f"{gans} times 2000 images painted", gans, PAINTING_SECONDS),
        (f"{unets} evaluations", unets, SMALL_SECONDS),
    ]
    stages = sum(count for _, count, _ in rows)
    rows.append((f"overhead of {stages} stages, as measured here", stages, overhead))
    total = sum(count * seconds for _, count, seconds in rows)
    print(f"{'on paper, each on one H100':<48} {'each':>9} {'GPU hours':>10} {f'on {GPUS} GPUs':>12}")
    for name, count, seconds in rows:
        hours = count * seconds / 3600
        print(f"{name:<48} {seconds:>7.1f} s {hours:>10.2f} {hours * 60 / GPUS:>8.1f} min")
    print(f"{'in all':<48} {'':>9} {total / 3600:>10.2f} {total / 60 / GPUS:>8.1f} min\n")
    return {"trainings": unets, "gpus": GPUS, "gpu_hours": total / 3600, "minutes": total / 60 / GPUS}


if __name__ == "__main__":
    main()

"""Many small trainings on one machine: one after the other against side by side.

``python benchmarks/jobs.py [--quick] [--jobs 8] [--device auto] [--threads N]``: the U-Nets of several seeds of one
recipe, trained in fresh stores with ``--jobs 1`` and with ``--jobs N``, threads of each job being equal. The time of
the trainings runs from the first one's beginning to the last one's end, as the jsonl observer saw it: start-up, data
and report are left out. The weights must agree, byte for byte, on a CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

RECIPE = Path(__file__).parents[1] / "recipes" / "classicaug.yaml"


def main() -> None:
    """Print one table, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    steps = 60 if chosen.quick else 1500
    seconds: dict[int, float] = {}
    weights: dict[int, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for jobs in (1, chosen.jobs):
            store = Path(folder) / f"jobs-{jobs}"
            seconds[jobs] = trainings(store, jobs, chosen, steps)
            weights[jobs] = sorted(
                json.loads(file.read_text())["files"]["unet.safetensors"]["sha256"]
                for file in store.glob("segmenter/*/artifact.json")
            )
            print(f"--jobs {jobs:<4} {chosen.jobs} trainings of {steps} steps in {seconds[jobs]:8.1f} s", flush=True)
    equal = weights[1] == weights[chosen.jobs]
    print(f"{seconds[1] / seconds[chosen.jobs]:.2f} times as fast; weights {'equal' if equal else 'differ'}")
    values = {
        "one_by_one_s": seconds[1],
        "side_by_side_s": seconds[chosen.jobs],
        "weights_equal": equal,
        **vars(chosen),
    }
    record = {
        "benchmark": "jobs",
        "ratios": {"side_by_side": seconds[1] / seconds[chosen.jobs]},
        "values": values,
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "system": platform.system()},
        "versions": {name: version(name) for name in ("augkit", "torch", "numpy")},
    }
    print(json.dumps(record))


def trainings(store: Path, jobs: int, chosen: argparse.Namespace, steps: int) -> float:
    """Return the seconds from the first training's beginning to the last one's end."""
    command = [
        sys.executable, "-c", "from augkit.cli import main; main()", "run", str(RECIPE), "--quiet",
        f"--seeds=0..{chosen.jobs - 1}", f"--set=segmenter.unet.steps={steps}", f"--out={store}", "--observer=jsonl",
        f"--jobs={jobs}", f"--threads={chosen.threads}", f"--device={chosen.device}",
    ]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (log,) = (store / "events").iterdir()
    told = [json.loads(line) for line in log.read_text().splitlines()]
    times = {
        kind: [
            datetime.fromisoformat(facts["time"]) for facts in told if facts["event"] == kind and _is_training(facts)
        ]
        for kind in ("StageStarted", "StageFinished")
    }
    return (max(times["StageFinished"]) - min(times["StageStarted"])).total_seconds()


def _is_training(facts: dict[str, str]) -> bool:
    return facts["stage"].startswith("segmenter ")


if __name__ == "__main__":
    main()

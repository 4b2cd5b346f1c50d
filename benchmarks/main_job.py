"""The main job as a user meets it: first run, second run, start-up times and peak memory.

    python benchmarks/main_job.py [--quick]

Runs ``augkit run recipes/allaug.yaml`` in an empty folder, then again, and times ``--help`` and ``validate`` (medians
of five). ``--quick`` shortens the trainings; its numbers are about the harness, not about the job.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

RECIPE = Path(__file__).parent.parent / "recipes" / "allaug.yaml"
COMMAND = [sys.executable, "-c", "from augkit.cli import main; main()"]
QUICK = [
    "--set=segmenter.unet.steps=60",
    "--set=synthesize.0.generator.mask2lesion-spade.epochs=2",
    "--set=synthesize.0.generator.mask2lesion-spade.decay_epochs=0",
]


def seconds(*arguments: str, cwd: str) -> float:
    """Return the wall time of one command, which must succeed."""
    began = time.perf_counter()
    subprocess.run([*COMMAND, *arguments], cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Measure, print a table, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    changes = QUICK if parser.parse_args().quick else []
    with tempfile.TemporaryDirectory() as folder:
        values = {
            "help_s": statistics.median(seconds("--help", cwd=folder) for _ in range(5)),
            "validate_s": statistics.median(seconds("validate", str(RECIPE), cwd=folder) for _ in range(5)),
            "first_run_s": seconds("run", str(RECIPE), *changes, cwd=folder),
            "second_run_s": statistics.median(seconds("run", str(RECIPE), *changes, cwd=folder) for _ in range(3)),
        }
    values["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    for name, value in values.items():
        print(f"{name:<16} {value:10.2f}")
    record = {
        "benchmark": "main_job",
        "ratios": {},
        "values": {name: round(value, 3) for name, value in values.items()},
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "system": platform.system()},
        "versions": {name: version(name) for name in ("augkit", "torch", "numpy")},
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()

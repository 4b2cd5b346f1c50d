"""Every promise about a GPU, measured by one command, the most important first.

    python benchmarks/gpu.py --out FOLDER [--minutes 12] [--only PART ...] [--rehearse]

    correct   the tests that need a GPU: equal bits twice, after SIGTERM and after kill -9, recorded or not, with one
              process and two; draws, augmentation and predictions as on the CPU; no waiting for the device
    table1    the paper's four arms at its size, on ISIC 2017 from ``$AUGKIT_DATA``, with one seed
    jobs      eight small trainings side by side against one after the other
    speed     steps, augmentation and painting: images/s, the share of the card's measured peak, plain twins beside
    compile   what compiling costs and saves, and above how many operations of a training it is repaid
    seeds     more seeds of table1, with the time that is left

A part is a process of its own, ends when its time is up, and keeps what it finds in ``FOLDER/PART.json`` as soon as it
is found. ``--store`` keeps what table1 trains, so that a later call goes on from there. ``--rehearse`` goes through all
of it on the CPU, tiny; its numbers mean nothing. What a machine without a network needs, `benchmarks/pack.py` packs.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMITS = {"correct": 120, "table1": 540, "jobs": 90, "speed": 150, "compile": 120, "seeds": 720}
"""Seconds of each part, at most, in order of worth."""

PATIENCE = 10
"""How many times as long a part may take on a CPU, where it is rehearsed whole."""


def main() -> None:
    """Run the parts, then print one table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=Path(tempfile.gettempdir()) / "augkit-gpu")
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--only", nargs="+", choices=LIMITS, default=list(LIMITS), metavar="PART")
    parser.add_argument("--rehearse", action="store_true")
    chosen = parser.parse_args()
    began = time.monotonic()
    ended = {}
    for part in LIMITS:
        if part in chosen.only:
            left = 60 * chosen.minutes - (time.monotonic() - began)
            start = time.monotonic()
            most = LIMITS[part] * (PATIENCE if chosen.rehearse else 1)
            code = run(part, min(most, left), chosen) if left > 1 else "no time left"
            ended[part] = {"ended": code, "seconds": round(time.monotonic() - start, 1)}
            print(f"== {part}: {code}, {ended[part]['seconds']} s", flush=True)
    values = {}
    for part in ended:
        file = chosen.out / f"{part}.json"
        if file.is_file():
            values[part] = json.loads(file.read_text())
    for part, record in values.items():
        for name, value in record["values"].items():
            if isinstance(value, (int, float)):
                print(f"{part:<8} {name:<70} {value:>14.6g}")
    print(json.dumps({"benchmark": "gpu", "parts": ended, "values": values}))
    sys.exit(any(one["ended"] != "done" for one in ended.values()))


def run(part: str, seconds: float, chosen: argparse.Namespace) -> str:
    """Run a part for so long at most; return how it ended."""
    here = Path(__file__).parent
    command = [
        sys.executable, "-u", "-m", f"on_gpu.{part}", "--out", chosen.out.resolve(), "--store", chosen.store.resolve(),
        "--seconds", f"{seconds:.0f}", *(["--device", "cpu", "--tiny"] if chosen.rehearse else []),
    ]  # fmt: skip
    paths = [str(here), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return "done" if process.wait(seconds) == 0 else f"failed with {process.returncode}"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        time.sleep(2)
        return "cut: its time was up"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    main()

"""Ranks of a training that die, and whose network is slow, loses packets or is cut for a while."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from faults.runs import ALONE_SECONDS

RECIPE = """\
name: tiny
seed: 0
dataset: {phantom: {train: 8, test: 2, size: 32}}
augment:
  - geometry: {}
segmenter: {unet: {width: 4, steps: 120, batch_size: 4, reduction: ordered}}
"""
PROGRAM = """
import os
from augkit.training import loop
from augkit.cli import main
loop.CHECKPOINT_SECONDS = 0.1
os.fsync = lambda handle: None  # no power cut is tried, only the death of a process
main()
"""
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=2", "--no-python"]


def attempts(quick: bool) -> Iterator[str]:
    """20 times, 2 if quick, one of two ranks is killed; torchrun starts them again, and the weights must not differ."""
    moments = np.random.Generator(np.random.Philox(key=17))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tiny.yaml").write_text(RECIPE)
        alone = start(folder, "alone", [sys.executable])
        if said := told(alone):
            raise SystemExit(said)
        for number in range(2 if quick else 20):
            yield killed(folder, f"runs-{number}", float(moments.uniform(0, 2)), int(moments.integers(2)))


def killed(folder: Path, store: str, seconds: float, which: int) -> str:
    """Kill a rank some seconds after the first checkpoint; return what was wrong."""
    both = start(folder, store, [sys.executable, *TORCHRUN, sys.executable])
    until = time.monotonic() + ALONE_SECONDS
    while not list(folder.glob(f"{store}/.augkit/work/segmenter-*/*/files/checkpoints/0*")):
        if both.poll() is not None or time.monotonic() > until:
            return f"it never saved: {told(both)}"
        time.sleep(0.05)
    time.sleep(seconds)
    if (ranks := children(both.pid))[which:]:
        os.kill(ranks[which], signal.SIGKILL)
    return told(both) or different_weights(folder, store)


def start(folder: Path, store: str, python: list[str], *more: str, **variables: str) -> subprocess.Popen[str]:
    """Start a run in a session of its own, whose last words can be asked for."""
    command = [*python, "-c", PROGRAM, "run", "tiny.yaml", "--device=cpu", "--out", store, *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def told(run: subprocess.Popen[str], seconds: float = ALONE_SECONDS) -> str:
    """Return what was wrong with how a run ended."""
    try:
        output, _ = run.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        return f"it did not end in {seconds:.0f} s"
    return f"exit code {run.returncode}: {output[-300:]!r}" if run.returncode else ""


def different_weights(folder: Path, store: str) -> str:
    """Return whether the weights are not those of one process that was left alone."""
    wanted, found = (
        {path.name: path.read_bytes() for path in folder.glob(f"{which}/segmenter/*/*.safetensors")}
        for which in ("alone", store)
    )
    return "" if wanted and wanted == found else "the weights differ"


def children(process: int) -> list[int]:
    """Return the living processes that a process started, oldest first."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == process and state != "Z":
            found.append(int(entry.name))
    return sorted(found)

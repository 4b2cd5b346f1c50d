"""A synthetic set of many images: planned, made in one piece and in shards by one and two jobs, learned from, exported.

``python benchmarks/shards.py [--quick] [--images 65536] [--shard 8192] [--generator noise]``: everything in fresh
processes and stores. Time runs from the beginning of the first stage of masks to the end of the last one of images, so
start-up, data and generator are left out. Where other programs use the machine, the processor's seconds for 1000 images
say more than the time does. Memory is the most that any one process has had, files that it read included. The images
must agree, byte for byte.

``python benchmarks/shards.py --million [--seconds 300] [--jobs 2]``: a million images are planned, built for so long,
killed by SIGKILL with all processes, and built for as long again; shards that were there must be left as they are.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

RECIPE = """\
name: many
dataset: {{phantom: {{train: 200, test: 20, size: 64}}}}
synthesize:
  - {{generator: {{{generator}: {{}}}}, masks: {{shapes: {{}}}}, count: {images}, shard: {shard}}}
"""
SEGMENTER = "segmenter: {unet: {width: 8, steps: 50}}\n"
MILLION = 1_000_000


def main() -> None:
    """Print one table, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--images", type=int)
    parser.add_argument("--shard", type=int, default=8192)
    parser.add_argument("--generator", default="noise")
    parser.add_argument("--do", help=argparse.SUPPRESS)
    parser.add_argument("--jobs", type=int, default=2, help="With --million.")
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    chosen.images = chosen.images or (MILLION if chosen.million else 65_536)
    if chosen.quick:
        chosen.images, chosen.shard = 8192, 2048
    if chosen.do:
        print(json.dumps({"plan": plan, "paint": paint, "learn": learn, "export": export}[chosen.do](chosen)))
        return
    values, ratios = part_of_a_million(chosen) if chosen.million else in_shards(chosen)
    record = {
        "benchmark": "shards",
        "ratios": ratios,
        "values": {**values, "images": chosen.images, "shard": chosen.shard, "generator": chosen.generator},
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.machine(),
            "system": platform.system(),
            "load": os.getloadavg()[0],
        },
        "versions": {name: version(name) for name in ("augkit", "torch", "numpy")},
    }
    print(json.dumps(record))


def in_shards(chosen: argparse.Namespace) -> tuple[dict[str, Any], dict[str, float]]:
    """Measure a set in one piece and in shards; return what was found, and images a second to those of one process."""
    whole = -(-chosen.images // 256) * 256
    with tempfile.TemporaryDirectory() as folder:
        planned = measured(chosen, "plan", Path(folder) / "plan", images=MILLION, shard=8192)
        print(f"plan {MILLION} images in {planned['stages']} stages{planned['seconds']:10.1f} s", flush=True)
        rows = {
            "one process, one piece": measured(chosen, "paint", Path(folder) / "whole", shard=whole, jobs=1),
            "shards, 1 job": measured(chosen, "paint", Path(folder) / "one", jobs=1),
            "shards, 2 jobs": measured(chosen, "paint", Path(folder) / "two", jobs=2),
        }
        print(f"{'':<26}{'images/s':>10}{'CPU s per 1000':>16}{'peak memory':>14}")
        for name, row in rows.items():
            print(f"{name:<26}{row['images_per_s']:>10.0f}{row['cpu_s_per_1000']:>16.2f}{row['peak_mb']:>11.0f} MB")
        for name, what in (("learn", "50 steps of training from shards"), ("export", "WebDataset from shards")):
            rows[name] = measured(chosen, name, Path(folder) / "two", jobs=1)
            print(f"{what:<36}{rows[name]['seconds']:>10.1f} s{rows[name]['peak_mb']:>17.0f} MB", flush=True)
    equal = len({row["sha256"] for row in rows.values() if "sha256" in row}) == 1
    print(f"images {'equal' if equal else 'DIFFER'}")
    first, *others = list(rows.values())[:3]
    ratios = {
        f"shards_{jobs}_jobs": row["images_per_s"] / (jobs * first["images_per_s"])
        for jobs, row in enumerate(others, 1)
    }
    return {"plan_a_million": planned, **rows, "equal": equal}, ratios


def part_of_a_million(chosen: argparse.Namespace) -> tuple[dict[str, Any], dict[str, float]]:
    """Plan a large set, build part of it twice, and return what was found."""
    with tempfile.TemporaryDirectory() as folder:
        planned = measured(chosen, "plan", Path(folder) / "many")
        print(f"plan {chosen.images} images in {planned['stages']} stages{planned['seconds']:>10.1f} s", flush=True)
        legs, store = [], Path(folder) / "many" / "runs"
        print(f"{'':<26}{'masks':>9}{'images':>9}{'images/s':>10}{'peak memory':>14}")
        for name in ("built, then killed", "gone on, then killed"):
            before = _published(store)
            peak = built_for_a_while(chosen, Path(folder) / "many")
            after = _published(store)
            assert before.items() <= after.items(), "shards that were there were made again"
            row = {**_pace({name: after[name] for name in after.keys() - before.keys()}, chosen.shard), "peak_mb": peak}
            legs.append(row)
            counts = f"{row['masks']:>9}{row['images']:>9}{row['images_per_s']:>10.0f}"
            print(f"{name:<26}{counts}{peak:>11.0f} MB", flush=True)
    peak = max(leg["peak_mb"] for leg in legs)
    return {"plan": planned, "legs": legs, "jobs": chosen.jobs, "peak_mb": peak}, {"memory_to_1_gb": 1000 / peak}


def built_for_a_while(chosen: argparse.Namespace, out: Path) -> float:
    """Build for some seconds, end it as a loss of power does, and return the most memory of any process in MB."""
    building = subprocess.Popen(_command(chosen, "paint", out), stdout=subprocess.DEVNULL)
    with suppress(subprocess.TimeoutExpired):
        building.wait(chosen.seconds)
        sys.exit(f"all {chosen.images} images were made within {chosen.seconds:g} s; choose more images or less time")
    started = [building.pid, *_below(building.pid)]
    peak = max(_most_memory(process) for process in started)
    for process in started:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    building.wait()
    return peak


def _below(parent: int) -> list[int]:
    """Return the processes that a process started, as Linux tells."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(file.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(file.parent.name))
    return found


def _most_memory(process: int) -> float:
    with suppress(OSError):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM")), 0.0)
    return 0.0


def _published(store: Path) -> dict[str, int]:
    """Return when each shard was published."""
    found = store.glob("*-shard/*/artifact.json")
    return {f"{file.parents[1].name}/{file.parent.name}": file.parent.stat().st_ctime_ns for file in found}


def _pace(made: dict[str, int], shard: int) -> dict[str, float]:
    """Return how many masks and images are in shards, and images a second from the first shard of them to the last."""
    times = sorted(when for name, when in made.items() if name.startswith("synthesis"))
    seconds = (times[-1] - times[0]) / 1e9 if len(times) > 1 else float("inf")
    masks = shard * sum(name.startswith("masks") for name in made)
    return {"masks": masks, "images": shard * len(times), "images_per_s": shard * max(len(times) - 1, 0) / seconds}


def measured(chosen: argparse.Namespace, what: str, out: Path, **changes: int) -> dict[str, Any]:
    """Return what a fresh process tells of itself, with the seconds of processors and the peak of memory it took."""
    command = _command(chosen, what, out, **changes)
    told: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return told


def _command(chosen: argparse.Namespace, what: str, out: Path, **changes: int) -> list[str]:
    given = {name: getattr(chosen, name) for name in ("images", "shard", "generator", "jobs")} | changes
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    return [sys.executable, __file__, "--do", what, "--out", str(out), *words]


def plan(chosen: argparse.Namespace) -> dict[str, Any]:
    """Plan; what is measured includes the imports."""
    stages, _ = _planned(chosen)
    from augkit.planning.tasks import in_order

    return {"seconds": time.monotonic() - BEGAN, "stages": len(in_order(stages)), **_took()}


def paint(chosen: argparse.Namespace) -> dict[str, Any]:
    """Make the synthetic set, generator and data first."""
    from augkit.contracts.events import StageFinished, StageStarted

    times: list[float] = []

    def hear(event: object) -> None:
        kinds = isinstance(event, (StageStarted, StageFinished)) and event.stage.startswith(("masks", "synthesis"))
        times.extend([time.monotonic()] if kinds else [])

    stages, session = _planned(chosen, hear)
    session.build([stage.inputs["generator"] for stage in stages])
    before = _cpu()
    (folder,) = session.build(stages)
    rate = chosen.images / (times[-1] - times[0])
    cpu = 1000 * (_cpu() - before) / chosen.images
    return {"images_per_s": rate, "cpu_s_per_1000": cpu, "sha256": _digest(folder), **_took()}


def learn(chosen: argparse.Namespace) -> dict[str, Any]:
    """Train a segmenter on the set that is there."""
    _, session = _planned(chosen)
    began = time.monotonic()
    (arm,) = session.plan([_checked(chosen)]).arms
    session.build([arm.segmenter])
    return {"seconds": time.monotonic() - began, **_took()}


def export(chosen: argparse.Namespace) -> dict[str, Any]:
    """Write the set that is there as tar files; judging it is part of it, but for adherence."""
    from augkit.sharing.export import gather_export, write_export

    _, session = _planned(chosen)
    began = time.monotonic()
    write_export(gather_export(_checked(chosen, ""), None, session), chosen.out / "tar", "webdataset", "png")
    return {"seconds": time.monotonic() - began, **_took()}


def _checked(chosen: argparse.Namespace, segmenter: str = SEGMENTER) -> Any:
    from augkit.contracts.registry import load_registry
    from augkit.planning.components import check_recipes
    from augkit.planning.recipe import load_recipes

    chosen.out.mkdir(parents=True, exist_ok=True)
    file = chosen.out / "many.yaml"
    file.write_text(RECIPE.format(generator=chosen.generator, images=chosen.images, shard=chosen.shard) + segmenter)
    return check_recipes(load_recipes([file]), load_registry())[0]


def _planned(chosen: argparse.Namespace, tell: Any = lambda event: None) -> tuple[Sequence[Any], Any]:
    from augkit.running.session import How, Session

    session = Session(How(chosen.out / "runs", "cpu", jobs=chosen.jobs, threads=1), tell)
    return session.plan_supply(_checked(chosen)).syntheses, session


def _digest(folder: Path) -> str:
    from augkit.data.stored import read_image_set

    samples, digest = read_image_set(folder), hashlib.sha256()
    for begin in range(0, len(samples), 256):
        digest.update(samples.images[begin : begin + 256].tobytes())
        digest.update(samples.masks[begin : begin + 256].tobytes())
    return digest.hexdigest()


def _cpu() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _took() -> dict[str, float]:
    """Return the peak memory of this process or any that it started and waited for, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {"peak_mb": peak * unit / 1e6}


BEGAN = time.monotonic()

if __name__ == "__main__":
    main()

"""Where and how a run is started changes nothing of what it computes, and a long one takes no more than a short one."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from samples import file_hashes

RECIPE = Path(__file__).parents[2] / "recipes" / "allaug.yaml"
COMMAND = [
    sys.executable, "-m", "augkit", "run", str(RECIPE), "--device", "cpu", "--threads", "1", "--precision", "float32",
    "--set=dataset.phantom={train: 8, test: 4, size: 32}",
    "--set=segmenter.unet={width: 2, steps: 8, batch_size: 4}",
    "--set=synthesize.0.generator={mask2lesion: {width: 4, norm: instance, patch_layers: 1, epochs: 1, decay_epochs: 0,"
    " batch_size: 4, sample_every: 0}}",
]  # fmt: skip


@dataclass(frozen=True)
class Surroundings:
    """What differs from an ordinary start; `without` are variables that are missing, `files` may be open at once."""

    variables: Mapping[str, str] = field(default_factory=dict)
    folder: str = "plain"
    umask: int = 0o022
    files: int = 1024
    without: tuple[str, ...] = ()

    def hashes(self, place: Path) -> dict[str, str]:
        """Run there, and return the hash of every file of every artifact; reports hold times, and are left out."""
        store = place / self.folder / "runs"
        store.parent.mkdir(parents=True)
        variables = {name: value for name, value in os.environ.items() if name not in self.without}
        limits = f'umask {self.umask:o}; ulimit -n {self.files}; exec "$@"'
        done = subprocess.run(
            ["bash", "-c", limits, "bash", *COMMAND, "--out", str(store)],
            cwd=store.parent, env=variables | {"PYTHONHASHSEED": "0"} | self.variables,
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return file_hashes(store)


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory):
    return Surroundings().hashes(tmp_path_factory.mktemp("ordinary"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "odd",
    [
        Surroundings(
            {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "LANGUAGE": "tr", "TZ": "Pacific/Kiritimati"},
            folder="a folder,\nwith two lines & [brackets] 'quoted'",
        ),
        Surroundings(
            {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}, files=64
        ),
        Surroundings(folder="läsion/病变/پوست", umask=0o077, without=("HOME", "USER", "LOGNAME", "TERM", "LANG")),
        Surroundings(
            {"PYTHONHASHSEED": "4242", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "20", "NO_COLOR": "1", "TERM": "dumb",
             "SOURCE_DATE_EPOCH": "0"}
        ),
    ],
    ids=["Turkish, two lines", "ASCII, 64 open files", "not Latin, no home", "hash seed, narrow"],
)  # fmt: skip
def test_odd_surroundings_give_the_same_bytes(ordinary, odd, tmp_path):
    assert len(ordinary) > 10
    assert odd.hashes(tmp_path) == ordinary


@pytest.mark.slow
def test_a_training_of_200_epochs_takes_no_more_memory_files_and_threads_than_one_of_50(tmp_path):
    small = ["--set=synthesize=[]", "--set=dataset.phantom={train: 32, test: 4, size: 32}"]
    long = "--set=segmenter.unet={width: 2, steps: 1600, batch_size: 4}"  # 200 epochs of 32 images
    command = [*(part for part in COMMAND if not part.startswith("--set")), *small, long, "--out", str(tmp_path / "r")]
    seen: list[Usage] = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            while running.poll() is None:
                seen += [one for pid in family(running.pid) if (one := usage(pid)) is not None]
                time.sleep(0.2)
        finally:
            running.kill()
    assert running.returncode == 0
    busiest = max({one.pid for one in seen}, key=lambda pid: max(one.seconds for one in seen if one.pid == pid))
    of_one = [one for one in seen if one.pid == busiest]
    last = [one for one in of_one if one.seconds > of_one[-1].seconds / 2]  # the first half is imports and warm-up
    assert len(last) >= 20, "too short to see anything"
    megabytes = np.array([one.bytes for one in last]) / 2**20
    rise = np.polyfit(np.linspace(0, 100, len(last)), megabytes, 1)[0]
    assert rise < 0.5, f"{rise:.2f} MB more with every epoch"
    assert max(one.files for one in last) <= last[0].files + 3
    assert max(one.threads for one in last) <= last[0].threads + 1


@dataclass(frozen=True)
class Usage:
    """What a process has at a moment, and the seconds of the processor that it took so far."""

    pid: int
    seconds: float
    bytes: int
    files: int
    threads: int


def usage(pid: int) -> Usage | None:
    """Return what a process has, None where it has ended."""
    place = Path("/proc") / str(pid)
    try:
        times = (place / "stat").read_text().rpartition(")")[2].split()[11:13]
        seconds = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
        resident = int((place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return Usage(pid, seconds, resident, len(list((place / "fd").iterdir())), len(list((place / "task").iterdir())))
    except (OSError, IndexError):
        return None


def family(pid: int) -> list[int]:
    """Return a process and those that it started."""
    found = [pid]
    for parent in found:
        try:
            tasks = list((Path("/proc") / str(parent) / "task").iterdir())
            found += [int(child) for task in tasks for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found

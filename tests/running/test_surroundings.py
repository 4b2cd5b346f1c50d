"""Where and how a run is started changes nothing of what it computes, and a long one takes no more than a short one."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Literal

import numpy as np
import pytest
from PIL import Image

from samples import file_hashes, lesions
from system_faults import failing

RECIPE = Path(__file__).parents[2] / "recipes" / "allaug.yaml"
COMMAND = [
    sys.executable, "-m", "augkit", "run", str(RECIPE), "--device", "cpu", "--threads", "1", "--precision", "float32",
    "--set=dataset.phantom={train: 8, test: 4, size: 32}",
    "--set=segmenter.unet={width: 2, steps: 8, batch_size: 4}",
    "--set=synthesize.0.generator={mask2lesion: {width: 4, norm: instance, patch_layers: 1, epochs: 1, decay_epochs: 0,"
    " batch_size: 4, sample_every: 0}}",
]  # fmt: skip


READ_ONLY = [
    "unshare", "--user", "--map-root-user", "--mount", "bash", "-c",
    'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && cd "$1" && ! touch file 2> /dev/null && shift && "$@"',
    "bash",
]  # fmt: skip
"""Starts a command in a folder that nothing can be written into, root or not: a mount of its own."""


@dataclass(frozen=True)
class Surroundings:
    """What differs from an ordinary start.

    without:   variables that are missing.
    files:     may be open at once.
    before:    programs that start the command.
    read_only: nothing can be written into the working folder, which is home, too; the store is elsewhere.
    linked:    the store is a link to a folder on another disk, the one in memory.
    clock:     by how many seconds the clock is wrong, to and fro.
    outputs:   ``closed`` from the start, or a ``slow`` reader of a pipe that holds a page.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    folder: str = "plain"
    umask: int = 0o022
    files: int = 1024
    without: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    read_only: bool = False
    linked: bool = False
    clock: int = 0
    outputs: Literal["", "closed", "slow"] = ""

    def hashes(self, place: Path) -> dict[str, str]:
        """Run there, and return the hash of every file of every artifact; reports hold times, and are left out."""
        here = place / self.folder
        here.mkdir(parents=True)
        store = (place if self.read_only else here) / "runs"
        variables = {name: value for name, value in os.environ.items() if name not in self.without}
        variables |= {"PYTHONHASHSEED": "0", **self.variables}
        if self.clock:
            variables |= failing(place, place, clock=self.clock)
        if self.read_only:
            variables |= {"HOME": str(here)}
        with TemporaryDirectory(dir="/dev/shm") if self.linked else nullcontext() as memory:
            if memory:
                store.symlink_to(memory)
            limits = f'umask {self.umask:o}; ulimit -n {self.files}; exec "$@"'
            closed = " <&- >&- 2>&-" if self.outputs == "closed" else ""
            start = [*READ_ONLY, str(here)] if self.read_only else []
            command = ["bash", "-c", limits + closed, "bash", *self.before, *start, *COMMAND, "--out", str(store)]
            with subprocess.Popen(
                command, cwd=here, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            ) as running:
                said = slowly(running.stdout) if self.outputs == "slow" else running.stdout.read()
            assert running.returncode == 0, said.decode(errors="replace")
            assert b"Traceback" not in said
            return file_hashes(store)


def slowly(pipe: BinaryIO) -> bytes:
    """Read a pipe of the smallest size there is, a page every 10 ms."""
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
    said = b""
    while page := os.read(pipe.fileno(), 4096):
        said += page
        time.sleep(0.01)
    assert len(said) > 2**19, "too little to make anybody wait"
    return said


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory):
    return Surroundings().hashes(tmp_path_factory.mktemp("ordinary"))


ODD = {
    "Turkish, two lines, a clock that jumps by a week": Surroundings(
        {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "LANGUAGE": "tr", "TZ": "Pacific/Kiritimati",
         "TERM": "dumb"},
        folder="a folder,\nwith two lines & [brackets] 'quoted'",
        clock=7 * 86400,
    ),
    "ASCII, 64 open files, last in every queue, one core, closed outputs": Surroundings(
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"},
        files=64,
        before=("nice", "-n", "19", "ionice", "-c", "3", "taskset", "-c", "0"),
        umask=0o000,
        outputs="closed",
    ),
    "not Latin, no home, narrow, hash seed": Surroundings(
        {"PYTHONHASHSEED": "4242", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "20", "NO_COLOR": "1",
         "SOURCE_DATE_EPOCH": "0"},
        folder="läsion/病变/پوست",
        umask=0o077,
        without=("HOME", "USER", "LOGNAME", "TERM", "LANG"),
    ),
    "near the longest path, a huge log, read slowly": Surroundings(
        {"PYTHONVERBOSE": "1"}, folder="/".join(["d" * 200] * 17), outputs="slow"
    ),
    "read-only folder and home": Surroundings(read_only=True),
    "a link to another disk": Surroundings({"TMPDIR": "/dev/shm"}, linked=True),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("odd", ODD)
def test_odd_surroundings_give_the_same_bytes(ordinary, odd, tmp_path):
    if odd == "read-only folder and home" and not namespaces():
        pytest.skip("needs namespaces of Linux (unshare), to mount a folder read-only")
    if odd == "a link to another disk" and not Path("/dev/shm").is_dir():
        pytest.skip("the system has no /dev/shm")
    assert len(ordinary) > 10
    assert ODD[odd].hashes(tmp_path) == ordinary


@pytest.mark.slow
@pytest.mark.skipif("not namespaces()", reason="needs namespaces of Linux (unshare), to mount a folder read-only")
def test_a_data_set_on_a_read_only_disk_gives_the_same_bytes(tmp_path):
    data, samples = tmp_path / "data", lesions(8)
    for kind, pixels in (("images", samples.images), ("masks", samples.masks.astype(np.uint8) * 255)):
        (data / kind).mkdir(parents=True)
        for name, one in zip(samples.ids, pixels, strict=True):
            Image.fromarray(one).save(data / kind / f"{name}.png")
    of_folder = f"--set=dataset={{folder: {{root: {data}, size: 32}}}}"
    command = [*(part for part in COMMAND if "phantom" not in part), of_folder, "--out"]
    found = []
    for place, start in (("written", []), ("only read", [*READ_ONLY, str(data)])):
        done = subprocess.run([*start, *command, str(tmp_path / place)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found.append(file_hashes(tmp_path / place))
    assert found[0] == found[1]
    assert len(found[0]) > 10


def namespaces() -> bool:
    """Tell whether a user may have mounts of its own here."""
    unshare = shutil.which("unshare")
    asked = [str(unshare), "--user", "--map-root-user", "--mount", "true"]
    return unshare is not None and subprocess.run(asked, capture_output=True, check=False).returncode == 0


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

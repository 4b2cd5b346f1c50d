"""A training that goes on elsewhere while the process that had it is only thought dead."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from augkit.store import find_damage

TRAIN = """
    import fcntl, os, sys, time
    from pathlib import Path
    sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.."]
    import torch
    from test_loop import Toy, bits, loop, train
    from augkit import Workspace
    from augkit.contracts.components import SilentLog
    from augkit.errors import AugkitError
    from augkit.store import Address, Store, write_text

    torch.set_num_threads(1)
    os.fsync = lambda handle: None  # no power is cut here
    fcntl.flock = lambda *_: None  # as where the locks of one host are not those of another
    loop.CHECKPOINT_SECONDS = 0.0  # after every step

    class Slow(Toy):
        def step(self, number):
            time.sleep(float(sys.argv[3]))
            return super().step(number)

    class Log(SilentLog):
        def note(self, text):
            print(text, flush=True)

    store, address = Store(Path(sys.argv[2])), Address("segmenter", "toy", "0123456789abcdef" * 4)
    try:
        with store.lock(address, print):
            work = store.workplace(address, fresh=False)
            learner = Slow()
            train(learner, Workspace(work, 0, "cpu", Log()), 40)
            write_text(work / "weights.txt", str(sorted(bits(learner).items())))
            store.publish(address, work, {})
    except AugkitError as error:
        sys.exit(f"{type(error).__name__}: {error}")
"""


def start(root, seconds):
    command = [sys.executable, "-c", textwrap.dedent(TRAIN), str(Path(__file__).parent), str(root), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def results(root):
    (folder,) = (root / "segmenter").iterdir()
    assert find_damage(folder) == []
    names = [path for path in folder.rglob("*") if path.is_file() and path.name != "artifact.json"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in names}


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGSTOP, signal.SIGKILL])
def test_what_is_taken_over_ends_in_the_same_bytes_and_the_zombie_changes_none_of_them(tmp_path, end):
    undisturbed = start(tmp_path / "undisturbed", 0)
    zombie = start(tmp_path / "shared", 0.05)
    checkpoints = tmp_path / "shared" / ".augkit" / "work"
    while not [path for path in checkpoints.glob("*/*/files/checkpoints/0*") if path.name >= "000000005"]:
        assert zombie.poll() is None
        time.sleep(0.01)
    os.kill(zombie.pid, end)  # at any moment, the middle of a checkpoint included
    said, error = start(tmp_path / "shared", 0).communicate(timeout=120)
    assert said.startswith("continues at step "), error
    assert int(said.split()[3]) >= 5
    assert error == ""
    zombie.send_signal(signal.SIGCONT)
    _, error = zombie.communicate(timeout=120)
    if end == signal.SIGSTOP:
        assert error.startswith("SupersededError: "), error
        assert "has taken this over, so nothing more of it is written here" in error
    assert undisturbed.communicate(timeout=120)[1] == ""
    assert results(tmp_path / "shared") == results(tmp_path / "undisturbed")
    assert list(checkpoints.iterdir()) == []

"""Eight small trainings side by side against one after the other, start-up excluded."""

import subprocess
import sys
import time
from pathlib import Path

from on_gpu.part import Part, begin

TRAINING = """
import sys
sys.path[:0] = [sys.argv[3]]
from pathlib import Path
from augkit import Workspace
from augkit.contracts.components import SilentLog
from augkit.training.precision import reproducible
from augkit_classical.presets import ClassicalPaper
from augkit_phantom import Phantom
from augkit_unet.segmenter import Unet
from augkit_unet.training import UnetLearner

device, steps = sys.argv[1], int(sys.argv[2])
samples = Phantom(train=200, test=1, size=64).load().train
options = Unet(width=16, batch_size=16, steps=6300)
learner = UnetLearner(options, samples, ClassicalPaper(), Workspace(Path(), 0, device, SilentLog()))
with reproducible():
    for number in range(6):
        learner.step(number)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(steps):
        loss = learner.step(number)["loss"]
    float(loss.sum())
"""


def measure(part: Part) -> None:
    """Measure both."""
    count, steps = (2, 2) if part.tiny else (8, 1000)
    alone = sum(together(part, 1, steps) for _ in range(1 if part.tiny else 2)) / (1 if part.tiny else 2)
    beside = together(part, count, steps)
    part.keep("one training, s", alone)
    part.keep(f"{count} trainings side by side, s", beside)
    part.keep("times as fast as one after the other", count * alone / beside)


def together(part: Part, count: int, steps: int) -> float:
    """Return the seconds of so many trainings of width 16 at 64 px, begun at one time."""
    command = [sys.executable, "-c", TRAINING, part.device, str(steps), str(Path(__file__).parents[2])]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    began = time.perf_counter()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.wait() for process in processes] == [0] * count
    return time.perf_counter() - began


if __name__ == "__main__":
    begin("jobs", measure)

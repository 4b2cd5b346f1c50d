import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from augkit import InputError
from augkit.store import read_json
from augkit.training.ranks import Gradients

SEVERAL = """
    import json, os, sys
    from pathlib import Path
    sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.."]
    import torch
    from test_loop import bits, mirrored, pairs, train, workspace
    from augkit.training import ranks
    from augkit_mask2lesion.generator import Mask2Lesion
    from augkit_mask2lesion.learner import PixToPix
    from augkit_mask2lesion.presets import Spade
    from augkit_unet.segmenter import Unet
    from augkit_unet.training import UnetLearner
    torch.set_num_threads(1)

    def learn(kind, reduction, folder):
        space = workspace(folder)
        if kind == "unet":
            options = Unet(width=4, steps=6, batch_size=8, optimizer="adamw", schedule="cosine", reduction=reduction)
            learner = UnetLearner(options, pairs(), mirrored, space)
        elif kind == "spade":
            everything = {"spectral_norm": True, "lambda_r1": 1.0, "style": 2, "ema": 0.9}
            options = Spade(
                width=4, patch_layers=1, batch_size=8, epochs=6, decay_epochs=0, reduction=reduction, **everything
            )
            learner = PixToPix(options, pairs(), space)
        else:
            options = Mask2Lesion(width=4, patch_layers=1, batch_size=4, epochs=3, decay_epochs=0, reduction=reduction)
            learner = PixToPix(options, pairs(), space)
        train(learner, space, 6)
        return {"bits": bits(learner), "history": json.loads((folder / "history.json").read_text())}

    def one(rank, world, folder):
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1"}
        ranks.join()
        for kind in ("unet", "gan", "spade"):
            for reduction in ("ordered", "fast") if world < 4 else ("ordered",):
                place = Path(folder) / f"{world}-{rank}-{kind}-{reduction}"
                result = learn(kind, reduction, place)
                (place / "result.json").write_text(json.dumps(result))
        ranks.leave()

    folder = sys.argv[2]
    for world, port in ((1, "0"), (2, sys.argv[3]), (4, sys.argv[4])):
        os.environ["MASTER_PORT"] = port
        children = []
        for rank in range(world):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    one(rank, world, folder)
                    code = 0
                finally:
                    os._exit(code)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert codes == [0] * world, codes
"""


def free_ports(count):
    import socket

    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [str(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The results of 1, 2 and 4 processes, by (processes, rank, kind, reduction)."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, "-c", textwrap.dedent(SEVERAL), Path(__file__).parent, folder, *free_ports(2)]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=250)
    return {
        (world, rank, kind, reduction): read_json(folder / f"{world}-{rank}-{kind}-{reduction}" / "result.json")
        for world in (1, 2, 4)
        for rank in range(world)
        for kind in ("unet", "gan", "spade")
        for reduction in (("ordered", "fast") if world < 4 else ("ordered",))
    }


@pytest.mark.parametrize("kind", ["unet", "gan", "spade"])
def test_ordered_reduction_ends_in_the_same_bits_for_1_2_and_4_processes(trained, kind):
    results = [trained[world, rank, kind, "ordered"] for world in (1, 2, 4) for rank in range(world)]
    assert len(results[0]["bits"]) > 20
    assert all(result == results[0] for result in results), "weights, optimiser states and history of every rank"


@pytest.mark.parametrize("kind", ["unet", "gan", "spade"])
def test_fast_reduction_keeps_the_ranks_equal_and_learns_the_same_up_to_rounding(trained, kind):
    assert trained[2, 0, kind, "fast"] == trained[2, 1, kind, "fast"]
    alone, together = (trained[world, 0, kind, "fast"]["history"][-1] for world in (1, 2))
    assert alone.keys() == together.keys()
    for name in {"loss", "L1"} & alone.keys():
        assert together[name] == pytest.approx(alone[name], rel=0.2)


ONE_IS_BAD = """
    import os, sys
    from pathlib import Path
    sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.."]
    import torch
    from test_loop import train, workspace
    from augkit.training import ranks
    from augkit.training.ranks import Gradients
    from augkit.training.loop import seeded
    torch.set_num_threads(1)

    class Learner:
        def __init__(self):
            with seeded(0):
                self.network = torch.nn.Linear(4, 1)
            self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)
            self.networks, self.optimizers = {"line": self.network}, {"line": self.optimizer}
            self.gradients = Gradients("fast", 4)

        def step(self, number):
            losses = []
            self.gradients.descend(self.network, self.optimizer, self.parts(number, losses))
            return {"loss": torch.stack(losses)}

        def parts(self, number, losses):
            for part in self.gradients.parts:
                bad = number == 5 and ranks.rank() == 1
                x = torch.full((2, 4), float("nan") if bad else 0.1)
                losses.append(self.network(x).square().mean().detach())
                yield self.network(x).square().mean()

    os.environ |= {"RANK": sys.argv[3], "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": sys.argv[4]}
    ranks.join()
    train(Learner(), workspace(Path(sys.argv[2]) / sys.argv[3]), 30)
    ranks.leave()
"""


def test_a_step_that_is_bad_in_one_process_is_left_out_by_all(tmp_path):
    (port,) = free_ports(1)
    command = [sys.executable, "-c", textwrap.dedent(ONE_IS_BAD), str(Path(__file__).parent), str(tmp_path)]
    both = [subprocess.Popen([*command, rank, port]) for rank in ("0", "1")]
    try:
        assert [process.wait(timeout=120) for process in both] == [0, 0]
    finally:
        for process in both:
            process.kill()
    assert [read_json(tmp_path / rank / "training.json")["skipped"] for rank in ("0", "1")] == [[5], [5]]


@pytest.mark.parametrize(("reduction", "size"), [("ordered", 6), ("ordered", 1)])
def test_a_batch_that_cannot_be_cut_evenly_is_refused(reduction, size):
    message = f"batch_size: found {size} with reduction '{reduction}' and 1 process; allowed: multiples of 4, and 1, 2"
    with pytest.raises(InputError, match=message):
        Gradients(reduction, size)


def test_parts_together_have_the_gradient_of_the_whole_batch():
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))

    def gradient(reduction):
        gradients = Gradients(reduction, 8)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
        gradients.descend(network, optimizer, ((network(x[part]) ** 2).mean() for part in gradients.parts))
        return torch.cat([parameter.grad.flatten() for parameter in network.parameters()])

    assert torch.allclose(gradient("ordered"), gradient("fast"), rtol=1e-5, atol=1e-7)


def test_running_statistics_end_as_the_mean_over_the_parts_and_count_one_batch():
    norm = nn.BatchNorm1d(2, momentum=0.5)
    x = torch.arange(16.0).reshape(8, 2)
    gradients = Gradients("ordered", 8)
    optimizer = torch.optim.SGD(norm.parameters(), lr=0.0)
    gradients.descend(norm, optimizer, (norm(x[part]).square().mean() for part in gradients.parts))
    assert torch.allclose(norm.running_mean, x.mean(0) / 2)
    assert int(norm.num_batches_tracked) == 1


# The whole program

RECIPE = """
name: tiny
seed: 0
dataset: {phantom: {train: 8, test: 2, size: 32}}
augment:
  - geometry: {}
segmenter: {unet: {width: 4, steps: STEPS, batch_size: 4, reduction: ordered}}
"""
PROGRAM = """
import os
from augkit.training import loop
from augkit.cli import main
loop.CHECKPOINT_SECONDS = 0.1
os.fsync = lambda handle: None  # no power cut is tested, only the death of a process
main()
"""


def start(processes, folder, steps):
    recipe = folder / "tiny.yaml"
    recipe.write_text(RECIPE.replace("STEPS", str(steps)))
    several = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "--max-restarts=2"]
    program = ["--no-python", sys.executable, "-c", PROGRAM] if processes > 1 else ["-c", PROGRAM]
    command = [sys.executable, *(several if processes > 1 else []), *program, "run", recipe, "--device=cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def weights(folder):
    return {path.name: path.read_bytes() for path in folder.glob("runs/*/*/*.safetensors")}


def children(process):
    """Return the processes that torchrun started, oldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == process.pid and fields[0] != "Z":
                found.append(int(entry.name))
    return sorted(found)


@pytest.mark.slow
def test_a_killed_process_is_started_again_and_the_weights_are_those_of_one_process(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    alone = start(1, tmp_path / "one", 120)
    output, _ = alone.communicate(timeout=250)
    assert alone.returncode == 0, output.decode()
    together = start(2, tmp_path / "two", 120)
    deadline = time.monotonic() + 200
    while not list((tmp_path / "two").glob("runs/.augkit/work/segmenter-*/*/files/checkpoints/0*")):
        assert time.monotonic() < deadline
        assert together.poll() is None, together.communicate()[0].decode()
        time.sleep(0.05)
    os.kill(children(together)[-1], signal.SIGKILL)
    output, _ = together.communicate(timeout=250)
    assert together.returncode == 0, output.decode()
    assert weights(tmp_path / "two") == weights(tmp_path / "one")
    assert len(weights(tmp_path / "two")) == 1
    facts = [json.loads(file.read_text()) for file in (tmp_path / "two").glob("runs/segmenter/*/training.json")]
    assert facts[0]["circumstances"]["processes"] == 2

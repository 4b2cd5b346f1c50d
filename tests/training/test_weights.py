import subprocess
import sys

import pytest
import torch
from torch import nn

from augkit.training import load_weights, save_weights, seeded


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_weights_return_as_they_were_and_draw_no_numbers(tmp_path):
    with seeded(3):
        trained = network().to(memory_format=torch.channels_last)
    trained[1].running_mean += 2
    save_weights(trained, tmp_path / "weights.safetensors")
    before = torch.get_rng_state()
    again = load_weights(network, tmp_path / "weights.safetensors")
    assert torch.equal(torch.get_rng_state(), before)
    for (name, mine), (same, theirs) in zip(trained.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == same
        assert torch.equal(mine, theirs)


LITTLE_MEMORY = """
import resource, torch
from augkit.training import as_safetensors

tensors = {"weight": torch.zeros(2**24)}
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + 96 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
try:
    as_safetensors(tensors)
except MemoryError:
    print("told")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does")
def test_tensors_for_which_there_is_no_memory_raise_instead_of_ending_the_process():
    done = subprocess.run([sys.executable, "-c", LITTLE_MEMORY], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("told\n", "")

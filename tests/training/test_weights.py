import resource
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from augkit.training import as_safetensors, load_weights, save_weights, seeded

MEGABYTE = 2**20


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


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does")
def test_tensors_for_which_there_is_no_memory_raise_instead_of_ending_the_process():
    most = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    tensors = {"weight": torch.zeros(64 * MEGABYTE // 4)}
    try:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 160 * MEGABYTE, most[1]))
        with pytest.raises(MemoryError):
            as_safetensors(tensors)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, most)
    assert len(as_safetensors(tensors)) > 64 * MEGABYTE

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

"""What steps are recorded by, where there is nothing to record them on; `tests/test_gpu.py` has the rest."""

import pytest
import torch

from augkit.training import ranks
from augkit.training.batches import Batches
from augkit.training.graphs import Recorded, learning_rate, set_learning_rate
from samples import lesions, workspace


def test_a_cpu_is_told_every_step(tmp_path):
    calls = []

    def double(inputs):
        calls.append(inputs)
        return {"values": 2 * inputs[0][0]}

    recorded = Recorded(double, [], workspace(tmp_path))
    for number in range(9):
        assert recorded([[torch.tensor(number)]])["values"] == 2 * number
    assert len(calls) == 9


def test_a_batch_is_the_batch_of_its_tensors():
    batch = Batches(lesions(4), 4, 0, "cpu").at(3)
    again = type(batch).of(batch.tensors())
    assert torch.equal(again.images, batch.images)
    assert torch.equal(again.masks, batch.masks)
    assert torch.equal(again.draws.uniform("x"), batch.draws.uniform("x"))


def test_a_learning_rate_is_a_number_on_a_cpu_and_a_tensor_that_changes_where_steps_are_recorded():
    assert learning_rate(0.1, "cpu") == 0.1
    weight = torch.nn.Parameter(torch.ones(3))
    for rate in (0.1, torch.tensor(0.1)):
        optimizer = torch.optim.SGD([weight], lr=rate)
        set_learning_rate(optimizer, 0.25)
        assert float(optimizer.param_groups[0]["lr"]) == 0.25
    assert float(rate) == 0.25, "the same tensor, which a recording reads"


@pytest.mark.parametrize(
    ("gpus", "processes", "backends"),
    [(0, 2, "gloo"), (1, 2, "gloo"), (2, 2, "cpu:gloo,cuda:nccl"), (8, 4, "cpu:gloo,cuda:nccl")],
)
def test_nccl_reduces_where_every_process_has_a_gpu_of_its_own(monkeypatch, gpus, processes, backends):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert ranks._backends() == backends

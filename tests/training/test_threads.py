"""Samples are spread over threads by a queue: whatever their number, every sample is done once and no bit changes."""

import threading

import numpy as np
import pytest
import torch

from augkit.training.threads import all_finite, floats, spread, taken


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 64])
def test_every_sample_is_done_once(threads, count):
    done = []
    spread(count, lambda part: done.extend(part))
    assert sorted(done) == list(range(count))


def test_a_thread_that_is_held_up_is_not_waited_for_until_all_else_is_done():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    others_done, done = threading.Event(), []

    def work(part):
        if part.start == 0:
            assert others_done.wait(20), "the rest waits for the one that is held up"
        done.extend(part)
        if len(done) == 60:
            others_done.set()

    try:
        spread(64, work)
    finally:
        torch.set_num_threads(before)
    assert sorted(done) == list(range(64))
    assert set(done[-4:]) == {0, 1, 2, 3}


def test_an_error_in_any_thread_is_raised(threads):
    def work(part):
        if 9 in part:
            raise ValueError("sample 9")

    with pytest.raises(ValueError, match="sample 9"):
        spread(64, work)


def numbers(shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_samples_are_taken_in_order_and_again(threads):
    stored, where = numbers((9, 5, 4, 3)), torch.tensor([8, 0, 0, 3, 7, 1])
    assert torch.equal(taken(stored, where), stored[where])
    assert torch.equal(taken(stored.view(torch.int8), where), stored.view(torch.int8)[where])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_bytes_become_the_floats_that_torch_makes_of_them_in_the_same_layout(threads, layout):
    stored = numbers((7, 3, 6, 5)).contiguous(memory_format=layout)
    found = floats(stored, 255)
    assert torch.equal(found, stored.float() / 255)
    assert found.stride() == stored.stride()
    assert np.array_equal(floats(stored, 1).numpy(), stored.numpy().astype(np.float32))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_one_value_that_is_not_finite_is_found_wherever_it_is(threads, value):
    pixels = torch.ones(6, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    assert all_finite(pixels)
    assert all_finite(pixels[:0])
    pixels[5, 2, 3, 3] = value
    assert not all_finite(pixels)
    assert not all_finite(pixels.contiguous()[5:])

import numpy as np
import pytest
import torch

from augkit import Draws
from augkit.training import filled_batches


@pytest.mark.parametrize("count", [1, 4, 7, 8])
def test_every_batch_has_the_same_shape_and_every_mask_its_own_key(count):
    masks = np.random.Generator(np.random.Philox(count)).random((count, 3, 5)) < 0.5
    draws = Draws.of(0, "synthesis", np.arange(count))
    seen = []
    for where, batch, keyed in filled_batches(masks, draws, "cpu", 4):
        assert (batch.shape, batch.dtype, len(keyed)) == ((4, 1, 3, 5), torch.float32, 4)
        real = where.stop - where.start
        assert np.array_equal(batch[:real, 0].numpy() == 1, masks[where])
        assert np.array_equal(keyed.keys[:real].numpy(), draws[where].keys)
        assert not batch[real:].any()
        seen += range(where.start, where.stop)
    assert seen == [*range(count)]


def test_no_mask_is_no_batch():
    nothing = filled_batches(np.zeros((0, 3, 5), np.bool_), Draws.of(0, "synthesis", np.arange(0)), "cpu")
    assert list(nothing) == []

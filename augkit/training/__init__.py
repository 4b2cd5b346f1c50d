"""What every trained plugin shares: a door for plugins that train.

A plugin brings networks, optimisers and a step (`Learner`); `train` does the rest.
"""

from augkit.training.batches import Batch, Batches, as_floats, score_images
from augkit.training.checkpoints import Learner, remove_checkpoints
from augkit.training.ema import Ema
from augkit.training.loop import seeded, train
from augkit.training.precision import (
    autocast,
    choose_device,
    compile_if_repaid,
    computes_in_bfloat16,
    memory_layout,
    settle,
)
from augkit.training.ranks import Gradients, Reduction

__all__ = [
    "Batch",
    "Batches",
    "Ema",
    "Gradients",
    "Learner",
    "Reduction",
    "as_floats",
    "autocast",
    "choose_device",
    "compile_if_repaid",
    "computes_in_bfloat16",
    "memory_layout",
    "remove_checkpoints",
    "score_images",
    "seeded",
    "settle",
    "train",
]

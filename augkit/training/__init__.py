"""What every trained plugin shares: a door for plugins that train.

A plugin brings networks, optimisers and a step (`Learner`); `train` does the rest.
"""

from augkit.data.stored import read_format, write_format
from augkit.training.batches import Batch, Batches, as_floats, score_images
from augkit.training.checkpoints import Learner, remove_checkpoints
from augkit.training.ema import Ema
from augkit.training.graphs import Inputs, Recorded, learning_rate, set_learning_rate
from augkit.training.loop import seeded, train
from augkit.training.painting import PAINTING_BATCH, filled_batches
from augkit.training.pixels import as_stored, in_unit_range, one_hot
from augkit.training.precision import (
    autocast,
    choose_device,
    compile_if_repaid,
    computes_in_bfloat16,
    memory_layout,
    settle,
)
from augkit.training.ranks import Gradients, Reduction
from augkit.training.segmentation import (
    Budget,
    SegmentationLearner,
    SegmentationPredictor,
    colour_statistics,
    logits_for,
    per_channel,
    segmentation_loss,
)
from augkit.training.threads import spread
from augkit.training.weights import as_safetensors, load_weights, read_bytes, read_tensors, save_weights

__all__ = [
    "PAINTING_BATCH",
    "Batch",
    "Batches",
    "Budget",
    "Ema",
    "Gradients",
    "Inputs",
    "Learner",
    "Recorded",
    "Reduction",
    "SegmentationLearner",
    "SegmentationPredictor",
    "as_floats",
    "as_safetensors",
    "as_stored",
    "autocast",
    "choose_device",
    "colour_statistics",
    "compile_if_repaid",
    "computes_in_bfloat16",
    "filled_batches",
    "in_unit_range",
    "learning_rate",
    "load_weights",
    "logits_for",
    "memory_layout",
    "one_hot",
    "per_channel",
    "read_bytes",
    "read_format",
    "read_tensors",
    "remove_checkpoints",
    "save_weights",
    "score_images",
    "seeded",
    "segmentation_loss",
    "set_learning_rate",
    "settle",
    "spread",
    "train",
    "write_format",
]

"""augkit: mix augmentation sources in a recipe and learn whether they help your segmenter.

A plugin author needs only this module::

    from augkit import hookimpl, DrawnMasks, ImageSet, Splits, Workspace, Draws
"""

from augkit.amounts import duration
from augkit.contracts import events
from augkit.contracts.components import (
    AtLeast,
    Augment,
    Augmentation,
    Dataset,
    Generator,
    Log,
    MaskSource,
    Predictor,
    Segmenter,
    SilentLog,
    Synthesizer,
    Within,
    Workspace,
)
from augkit.contracts.hookspecs import hookimpl
from augkit.data.arrays import DrawnMasks, Images, ImageSet, Masks, Record, Scores, Splits
from augkit.data.draws import ArrayDraws, Draws, TensorDraws, sample_keys
from augkit.errors import InputError, Problem, did_you_mean

__version__ = "0.1.0"

__all__ = [
    "ArrayDraws",
    "AtLeast",
    "Augment",
    "Augmentation",
    "Dataset",
    "DrawnMasks",
    "Draws",
    "Generator",
    "ImageSet",
    "Images",
    "InputError",
    "Log",
    "MaskSource",
    "Masks",
    "Predictor",
    "Problem",
    "Record",
    "Scores",
    "Segmenter",
    "SilentLog",
    "Splits",
    "Synthesizer",
    "TensorDraws",
    "Within",
    "Workspace",
    "__version__",
    "did_you_mean",
    "duration",
    "events",
    "hookimpl",
    "sample_keys",
]

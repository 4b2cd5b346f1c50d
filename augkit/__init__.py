"""augkit: mix augmentation sources in a recipe and learn whether they help your segmenter.

A plugin author needs only this module::

    from augkit import hookimpl, DrawnMasks, ImageSet, Splits, Workspace, Draws
"""

from augkit.contracts import (
    AtLeast,
    Augmentation,
    Dataset,
    DrawnMasks,
    Generator,
    ImageSet,
    MaskSource,
    Predictor,
    Segmenter,
    Splits,
    Synthesizer,
    Within,
    Workspace,
)
from augkit.draws import Draws
from augkit.errors import InputError, Problem
from augkit.hookspecs import hookimpl

__version__ = "0.1.0"

__all__ = [
    "AtLeast",
    "Augmentation",
    "Dataset",
    "DrawnMasks",
    "Draws",
    "Generator",
    "ImageSet",
    "InputError",
    "MaskSource",
    "Predictor",
    "Problem",
    "Segmenter",
    "Splits",
    "Synthesizer",
    "Within",
    "Workspace",
    "__version__",
    "hookimpl",
]

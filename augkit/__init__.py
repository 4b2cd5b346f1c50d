"""augkit: mix augmentation sources in a recipe and learn whether they help your segmenter.

A notebook and a plugin need only this module::

    result = augkit.run("recipes/classicaug.yaml", "recipes/allaug.yaml", seeds=range(6))

    from augkit import hookimpl, DrawnMasks, ImageSet, Splits, Workspace, Draws
"""

from importlib import import_module
from typing import TYPE_CHECKING

from augkit import starting  # noqa: F401 - first of all: it guards what is imported from here on
from augkit.contracts import events
from augkit.contracts.components import (
    AtLeast,
    Augment,
    Augmentation,
    Dataset,
    Frame,
    Generator,
    HasWeights,
    Log,
    MaskSource,
    NotEmpty,
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
from augkit.data.formats import ANYTHING, Channel, Format, Takes, class_masks, shows
from augkit.errors import InputError, Problem, did_you_mean

if TYPE_CHECKING:
    from augkit.face.augmenting import augmentation
    from augkit.face.painting import Painter, generator
    from augkit.face.parts import GeneratorPart, MaskPart, Parts, SegmenterPart, other_masks, part_of_folder
    from augkit.face.result import Result
    from augkit.face.studies import Study, load_recipe, replay, run

__version__ = "0.1.0"

__all__ = [
    "ANYTHING",
    "ArrayDraws",
    "AtLeast",
    "Augment",
    "Augmentation",
    "Channel",
    "Dataset",
    "DrawnMasks",
    "Draws",
    "Format",
    "Frame",
    "Generator",
    "GeneratorPart",
    "HasWeights",
    "ImageSet",
    "Images",
    "InputError",
    "Log",
    "MaskPart",
    "MaskSource",
    "Masks",
    "NotEmpty",
    "Painter",
    "Parts",
    "Predictor",
    "Problem",
    "Record",
    "Result",
    "Scores",
    "Segmenter",
    "SegmenterPart",
    "SilentLog",
    "Splits",
    "Study",
    "Synthesizer",
    "Takes",
    "TensorDraws",
    "Within",
    "Workspace",
    "__version__",
    "augmentation",
    "class_masks",
    "did_you_mean",
    "events",
    "generator",
    "hookimpl",
    "load_recipe",
    "other_masks",
    "part_of_folder",
    "replay",
    "run",
    "sample_keys",
    "shows",
]

_FACE = {
    "GeneratorPart": "augkit.face.parts",
    "MaskPart": "augkit.face.parts",
    "Parts": "augkit.face.parts",
    "SegmenterPart": "augkit.face.parts",
    "other_masks": "augkit.face.parts",
    "part_of_folder": "augkit.face.parts",
    "Painter": "augkit.face.painting",
    "Study": "augkit.face.studies",
    "Result": "augkit.face.result",
    "augmentation": "augkit.face.augmenting",
    "generator": "augkit.face.painting",
    "load_recipe": "augkit.face.studies",
    "replay": "augkit.face.studies",
    "run": "augkit.face.studies",
}
"""What is imported when it is first asked for: a plugin needs none of it, and it takes time."""


def __getattr__(name: str) -> object:
    if name not in _FACE:
        raise AttributeError(f"module 'augkit' has no attribute '{name}'")
    return getattr(import_module(_FACE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_FACE})

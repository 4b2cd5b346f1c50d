"""augkit: mix augmentation sources in a recipe and learn whether they help your segmenter.

A notebook and a plugin need only this module::

    result = augkit.run("recipes/classicaug.yaml", "recipes/allaug.yaml", seeds=range(6))

    from augkit import hookimpl, DrawnMasks, ImageSet, Splits, Workspace, Draws
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

_HOME = {
    "events": "augkit.contracts.events",
    "AtLeast": "augkit.contracts.components",
    "Augment": "augkit.contracts.components",
    "Augmentation": "augkit.contracts.components",
    "Dataset": "augkit.contracts.components",
    "Frame": "augkit.contracts.components",
    "Generator": "augkit.contracts.components",
    "HasWeights": "augkit.contracts.components",
    "Log": "augkit.contracts.components",
    "MaskSource": "augkit.contracts.components",
    "NotEmpty": "augkit.contracts.components",
    "Predictor": "augkit.contracts.components",
    "Segmenter": "augkit.contracts.components",
    "SilentLog": "augkit.contracts.components",
    "Synthesizer": "augkit.contracts.components",
    "Within": "augkit.contracts.components",
    "Workspace": "augkit.contracts.components",
    "hookimpl": "augkit.contracts.hookspecs",
    "DrawnMasks": "augkit.data.arrays",
    "ImageSet": "augkit.data.arrays",
    "Images": "augkit.data.arrays",
    "Masks": "augkit.data.arrays",
    "Record": "augkit.data.arrays",
    "Scores": "augkit.data.arrays",
    "Splits": "augkit.data.arrays",
    "ArrayDraws": "augkit.data.draws",
    "Draws": "augkit.data.draws",
    "TensorDraws": "augkit.data.draws",
    "sample_keys": "augkit.data.draws",
    "ANYTHING": "augkit.data.formats",
    "Channel": "augkit.data.formats",
    "Format": "augkit.data.formats",
    "Takes": "augkit.data.formats",
    "class_masks": "augkit.data.formats",
    "shows": "augkit.data.formats",
    "InputError": "augkit.errors",
    "Problem": "augkit.errors",
    "did_you_mean": "augkit.errors",
    "augmentation": "augkit.face.augmenting",
    "Painter": "augkit.face.painting",
    "generator": "augkit.face.painting",
    "GeneratorPart": "augkit.face.parts",
    "MaskPart": "augkit.face.parts",
    "Parts": "augkit.face.parts",
    "SegmenterPart": "augkit.face.parts",
    "other_masks": "augkit.face.parts",
    "part_of_folder": "augkit.face.parts",
    "Result": "augkit.face.result",
    "Study": "augkit.face.studies",
    "load_recipe": "augkit.face.studies",
    "replay": "augkit.face.studies",
    "run": "augkit.face.studies",
}
"""The module of each name, imported when the name is first asked for; `events` is a module itself."""


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'augkit' has no attribute '{name}'")
    home = import_module(_HOME[name])
    return getattr(home, name, home)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

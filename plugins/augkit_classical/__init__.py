"""Classical augmentations: batched on the device, with draws that belong to the sample."""

from collections.abc import Mapping

from augkit import Augmentation, hookimpl
from augkit_classical.blur import Blur
from augkit_classical.colour import Colour
from augkit_classical.cutout import Cutout
from augkit_classical.elastic import Elastic
from augkit_classical.geometry import Geometry
from augkit_classical.hair import Hair
from augkit_classical.mixing import Cutmix, Mixup
from augkit_classical.noise import Noise
from augkit_classical.paste import Paste
from augkit_classical.presets import ClassicalPaper, ClassicalPaste, ClassicalStrong


@hookimpl
def augkit_augmentations() -> Mapping[str, type[Augmentation]]:
    """Register the built-in augmentations."""
    return {
        "geometry": Geometry,
        "elastic": Elastic,
        "colour": Colour,
        "blur": Blur,
        "noise": Noise,
        "cutout": Cutout,
        "mixup": Mixup,
        "cutmix": Cutmix,
        "paste": Paste,
        "hair": Hair,
        "classical-paper": ClassicalPaper,
        "classical-strong": ClassicalStrong,
        "classical-paste": ClassicalPaste,
    }

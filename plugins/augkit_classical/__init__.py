"""Classical augmentations: batched on the device, with draws that belong to the sample."""

from collections.abc import Mapping

from augkit import hookimpl
from augkit.contracts import Augmentation
from augkit_classical.colour import Colour
from augkit_classical.geometry import Geometry


@hookimpl
def augkit_augmentations() -> Mapping[str, type[Augmentation]]:
    """Register the built-in augmentations."""
    return {"geometry": Geometry, "colour": Colour}

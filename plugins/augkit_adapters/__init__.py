"""Pipelines of other libraries as augmentations; the libraries are imported only when a recipe names them."""

from collections.abc import Mapping

from augkit import Augmentation, hookimpl
from augkit_adapters.albumentations import Albumentations
from augkit_adapters.torchvision import Torchvision


@hookimpl
def augkit_augmentations() -> Mapping[str, type[Augmentation]]:
    """Register the adapters."""
    return {"albumentations": Albumentations, "torchvision": Torchvision}

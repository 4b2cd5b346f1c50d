"""Texture: appearance of real training images painted into any mask; nothing is trained."""

from collections.abc import Mapping

from augkit import Generator, hookimpl
from augkit_texture.generator import Texture


@hookimpl
def augkit_generators() -> Mapping[str, type[Generator]]:
    """Register the generator ``texture``."""
    return {"texture": Texture}

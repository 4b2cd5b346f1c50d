"""Mask2Lesion: the pix2pix conditional GAN that turns a lesion mask into a dermoscopy image."""

from collections.abc import Mapping

from augkit import hookimpl
from augkit.contracts import Generator
from augkit_mask2lesion.generator import Mask2Lesion


@hookimpl
def augkit_generators() -> Mapping[str, type[Generator]]:
    """Register the generator."""
    return {"mask2lesion": Mask2Lesion}

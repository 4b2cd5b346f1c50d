"""Mask2Lesion: the pix2pix conditional GAN that turns a lesion mask into a dermoscopy image."""

from collections.abc import Mapping

from augkit import Generator, hookimpl
from augkit_mask2lesion.generator import Mask2Lesion
from augkit_mask2lesion.presets import Fast128, Released256, Spade


@hookimpl
def augkit_generators() -> Mapping[str, type[Generator]]:
    """Register the paper's setting and its two presets, which are the same code with other defaults."""
    return {
        "mask2lesion": Mask2Lesion,
        "mask2lesion-released256": Released256,
        "mask2lesion-fast128": Fast128,
        "mask2lesion-spade": Spade,
    }

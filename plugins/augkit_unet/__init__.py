"""The U-Net segmenter."""

from collections.abc import Mapping

from augkit import Segmenter, hookimpl
from augkit_unet.presets import UnetPaper, UnetStrong
from augkit_unet.segmenter import Unet


@hookimpl
def augkit_segmenters() -> Mapping[str, type[Segmenter]]:
    """Register the U-Net and its two presets, which are the same code with other defaults."""
    return {"unet": Unet, "unet-paper": UnetPaper, "unet-strong": UnetStrong}

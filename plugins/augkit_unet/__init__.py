"""The U-Net segmenter."""

from collections.abc import Mapping

from augkit import hookimpl
from augkit.contracts import Segmenter
from augkit_unet.segmenter import Unet


@hookimpl
def augkit_segmenters() -> Mapping[str, type[Segmenter]]:
    """Register the U-Net."""
    return {"unet": Unet}

"""Segmenters of segmentation_models.pytorch; that package is imported only when a recipe names one."""

from collections.abc import Mapping

from augkit import Segmenter, hookimpl
from augkit_smp.segmenter import Smp


@hookimpl
def augkit_segmenters() -> Mapping[str, type[Segmenter]]:
    """Register the segmenter."""
    return {"smp": Smp}

"""Segmenters of segmentation_models.pytorch; that package is imported only when a recipe names one."""

from collections.abc import Mapping

from augkit import hookimpl
from augkit.contracts import Segmenter
from augkit_smp.segmenter import Smp


@hookimpl
def augkit_segmenters() -> Mapping[str, type[Segmenter]]:
    """Register the segmenter."""
    return {"smp": Smp}

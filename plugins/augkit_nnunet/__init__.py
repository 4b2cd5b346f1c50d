"""nnU-Net v2 as a segmenter; the package nnunetv2 is imported only when a recipe trains or opens one."""

from collections.abc import Mapping

from augkit import Segmenter, hookimpl
from augkit_nnunet.segmenter import Nnunet


@hookimpl
def augkit_segmenters() -> Mapping[str, type[Segmenter]]:
    """Register the segmenter."""
    return {"nnunet": Nnunet}

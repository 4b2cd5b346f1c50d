"""Mask sources: where the masks of synthetic images come from (the paper's Figure 3)."""

from collections.abc import Mapping

from augkit import MaskSource, hookimpl
from augkit_masks.combine import Combine
from augkit_masks.drawn import Drawn
from augkit_masks.elastic import Elastic
from augkit_masks.pca import Pca
from augkit_masks.shapes import Shapes
from augkit_masks.training import Training


@hookimpl
def augkit_mask_sources() -> Mapping[str, type[MaskSource]]:
    """Register the built-in mask sources."""
    return {
        "training": Training,
        "shapes": Shapes,
        "folder": Drawn,
        "elastic": Elastic,
        "pca": Pca,
        "combine": Combine,
    }

"""Mask sources: where the masks of synthetic images come from (the paper's Figure 3)."""

from collections.abc import Mapping

from augkit import hookimpl
from augkit.contracts import MaskSource
from augkit_masks.shapes import Shapes
from augkit_masks.training import Training


@hookimpl
def augkit_mask_sources() -> Mapping[str, type[MaskSource]]:
    """Register the built-in mask sources."""
    return {"training": Training, "shapes": Shapes}

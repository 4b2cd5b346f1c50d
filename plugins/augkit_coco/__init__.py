"""COCO files of instance or semantic segmentation as a data set."""

from collections.abc import Mapping

from augkit import Dataset, hookimpl
from augkit_coco.dataset import Coco

__all__ = ["Coco", "augkit_datasets"]


@hookimpl
def augkit_datasets() -> Mapping[str, type[Dataset]]:
    """Register the data set."""
    return {"coco": Coco}

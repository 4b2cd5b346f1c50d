"""Any folder of images and masks as a data set, split so that no patient is on both sides."""

from __future__ import annotations

from collections.abc import Mapping

from augkit import Dataset, hookimpl
from augkit_folder.dataset import Folder

__all__ = ["Folder", "augkit_datasets"]


@hookimpl
def augkit_datasets() -> Mapping[str, type[Dataset]]:
    """Register the data set."""
    return {"folder": Folder}

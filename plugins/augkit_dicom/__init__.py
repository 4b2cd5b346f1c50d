"""Slices of DICOM series with DICOM-SEG as a data set; pydicom is imported only when one is read."""

from collections.abc import Mapping

from augkit import Dataset, hookimpl
from augkit_dicom.dataset import Dicom

__all__ = ["Dicom", "augkit_datasets"]


@hookimpl
def augkit_datasets() -> Mapping[str, type[Dataset]]:
    """Register the data set."""
    return {"dicom": Dicom}

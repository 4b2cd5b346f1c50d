"""Slices of NIfTI volumes as data sets; nibabel is imported only when one is read."""

from collections.abc import Mapping

from augkit import Dataset, hookimpl
from augkit_nifti.nifti import Nifti

__all__ = ["Nifti", "augkit_datasets"]


@hookimpl
def augkit_datasets() -> Mapping[str, type[Dataset]]:
    """Register the data sets."""
    return {"nifti": Nifti}

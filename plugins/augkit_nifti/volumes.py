"""Voxels of NIfTI files as slices that people can read, one volume at a time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from augkit import Format, InputError, Problem
from augkit.images import IGNORED, PixelType, Slice
from augkit_nifti.headers import Header, Trusted, nibabel, read_header
from augkit_nifti.labels import Labelling

Axis = Literal["sagittal", "coronal", "axial"]

AXES: dict[Axis, int] = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Which axis of a volume in RAS+ the slices follow each other along: to the right, to the front, to the head."""


class Case(NamedTuple):
    """One volume: a file for each channel, and its labels."""

    id: str
    group: str
    images: tuple[Path, ...]
    labels: Path


@dataclass(frozen=True)
class Cut:
    """How volumes become slices.

    empty: slices without any class: ``keep`` all, ``drop`` all, or keep so many of each volume, evenly spaced.
    """

    axis: Axis
    empty: Literal["keep", "drop"] | int
    labelling: Labelling
    trusted: Trusted


class Slab(NamedTuple):
    """A part of the slices of a volume, from `begin` up to but not including `end`."""

    begin: int
    end: int


def depth(header: Header, axis: Axis) -> int:
    """Return how many slices a volume has."""
    return header.shape[_order(header)[AXES[axis]]]


def slices(case: Case, cut: Cut, format: Format, slab: Slab | None = None) -> Iterator[Slice]:
    """Yield the slices of a volume as a radiologist sees them, from the right, the back or the feet on.

    The volume is turned to RAS+ by the axes that are nearest to it, without resampling. Axial and coronal slices have
    the patient's right on the left of the picture; the front, or the head, is at the top. Sagittal slices have the
    front on the left and the head at the top. Ids are the volume's, and the number of the slice in it from 0.
    """
    header = read_header(case.labels, cut.trusted, labels=True)
    labels = _turned(_read_labels(header, cut.labelling), header)
    kept = _kept(labels, cut)
    if slab is not None:
        kept = kept[(kept >= slab.begin) & (kept < slab.end)]
    if not kept.size:
        return
    headers = [read_header(path, cut.trusted) for path in case.images]
    volumes = [_turned(_read_volume(one, format.dtype), one) for one in headers]
    axis = AXES[cut.axis]
    lengths = header.spacing[_order(header)]
    across, down = (float(lengths[other]) for other in range(3) if other != axis)
    for place in kept.tolist():
        image = np.stack([_picture(volume, axis, place) for volume in volumes], axis=-1)
        yield Slice(
            f"{case.id}-{place:03d}", image, np.ascontiguousarray(_picture(labels, axis, place)), (down, across)
        )


def count_kept(case: Case, cut: Cut) -> tuple[int, int]:
    """Return how many slices of a volume are kept, and how many it has; reads the labels."""
    header = read_header(case.labels, cut.trusted, labels=True)
    labels = _turned(_read_labels(header, cut.labelling), header)
    return len(_kept(labels, cut)), labels.shape[AXES[cut.axis]]


def _kept(labels: NDArray[np.uint8], cut: Cut) -> NDArray[np.int64]:
    """Return the places of the slices that are not left out, in order."""
    others = tuple(other for other in range(3) if other != AXES[cut.axis])
    full = np.asarray(((labels > 0) & (labels < IGNORED)).any(axis=others))
    if cut.empty == "keep":
        return np.arange(len(full))
    empty = np.flatnonzero(~full)
    count = 0 if cut.empty == "drop" else min(cut.empty, len(empty))
    chosen = empty[(np.arange(count) * 2 + 1) * len(empty) // (2 * count)] if count else empty[:0]
    return np.sort(np.concatenate([np.flatnonzero(full), chosen]))


def _picture(volume: NDArray[Any], axis: int, place: int) -> NDArray[Any]:
    """Return one slice of a volume in RAS+: its first other axis runs to the left, its second upwards."""
    plane: NDArray[Any] = volume[(slice(None),) * axis + (place,)]  # np.take would copy the volume first
    return plane[::-1, ::-1].T


def _order(header: Header) -> list[int]:
    """Return which axis of the file is each axis of RAS+."""
    where = nibabel().io_orientation(header.affine)[:, 0].astype(int).tolist()
    return [where.index(axis) for axis in range(3)]


def _turned(volume: NDArray[Any], header: Header) -> NDArray[Any]:
    """Return a volume in RAS+, as a view."""
    library = nibabel()
    turned: NDArray[Any] = library.apply_orientation(volume, library.io_orientation(header.affine))
    return turned


def _read_labels(header: Header, labelling: Labelling) -> NDArray[np.uint8]:
    labels = np.empty(header.shape, np.uint8, order="F")
    for place, plane in enumerate(_planes(header)):
        labels[:, :, place] = labelling.decode(plane, header.path, place)
    return labels


def _read_volume(header: Header, dtype: PixelType) -> NDArray[Any]:
    volume = np.empty(header.shape, dtype, order="F")
    for place, plane in enumerate(_planes(header)):
        if plane.dtype.kind == "f":
            wrong = ~np.isfinite(plane)
            if wrong.any():
                raise _not_finite(header, plane, wrong, place)
            plane = plane if dtype == "float32" else np.rint(plane)
        volume[:, :, place] = plane
    return volume


def _not_finite(header: Header, plane: NDArray[Any], wrong: NDArray[np.bool_], place: int) -> InputError:
    i, j = (int(axis[0]) for axis in np.nonzero(wrong))
    number = "NaN" if np.isnan(plane[i, j]) else "infinity"
    what = f"holds {number} at [{i}, {j}, {place}]; allowed: finite numbers"
    return InputError(Problem(str(header.path), what, "Replace such voxels, for instance by what air is in the file"))


def _planes(header: Header) -> Iterator[NDArray[Any]]:
    """Yield the planes (X, Y) along the third axis of the file: as they are stored, or float where they are scaled.

    One plane is scaled at a time: the scaled volume as float64 would be eight times an 8-bit file.
    """
    library = nibabel()
    try:
        proxy = library.load(header.path, keep_file_open=True).dataobj
        for place in range(header.shape[2]):
            index: Sequence[Any] = (slice(None), slice(None), place, *([0] * max(header.extra, 0)))
            plane = np.asarray(proxy[tuple(index[: proxy.ndim])])
            yield plane.reshape(header.shape[:2])
    except (OSError, EOFError, ValueError, zlib.error) as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(
            Problem(str(header.path), f"ends too early or is damaged ({text})", "Copy it again")
        ) from error

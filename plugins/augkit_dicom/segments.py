"""Segments of DICOM-SEG files as label maps: frames that are not there are background, overlaps are refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from augkit import Problem
from augkit_dicom.headers import Segmentation, refusal
from augkit_dicom.volumes import Volume


class Classes(NamedTuple):
    """Label -> class number by SegmentLabel, and whether other segments are background."""

    label_of: Mapping[str, int]
    others: bool

    def problems(self, volume: Volume) -> Iterator[Problem]:
        """Yield a problem for each segmentation with a segment that no class has."""
        for segmentation in volume.segmentations:
            strange = [label for _, label in segmentation.segments if label not in self.label_of]
            if strange and not self.others:
                what = f"has the segment '{strange[0]}'; allowed: {', '.join(self.label_of)}"
                hint = "Add a class for it, or write 'other_labels: background'"
                yield Problem(str(segmentation.path), what, hint)


class _Part(NamedTuple):
    segmentation: Segmentation
    pixels: NDArray[np.bool_]
    label: int
    name: str


def label_maps(volume: Volume, classes: Classes) -> Iterator[NDArray[np.uint8]]:
    """Yield the label map of each slice, uint8 (h, w), in the volume's order.

    Raises `InputError` where segments of two classes overlap, naming both.
    """
    decoded = [(one, _frames_of(one)) for one in volume.segmentations]
    of_slice: dict[int, list[tuple[Segmentation, NDArray[np.uint8], int]]] = {}
    for segmentation, pixels in decoded:
        for index, place in enumerate(volume.places(segmentation)):
            if place is not None:
                of_slice.setdefault(place, []).append((segmentation, pixels[index], index))
    for place in range(len(volume.frames)):
        labels = np.zeros(volume.frames[0].size, np.uint8)
        owner: dict[int, str] = {}
        for segmentation, pixels, index in of_slice.get(place, []):
            for part in _parts(segmentation, pixels, index, classes):
                _paint(labels, part, owner, place)
        yield labels


def _paint(labels: NDArray[np.uint8], part: _Part, owner: dict[int, str], place: int) -> None:
    overlap = part.pixels & (labels != 0) & (labels != part.label)
    if overlap.any():
        row, column = (int(axis[0]) for axis in np.nonzero(overlap))
        other = owner[int(labels[row, column])]
        what = (
            f"has the segment '{part.name}' where '{other}' is, in {int(overlap.sum())} pixels of slice {place + 1}, "
            f"such as row {row}, column {column}; allowed: one class for each pixel"
        )
        raise refusal(part.segmentation.path, what, "Correct the segmentation, or leave one of the two out")
    labels[part.pixels] = part.label
    owner[part.label] = part.name


def _parts(segmentation: Segmentation, pixels: NDArray[np.uint8], index: int, classes: Classes) -> Iterator[_Part]:
    numbered = dict(segmentation.segments)
    numbers = [segmentation.frames[index].segment]
    if segmentation.kind == "LABELMAP":
        numbers = [int(value) for value in np.unique(pixels) if value != 0]
    for number in numbers:
        name = numbered.get(number, f"number {number}")
        if label := classes.label_of.get(name, 0):
            inside = pixels == number if segmentation.kind == "LABELMAP" else pixels != 0
            yield _Part(segmentation, inside, label, name)


def _frames_of(segmentation: Segmentation) -> NDArray[np.uint8]:
    import pydicom
    from pydicom.pixels import pixel_array

    try:
        pixels = np.asarray(pixel_array(pydicom.dcmread(segmentation.path)))
    except Exception as error:  # a damaged file can make a decoder raise anything
        what = f"cannot be decoded ({type(error).__name__})"
        raise refusal(segmentation.path, what, "The file is damaged; copy or download it again") from error
    return pixels.reshape(len(segmentation.frames), *segmentation.size)

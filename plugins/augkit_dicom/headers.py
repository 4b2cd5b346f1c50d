"""What headers of DICOM files say; pixels are not read, and names of patients are not kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from augkit import InputError, Problem

if TYPE_CHECKING:
    from pydicom import Dataset

Vector = tuple[float, ...]

SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""SOP classes Segmentation Storage and Label Map Segmentation Storage."""

COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "PALETTE COLOR")
_GREYS = ("MONOCHROME1", "MONOCHROME2")
_NOT_IMAGES = ("RTDOSE", "RTPLAN", "RTSTRUCT", "SR", "PR", "KO")


class Frame(NamedTuple):
    """One slice: a file, or one frame of a file.

    number:      of the frame in its file, from 0; None where the file is one frame.
    patient:     a hash of PatientID, or of the study where there is none.
    rescale:     slope and intercept; None where the file has none.
    padding:     stored values, both included, of pixels that are no image; None where the file names none.
    position:    of the first pixel, in mm.
    orientation: cosines of the row and of the column direction.
    spacing:     height and width of a pixel in mm.
    voi:         the lower and upper end of the first VOI window.
    """

    path: Path
    number: int | None
    uid: str
    series: str
    patient: str
    has_patient: bool
    modality: str
    photometric: str
    size: tuple[int, int]
    bits: tuple[int, int]
    signed: bool
    rescale: tuple[float, float] | None
    padding: tuple[int, int] | None
    position: Vector | None
    orientation: Vector | None
    spacing: tuple[float, float] | None
    voi: tuple[float, float] | None

    @property
    def colour(self) -> bool:
        """Whether the frame is in colour."""
        return self.photometric in COLOURS

    @property
    def along(self) -> float:
        """Where the slice lies along the normal of its plane, in mm; 0 where that is not known."""
        if self.position is None or self.orientation is None:
            return 0.0
        return float(np.dot(self.position, np.cross(self.orientation[:3], self.orientation[3:])))


class SegmentFrame(NamedTuple):
    """One frame of a DICOM-SEG: of which segment (0 in a label map), and of which slice."""

    segment: int
    uid: str
    frame: int | None
    position: Vector | None


class Segmentation(NamedTuple):
    """A DICOM-SEG file: its segments by number, and its frames in order."""

    path: Path
    series: str
    kind: str
    segments: tuple[tuple[int, str], ...]
    frames: tuple[SegmentFrame, ...]
    size: tuple[int, int]
    orientation: Vector | None


def read_headers(path: Path) -> tuple[Frame, ...] | Segmentation | None:
    """Return the frames of an image, a segmentation, or None for a DICOM file that is neither.

    Raises `InputError` for what cannot be read.
    """
    state = path.stat()
    return _cached(path, state.st_mtime_ns, state.st_size)


def is_dicom(path: Path) -> bool:
    """Tell whether a file is to be read: by its name, or the mark in its first bytes."""
    if path.suffix.lower() in (".dcm", ".dicom"):
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


@lru_cache(maxsize=65536)
def _cached(path: Path, changed: int, size: int) -> tuple[Frame, ...] | Segmentation | None:
    dataset = _read(path)
    kind = str(dataset.get("SOPClassUID", ""))
    try:
        if kind in SEGMENTATIONS:
            return _segmentation(path, dataset)
        if "Rows" not in dataset or str(dataset.get("Modality", "")) in _NOT_IMAGES:
            return None
        _check_decoder(path, dataset)
        _check_length(path, dataset, size)
        count = int(dataset.get("NumberOfFrames", 1) or 1)
        return tuple(_frame(path, dataset, index if count > 1 else None) for index in range(count))
    except InputError:
        raise
    except Exception as error:  # a damaged header can hold anything
        raise refusal(path, f"has a header that cannot be read ({type(error).__name__})", _COPY_AGAIN) from error


def refusal(path: Path, what: str, hint: str = "") -> InputError:
    """Return the error that refuses a file."""
    return InputError(Problem(str(path), what, hint))


_COPY_AGAIN = "The file is damaged or incomplete; copy or download it again"


def _read(path: Path) -> Dataset:
    try:
        import pydicom
    except ImportError:
        raise refusal(path, "needs the package pydicom", "Install it by 'pip install augkit[dicom]'") from None
    try:
        return pydicom.dcmread(path, stop_before_pixels=True)
    except Exception as error:
        raise refusal(path, f"is no DICOM file that can be read ({type(error).__name__})", _COPY_AGAIN) from error


def _check_decoder(path: Path, dataset: Dataset) -> None:
    """Refuse a compression for which nothing is installed."""
    from pydicom.pixels import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise refusal(path, f"is stored as {syntax.name}, which cannot be read", "Export it uncompressed") from None
    if not decoder.is_available:
        needs = "; or ".join(decoder.missing_dependencies)
        what = f"is compressed by {syntax.name}, for which no decoder is installed"
        raise refusal(path, what, f"Install one of: {needs}")


def _check_length(path: Path, dataset: Dataset, size: int) -> None:
    """Refuse a file that is too short for its uncompressed pixels."""
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        return
    samples, frames = int(dataset.get("SamplesPerPixel", 1)), int(dataset.get("NumberOfFrames", 1) or 1)
    if dataset.PhotometricInterpretation == "YBR_FULL_422":
        samples = 2
    needed = dataset.Rows * dataset.Columns * samples * frames * dataset.BitsAllocated // 8
    if size < needed:
        what = f"is cut off: it has {size} bytes, and its pixels need {needed}"
        raise refusal(path, what, "Copy or download it again")


def _frame(path: Path, dataset: Dataset, index: int | None) -> Frame:
    photometric = str(dataset.PhotometricInterpretation)
    if photometric not in (*_GREYS, *COLOURS):
        raise refusal(path, f"holds {photometric} pixels; allowed: {', '.join((*_GREYS, *COLOURS))}")
    bits = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if bits[0] not in (8, 16):
        raise refusal(path, f"holds {bits[0]}-bit pixels; allowed: 8 or 16 bits")
    found = _Groups(dataset, index or 0)
    slope, intercept = found.get("RescaleSlope"), found.get("RescaleIntercept")
    rescale = None if slope is None or intercept is None else (float(slope), float(intercept))
    modality = str(dataset.get("Modality", ""))
    if modality == "CT" and rescale is None:
        what = "is a CT image without RescaleSlope and RescaleIntercept, so its numbers are not Hounsfield units"
        raise refusal(path, what, "Export it again with both")
    if photometric == "MONOCHROME1" and rescale not in (None, (1.0, 0.0)):
        what = f"is MONOCHROME1 with the rescale {rescale}; allowed: numbers that are no units"
        raise refusal(path, what, "Export it as MONOCHROME2")
    spacing = found.get("PixelSpacing")
    patient = str(dataset.get("PatientID", "") or "").strip()
    study = str(dataset.get("StudyInstanceUID", dataset.SOPInstanceUID))
    return Frame(
        path,
        index,
        str(dataset.SOPInstanceUID),
        str(dataset.get("SeriesInstanceUID", dataset.SOPInstanceUID)),
        shortened(patient or study),
        bool(patient),
        modality,
        photometric,
        (int(dataset.Rows), int(dataset.Columns)),
        bits,
        bool(dataset.get("PixelRepresentation", 0)),
        rescale,
        _padding(dataset),
        _vector(found.get("ImagePositionPatient")),
        _vector(found.get("ImageOrientationPatient")),
        None if spacing is None else (float(spacing[0]), float(spacing[1])),
        _voi(found),
    )


def _padding(dataset: Dataset) -> tuple[int, int] | None:
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return None
    other = dataset.get("PixelPaddingRangeLimit", value)
    return min(int(value), int(other)), max(int(value), int(other))


def _voi(found: _Groups) -> tuple[float, float] | None:
    centre, width = found.get("WindowCenter"), found.get("WindowWidth")
    if centre is None or width is None:
        return None
    first = [float(np.atleast_1d(np.asarray(value, float))[0]) for value in (centre, width)]
    return first[0] - first[1] / 2, first[0] + first[1] / 2


def _segmentation(path: Path, dataset: Dataset) -> Segmentation:
    kind = str(dataset.get("SegmentationType", "BINARY"))
    if kind not in ("BINARY", "LABELMAP"):
        what = f"is a {kind} segmentation; allowed: BINARY or LABELMAP"
        raise refusal(path, what, "Decide which pixels belong to a segment, and export it as BINARY")
    _check_decoder(path, dataset)
    segments = tuple(
        (int(one.SegmentNumber), str(one.SegmentLabel)) for one in dataset.SegmentSequence if one.SegmentNumber
    )
    referenced = dataset.get("ReferencedSeriesSequence", [])
    count = int(dataset.get("NumberOfFrames", 1) or 1)
    groups = [_Groups(dataset, index) for index in range(count)]
    series = str(referenced[0].SeriesInstanceUID) if referenced else ""
    frames = tuple(map(_segment_frame, groups))
    size = int(dataset.Rows), int(dataset.Columns)
    return Segmentation(path, series, kind, segments, frames, size, _vector(groups[0].get("ImageOrientationPatient")))


def _segment_frame(found: _Groups) -> SegmentFrame:
    source = found.sequence("DerivationImageSequence")
    images = source.get("SourceImageSequence", []) if source is not None else []
    uid = str(images[0].ReferencedSOPInstanceUID) if images else ""
    number = images[0].get("ReferencedFrameNumber") if images else None
    if number is not None and not isinstance(number, (int, str)):
        number = number[0]
    segment = int(found.get("ReferencedSegmentNumber") or 0)
    position = _vector(found.get("ImagePositionPatient"))
    return SegmentFrame(segment, uid, None if number is None else int(number) - 1, position)


_HOLDERS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "WindowCenter": "FrameVOILUTSequence",
    "WindowWidth": "FrameVOILUTSequence",
    "ReferencedSegmentNumber": "SegmentIdentificationSequence",
}
"""Which functional group of an enhanced multi-frame file holds an attribute."""


class _Groups(NamedTuple):
    """The attributes of one frame: its own functional groups, those of all frames, then the file's."""

    dataset: Dataset
    number: int

    def sequence(self, name: str) -> Any:
        """Return the first item of a functional group, or None."""
        for groups in self._of_frame():
            if items := groups.get(name):
                return items[0]
        return None

    def get(self, name: str) -> Any:
        """Return an attribute, or None."""
        for groups in self._of_frame():
            items = groups.get(_HOLDERS[name])
            if items and (value := items[0].get(name)) is not None:
                return value
        value = self.dataset.get(name)
        return None if value == "" else value

    def _of_frame(self) -> Iterator[Any]:
        own = self.dataset.get("PerFrameFunctionalGroupsSequence")
        if own and self.number < len(own):
            yield own[self.number]
        if shared := self.dataset.get("SharedFunctionalGroupsSequence"):
            yield shared[0]


def shortened(text: str) -> str:
    """Return the first 16 digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _vector(value: Any) -> Vector | None:
    return None if value is None or len(value) == 0 else tuple(float(one) for one in value)

"""DICOM series with DICOM-SEG as a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from augkit import AtLeast, Format, Frame, Images, InputError, Masks, Problem, Splits, Within
from augkit.images import (
    Series,
    Slice,
    draw_splits,
    empty_splits,
    fraction_faults,
    load_series,
    native_slices,
    rgb_format,
    shown_as_rgb,
    sum_up,
)
from augkit_dicom.pixels import channels, pixel_type, read_pixels
from augkit_dicom.segments import Classes, label_maps
from augkit_dicom.volumes import Scan, Volume, gaps, scan

Fraction = Annotated[float, Within(0.0, 1.0)]


@dataclass(frozen=True)
class Dicom:
    """Slices of DICOM series with DICOM-SEG files that refer to them. Needs ``pip install 'augkit[dicom]'``.

    All files below `root` are read by their content; a series may lie in one folder or in several. Slices are in the
    order of space, along the normal of their plane. Numbers are those that RescaleSlope and RescaleIntercept give:
    Hounsfield units, int16, in CT; otherwise 8- or 16-bit integers where there is no rescale, and float32 where there
    is one. MONOCHROME1 images are turned over, so that more is brighter. Pixels that PixelPaddingValue names become
    -1000 HU in CT and the darkest of the other pixels elsewhere. YBR and palette colours become RGB. A slice of which a
    segmentation has no frame is background. Names of patients are neither kept nor told: a group is a hash of
    PatientID, or of StudyInstanceUID where there is none, and the id of a slice a hash of its series with its number.

    root:        the data folder, relative to the current directory.
    classes:     name of each class and the SegmentLabel of its segment, or a list of them; the order is that of labels.
    other_labels: what other segments are: ``refuse``, or ``background``.
    empty:       slices without any class: ``drop`` them or ``keep`` them.
    window:      numbers that become 0 and 1 in training; ``voi`` takes WindowCenter and WindowWidth, which must then be
                 the same in all files; null takes the 0.5 and 99.5 percentiles of the training pixels inside classes.
    as_rgb:      numbers that become black and white of 8-bit RGB images, for components that take nothing else.
    size:        side of the square frame in pixels; the aspect ratio is squeezed.
    resize:      of images; labels are always ``nearest``.
    test_fraction, validation_fraction: the share of groups (patients) that goes to each split. Every group is drawn by
                 itself, so the shares are met on average, and adding one never moves another to another split.
    seed:        of the split; the run's seed does not change it.
    """

    root: Path
    classes: dict[str, str | tuple[str, ...]]
    other_labels: Literal["refuse", "background"] = "refuse"
    empty: Literal["drop", "keep"] = "drop"
    window: tuple[float, float] | Literal["voi"] | None = None
    as_rgb: tuple[float, float] | None = None
    size: Annotated[int, Within(32, 512)] = 128
    resize: Literal["nearest", "area"] = "area"
    test_fraction: Fraction = 0.2
    validation_fraction: Fraction = 0.0
    seed: Annotated[int, AtLeast(0)] = 0

    def __post_init__(self) -> None:
        faults = [
            f"{option}: found {list(ends)}; allowed: two numbers, the lower one first"
            for option, ends in (("window", self.window), ("as_rgb", self.as_rgb))
            if isinstance(ends, tuple) and not ends[0] < ends[1]
        ]
        if self.as_rgb is not None and self.window is not None:
            faults.append("as_rgb and window: found both; allowed: one of the two")
        if not 1 <= len(self.classes) <= 254:
            faults.append(f"classes: found {len(self.classes)}; allowed: 1 to 254")
        twice = [label for label, count in Counter(label for _, label in self._labels()).items() if count > 1]
        faults += [f"classes: found the segment '{label}' twice; allowed: in one class" for label in twice]
        faults += fraction_faults(self.test_fraction, self.validation_fraction)
        if faults:
            raise ValueError("; ".join(faults))

    def sources(self) -> Sequence[Path]:
        """Return all images and segmentations; `InputError` naming every one that headers tell will not be read."""
        return sorted(self._usable().files)

    def frame(self) -> Frame:
        """Return the size that every slice is resized to."""
        return Frame(self.size, self.size)

    def format(self) -> Format:
        """Return what headers and options say of the pixels."""
        stored = self._stored(self._usable())
        return stored if self.as_rgb is None else rgb_format(stored)

    def load(self) -> Splits:
        """Return the three splits; `InputError` naming every bad file at once."""
        found = self._usable()
        stored = self._stored(found)
        parts = [[self._shown(found.volumes[place], stored) for place in part] for part in self._parts(found)]
        return load_series(parts, stored if self.as_rgb is None else rgb_format(stored), self.size, self.resize)

    def remarks(self) -> Sequence[str]:
        """Return which files are not read or are changed in reading, and where slices may be missing."""
        found = self._usable()
        frames = [frame for volume in found.volumes for frame in volume.frames]
        told = (
            [f"{self._root}: {found.others} DICOM files are neither images nor segmentations"] if found.others else []
        )
        for count, what in (
            (sum(frame.photometric == "MONOCHROME1" for frame in frames), "MONOCHROME1 and turned over"),
            (sum(frame.padding is not None for frame in frames), "said to have padding, which is made dark"),
            (sum(not frame.has_patient for frame in frames), "without PatientID; their group is the study"),
        ):
            if count:
                told.append(f"{self._root}: {count} of {len(frames)} images are {what}")
        return [*told, *gaps(found.volumes)]

    def native_masks(self, ids: Sequence[str]) -> Iterator[Masks]:
        """Yield the labels of each id as they are in the files."""
        found = self._usable()
        stored = self._stored(found)
        slices = native_slices([self._series(volume, stored) for volume in found.volumes], ids)
        return (one.labels.view(bool) if stored.binary else one.labels for one in slices)

    def native_images(self, ids: Sequence[str]) -> Iterator[Images]:
        """Yield the slice of each id as it is in its file."""
        found = self._usable()
        stored = self._stored(found)
        return (one.image for one in native_slices([self._shown(volume, stored) for volume in found.volumes], ids))

    def _usable(self) -> Scan:
        found = scan(self._root)
        problems = [*found.problems]
        if not found.problems:
            problems += [problem for volume in found.volumes for problem in self._classes.problems(volume)]
            problems += self._mixed(found) + self._unshown(found)
        if not problems:
            problems += self._empty_parts(found)
        if problems:
            raise InputError(*sum_up(problems))
        return found

    def _mixed(self, found: Scan) -> list[Problem]:
        """Return a problem for each series whose channels are others than those of the first."""
        first = found.volumes[0].frames[0]
        return [
            Problem(
                str(volume.where),
                f"holds {_kind(frame)}; {found.volumes[0].where} holds {_kind(first)}; allowed: one kind of images",
                "Read them as two data sets",
            )
            for volume in found.volumes
            for frame in volume.frames[:1]
            if _kind(frame) != _kind(first)
        ]

    def _unshown(self, found: Scan) -> list[Problem]:
        frames = [frame for volume in found.volumes for frame in volume.frames]
        if self.as_rgb is not None and frames[0].colour:
            return [Problem(str(self._root), "holds colour images; allowed with as_rgb: grey", "Leave as_rgb out")]
        if self.window != "voi":
            return []
        windows = Counter(frame.voi for frame in frames)
        if None not in windows and len(windows) == 1:
            return []
        known = [f"{one[0]:g}..{one[1]:g} in {count}" for one, count in windows.most_common() if one][:3]
        none = [f"none in {windows[None]}"] if None in windows else []
        what = f"has the VOI windows {', '.join([*known, *none])} images; allowed with 'window: voi': one in all"
        return [Problem(str(self._root), what, "Write the window of your choice: 'window: [LOW, HIGH]'")]

    def _stored(self, found: Scan) -> Format:
        frames = [frame for volume in found.volumes for frame in volume.frames]
        window = frames[0].voi if self.window == "voi" else self.window
        return Format(pixel_type(frames), channels(frames[0], window), tuple(self.classes))

    def _shown(self, volume: Volume, stored: Format) -> Series:
        one = self._series(volume, stored)
        return one if self.as_rgb is None else shown_as_rgb(one, stored, *self.as_rgb)

    def _series(self, volume: Volume, stored: Format) -> Series:
        read = partial(_read, volume, self._classes, stored, self.empty == "keep")
        return Series(volume.where / volume.name, volume.frames[0].patient, len(volume.frames), read)

    def _parts(self, found: Scan) -> tuple[list[int], list[int], list[int]]:
        groups = [volume.frames[0].patient for volume in found.volumes]
        return draw_splits(groups, self.test_fraction, self.validation_fraction, self.seed)

    def _empty_parts(self, found: Scan) -> list[Problem]:
        groups = [volume.frames[0].patient for volume in found.volumes]
        fractions = self.test_fraction, self.validation_fraction
        return empty_splits(self._root, groups, self._parts(found), *fractions)

    def _labels(self) -> list[tuple[int, str]]:
        return [
            (number, label)
            for number, labels in enumerate(self.classes.values(), 1)
            for label in ((labels,) if isinstance(labels, str) else labels)
        ]

    @property
    def _classes(self) -> Classes:
        return Classes({label: number for number, label in self._labels()}, self.other_labels == "background")

    @property
    def _root(self) -> Path:
        return Path(self.root).expanduser()


def _read(volume: Volume, classes: Classes, stored: Format, keep: bool) -> Iterator[Slice]:
    """Yield the slices of a volume; what is wrong with any of them is raised at the end, together."""
    import pydicom

    problems: list[Problem] = []
    path, dataset = None, None
    for number, (frame, labels) in enumerate(zip(volume.frames, label_maps(volume, classes), strict=True)):
        if not keep and not labels.any():
            continue
        try:
            if frame.path != path or dataset is None:
                path, dataset = frame.path, pydicom.dcmread(frame.path)
            image = read_pixels(frame, dataset, stored.dtype)
        except InputError as error:
            problems += error.problems
            continue
        yield Slice(f"{volume.name}/{number:04}", image, labels, frame.spacing or (float("nan"), float("nan")))
    if problems:
        raise InputError(*problems)


def _kind(frame: object) -> str:
    colour, modality = getattr(frame, "colour", False), getattr(frame, "modality", "")
    return "colour images" if colour else f"{modality} images"

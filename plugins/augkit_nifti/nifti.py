"""Slices of NIfTI volumes as a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from augkit import AtLeast, Channel, Format, Frame, Images, InputError, Masks, Problem, Splits, Within
from augkit.images import fraction_faults, native_slices, sum_up
from augkit_nifti.cases import Found, assign_groups, find_cases, pattern_fault
from augkit_nifti.dataset import Volumes, native
from augkit_nifti.headers import Trusted
from augkit_nifti.labels import Labelling, Others
from augkit_nifti.splits import Part, by_group, by_slab
from augkit_nifti.volumes import Axis, Cut

Fraction = Annotated[float, Within(0.0, 1.0)]


@dataclass(frozen=True)
class Nifti:
    """Slices of NIfTI volumes with label volumes of the same grid. Needs ``pip install 'augkit[nifti]'``.

    Volumes are turned to RAS+ by their affine, without resampling, and slices are shown as radiologists see them: in
    axial and coronal ones the patient's right is on the left of the picture, in sagittal ones the front is. Values are
    those that slope and intercept give. Pixels are uint8, uint16 or int16 where the headers say that every value fits,
    float32 otherwise. Image and labels that do not lie at one place (origin, spacing, direction, size) are refused.

    root:        the data folder, relative to the current directory.
    images:      where the images lie in root: ``images/{id}`` is any NIfTI file of that folder, its name without ending
                 the id; ``{id}/{id}_t1.nii.gz`` and ``{group}/{id}`` are possible, and one file without ``{id}``.
                 Several channels (modalities) are a mapping from names to such patterns.
    labels:      where the labels lie, in the same way, with the same ids.
    classes:     name of each class and its value in the label files, or a list of values; 0 is the background.
    other_labels: what other values are: ``refuse``, ``background``, or ``ignored``, which do not count.
    ignored:     values of pixels that do not count, neither in the loss nor in scores.
    axis:        ``axial``, ``coronal`` or ``sagittal`` slices.
    empty:       slices without any class: ``drop`` them, ``keep`` them, or a number keeps so many of each volume,
                 evenly spaced. A remark says how many were left out.
    affine:      which of a file's two affines is used; ``both`` refuses files in which they disagree.
    meaning:     of the values: ``ct`` in Hounsfield units, ``mr``, ``grey`` light, or ``other``.
    window:      values that become 0 and 1 in training; null takes the 0.5 and 99.5 percentiles of the training pixels
                 inside classes, for each channel.
    as_rgb:      values that become black and white of 8-bit RGB images, for components that take nothing else; null
                 leaves values as they are.
    size:        side of the square frame in pixels; the aspect ratio is squeezed.
    resize:      of images; labels are always ``nearest``.
    split:       ``groups``: no group (patient) is in two splits. ``slabs``: the first slices of every volume are to
                 train on and the last ones to test on, with five between them in neither. That is to try out recipes
                 where there is one volume; its scores say nothing of other patients.
    test_fraction, validation_fraction: the share of groups, or of slices, that goes to each split. Every group is drawn
                 by itself, so the shares are met on average, and adding one never moves another to another split.
    seed:        of the split; the run's seed does not change it.
    groups:      a CSV file with the columns ``id,group`` (the patient, say); null makes every volume its own group
                 unless the patterns have ``{group}``.
    """

    root: Path
    classes: Mapping[str, int | tuple[int, ...]]
    images: str | Mapping[str, str] = "images/{id}"
    labels: str = "labels/{id}"
    other_labels: Others = "refuse"
    ignored: tuple[int, ...] = ()
    axis: Axis = "axial"
    empty: Literal["drop", "keep"] | Annotated[int, AtLeast(1)] = "drop"
    affine: Trusted = "both"
    meaning: Literal["ct", "mr", "grey", "other"] = "other"
    window: tuple[float, float] | None = None
    as_rgb: tuple[float, float] | None = None
    size: Annotated[int, Within(32, 512)] = 128
    resize: Literal["nearest", "area"] = "area"
    split: Literal["groups", "slabs"] = "groups"
    test_fraction: Fraction = 0.2
    validation_fraction: Fraction = 0.0
    seed: Annotated[int, AtLeast(0)] = 0
    groups: Path | None = None

    def __post_init__(self) -> None:
        faults = [f"{option}: {fault}" for option, pattern in self._patterns
                  if (fault := pattern_fault(pattern))]  # fmt: skip
        faults += self._labelling.faults()
        if not self._images:
            faults.append("images: found no channel; allowed: one or more")
        if self.as_rgb is not None and len(self._images) > 1:
            faults.append(f"as_rgb: found {len(self._images)} channels; allowed: one")
        faults += window_faults(self.window, self.as_rgb)
        faults += fraction_faults(self.test_fraction, self.validation_fraction)
        if not faults:
            try:
                Format("uint8", self._channels, self._labelling.names)
            except ValueError as error:
                faults.append(str(error))
        if faults:
            raise ValueError("; ".join(faults))

    def sources(self) -> Sequence[Path]:
        """Return all files of volumes that have images and labels, and the groups file.

        `InputError` where files do not belong together, where headers tell that one cannot be used or that labels lie
        elsewhere than their image, and where a split would be empty. Reading finds the rest.
        """
        found = self._found()
        problems = list(found.problems)
        if found.cases:
            _, wrong = self._volumes(found).headers()
            problems += wrong or self._parts(found)[1]
        if problems:
            raise InputError(*sum_up(problems))
        files = {path for case in found.cases for path in (*case.images, case.labels)}
        return sorted(files) + ([] if self.groups is None else [Path(self.groups).expanduser()])

    def frame(self) -> Frame:
        """Return the size that every slice is resized to."""
        return Frame(self.size, self.size)

    def format(self) -> Format:
        """Return what headers and options say of the pixels."""
        return self._volumes(self._usable()).format()

    def load(self) -> Splits:
        """Return the three splits; `InputError` naming every bad file at once."""
        found = self._usable()
        volumes = self._volumes(found)
        _, wrong = volumes.headers()
        parts, problems = ([], []) if wrong else self._parts(found)
        if wrong or problems:
            raise InputError(*sum_up([*wrong, *problems]))
        return volumes.load(parts, self.size, self.resize)

    def remarks(self) -> Sequence[str]:
        """Return how many slices are left out, and what makes scores say little. Labels are read to count."""
        told = self._volumes(self._found()).remarks()
        return [*told, *([f"{self.root}: {SLAB_REMARK}"] if self.split == "slabs" else [])]

    def native_masks(self, ids: Sequence[str]) -> Iterator[Masks]:
        """Yield the labels of each id as they are in the file."""
        volumes = self._volumes(self._found())
        binary = volumes.format().binary
        return (one.labels.astype(bool) if binary else one.labels for one in native_slices(native(volumes), ids))

    def native_images(self, ids: Sequence[str]) -> Iterator[Images]:
        """Yield the slice of each id as it is in its file."""
        return (one.image for one in native_slices(native(self._volumes(self._found())), ids))

    @property
    def _patterns(self) -> list[tuple[str, str]]:
        if isinstance(self.images, str):
            return [("images", self.images), ("labels", self.labels)]
        return [*((f"images.{name}", pattern) for name, pattern in self.images.items()), ("labels", self.labels)]

    @property
    def _images(self) -> Mapping[str, str]:
        return {"image": self.images} if isinstance(self.images, str) else self.images

    @property
    def _labelling(self) -> Labelling:
        classes = tuple((name, (v,) if isinstance(v, int) else tuple(v)) for name, v in self.classes.items())
        hint = "Add a class for it, or write 'other_labels: background'"
        return Labelling(classes, tuple(self.ignored), self.other_labels, hint)

    @property
    def _channels(self) -> tuple[Channel, ...]:
        low, high = self.window or (None, None)
        return tuple(Channel(name, self.meaning, low, high) for name in self._images)

    def _found(self) -> Found:
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise InputError(Problem(str(root), "is not a folder", "Correct the option root"))
        cases, problems = find_cases(root, self._images, self.labels)
        grouped = assign_groups(cases, None if self.groups is None else Path(self.groups).expanduser())
        kept = cases if self.groups is None else grouped.cases
        return Found(kept, problems + grouped.problems)

    def _usable(self) -> Found:
        found = self._found()
        if found.problems:
            raise InputError(*sum_up(found.problems))
        return found

    def _volumes(self, found: Found) -> Volumes:
        cut = Cut(self.axis, self.empty, self._labelling, self.affine)
        return Volumes(found.cases, cut, self._channels, self.as_rgb)

    def _parts(self, found: Found) -> tuple[list[Part], list[Problem]]:
        if self.split == "slabs":
            depths = self._volumes(found).depths()
            return by_slab(found.cases, depths, self.test_fraction, self.validation_fraction)
        return by_group(found.cases, self.test_fraction, self.validation_fraction, self.seed, Path(self.root))


SLAB_REMARK = (
    "slices of one volume are in training and test (split: slabs); that shows that a recipe runs, its scores say "
    "nothing of other patients"
)


def window_faults(*windows: tuple[float, float] | None) -> list[str]:
    """Return what is wrong with windows, for a `ValueError`."""
    return [
        f"window: found {low:g}..{high:g}; allowed: the lower end first"
        for low, high in (one for one in windows if one is not None)
        if low >= high
    ]

"""nnU-Net's raw folders as a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from augkit import AtLeast, Format, Frame, Images, InputError, Masks, Problem, Splits, Within
from augkit.images import fraction_faults, native_slices, sum_up
from augkit_nifti.cases import Found, assign_groups, find_cases
from augkit_nifti.dataset import Volumes
from augkit_nifti.description import DESCRIPTION, PICTURE_ENDINGS, Description, channel_of, read_description
from augkit_nifti.headers import Trusted
from augkit_nifti.labels import Labelling
from augkit_nifti.nifti import Fraction, window_faults
from augkit_nifti.pictures import Pictures
from augkit_nifti.splits import Part, by_group
from augkit_nifti.volumes import Axis, Case, Cut

_HINT = "Correct the labels, or dataset.json"


@dataclass(frozen=True)
class NnunetRaw:
    """A raw folder of nnU-Net 2, ``Dataset001_Name``: slices of NIfTI volumes, or PNG, BMP and TIFF images.

    dataset.json says what channels and classes there are: the channel CT is in Hounsfield units, names that begin as MR
    sequences do (T1, FLAIR) are MR, R, G and B are colours. A class of several values is one class. Regions that
    overlap are refused, because classes here share no pixel, and scores of their pieces under the regions' names would
    be scores of something else: `classes` then names the values. The label ``ignore`` does not count. What nnU-Net
    refuses is refused: values with gaps, an ignore label that is not the highest. NIfTI is read as `nifti` does and
    needs ``pip install 'augkit[nifti]'``. Where imagesTs has labels in labelsTs, these cases are the test split.

    root:        the folder that holds dataset.json, relative to the current directory.
    classes:     name of each class and its value, or a list of values, instead of those in dataset.json.
    axis:        ``axial``, ``coronal`` or ``sagittal`` slices of volumes.
    empty:       slices of volumes without any class: ``drop`` them, ``keep`` them, or a number keeps so many of each
                 volume, evenly spaced. A remark says how many were left out.
    affine:      which of a file's two affines is used; ``both`` refuses files in which they disagree.
    window:      values that become 0 and 1 in training; null takes 0 and 255 for 8-bit photographs, and else the 0.5
                 and 99.5 percentiles of the training pixels inside classes, for each channel.
    as_rgb:      values that become black and white of 8-bit RGB images, for components that take nothing else; null
                 leaves values as they are.
    size:        side of the square frame in pixels; the aspect ratio is squeezed.
    resize:      of images; labels are always ``nearest``.
    test_fraction, validation_fraction: the share of groups that goes to each split, each drawn by itself. Where the
                 folder has a test split, test_fraction is not used.
    seed:        of the split; the run's seed does not change it.
    groups:      a CSV file with the columns ``id,group`` (the patient, say); null makes every case its own group.
    """

    root: Path
    classes: Mapping[str, int | tuple[int, ...]] | None = None
    axis: Axis = "axial"
    empty: Literal["drop", "keep"] | Annotated[int, AtLeast(1)] = "drop"
    affine: Trusted = "both"
    window: tuple[float, float] | None = None
    as_rgb: tuple[float, float] | None = None
    size: Annotated[int, Within(32, 512)] = 128
    resize: Literal["nearest", "area"] = "area"
    test_fraction: Fraction = 0.2
    validation_fraction: Fraction = 0.0
    seed: Annotated[int, AtLeast(0)] = 0
    groups: Path | None = None

    def __post_init__(self) -> None:
        faults = window_faults(self.window, self.as_rgb)
        faults += fraction_faults(self.test_fraction, self.validation_fraction)
        if self.classes is not None:
            faults += Labelling(tuple(self._classes.items())).faults()
        if faults:
            raise ValueError("; ".join(faults))

    def sources(self) -> Sequence[Path]:
        """Return all files that have images and labels, dataset.json and the groups file.

        `InputError` where files do not belong together, where headers tell that one cannot be used, and where a split
        would be empty. Reading finds the rest.
        """
        folder = self._folder()
        problems = folder.problems or self._content(folder).problems() or self._parts(folder)[1]
        if problems:
            raise InputError(*sum_up(problems))
        files = {path for case in folder.cases for path in (*case.images, case.labels)}
        groups = [] if self.groups is None else [Path(self.groups).expanduser()]
        return [self._root / DESCRIPTION, *sorted(files), *groups]

    def frame(self) -> Frame:
        """Return the size that every image is resized to."""
        return Frame(self.size, self.size)

    def format(self) -> Format:
        """Return what dataset.json, headers and options say of the pixels."""
        return self._content(self._usable()).format()

    def load(self) -> Splits:
        """Return the three splits; `InputError` naming every bad file at once."""
        folder = self._usable()
        content = self._content(folder)
        problems = content.problems()
        parts, more = ([], []) if problems else self._parts(folder)
        if problems := [*problems, *more]:
            raise InputError(*sum_up(problems))
        return content.load(parts, self.size, self.resize)

    def remarks(self) -> Sequence[str]:
        """Return where the test split comes from, and how many slices are left out. Labels are read to count."""
        folder = self._folder()
        told = []
        if folder.test:
            told.append(f"{self._root}: its imagesTs and labelsTs are the test split; test_fraction is not used")
        elif (self._root / "imagesTs").is_dir() and any((self._root / "imagesTs").iterdir()):
            told.append(f"{self._root}: imagesTs has no labels in labelsTs and is not read")
        return [*told, *self._content(folder).remarks()]

    def native_masks(self, ids: Sequence[str]) -> Iterator[Masks]:
        """Yield the labels of each id as they are in the file."""
        folder = self._folder()
        content = self._content(folder)
        series, binary = content.series([(case, None) for case in folder.cases]), content.format().binary
        return (one.labels.astype(bool) if binary else one.labels for one in native_slices(series, ids))

    def native_images(self, ids: Sequence[str]) -> Iterator[Images]:
        """Yield the image, or the slice, of each id as it is in its file."""
        folder = self._folder()
        series = self._content(folder).series([(case, None) for case in folder.cases])
        return (one.image for one in native_slices(series, ids))

    @property
    def _root(self) -> Path:
        return Path(self.root).expanduser()

    @property
    def _classes(self) -> dict[str, tuple[int, ...]]:
        return {name: (v,) if isinstance(v, int) else tuple(v) for name, v in (self.classes or {}).items()}

    def _folder(self) -> _Folder:
        described = read_description(self._root, None if self.classes is None else self._classes)
        groups = None if self.groups is None else Path(self.groups).expanduser()
        if described.cases is not None:
            train = Found([Case(name, name, *files) for name, files in sorted(described.cases.items())], [])
        else:
            train = self._cases("Tr", described)
        labelled = all((self._root / name).is_dir() and any((self._root / name).iterdir()) for name in _TEST)
        test = self._cases("Ts", described) if labelled else Found([], [])
        problems = train.problems + test.problems
        train, test = (assign_groups(part.cases, groups) for part in (train, test))
        problems += train.problems + test.problems
        if not train.cases and not problems:
            problems = [Problem(str(self._root / DESCRIPTION), "lists no case; allowed: two or more")]
        return _Folder(described, train.cases, test.cases, problems)

    def _cases(self, part: str, described: Description) -> Found:
        # A file of colours holds several channels, so there may be fewer files than channels.
        first = f"images{part}/{{id}}_0000"
        files = {described.channels[0]: first}
        for place, name in enumerate(described.channels[1:], 1):
            if any((self._root / f"images{part}").glob(f"*_{place:04d}{described.ending}")):
                files[name] = f"images{part}/{{id}}_{place:04d}"
        if described.ending not in PICTURE_ENDINGS:
            files = {name: f"images{part}/{{id}}_{place:04d}" for place, name in enumerate(described.channels)}
        return find_cases(self._root, files, f"labels{part}/{{id}}", (described.ending,))

    def _usable(self) -> _Folder:
        folder = self._folder()
        if folder.problems:
            raise InputError(*sum_up(folder.problems))
        return folder

    def _content(self, folder: _Folder) -> Volumes | Pictures:
        light = folder.described.ending in PICTURE_ENDINGS
        low, high = self.window or (None, None)
        named = (channel_of(name, light) for name in folder.described.channels)
        channels = tuple(replace(one, low=low, high=high) for one in named)
        labelling = Labelling(folder.described.classes, folder.described.ignored, hint=_HINT)
        if light:
            return Pictures(folder.cases, channels, labelling, self.as_rgb)
        return Volumes(folder.cases, Cut(self.axis, self.empty, labelling, self.affine), channels, self.as_rgb)

    def _parts(self, folder: _Folder) -> tuple[list[Part], list[Problem]]:
        if not folder.test:
            return by_group(folder.train, self.test_fraction, self.validation_fraction, self.seed, self._root)
        test: Part = [(case, None) for case in folder.test]
        if not self.validation_fraction:
            return [[(case, None) for case in folder.train], [], test], []
        parts, problems = by_group(folder.train, self.validation_fraction, 0, self.seed, self._root)
        return ([parts[0], parts[2], test] if parts else []), problems


_TEST = ("imagesTs", "labelsTs")


@dataclass(frozen=True)
class _Folder:
    """What lies in a raw folder; `test` is empty where it has no labelled test cases."""

    described: Description
    train: list[Case]
    test: list[Case]
    problems: list[Problem]

    @property
    def cases(self) -> list[Case]:
        """All cases."""
        return [*self.train, *self.test]

"""COCO files as a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from augkit import AtLeast, Format, Frame, Images, InputError, Masks, Problem, Splits, Within
from augkit.images import (
    IGNORED,
    Series,
    Slice,
    draw_splits,
    empty_splits,
    fraction_faults,
    load_series,
    read_groups,
    read_header,
    read_image,
    sum_up,
)
from augkit_coco.document import Document, Picture, Region, read_document
from augkit_coco.regions import draw, has_inner_polygon

Fraction = Annotated[float, Within(0.0, 1.0)]


@dataclass(frozen=True)
class Coco:
    """8-bit images with the regions of a COCO file (object detection format with segmentations).

    Regions are polygons or run lengths, plain or compressed. A pixel is in a polygon where its centre is; all polygons
    of one annotation are its object, as COCO has it, so holes are told by run lengths. Categories are matched by name,
    whatever their ids. Images without annotations are background.

    root:        the data folder, relative to the current directory.
    annotations: the COCO file, in root.
    images:      the folder in root that the file names of images begin in.
    classes:     name of each class and its category, or a list of them; null makes every category a class, in the order
                 of their ids.
    other_labels: what other categories are: ``refuse``, or ``background``.
    overlap:     a pixel in regions of two classes: ``refuse`` it, or give it to the ``later`` annotation in the file,
                 or to the ``smaller`` region.
    crowd:       regions of many objects at once (iscrowd): ``refuse`` them, take them as their ``class``, or as
                 ``ignored`` pixels, which count neither in a loss nor in a score.
    empty:       images without any class: ``keep`` them or ``drop`` them.
    size:        side of the square frame in pixels; the aspect ratio is squeezed.
    resize:      of images; labels are always ``nearest``.
    test_fraction, validation_fraction: the share of groups that goes to each split. Every group is drawn by itself, so
                 the shares are met on average, and adding one never moves another to another split.
    seed:        of the split; the run's seed does not change it.
    groups:      a CSV file with the columns ``id,group`` (the patient, say), relative to the current directory; an id
                 is a file name without its ending. Null makes every image its own group.
    """

    root: Path
    annotations: str = "annotations.json"
    images: str = "images"
    classes: dict[str, str | tuple[str, ...]] | None = None
    other_labels: Literal["refuse", "background"] = "refuse"
    overlap: Literal["refuse", "later", "smaller"] = "refuse"
    crowd: Literal["refuse", "class", "ignored"] = "refuse"
    empty: Literal["keep", "drop"] = "keep"
    size: Annotated[int, Within(32, 512)] = 128
    resize: Literal["nearest", "area"] = "area"
    test_fraction: Fraction = 0.2
    validation_fraction: Fraction = 0.0
    seed: Annotated[int, AtLeast(0)] = 0
    groups: Path | None = None

    def __post_init__(self) -> None:
        faults = []
        if self.classes is not None and not 1 <= len(self.classes) <= 254:
            faults.append(f"classes: found {len(self.classes)}; allowed: 1 to 254")
        written = Counter(name for names in _lists(self.classes or {}).values() for name in names)
        twice = [name for name, count in written.items() if count > 1]
        faults += [f"classes: found the category '{name}' twice; allowed: in one class" for name in twice]
        faults += fraction_faults(self.test_fraction, self.validation_fraction)
        if faults:
            raise ValueError("; ".join(faults))

    def sources(self) -> Sequence[Path]:
        """Return the images, the COCO file and the groups file.

        `InputError` naming every annotation that cannot be used, and every image whose header tells the same.
        """
        found = self._usable()
        problems = [problem for picture in found.pictures for problem in _header_problems(picture)]
        if problems:
            raise InputError(*sum_up(problems))
        groups = [] if self.groups is None else [Path(self.groups).expanduser()]
        return [*sorted(picture.file for picture in found.pictures), self._file, *groups]

    def frame(self) -> Frame:
        """Return the size that every image is resized to."""
        return Frame(self.size, self.size)

    def format(self) -> Format:
        """Return 8-bit RGB with the classes."""
        return self._format(self._usable())

    def load(self) -> Splits:
        """Return the three splits; `InputError` naming every bad file at once."""
        found = self._usable()
        series = self._series(found)
        parts = draw_splits([one.group for one in series], self.test_fraction, self.validation_fraction, self.seed)
        return load_series(
            [[series[place] for place in part] for part in parts], self._format(found), self.size, self.resize
        )

    def remarks(self) -> Sequence[str]:
        """Return how many images have no annotation, and how many objects may have lost a hole."""
        found = self._usable()
        bare = sum(not picture.regions for picture in found.pictures)
        what = "left out" if self.empty == "drop" else "background"
        told = [f"{self._file}: {bare} of {len(found.pictures)} images have no annotation: {what}"] if bare else []
        inner = [r for picture in found.pictures for r in picture.regions if has_inner_polygon(r.shape)]
        if inner:
            told.append(
                f"{self._file}: {len(inner)} annotations, such as {inner[0].id}, have a polygon inside another one. "
                "COCO unites them; if holes were meant, export run lengths (RLE)"
            )
        return told

    def native_masks(self, ids: Sequence[str]) -> Iterator[Masks]:
        """Yield the labels of each id at the size of its image."""
        binary = self.format().binary
        return (one.labels.view(bool) if binary else one.labels for one in self._slices(ids))

    def native_images(self, ids: Sequence[str]) -> Iterator[Images]:
        """Yield the image of each id as it is in its file."""
        return (one.image for one in self._slices(ids))

    def _slices(self, ids: Sequence[str]) -> Iterator[Slice]:
        found = self._usable()
        series_of = {picture.id: one for picture, one in zip(found.pictures, self._series(found), strict=True)}
        return (one for name in ids for one in series_of[name].read())

    def _usable(self) -> Document:
        found = read_document(self._file, self._root / self.images)
        problems = [*found.problems]
        classes = self._classes(found)
        if strange := [name for names in classes.values() for name in names if name not in found.categories]:
            what = f"has no category '{strange[0]}'; there: {', '.join(found.categories)}"
            problems.append(Problem(str(self._file), what, "Correct the option classes"))
        known = {name for names in classes.values() for name in names}
        others = {r.category for picture in found.pictures for r in picture.regions} - known
        if others and self.other_labels == "refuse":
            what = f"has annotations of {', '.join(sorted(others))}; allowed: {', '.join(sorted(known))}"
            hint = "Add classes for them, or write 'other_labels: background'"
            problems.append(Problem(str(self._file), what, hint))
        crowds = [r for picture in found.pictures for r in picture.regions if r.crowd]
        if crowds and self.crowd == "refuse":
            what = f"has {len(crowds)} annotations of crowds (iscrowd), such as {crowds[0].id}"
            problems.append(Problem(str(self._file), what, "Write 'crowd: class' or 'crowd: ignored'"))
        group_of, more = self._group_of(found)
        if not (problems or more):
            groups, fractions = list(group_of.values()), (self.test_fraction, self.validation_fraction)
            more = empty_splits(self._file, groups, draw_splits(groups, *fractions, self.seed), *fractions)
        if problems := [*problems, *more]:
            raise InputError(*problems)
        return found

    def _group_of(self, found: Document) -> tuple[dict[str, str], list[Problem]]:
        if self.groups is None:
            return {picture.id: picture.id for picture in found.pictures}, []
        return read_groups(Path(self.groups).expanduser(), {picture.id: picture.id for picture in found.pictures})

    def _classes(self, found: Document) -> Mapping[str, tuple[str, ...]]:
        return {name: (name,) for name in found.categories} if self.classes is None else _lists(self.classes)

    def _format(self, found: Document) -> Format:
        return Format(classes=tuple(self._classes(found)), ignore=self.crowd == "ignored")

    def _series(self, found: Document) -> list[Series]:
        group_of, _ = self._group_of(found)
        label_of = {name: k for k, names in enumerate(self._classes(found).values(), 1) for name in names}
        return [
            Series(picture.file, group_of[picture.id], 1, partial(self._read, picture, label_of))
            for picture in found.pictures
        ]

    def _read(self, picture: Picture, label_of: Mapping[str, int]) -> Iterator[Slice]:
        if problems := _header_problems(picture):
            raise InputError(*problems)
        labels = self._labels(picture, label_of)
        if labels.any() or self.empty == "keep":
            yield Slice(picture.id, read_image(picture.file), labels)

    def _labels(self, picture: Picture, label_of: Mapping[str, int]) -> NDArray[Any]:
        labels = np.zeros((picture.height, picture.width), np.uint8)
        drawn = [
            (region, draw(region.shape, picture.height, picture.width))
            for region in picture.regions
            if region.category in label_of
        ]
        if self.overlap == "smaller":
            drawn.sort(key=lambda one: -int(one[1].sum()))
        # What is ignored comes first, so that an object of its own in a crowd still counts.
        drawn.sort(key=lambda one: not (one[0].crowd and self.crowd == "ignored"))
        for region, mask in drawn:
            label = IGNORED if region.crowd and self.crowd == "ignored" else label_of[region.category]
            taken = mask & (labels != 0) & (labels != label) & (labels != IGNORED)
            if self.overlap == "refuse" and taken.any():
                raise InputError(_overlap(picture, region, taken))
            labels[mask] = label
        return labels

    @property
    def _file(self) -> Path:
        return self._root / self.annotations

    @property
    def _root(self) -> Path:
        return Path(self.root).expanduser()


def _overlap(picture: Picture, region: Region, taken: NDArray[Any]) -> Problem:
    row, column = (int(axis[0]) for axis in np.nonzero(taken))
    others = (r for r in picture.regions if r.category != region.category)
    other = next(r for r in others if draw(r.shape, picture.height, picture.width)[row, column])
    what = (
        f"annotation {region.id} ({region.category}) covers {int(taken.sum())} pixels of another class, such as "
        f"row {row}, column {column}, where annotation {other.id} ({other.category}) is; allowed: one class "
        "for each pixel"
    )
    return Problem(str(picture.file), what, "Write 'overlap: later' or 'overlap: smaller', or correct the annotations")


def _header_problems(picture: Picture) -> list[Problem]:
    try:
        header = read_header(picture.file)
    except InputError as error:
        return list(error.problems)
    if header.size != (picture.width, picture.height):
        found, told = (f"{width} x {height} pixels" for width, height in (header.size, (picture.width, picture.height)))
        return [Problem(str(picture.file), f"is {found}, the annotations say {told}; allowed: equal sizes")]
    if header.bits > 8:
        return [Problem(str(picture.file), f"is a {header.bits}-bit image; allowed: 8 bits per channel")]
    return []


def _lists(classes: Mapping[str, str | tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    return {name: (one,) if isinstance(one, str) else tuple(one) for name, one in classes.items()}

"""Series of DICOM slices in the order of space, with the segmentations that refer to them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from augkit import InputError, Problem
from augkit_dicom.headers import Frame, Segmentation, is_dicom, read_headers, shortened

SAME_PLACE = 0.01
"""Positions that are no more than so many mm apart are one; pixel grids are written with few digits."""

_GAP = 1.5
_THREADS = 8


class Volume(NamedTuple):
    """The slices of one series, in the order of space, and the segmentations that refer to it."""

    frames: tuple[Frame, ...]
    segmentations: tuple[Segmentation, ...]

    @property
    def series(self) -> str:
        """SeriesInstanceUID."""
        return self.frames[0].series

    @property
    def name(self) -> str:
        """A hash of SeriesInstanceUID, which stands before the ids of the slices."""
        return shortened(self.series)

    @property
    def where(self) -> Path:
        """The folder, or the file where there is only one."""
        paths = {frame.path for frame in self.frames}
        return self.frames[0].path if len(paths) == 1 else self.frames[0].path.parent

    def places(self, segmentation: Segmentation) -> list[int | None]:
        """Return which slice each frame of a segmentation is of, by its reference or place; None where of none."""
        by_uid = {(frame.uid, frame.number): place for place, frame in enumerate(self.frames)}
        along = np.array([frame.along for frame in self.frames])
        found: list[int | None] = []
        for one in segmentation.frames:
            place = by_uid.get((one.uid, one.frame), by_uid.get((one.uid, None)))
            if not one.uid and one.position is not None:
                nearest = int(np.abs(along - self.frames[0]._replace(position=one.position).along).argmin())
                place = nearest if _at_one_place(one.position, self.frames[nearest].position) else None
            found.append(place)
        return found


class Scan(NamedTuple):
    """What lies in a folder: volumes by series, what is wrong, and how many DICOM files are neither image nor SEG."""

    volumes: list[Volume]
    problems: list[Problem]
    files: list[Path]
    others: int


def scan(root: Path) -> Scan:
    """Return the volumes below a folder; only headers are read."""
    if not root.is_dir():
        raise InputError(Problem(str(root), "is not a folder", "Correct the option root"))
    paths = [path for path in _walk(root) if is_dicom(path)]
    if not paths:
        raise InputError(Problem(str(root), "holds no DICOM file", "Correct the option root"))
    problems: list[Problem] = []
    frames: dict[str, list[Frame]] = {}
    segmentations: list[Segmentation] = []
    used: list[Path] = []
    others = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        answers = list(pool.map(_tried, paths))
    for path, answer in zip(paths, answers, strict=True):
        if isinstance(answer, InputError):
            problems += answer.problems
        elif answer is None:
            others += 1
        else:
            used.append(path)
            if isinstance(answer, Segmentation):
                segmentations.append(answer)
            else:
                for frame in answer:
                    frames.setdefault(frame.series, []).append(frame)
    volumes = []
    for series, those in sorted(frames.items()):
        mine = tuple(one for one in segmentations if _refers_to(one, series, those))
        ordered = tuple(sorted(those, key=lambda frame: (frame.along, str(frame.path), frame.number or 0)))
        volumes.append(Volume(ordered, mine))
        problems += _misfits(volumes[-1])
    taken = {one.path for volume in volumes for one in volume.segmentations}
    problems += [_stray(one, frames) for one in segmentations if one.path not in taken]
    if not problems:
        problems += [_unlabelled(volume) for volume in volumes if not volume.segmentations]
    return Scan(volumes, problems, used, others)


def gaps(volumes: Sequence[Volume]) -> Iterator[str]:
    """Yield one sentence for each series in which slices lie further apart than the others."""
    for volume in volumes:
        if len(volume.frames) > 2 and volume.frames[0].position is not None:
            steps = np.diff([frame.along for frame in volume.frames])
            usual = float(np.median(steps))
            wide = np.flatnonzero(steps > _GAP * usual)
            if len(wide):
                after = volume.frames[wide[0]].path.name
                yield (
                    f"{volume.where}: the slices of a series lie {usual:.4g} mm apart, but {len(wide)} times more, "
                    f"such as {steps[wide[0]]:.4g} mm after {after}. Are files missing?"
                )


def _tried(path: Path) -> tuple[Frame, ...] | Segmentation | InputError | None:
    try:
        return read_headers(path)
    except InputError as error:
        return error


def _walk(root: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if not name.startswith(".") and name != "DICOMDIR")


def _refers_to(segmentation: Segmentation, series: str, frames: Sequence[Frame]) -> bool:
    if segmentation.series:
        return segmentation.series == series
    known = {frame.uid for frame in frames}
    return any(one.uid in known for one in segmentation.frames)


def _misfits(volume: Volume) -> list[Problem]:
    """Return what is wrong with the slices of one series, and with the grids of its segmentations."""
    first = volume.frames[0]
    problems = []
    for frame in volume.frames[1:]:
        if frame.size != first.size or not _alike(frame.orientation, first.orientation):
            what = (
                f"has {_grid(frame)}; {first.path.name} of the same series has {_grid(first)}; allowed: one plane and "
                "size in a series"
            )
            problems.append(Problem(str(frame.path), what, "Move the one that does not belong to it elsewhere"))
    if problems:
        return problems[:1]
    for one, other in zip(volume.frames, volume.frames[1:], strict=False):
        if one.position is not None and other.along - one.along <= SAME_PLACE:
            what = f"lies where {one.path.name} does ({_spell(other.position)}); allowed: each place once in a series"
            hint = "Keep one of them; several times, echoes or phases belong into series of their own"
            problems.append(Problem(str(other.path), what, hint))
    for segmentation in volume.segmentations:
        problems += _grid_misfits(volume, segmentation)
    return problems


def _grid_misfits(volume: Volume, segmentation: Segmentation) -> list[Problem]:
    where, first = str(segmentation.path), volume.frames[0]
    if segmentation.size != first.size:
        found, wanted = (f"{columns} x {rows} pixels" for rows, columns in (segmentation.size, first.size))
        return [Problem(where, f"is {found}, its series {wanted}; allowed: equal sizes", _RESAMPLE)]
    if segmentation.orientation is not None and not _alike(segmentation.orientation, first.orientation):
        found, wanted = _spell(segmentation.orientation), _spell(first.orientation)
        return [Problem(where, f"has the orientation {found}, its series {wanted}; allowed: equal ones", _RESAMPLE)]
    for index, (one, place) in enumerate(zip(segmentation.frames, volume.places(segmentation), strict=True)):
        if place is None:
            of = f"the image {one.uid}" if one.uid else f"the position {_spell(one.position)}"
            what = f"has a frame ({index + 1}) of {of}, which is not in its series {volume.series}"
            return [Problem(where, what, "Add the missing slices")]
        position = volume.frames[place].position
        if one.position is not None and not _at_one_place(one.position, position):
            found, wanted = _spell(one.position), _spell(position)
            what = f"has frame {index + 1} at {found}, the image that it refers to lies at {wanted}"
            return [Problem(where, f"{what}; allowed: equal places", _RESAMPLE)]
    return []


_RESAMPLE = "Export the segmentation again from this series"


def _stray(segmentation: Segmentation, frames: Mapping[str, Sequence[Frame]]) -> Problem:
    there = ", ".join(sorted(frames)[:3]) or "no series"
    what = f"refers to the series {segmentation.series or '(none)'}; in the folder: {there}"
    return Problem(str(segmentation.path), what, "Add that series, or export the segmentation of this one")


def _unlabelled(volume: Volume) -> Problem:
    what = f"no DICOM-SEG refers to the series {volume.series} ({len(volume.frames)} images)"
    return Problem(str(volume.where), what, "Add one, even if it is empty, or move the series elsewhere")


def _at_one_place(one: Sequence[float], other: Sequence[float] | None) -> bool:
    return other is not None and bool(np.allclose(one, other, rtol=0, atol=SAME_PLACE))


def _alike(one: Sequence[float] | None, other: Sequence[float] | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.allclose(one, other, rtol=0, atol=1e-3))


def _grid(frame: Frame) -> str:
    return f"{frame.size[1]} x {frame.size[0]} pixels in the plane {_spell(frame.orientation)}"


def _spell(vector: Sequence[float] | None) -> str:
    return "(unknown)" if vector is None else "(" + ", ".join(f"{value:.6g}" for value in vector) + ")"

"""Volumes of NIfTI files, slice by slice, in any format: what both data sets of this package do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

from augkit import Channel, Format, InputError, Problem, Splits
from augkit.images import Series, load_series, rgb_format, shown_as_rgb, sum_up
from augkit_nifti.headers import Header, common_type, read_header, unlike
from augkit_nifti.splits import Part
from augkit_nifti.volumes import Case, Cut, Slab, count_kept, depth, slices

Window = tuple[float, float]

_THREADS = 8
"""Headers that are read at a time: opening files is waiting."""

_READERS = 4
"""Volumes of labels that are read at a time."""


@dataclass(frozen=True)
class Volumes:
    """Volumes and how they become slices.

    channels: without windows where these are found in the training pixels.
    as_rgb:   the window of the one channel that is shown as 8-bit RGB; None leaves pixels as they are.
    """

    cases: Sequence[Case]
    cut: Cut
    channels: tuple[Channel, ...]
    as_rgb: Window | None = None

    def headers(self) -> tuple[dict[Path, Header], list[Problem]]:
        """Return the headers of all files that have a usable one, and what is wrong with others or with pairs."""
        kinds = {path: False for case in self.cases for path in case.images}
        kinds |= {case.labels: True for case in self.cases}
        found: dict[Path, Header] = {}
        problems: list[Problem] = []

        def read(path: Path) -> Header | InputError:
            try:
                return read_header(path, self.cut.trusted, kinds[path])
            except InputError as error:
                return error

        with ThreadPoolExecutor(_THREADS) as pool:
            for path, header in zip(kinds, pool.map(read, kinds), strict=True):
                if isinstance(header, InputError):
                    problems += header.problems
                else:
                    found[path] = header
        for case in self.cases:
            problems += _apart(case, found)
        return found, problems

    def raw_format(self) -> Format:
        """Return the format of the files; raises `InputError` where a header cannot be used."""
        found, problems = self.headers()
        if problems:
            raise InputError(*sum_up(problems))
        types = [found[path].pixel_type for case in self.cases for path in case.images]
        labelling = self.cut.labelling
        return Format(common_type(types), self.channels, labelling.names, labelling.ignores)

    def format(self) -> Format:
        """Return the format of what is read."""
        raw = self.raw_format()
        return raw if self.as_rgb is None else rgb_format(raw)

    def depths(self) -> list[int]:
        """Return how many slices each volume has."""
        found, problems = self.headers()
        if problems:
            raise InputError(*sum_up(problems))
        return [depth(found[case.labels], self.cut.axis) for case in self.cases]

    def series(self, part: Part) -> list[Series]:
        """Return volumes, or slabs of them, to be read."""
        raw = self.raw_format()
        found, _ = self.headers()
        return [self._one(case, depth(found[case.labels], self.cut.axis), raw, slab) for case, slab in part]

    def load(self, parts: Sequence[Part], size: int, resize: Literal["nearest", "area"]) -> Splits:
        """Return train, validation and test."""
        return load_series([self.series(part) for part in parts], self.format(), size, resize)

    def remarks(self) -> list[str]:
        """Return what a person should know: slices that are left out, and files that say no place."""
        told = []
        found, _ = self.headers()
        lost = [case for case in self.cases if case.labels in found and not found[case.labels].placed]
        if lost:
            told.append(
                f"{len(lost)} of {len(self.cases)} volumes, such as {lost[0].labels.name}, do not say where they lie; "
                "their first axis is taken to run to the left, their second to the front, their third to the head"
            )
        return told + self._left_out()

    def _left_out(self) -> list[str]:
        if self.cut.empty == "keep":
            return []
        try:
            with ThreadPoolExecutor(_READERS) as pool:
                counts = list(pool.map(self._count, self.cases))
        except InputError:
            return []  # loading tells what is wrong
        kept, whole = sum(one for one, _ in counts), sum(every for _, every in counts)
        bare = [case.id for case, (one, _) in zip(self.cases, counts, strict=True) if one == 0]
        rest = f"; nothing is left of {len(bare)} volumes, such as {bare[0]}" if bare else ""
        return [f"{whole - kept} of {whole} slices without any class are left out (empty: {self.cut.empty}){rest}"]

    def _count(self, case: Case) -> tuple[int, int]:
        facts = case.labels.stat()
        return _counted(case, self.cut, facts.st_mtime_ns, facts.st_size)

    def _one(self, case: Case, most: int, raw: Format, slab: Slab | None) -> Series:
        most = most if slab is None else slab.end - slab.begin
        one = Series(case.labels, case.group, most, partial(slices, case, self.cut, raw, slab))
        return one if self.as_rgb is None else shown_as_rgb(one, raw, *self.as_rgb)


@lru_cache(maxsize=4096)
def _counted(case: Case, cut: Cut, changed: int, size: int) -> tuple[int, int]:
    """Return `count_kept`; a run asks before it begins and for its report, and reading labels takes time."""
    return count_kept(case, cut)


def native(volumes: Volumes) -> list[Series]:
    """Return all volumes whole."""
    return volumes.series([(case, None) for case in volumes.cases])


def _apart(case: Case, found: dict[Path, Header]) -> Iterator[Problem]:
    """Yield a problem for each image that does not lie where the labels do."""
    labels = found.get(case.labels)
    if labels is None:
        return
    for path in case.images:
        image = found.get(path)
        if image is not None and (told := unlike(image, labels, path.name, case.labels.name)):
            hint = "Resample the labels to the image with nearest neighbour, or take the file they were drawn on"
            yield Problem(str(case.labels), f"lies elsewhere than its image: {told}; allowed: one place", hint)

"""Any folder of images and masks as a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from augkit import Format, Frame, Images, InputError, Masks, Problem, Splits
from augkit.images import (
    Pair,
    Slice,
    load_series,
    load_splits,
    read_image,
    read_pair_mask,
    sum_up,
    turned_apart,
    unfit_pairs,
)
from augkit_folder.found import Found, find_pairs
from augkit_folder.levels import advise_threshold, cut_masks
from augkit_folder.listing import left_out
from augkit_folder.options import FolderOptions
from augkit_folder.slices import format_of, series_of, shown_format, unfit
from augkit_folder.splits import Parts, crossing_groups, cut


@dataclass(frozen=True)
class Folder(FolderOptions):  # noqa: D101 - what it is stands beside its options
    __doc__ = FolderOptions.__doc__

    def sources(self) -> Sequence[Path]:
        """Return the files of both sub-folders, sorted, and the groups file.

        `InputError` where one is missing, where names do not fit together, where a split would be empty, or where
        headers tell that a file will not be read: a recipe is checked before it runs. Reading finds the rest.
        """
        found = find_pairs(self)
        problems = list(found.problems)
        if found.pairs:
            problems += self._cut(found)[1]
        if not self.skip_unread:
            problems += left_out(found.contents, self.layout == "two-folders")
        masks = [path for pair in found.pairs for path in pair.masks]
        images = [pair.image for pair in found.pairs]
        unread = unfit_pairs(found.pairs, self.mask_threshold) if self.plain else unfit(self, found.pairs)
        problems += map(self._advised, unread)
        if problems:
            raise InputError(*sum_up(problems))
        return sorted(images + masks) + ([] if self.groups_file is None else [self.groups_file])

    def frame(self) -> Frame:
        """Return the size that every image is resized to."""
        return Frame(self.size, self.size)

    def counts(self) -> Mapping[str, int]:
        """Return the number of pairs in each split; {} for volumes, whose slices are counted when they are read."""
        if not self.plain:
            return {}
        return dict(zip(("train", "validation", "test"), map(len, self._cut(find_pairs(self))[0]), strict=True))

    def format(self) -> Format:
        """Return 8-bit RGB with one class, or what the options and the first image's header say."""
        return Format() if self.plain else shown_format(self, self._stored_format())

    def load(self) -> Splits:
        """Return the three splits; `InputError` naming every bad file at once."""
        found = find_pairs(self)
        if not found.pairs:
            raise InputError(*found.problems)
        parts, problems = self._cut(found)
        problems = [*found.problems, *problems]
        try:
            if self.plain:
                return load_splits(*parts, self.size, self.resize, problems, self.mask_threshold)
            stored = format_of(self, found.pairs)
            series = [[series_of(pair, self, stored) for pair in part] for part in parts]
            return load_series(series, shown_format(self, stored), self.size, self.resize, problems)
        except InputError as error:
            raise InputError(*map(self._advised, error.problems)) from error

    def remarks(self) -> Sequence[str]:
        """Return which files are not read, fractions of a split that is there, masks that are cut, and pairs turned apart."""
        found = find_pairs(self)
        told = [f"{one.folder}: {one.told()}" for one in found.contents if one.unread]
        unused = [
            name
            for name in ("test_fraction", "validation_fraction")
            if getattr(self, name) != getattr(FolderOptions, name)
        ]
        if self.split == "folders" and unused:
            told.append(f"{self.folder}: split by its folders; {' and '.join(unused)} unused")
        if self.mask_threshold is not None:
            masks = [path for pair in found.pairs for path in pair.masks]
            told.append(cut_masks(self.folder, masks, self.mask_threshold))
        return [*told, *turned_apart(found.pairs)]

    def native_masks(self, ids: Sequence[str]) -> Iterator[Masks]:
        """Yield the mask of each id as it is in its file."""
        pair_of = {pair.id: pair for pair in find_pairs(self).pairs}
        if self.plain:
            return (read_pair_mask(pair_of[name], self.mask_threshold) for name in ids)
        binary = self.format().binary
        labels = (one.labels for one in self._slices(pair_of, ids))
        return (one.view(bool) if binary else one for one in labels)

    def native_images(self, ids: Sequence[str]) -> Iterator[Images]:
        """Yield the image of each id as it is in its file."""
        pair_of = {pair.id: pair for pair in find_pairs(self).pairs}
        if self.plain:
            return (read_image(pair_of[name].image) for name in ids)
        return (one.image for one in self._slices(pair_of, ids))

    def _stored_format(self) -> Format:
        found = find_pairs(self)
        if not found.pairs:
            raise InputError(*found.problems)
        return format_of(self, found.pairs)

    def _slices(self, pair_of: Mapping[str, Pair], ids: Sequence[str]) -> Iterator[Slice]:
        stored = format_of(self, list(pair_of.values()))
        return (found for name in ids for found in series_of(pair_of[name], self, stored).read())

    def _cut(self, found: Found) -> tuple[Parts, list[Problem]]:
        if self.split == "folders":
            train, validation, test = (found.parts.get(part, []) for part in ("train", "validation", "test"))
            parts = (train, validation, test)
            return parts, crossing_groups(parts, self.folder, self._uncross)
        return cut(found.pairs, self.test_fraction, self.validation_fraction, self.seed, self.folder)

    def _advised(self, problem: Problem) -> Problem:
        """Return the problem of a mask whose grey levels could be cut with the option that does it."""
        return problem if self.mask_threshold is not None else advise_threshold(problem)

    @property
    def _uncross(self) -> str:
        move = "Move the images of a group into one split"
        return f"{move}, or write 'sub_folders: ids' if equal names are not one patient" if self.below else move

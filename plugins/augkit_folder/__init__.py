"""Any folder of images and masks as a data set, split so that no patient is on both sides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from augkit import AtLeast, Dataset, Frame, Images, InputError, Masks, Problem, Splits, Within, hookimpl
from augkit.images import Pair, load_splits, read_image, read_pair_mask, sum_up, turned_apart, unfit_pairs
from augkit_folder.files import match_files, match_image_folders, match_patients
from augkit_folder.levels import advise_threshold, cut_masks
from augkit_folder.listing import Contents, contents_of, left_out
from augkit_folder.names import Names
from augkit_folder.places import (
    Place,
    check_root,
    contents_of_places,
    patient_folders,
    split_folders,
    two_folders,
)
from augkit_folder.splits import Parts, assign_groups, crossing_groups, cut, grouped_by_folder

__all__ = ["Folder", "augkit_datasets"]

Fraction = Annotated[float, Within(0.0, 1.0)]


@dataclass(frozen=True)
class Folder:
    """Images and masks in two sub-folders of `root`, all resized to size x size.

    root:        the data folder, relative to the current directory.
    images:      name of the sub-folder with the images; a file's name without ending is the sample's id.
    masks:       name of the sub-folder with the masks: 0 is background, one other level is foreground. It may be the
                 same folder where mask_prefix or mask_suffix tells masks from images.
    mask_suffix: a mask's name without ending is its image's id followed by this, such as ``_segmentation``; empty for
                 equal names.
    mask_prefix: what masks' names begin with before the id, such as ``mask_``.
    image_prefix, image_suffix: what images' names begin and end with around the id, such as ``_0000``.
    join_masks:  several masks of one image, numbered as ``_mask_1`` or in its folder, are one mask; otherwise refused.
    layout:      ``two-folders``, or ``folder-per-image``, where root holds one folder per image, whose name is the id,
                 with the sub-folders `images`, with one file, and `masks`; their names may begin with the id. Or
                 ``folder-per-patient``, where root holds one folder per patient, each with the sub-folders `images`
                 and `masks`; its name stands before the ids, ``patient1/a``, and is the group.
    split:       ``drawn`` by the fractions, or ``folders``: the folders train, val and test lie in root, or in the
                 sub-folders of images and masks. Their names then stand before the ids: ``test-case01``.
    size:        side of the square frame in pixels; the aspect ratio is squeezed.
    resize:      of images; masks are always ``nearest``.
    test_fraction, validation_fraction: the share of groups that goes to each split. Every group is drawn by itself, so
                 the shares are met on average, and adding an image never moves another one to another split.
    seed:        of the split; the run's seed does not change it.
    mask_threshold: the grey level, 1 to 255, from which on a mask is foreground where it is a JPEG or holds more than
                 two levels; null refuses such masks. Masks with 0 and one other level are never cut.
    skip_unread: leave out what cannot be read; otherwise a folder is refused of which more than a tenth of the images
                 lies in sub-folders or has an ending that cannot be read.
    sub_folders: of images and masks, which have the same ones: ``unread`` leaves them out; ``ids`` reads them at any
                 depth, and the path is the id: ``patient1/a``; ``groups`` also makes the first sub-folder the group.
    groups:      a CSV file with the columns ``id,group`` (the patient, say), relative to the current directory; null
                 makes every image its own group unless sub_folders groups it. No group is in two splits.
    """

    root: Path
    images: str = "images"
    masks: str = "masks"
    mask_suffix: str = ""
    mask_prefix: str = ""
    image_prefix: str = ""
    image_suffix: str = ""
    join_masks: bool = False
    layout: Literal["two-folders", "folder-per-image", "folder-per-patient"] = "two-folders"
    split: Literal["drawn", "folders"] = "drawn"
    size: Annotated[int, Within(32, 512)] = 128
    resize: Literal["nearest", "area"] = "area"
    test_fraction: Fraction = 0.2
    validation_fraction: Fraction = 0.0
    seed: Annotated[int, AtLeast(0)] = 0
    mask_threshold: Annotated[int, Within(1, 255)] | None = None
    skip_unread: bool = False
    sub_folders: Literal["unread", "ids", "groups"] = "unread"
    groups: Path | None = None

    def __post_init__(self) -> None:
        faults = [
            f"{option}: found '{name}'; allowed: the name of a folder in root, without '/', '\\' or '..'"
            for option, name in (("images", self.images), ("masks", self.masks))
            if name in ("", ".", "..") or _crosses_folders(name)
        ]
        faults += [
            f"{option}: found '{text}'; allowed: the {end} of a file name, without '/' or '\\'"
            for option, text in self._names._asdict().items()
            for end in ["end" if option.endswith("suffix") else "beginning"]
            if _crosses_folders(text)
        ]
        if self.images == self.masks and not (self.mask_prefix or self.mask_suffix):
            faults.append(
                f"images and masks: found '{self.images}' twice; allowed: one folder for both where mask_prefix or "
                "mask_suffix tells masks from images"
            )
        if self.layout == "folder-per-image" and (self.split == "folders" or any(self._names)):
            faults.append(
                "layout: found folder-per-image; allowed: without 'split: folders' and prefixes or suffixes of names"
            )
        if self.layout != "two-folders" and self._below:
            faults.append(f"sub_folders: found {self.sub_folders}; allowed: unread with 'layout: {self.layout}'")
        if self.layout == "folder-per-patient" and (self.split == "folders" or self.groups is not None):
            what = "found folder-per-patient; allowed: without 'split: folders' and groups, which the folders are"
            faults.append(f"layout: {what}")
        if self.sub_folders == "groups" and self.groups is not None:
            faults.append("sub_folders: found groups beside a file of groups; allowed: one of the two, or ids")
        if self.test_fraction == 0:
            faults.append("test_fraction: found 0; allowed: above 0, as arms are compared on the test split")
        if self.test_fraction + self.validation_fraction >= 1:
            faults.append(
                "test_fraction + validation_fraction: found 1 or more; allowed: below 1, the rest is to train on"
            )
        if faults:
            raise ValueError("; ".join(faults))

    def sources(self) -> Sequence[Path]:
        """Return the files of both sub-folders, sorted, and the groups file.

        `InputError` where one is missing, where names do not fit together, where a split would be empty, or where
        headers tell that a file will not be read: a recipe is checked before it runs. Reading finds the rest.
        """
        found = self._found()
        problems = list(found.problems)
        if found.pairs:
            problems += self._cut(found)[1]
        if not self.skip_unread:
            problems += left_out(found.contents, self.layout == "two-folders")
        masks = [path for pair in found.pairs for path in pair.masks]
        images = [pair.image for pair in found.pairs]
        problems += map(self._advised, unfit_pairs(found.pairs, self.mask_threshold))
        if problems:
            raise InputError(*sum_up(problems))
        return sorted(images + masks) + ([] if self._groups is None else [self._groups])

    def frame(self) -> Frame:
        """Return the size that every image is resized to."""
        return Frame(self.size, self.size)

    def load(self) -> Splits:
        """Return the three splits; `InputError` naming every bad file at once."""
        found = self._found()
        if not found.pairs:
            raise InputError(*found.problems)
        parts, problems = self._cut(found)
        try:
            return load_splits(*parts, self.size, self.resize, [*found.problems, *problems], self.mask_threshold)
        except InputError as error:
            raise InputError(*map(self._advised, error.problems)) from error

    def remarks(self) -> Sequence[str]:
        """Return which files are not read, a split that was found, masks that are cut, and pairs turned apart."""
        found = self._found()
        told = [f"{one.folder}: {one.told()}" for one in found.contents if one.unread]
        if self.split == "folders":
            counts = ", ".join(f"{len(pairs)} {part}" for part, pairs in found.parts.items())
            told.append(f"{self._root}: split by its folders ({counts}); test_fraction and validation_fraction unused")
        if self.mask_threshold is not None:
            masks = [path for pair in found.pairs for path in pair.masks]
            told.append(cut_masks(self._root, masks, self.mask_threshold))
        return [*told, *turned_apart(found.pairs)]

    def native_masks(self, ids: Sequence[str]) -> Iterator[Masks]:
        """Yield the mask of each id as it is in its file."""
        pair_of = {pair.id: pair for pair in self._found().pairs}
        return (read_pair_mask(pair_of[name], self.mask_threshold) for name in ids)

    def native_images(self, ids: Sequence[str]) -> Iterator[Images]:
        """Yield the image of each id as it is in its file."""
        pair_of = {pair.id: pair for pair in self._found().pairs}
        return (read_image(pair_of[name].image) for name in ids)

    def _found(self) -> Found:
        """Return images with their masks and groups by part, and what is wrong with names."""
        if self._groups is not None and not self._groups.is_file():
            self._places_and(Problem(str(self._groups), "is not a file", "Correct the option groups"))
        if self.layout == "folder-per-image":
            check_root(self._root)
            matched = match_image_folders(self._root, self.images, self.masks, self.join_masks)
            used = [path for pair in matched.pairs for path in (pair.image, *pair.masks)]
            by_part, contents = {"": matched.pairs}, [contents_of(self._root, used)] if used else []
            problems = matched.problems
        elif self.layout == "folder-per-patient":
            places = patient_folders(self._root, self.images, self.masks)
            matched = match_patients(places, self._names, self.join_masks)
            by_part, problems = {"": grouped_by_folder(matched.pairs)}, matched.problems
            contents = contents_of_places(places, below=False)
        else:
            places = self._places()
            matches = {
                p.part: match_files(p.images, p.masks, self._names, self.join_masks, self._below) for p in places
            }
            by_part = {part: _named(part, self._by_folder(one.pairs)) for part, one in matches.items()}
            problems = [problem for one in matches.values() for problem in one.problems]
            contents = contents_of_places(places, self._below)
            problems += self._without_folders(places, [pair for one in matches.values() for pair in one.pairs])
        return self._grouped(Found(by_part, problems, contents))

    def _by_folder(self, pairs: Sequence[Pair]) -> Sequence[Pair]:
        return grouped_by_folder(pairs) if self.sub_folders == "groups" else pairs

    def _without_folders(self, places: Sequence[Place], pairs: Sequence[Pair]) -> list[Problem]:
        """Return the problem that sub-folders should be groups and there are none."""
        if self.sub_folders != "groups" or not pairs or any("/" in pair.id for pair in pairs):
            return []
        what = "holds no sub-folders with images; allowed with 'sub_folders: groups': one for each group"
        return [Problem(str(places[0].images), what, "Leave sub_folders out, or write a CSV file in the option groups")]

    def _places(self) -> list[Place]:
        find = split_folders if self.split == "folders" else two_folders
        return find(self._root, self.images, self.masks)

    def _places_and(self, problem: Problem) -> None:
        """Raise what is wrong with the places together with one more problem."""
        try:
            self._places()
        except InputError as error:
            raise InputError(*error.problems, problem) from error
        raise InputError(problem)

    def _grouped(self, found: Found) -> Found:
        if not found.pairs:
            return found
        pairs, problems = assign_groups(found.pairs, self._groups)
        group_of = {pair.id: pair.group for pair in pairs}
        parts = {part: [pair._replace(group=group_of[pair.id]) for pair in ones] for part, ones in found.parts.items()}
        return Found(parts, found.problems + problems, found.contents)

    def _cut(self, found: Found) -> tuple[Parts, list[Problem]]:
        if self.split == "folders":
            train, validation, test = (found.parts.get(part, []) for part in ("train", "validation", "test"))
            parts = (train, validation, test)
            return parts, crossing_groups(parts, self._root, self._uncross)
        return cut(found.pairs, self.test_fraction, self.validation_fraction, self.seed, self._root)

    def _advised(self, problem: Problem) -> Problem:
        """Return the problem of a mask whose grey levels could be cut with the option that does it."""
        return problem if self.mask_threshold is not None else advise_threshold(problem)

    @property
    def _uncross(self) -> str:
        move = "Move the images of a group into one split"
        return f"{move}, or write 'sub_folders: ids' if equal names are not one patient" if self._below else move

    @property
    def _below(self) -> bool:
        return self.sub_folders != "unread"

    @property
    def _names(self) -> Names:
        return Names(self.image_prefix, self.image_suffix, self.mask_prefix, self.mask_suffix)

    @property
    def _root(self) -> Path:
        return Path(self.root).expanduser()

    @property
    def _groups(self) -> Path | None:
        return None if self.groups is None else Path(self.groups).expanduser()


class Found(NamedTuple):
    """The pairs by the part of the split that their folder names, what is wrong, and what lies in the folders.

    parts: one entry with the empty name where the split is drawn.
    """

    parts: Mapping[str, list[Pair]]
    problems: list[Problem]
    contents: list[Contents]

    @property
    def pairs(self) -> list[Pair]:
        """The pairs of all parts."""
        return [pair for pairs in self.parts.values() for pair in pairs]


def _named(part: str, pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs with the part before their ids, as published splits number each part anew."""
    return [pair._replace(id=f"{part}-{pair.id}") if part else pair for pair in pairs]


def _crosses_folders(name: str) -> bool:
    return any(mark in name for mark in ("/", "\\", "\0"))


@hookimpl
def augkit_datasets() -> Mapping[str, type[Dataset]]:
    """Register the data set."""
    return {"folder": Folder}

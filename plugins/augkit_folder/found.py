"""The pairs of a data folder, whichever way it is laid out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from augkit import InputError, Problem
from augkit.images import Pair
from augkit_folder.files import match_files, match_image_folders, match_patients
from augkit_folder.listing import Contents, contents_of
from augkit_folder.options import FolderOptions
from augkit_folder.places import Place, check_root, contents_of_places, patient_folders, split_folders, two_folders
from augkit_folder.splits import assign_groups, grouped_by_folder


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


def find_pairs(options: FolderOptions) -> Found:
    """Return images with their masks and groups by part, and what is wrong with names."""
    if options.groups_file is not None and not options.groups_file.is_file():
        _places_and(options, Problem(str(options.groups_file), "is not a file", "Correct the option groups"))
    if options.layout == "folder-per-image":
        check_root(options.folder)
        matched = match_image_folders(options.folder, options.images, options.masks, options.join_masks)
        used = [path for pair in matched.pairs for path in (pair.image, *pair.masks)]
        by_part, contents = {"": matched.pairs}, [contents_of(options.folder, used)] if used else []
        problems = matched.problems
    elif options.layout == "folder-per-patient":
        places = patient_folders(options.folder, options.images, options.masks)
        matched = match_patients(places, options.names, options.join_masks)
        by_part, problems = {"": grouped_by_folder(matched.pairs)}, matched.problems
        contents = contents_of_places(places, below=False)
    else:
        places = _places(options)
        names, join, below = options.names, options.join_masks, options.below
        matches = {place.part: match_files(place.images, place.masks, names, join, below) for place in places}
        by_part = {part: _named(part, _by_folder(options, one.pairs)) for part, one in matches.items()}
        problems = [problem for one in matches.values() for problem in one.problems]
        contents = contents_of_places(places, below)
        problems += _without_folders(options, places, [pair for one in matches.values() for pair in one.pairs])
    return _grouped(options, Found(by_part, problems, contents))


def _named(part: str, pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs with the part before their ids, as published splits number each part anew."""
    return [pair._replace(id=f"{part}-{pair.id}") if part else pair for pair in pairs]


def _by_folder(options: FolderOptions, pairs: Sequence[Pair]) -> Sequence[Pair]:
    return grouped_by_folder(pairs) if options.sub_folders == "groups" else pairs


def _without_folders(options: FolderOptions, places: Sequence[Place], pairs: Sequence[Pair]) -> list[Problem]:
    """Return the problem that sub-folders should be groups and there are none."""
    if options.sub_folders != "groups" or not pairs or any("/" in pair.id for pair in pairs):
        return []
    what = "holds no sub-folders with images; allowed with 'sub_folders: groups': one for each group"
    return [Problem(str(places[0].images), what, "Leave sub_folders out, or write a CSV file in the option groups")]


def _places(options: FolderOptions) -> list[Place]:
    find = split_folders if options.split == "folders" else two_folders
    return find(options.folder, options.images, options.masks)


def _places_and(options: FolderOptions, problem: Problem) -> None:
    """Raise what is wrong with the places together with one more problem."""
    try:
        _places(options)
    except InputError as error:
        raise InputError(*error.problems, problem) from error
    raise InputError(problem)


def _grouped(options: FolderOptions, found: Found) -> Found:
    if not found.pairs:
        return found
    pairs, problems = assign_groups(found.pairs, options.groups_file)
    group_of = {pair.id: pair.group for pair in pairs}
    parts = {part: [pair._replace(group=group_of[pair.id]) for pair in ones] for part, ones in found.parts.items()}
    return Found(parts, found.problems + problems, found.contents)

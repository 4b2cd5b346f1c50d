"""Which files of a data folder belong together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from augkit import Problem
from augkit.images import Pair, match_pairs
from augkit_folder.listing import contents_of, list_files, nothing_to_read
from augkit_folder.names import Names, better_names
from augkit_folder.places import Place


class Matched(NamedTuple):
    """Images with their masks, sorted by id, and what does not fit together."""

    pairs: list[Pair]
    problems: list[Problem]


def match_files(images: Path, masks: Path, names: Names, join: bool, below: bool = False) -> Matched:
    """Return the pairs of two folders, which may be one.

    A mask belongs to an image when both names hold one id between what `names` says. When that matches nothing, there
    is one problem, which proposes the options that would match, instead of one per file.

    join:  several masks of one image, numbered ``_1``, ``_2``, are one mask.
    below: files in sub-folders count, too, and these stand before their ids: ``patient1/a``.
    """
    image_files, mask_files = list_files(images, below), list_files(masks, below)
    empty = [folder for folder, files in ((images, image_files), (masks, mask_files)) if not files]
    if empty:
        return Matched([], [nothing_to_read(contents_of(folder)) for folder in dict.fromkeys(empty)])
    if images == masks:
        mask_files = [path for path in image_files if _is_mask(path.stem, names)]
        image_files = [path for path in image_files if not _is_mask(path.stem, names)]
        if not mask_files or not image_files:
            return Matched([], [_one_kind_only(images, names, len(image_files), len(mask_files))])
    both = _Files(images, image_files), _Files(masks, mask_files)
    if not _matches(*both, names):
        return Matched([], [_nothing_matches(*both, names)])
    return _match(*both, names, join)


def match_image_folders(root: Path, images: str, masks: str, join: bool) -> Matched:
    """Return the pairs of a folder that holds one folder per image, each with a folder of images and one of masks."""
    pairs, problems, several = [], [], []
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        places = [_inside(folder, images), _inside(folder, masks)]
        image_files, mask_files = (list_files(place) if place.is_dir() else [] for place in places)
        if len(image_files) != 1 or not mask_files:
            found = (
                f"holds {len(image_files)} images in {places[0].name} and {len(mask_files)} masks in {places[1].name}"
            )
            what = f"{found}; allowed: one image and at least one mask"
            problems.append(Problem(str(folder), what, "Correct the options images and masks, or remove the folder"))
            continue
        pairs.append(Pair(folder.name, image_files[0], mask_files[0], more_masks=tuple(mask_files[1:])))
        several += [mask_files] if len(mask_files) > 1 else []
    if not pairs and not problems:
        problems.append(Problem(str(root), "holds no folder", "Correct the option root"))
    return Matched(pairs, problems + ([] if join else _several_masks(root, several)))


def match_patients(places: Sequence[Place], names: Names, join: bool) -> Matched:
    """Return the pairs of a folder per patient, whose name stands before their ids: ``patient1/a``."""
    matches = {place.images.parent.name: match_files(place.images, place.masks, names, join) for place in places}
    pairs = [pair._replace(id=f"{who}/{pair.id}") for who, one in matches.items() for pair in one.pairs]
    return Matched(pairs, [problem for one in matches.values() for problem in one.problems])


def _inside(folder: Path, name: str) -> Path:
    """Return ``folder/name``, or ``folder/<folder's name>name`` where that is there."""
    with_id = folder / f"{folder.name}{name}"
    return with_id if with_id.is_dir() else folder / name


class _Files(NamedTuple):
    """Files of a folder and of those in it."""

    folder: Path
    paths: list[Path]

    def ids(self, id_in: Callable[[str], str | None]) -> dict[Path, str | None]:
        """Return the id of each file: what `id_in` finds in its stem, after the sub-folders it lies in."""
        found = ((path, id_in(path.stem)) for path in self.paths)
        return {path: None if name is None else self.beside(path, name) for path, name in found}

    def beside(self, path: Path, name: str) -> str:
        """Return a name after the sub-folders that a file lies in: ``patient1/name``."""
        return "/".join((*path.parent.relative_to(self.folder).parts, name))


def _matches(images: _Files, masks: _Files, names: Names) -> int:
    """Return how many images have a mask."""
    return len(set(images.ids(names.image_id).values()) & set(masks.ids(names.mask_id).values()) - {None})


def _match(images: _Files, masks: _Files, names: Names, join: bool) -> Matched:
    image_ids = images.ids(names.image_id)
    known = {name for name in image_ids.values() if name is not None}
    mask_ids, numbered = masks.ids(names.mask_id), masks.ids(names.numbered_mask_id)
    more = {path: name if name in known else None for path, name in numbered.items() if mask_ids[path] not in known}
    extra: dict[str, list[Path]] = {}
    for path, name in more.items():
        if name is not None:
            extra.setdefault(name, []).append(path)
    with_mask = set(mask_ids.values())
    first = {name: paths.pop(0) for name, paths in extra.items() if name not in with_mask}
    pairs, problems = match_pairs(
        ((name, path) for path, name in image_ids.items() if name is not None),
        [
            *((name, path) for path, name in mask_ids.items() if name is not None and more.get(path) is None),
            *first.items(),
        ],
    )
    problems += [_strange(path, "image", names) for path, name in image_ids.items() if name is None]
    problems += [
        _strange(path, "mask", names) for path, name in mask_ids.items() if name is None and more.get(path) is None
    ]
    pairs = [pair._replace(more_masks=tuple(extra.get(pair.id, ()))) for pair in pairs]
    several = [[pair.mask, *pair.more_masks] for pair in pairs if pair.more_masks]
    return Matched(pairs, problems + ([] if join else _several_masks(masks.folder, several)))


def _is_mask(stem: str, names: Names) -> bool:
    return names.mask_id(stem) is not None or names.numbered_mask_id(stem) is not None


def _several_masks(folder: Path, several: Sequence[Sequence[Path]]) -> list[Problem]:
    if not several:
        return []
    first = several[0]
    have = "1 image has" if len(several) == 1 else f"{len(several)} images have"
    what = f"{have} several masks, such as {first[0].name} and {first[1].name}; allowed: one"
    hint = "Write 'join_masks: true' to make them one mask, or remove all but one"
    return [Problem(str(folder), what, hint)]


def _strange(path: Path, kind: str, names: Names) -> Problem:
    prefix, suffix = names[:2] if kind == "image" else names[2:]
    ends = [f"does not begin with '{prefix}', the option {kind}_prefix"] if not path.stem.startswith(prefix) else []
    ends += [f"does not end in '{suffix}', the option {kind}_suffix"] if not path.stem.endswith(suffix) else []
    what = " and ".join(ends) or f"has nothing between {kind}_prefix and {kind}_suffix"
    return Problem(str(path), what, "Rename or remove it")


def _one_kind_only(folder: Path, names: Names, images: int, masks: int) -> Problem:
    what = f"holds {images} images and {masks} masks in one folder with {names.spelt()}; allowed: at least one of each"
    hint = "Write what the names of masks, and of no image, begin or end with in mask_prefix or mask_suffix"
    return Problem(str(folder), what, hint)


def _nothing_matches(images: _Files, masks: _Files, names: Names) -> Problem:
    folder, first = str(masks.folder), images.paths[0]
    wanted = images.beside(first, names.mask_of(names.image_id(first.stem) or first.stem))
    needs = f"{images.beside(first, first.name)} needs one named {wanted} with any ending"
    what = f"none of {len(images.paths)} images has a mask: {needs}"
    better, _ = better_names([path.stem for path in images.paths], [path.stem for path in masks.paths])
    if matches := _matches(images, masks, better):
        options = better.spelt() or "'mask_suffix: \"\"'"
        return Problem(folder, what, f"Write {options}, with which {matches} images have one")
    there = masks.beside(masks.paths[0], masks.paths[0].name)
    return Problem(folder, what, f"The first mask there is {there}; rename the masks or set mask_suffix")

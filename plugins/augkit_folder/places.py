"""Where images and masks lie below the root of a data folder, and what to write where they lie elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from augkit import InputError, Problem
from augkit_folder.listing import Contents, contents_of, list_files

PARTS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""Splits, and the names of folders that hold them, in lower case."""

_USUAL = {
    "images": ("image", "img", "imgs", "jpegimages", "imagestr", "photos", "input", "inputs"),
    "masks": ("mask", "label", "labels", "labelstr", "gt", "groundtruth", "ground_truth", "segmentationclass", "truth"),
}
"""Names that published data sets give the two folders, in lower case."""

_NAMED = 8
"""Folders that a message names."""


class Place(NamedTuple):
    """A folder of images and one of masks, and the split they hold; empty where the split is drawn."""

    images: Path
    masks: Path
    part: str = ""


def two_folders(root: Path, images: str, masks: str) -> list[Place]:
    """Return the place of a root with one folder of images and one of masks. `InputError` names what is missing."""
    check_root(root)
    missing = [(option, name) for option, name in (("images", images), ("masks", masks)) if not (root / name).is_dir()]
    if not missing:
        if holds_parts(root / images) and not list_files(root / images):
            raise InputError(_split_already(root / images))
        return [Place(root / images, root / masks)]
    if holds_parts(root):
        raise InputError(_split_already(root))
    reason = _other_layout(root, images, masks)
    if reason:
        raise InputError(Problem(str(root), *reason))
    raise InputError(*(Problem(str(root / name), "is not a folder", _rename(root, o, name)) for o, name in missing))


def split_folders(root: Path, images: str, masks: str) -> list[Place]:
    """Return the places of a root that is split: ``train/images`` or ``images/train`` and so on."""
    check_root(root)
    inside = _parts_in(root)
    places = [Place(folder / images, folder / masks, part) for part, folder in inside.items()]
    if not inside and (root / images).is_dir() and (root / masks).is_dir():
        of_masks = _parts_in(root / masks)
        places = [
            Place(folder, of_masks.get(part, root / masks / folder.name), part)
            for part, folder in _parts_in(root / images).items()
        ]
    found = {place.part for place in places}
    if not {"train", "test"} <= found:
        what = f"holds {' and '.join(sorted(found)) or 'no split'}; allowed with 'split: folders': train and test"
        raise InputError(Problem(str(root), what, f"Folders there: {_folders(root)}. Rename them, or leave split out"))
    missing = [folder for place in places for folder in place[:2] if not folder.is_dir()]
    if missing:
        raise InputError(*(Problem(str(folder), "is not a folder", "Correct images or masks") for folder in missing))
    return places


def patient_folders(root: Path, images: str, masks: str) -> list[Place]:
    """Return the places of a root that holds one folder per patient. `InputError` names what is missing."""
    check_root(root)
    places = [Place(folder / images, folder / masks) for folder in _folder_list(root)]
    if not places:
        raise InputError(Problem(str(root), "holds no folder", "Correct the option root"))
    missing = [folder for place in places for folder in place[:2] if not folder.is_dir()]
    if missing:
        hint = "Correct the options images and masks, or move the folder that is no patient's elsewhere"
        raise InputError(*(Problem(str(folder), "is not a folder", hint) for folder in missing))
    return places


def contents_of_places(places: Sequence[Place], below: bool) -> list[Contents]:
    """Return what is read and what is not in the folders of all places, each folder once.

    below: files in sub-folders are read.
    """
    folders = dict.fromkeys(folder for place in places for folder in place[:2])
    return [contents_of(folder, list_files(folder, below)) for folder in folders]


def holds_parts(folder: Path) -> bool:
    """Tell whether a folder holds at least the splits train and test as folders."""
    return {"train", "test"} <= _parts_in(folder).keys()


def _split_already(folder: Path) -> Problem:
    names = ", ".join(path.name for path in _parts_in(folder).values())
    return Problem(str(folder), f"is split already, into {names}", "Write 'split: folders' to use that split")


def _parts_in(folder: Path) -> dict[str, Path]:
    names = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    return {part: names[name] for part, allowed in PARTS.items() for name in allowed if name in names}


def check_root(root: Path) -> None:
    """Raise `InputError` unless the root is a folder."""
    if root.is_file():
        raise InputError(Problem(str(root), "is a file, not a folder", "Write the folder with all images in root"))
    if not root.is_dir():
        raise InputError(Problem(str(root), "is not a folder", "Correct the option root"))


def _other_layout(root: Path, images: str, masks: str) -> tuple[str, str] | None:
    """Return (what, hint) where the folders tell how the files lie instead."""
    folders = _folder_list(root)
    if not folders and (files := list_files(root)):
        name = root.resolve().name
        options = f"'root: {root.parent}', 'images: {name}', 'masks: {name}'"
        hint = f"Write {options} and what masks' names end with in mask_suffix, such as '_mask'"
        return f"holds {len(files)} images itself and no folders", hint
    inner = [path.name for path in _folder_list(folders[0])] if folders else []
    if {images, masks} <= set(inner):
        if any(len(list_files(folder / images)) > 1 for folder in folders if (folder / images).is_dir()):
            hint = "Write 'layout: folder-per-patient' if a folder is a patient, all of whose images are in one split"
            return f"holds {len(folders)} folders with several {images} and {masks} in each", hint
        hint = "Write 'layout: folder-per-image', and 'join_masks: true' if an image has a mask per object"
        return f"holds {len(folders)} folders with {images} and {masks} in each, such as {folders[0].name}", hint
    ends = [name.removeprefix(folders[0].name) for name in inner if name.startswith(folders[0].name)]
    if len(ends) > 1:
        hint = f"Write 'layout: folder-per-image', and which of {', '.join(ends)} is which in images and masks"
        return f"holds {len(folders)} folders with {', '.join(inner)} and the like in each", hint
    return None


def _rename(root: Path, option: str, name: str) -> str:
    usual = [path.name for path in _folder_list(root) if path.name.lower() in _USUAL[option]]
    if len(usual) == 1 and name == option:
        return f"Write '{option}: {usual[0]}'"
    if option == "masks" and (outlines := sorted(path.name for path in root.glob("*.json"))):
        return f"If {outlines[0]} holds outlines, draw them into one PNG per image first, 255 on 0, in that folder"
    return f"Write the right one in the option {option}; folders there: {_folders(root)}"


def _folders(root: Path) -> str:
    return ", ".join(path.name for path in _folder_list(root)[:_NAMED]) or "none"


def _folder_list(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))

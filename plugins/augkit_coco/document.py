"""A COCO file, checked: which images there are, which regions they have, and what is wrong with any of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from augkit import InputError, Problem
from augkit_coco.regions import fault_of

_NAMED = 8
"""Problems of one kind that are named one by one."""


class Region(NamedTuple):
    """One annotation: the name of its category, what it covers, and whether it covers many objects at once."""

    id: Any
    category: str
    shape: Any
    crowd: bool


class Picture(NamedTuple):
    """One image of a COCO file with its regions, in the order of the file."""

    file: Path
    id: str
    height: int
    width: int
    regions: tuple[Region, ...]


class Document(NamedTuple):
    """The images of a COCO file, the names of its categories in the order of their ids, and what is wrong."""

    pictures: list[Picture]
    categories: tuple[str, ...]
    problems: list[Problem]


def read_document(path: Path, images: Path) -> Document:
    """Return what a COCO file says; raises `InputError` where it is none."""
    if not path.is_file():
        raise InputError(Problem(str(path), "is not a file", "Correct the options root and annotations"))
    facts = path.stat()
    return _document(path, images, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=1)
def _document(path: Path, images: Path, changed: int, size: int) -> Document:
    """Return `read_document`; a run asks for it some times, and a file of many regions takes seconds to check."""
    content = _json(path)
    names = {one["id"]: str(one["name"]) for one in content["categories"]}
    problems: list[Problem] = []
    if len(set(names.values())) < len(content["categories"]):
        problems.append(Problem(str(path), "has two categories of one id or name; allowed: different ones"))
    entries = {one["id"]: one for one in content["images"]}
    if len(entries) < len(content["images"]):
        problems.append(Problem(str(path), "has two images of one id; allowed: different ids"))
    regions: dict[Any, list[Region]] = {key: [] for key in entries}
    faults: list[str] = []
    for one in content["annotations"]:
        image, name = entries.get(one.get("image_id")), names.get(one.get("category_id"))
        label = f"annotation {one.get('id')}"
        if image is None or name is None:
            missing = f"image {one.get('image_id')}" if image is None else f"category {one.get('category_id')}"
            faults.append(f"{label} is of the {missing}, which is not in the file")
        elif fault := fault_of(one.get("segmentation"), int(image["height"]), int(image["width"])):
            faults.append(f"{label} ({name} in {image['file_name']}) {fault}")
        else:
            crowd = bool(one.get("iscrowd", 0))
            regions[image["id"]].append(Region(one.get("id"), name, one["segmentation"], crowd))
    problems += [Problem(str(path), fault) for fault in faults[:_NAMED]]
    if len(faults) > _NAMED:
        problems.append(Problem(str(path), f"has {len(faults) - _NAMED} more annotations that cannot be used"))
    pictures = [
        Picture(
            images / one["file_name"],
            Path(one["file_name"]).with_suffix("").as_posix(),
            int(one["height"]),
            int(one["width"]),
            tuple(regions[key]),
        )
        for key, one in sorted(entries.items(), key=lambda item: str(item[1]["file_name"]))
    ]
    problems += _outside(path, pictures, images) + _twice(path, pictures)
    return Document(pictures, tuple(names[key] for key in sorted(names)), problems)


def _json(path: Path) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(Problem(str(path), f"is no JSON file ({error})")) from None
    needed = {"images": ("id", "file_name", "height", "width"), "categories": ("id", "name"), "annotations": ()}
    for part, keys in needed.items():
        items = content.get(part) if isinstance(content, dict) else None
        if not isinstance(items, list) or not all(isinstance(one, dict) and set(keys) <= set(one) for one in items):
            fields = f" with {', '.join(keys)}" if keys else ""
            raise InputError(Problem(str(path), f"has no list of {part}{fields}; allowed: COCO object segmentation"))
    if nameless := [one["id"] for one in content["images"] if not _names_a_file(one["file_name"])]:
        what = f"names no file for the image {nameless[0]}; allowed: a file_name for each image"
        raise InputError(Problem(str(path), what))
    if not content["images"]:
        raise InputError(Problem(str(path), "lists no image; allowed: one or more"))
    found: Mapping[str, Sequence[Mapping[str, Any]]] = content
    return found


def _names_a_file(name: object) -> bool:
    """Tell whether a file can have this name; JSON can spell others, such as half a letter."""
    if not isinstance(name, str) or "\0" in name or not Path(name).name:
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _outside(path: Path, pictures: Sequence[Picture], images: Path) -> list[Problem]:
    """Return a problem for each image that a stranger's file looks for outside the folder of images."""
    return [
        Problem(str(path), f"names the image {one.file}; allowed: files in {images}", "Copy the image there")
        for one in pictures
        if not one.file.is_relative_to(images) or ".." in one.file.relative_to(images).parts
    ][:_NAMED]


def _twice(path: Path, pictures: Sequence[Picture]) -> list[Problem]:
    first: dict[str, Path] = {}
    again = [one for one in pictures if first.setdefault(one.id, one.file) is not one.file]
    return [
        Problem(str(path), f"{one.file.name} has the id {one.id}, as {first[one.id].name}; allowed: different names")
        for one in again[:_NAMED]
    ]

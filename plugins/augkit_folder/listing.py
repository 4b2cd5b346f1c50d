"""What lies in a data folder: the files that are read, and those that are not."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from augkit import Problem
from augkit.images import SUFFIXES

MOST_UNREAD = 0.1
"""Share of the images in a folder that may be left out without being asked for."""

_NOT_MEANT = frozenset({"thumbs.db", "desktop.ini"})
"""Files that systems leave in folders, in lower case."""

_MEDICAL = (".dcm", ".dicom", ".mha", ".mhd", ".nii", ".nrrd", ".svs")
_PACKED = (".npy", ".npz", ".zip")
_PICTURES = (".avif", ".exr", ".hdr", ".heic", ".heif", ".j2k", ".jp2", ".pbm", ".pgm", ".pnm", ".ppm", ".tga")
_IMAGES_OF_OTHERS = frozenset(_MEDICAL) | frozenset(_PACKED) | frozenset(_PICTURES)
"""Endings of images, or packed ones, that cannot be read, in lower case."""

_KINDS_NAMED = 4
"""Kinds of files that a message names before it counts."""


READ_BELOW = "write 'sub_folders: groups' where each sub-folder is a patient, 'sub_folders: ids' where not"
"""What to do where files lie in sub-folders."""


class Contents(NamedTuple):
    """The files of a folder: those that are read, and those below it that are not, as paths; both sorted."""

    folder: Path
    read: list[Path]
    unread: list[Path]

    @property
    def unread_images(self) -> list[Path]:
        """The files left out that a person could take for images of the data set."""
        return [path for path in self.unread if _ending(path) in {*SUFFIXES, *_IMAGES_OF_OTHERS}]

    def told(self) -> str:
        """Return how many files are not read, of which kinds, with an example; empty where all are read."""
        if not self.unread:
            return ""
        example = self.unread[0].relative_to(self.folder)
        count = len(self.unread)
        are = "file is" if count == 1 else "files are"
        return f"{count} {are} not read beside {len(self.read)}: {self._kinds()}, such as {example}"

    @property
    def lie_below(self) -> bool:
        """Whether some of the files left out could be read and lie in sub-folders."""
        return any(map(self._is_below, self.unread))

    def _is_below(self, path: Path) -> bool:
        return path.parent != self.folder and path.suffix.lower() in SUFFIXES

    def _kinds(self) -> str:
        return _spell_kinds(
            "in sub-folders" if self._is_below(path) else _ending(path) or "without an ending" for path in self.unread
        )


def list_files(folder: Path, below: bool = False) -> list[Path]:
    """Return the files with the name of a readable image format, sorted; hidden files and all others are ignored.

    below: of the folders in it, too.
    """
    paths = _walk(folder) if below else (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in paths if path.suffix.lower() in SUFFIXES)


def contents_of(folder: Path, used: Iterable[Path] | None = None) -> Contents:
    """Return the files of a folder and of all folders in it; hidden ones do not count.

    used: what is read; every file in the folder itself with the name of a readable format unless given.
    """
    read = list_files(folder) if used is None else sorted(used)
    known = set(read)
    unread = [path for path in _walk(folder) if path not in known and path.name.lower() not in _NOT_MEANT]
    return Contents(folder, read, sorted(unread))


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and of all folders in it, linked ones too; hidden ones do not count."""
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place).resolve()
        above = {here, *here.parents}  # a link to one of these leads round in a circle
        folders[:] = [name for name in folders if not name.startswith(".") and (here / name).resolve() not in above]
        yield from (Path(place, name) for name in files if not name.startswith("."))


def left_out(contents: Sequence[Contents], two_folders: bool) -> list[Problem]:
    """Return a problem for each folder of which more than a tenth of the images would not be read.

    two_folders: it is one of images or of masks, whose sub-folders can be read.
    """
    return [
        Problem(
            str(one.folder),
            f"{one.told()}; allowed: up to a tenth of the images",
            f"To read sub-folders, {READ_BELOW}; 'skip_unread: true' leaves out what is not read"
            if two_folders and one.lie_below
            else "Move or convert them, or write 'skip_unread: true' to leave them out",
        )
        for one in contents
        if one.read and len(one.unread_images) > MOST_UNREAD * (len(one.read) + len(one.unread_images))
    ]


def nothing_to_read(contents: Contents) -> Problem:
    """Return the problem of a folder without any file that can be read; it says what is there instead."""
    what = f"holds no file ending in {', '.join(SUFFIXES)}"
    if not contents.unread:
        return Problem(str(contents.folder), f"{what}; it is empty", "Put the files there, or correct the options")
    there = f"there: {_spell_kinds(_ending(path) or 'without an ending' for path in contents.unread)}"
    first = contents.unread[0]
    if any(path.suffix.lower() in SUFFIXES for path in contents.unread):
        hint = f"The files lie in sub-folders, such as {first.relative_to(contents.folder)}; {READ_BELOW}"
    elif _ending(first) == ".json":
        hint = f"If {first.name} holds outlines, draw them into one PNG per image first, 255 on 0, under the same names"
    else:
        hint = f"Save them as PNG under the same names, such as {first.name.split('.')[0]}.png"
    return Problem(str(contents.folder), f"{what}; {there}", hint)


def _ending(path: Path) -> str:
    name = path.name.lower()
    return ".nii" if name.endswith(".nii.gz") else path.suffix.lower()


def _spell_kinds(kinds: Iterable[str]) -> str:
    counted = Counter(kinds).most_common()
    named = ", ".join(f"{count} {kind}" for kind, count in counted[:_KINDS_NAMED])
    others = sum(count for _, count in counted[_KINDS_NAMED:])
    return f"{named} and {others} others" if others else named

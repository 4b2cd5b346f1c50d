"""Where the challenge's folders are, and what they are called each year."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from augkit import InputError, Problem

Year = Literal[2016, 2017, 2018]


class Part(NamedTuple):
    """The two folders of one published set; each is also the name of the ZIP archive it comes in."""

    images: str
    masks: str


_PARTS: Mapping[Year, Mapping[str, Part]] = {
    2016: {
        "train": Part("ISBI2016_ISIC_Part1_Training_Data", "ISBI2016_ISIC_Part1_Training_GroundTruth"),
        "test": Part("ISBI2016_ISIC_Part1_Test_Data", "ISBI2016_ISIC_Part1_Test_GroundTruth"),
    },
    2017: {
        "train": Part("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth"),
        "validation": Part("ISIC-2017_Validation_Data", "ISIC-2017_Validation_Part1_GroundTruth"),
        "test": Part("ISIC-2017_Test_v2_Data", "ISIC-2017_Test_v2_Part1_GroundTruth"),
    },
    2018: {
        "train": Part("ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"),
        "validation": Part("ISIC2018_Task1-2_Validation_Input", "ISIC2018_Task1_Validation_GroundTruth"),
        "test": Part("ISIC2018_Task1-2_Test_Input", "ISIC2018_Task1_Test_GroundTruth"),
    },
}


def parts_of(year: Year) -> Mapping[str, Part]:
    """Return the published sets of a year: ``train``, ``validation`` (not in 2016) and ``test``."""
    return _PARTS[year]


def unzipped(root: Path, name: str) -> Path:
    """Return the folder of an archive's files: archives hold a folder of their name, so unzipping may make two."""
    twice = root / name / name
    return twice if twice.is_dir() else root / name


def find_root(root: Path | None, year: Year, parts: Sequence[Part]) -> Path:
    """Return the first candidate folder that holds all folders of `parts`.

    Raises `InputError` that names every folder looked for and says how to get the data.
    """
    folders = [folder for part in parts for folder in part]
    candidates = _candidates(root, year)
    missing = {place: [name for name in folders if not unzipped(place, name).is_dir()] for place in candidates}
    for place in candidates:
        if not missing[place]:
            return place
    raise InputError(*(_missing_problem(place, missing[place], year, root is None) for place in candidates))


def _candidates(root: Path | None, year: Year) -> list[Path]:
    if root is not None:
        return [root.expanduser()]
    shared = os.environ.get("AUGKIT_DATA", "")
    return [Path(parent) / f"isic{year}" for parent in (shared, "data") if parent]


def _missing_problem(place: Path, names: Sequence[str], year: Year, searched: bool) -> Problem:
    found = f"has no folder {', '.join(names)}" if place.is_dir() else f"does not exist (looked for {', '.join(names)})"
    archives = ", ".join(f"{name}.zip" for name in names)
    elsewhere = (
        "or set AUGKIT_DATA to the folder that holds isic" + str(year) + ", or the option root"
        if searched
        else ("or correct the option root")
    )
    hint = f"Download {archives} from https://challenge.isic-archive.com/data/#{year} and unzip them there, {elsewhere}"
    return Problem(str(place), found, hint)

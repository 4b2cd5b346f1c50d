"""Which files of a folder belong together: patterns of names, and the groups of volumes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from augkit import Problem, did_you_mean
from augkit.images import read_groups
from augkit_nifti.headers import ENDINGS
from augkit_nifti.volumes import Case

_NAMED = 5
"""Names that a message lists before it counts."""


class Found(NamedTuple):
    """The cases of a folder, sorted by id, and what does not fit together."""

    cases: list[Case]
    problems: list[Problem]


class _File(NamedTuple):
    path: Path
    group: str


def pattern_fault(pattern: str) -> str:
    """Return what is wrong with a pattern of names; '' where nothing is."""
    stray = set(re.findall(r"\{(.*?)\}", pattern)) - {"id", "group"}
    if stray:
        return f"found {{{min(stray)}}} in '{pattern}'; allowed: {{id}} and {{group}}"
    if not pattern or pattern.startswith("/") or ".." in pattern.split("/"):
        return f"found '{pattern}'; allowed: a path within root"
    return ""


def find_cases(root: Path, images: Mapping[str, str], labels: str, endings: Sequence[str] = ENDINGS) -> Found:
    """Return the volumes that have all these images, by channel, and labels.

    A file of labels is no image, where one pattern fits both.

    endings: of files, where a pattern has none.
    """
    label_files, problems = _matching(root, labels, endings)
    taken = {file.path for file in label_files.values()}
    by_channel = {}
    for channel, pattern in images.items():
        files, more = _matching(root, pattern, endings)
        problems += more
        by_channel[channel] = {name: file for name, file in files.items() if file.path not in taken}
    patterns = {**images, "labels": labels}
    sets = {**by_channel, "labels": label_files}
    for what, files in sets.items():
        if not files:
            problems.append(_nothing(root, patterns[what], endings))
    if any(not files for files in sets.values()):
        return Found([], problems)
    ids = sorted({name for files in sets.values() for name in files})
    for what, files in sets.items():
        if missing := [name for name in ids if name not in files]:
            problems.append(_missing(root, what, patterns[what], missing, list(files)))
    whole = [name for name in ids if all(name in files for files in sets.values())]
    cases = []
    for name in whole:
        of_image = [by_channel[channel][name] for channel in images]
        group = next((file.group for file in (*of_image, label_files[name]) if file.group), name)
        cases.append(Case(name, group, tuple(file.path for file in of_image), label_files[name].path))
    return Found(cases, problems)


def assign_groups(cases: Sequence[Case], groups: Path | None) -> Found:
    """Return the cases with the groups that a CSV file ``id,group`` gives them."""
    if groups is None:
        return Found(list(cases), [])
    group_of, problems = read_groups(groups, {case.id: case.id for case in cases})
    return Found([case._replace(group=group_of.get(case.id, case.id)) for case in cases], problems)


def _matching(root: Path, pattern: str, endings: Sequence[str]) -> tuple[dict[str, _File], list[Problem]]:
    """Return id -> file, and a problem for each id that two files have."""
    exact = next((ending for ending in endings if pattern.endswith(ending)), "")
    ends = "" if exact else f"(?:{'|'.join(map(re.escape, endings))})"
    named: set[str] = set()
    expression = ""
    for piece in re.split(r"(\{\w+\})", pattern):
        name = piece.strip("{}")
        if not piece.startswith("{"):
            expression += re.escape(piece)
        elif name in named:
            expression += f"(?P={name})"
        else:
            named.add(name)
            expression += f"(?P<{name}>[^/]+?)"
    fits = re.compile(expression + ends)
    wild = re.sub(r"\{\w+\}", "*", re.sub(r"([*?\[])", r"[\1]", pattern))
    files: dict[str, _File] = {}
    problems = []
    globs = [wild.removesuffix(exact) + end for end in ((exact,) if exact else endings)]
    for path in sorted(one for each in globs for one in root.glob(each)):
        match = fits.fullmatch(path.relative_to(root).as_posix())
        if match is None or path.name.startswith("."):
            continue
        parts = match.groupdict()
        # Without a place for the id there is one file, whose name says nothing of the other ones.
        name = parts.get("id") or parts.get("group") or "volume"
        if name in files:
            what = f"has the id {name}, and so has {files[name].path.name}; allowed: one file per id"
            problems.append(Problem(str(path), what, "Remove or rename one of the two"))
        files[name] = _File(path, parts.get("group", ""))
    return files, problems


def _nothing(root: Path, pattern: str, endings: Sequence[str]) -> Problem:
    folder = root / Path(pattern.split("{")[0] + "x").parent
    if not folder.is_dir():
        there = sorted(path.name for path in root.iterdir() if path.is_dir())
        hint = f"Correct the option; folders there: {', '.join(there[:_NAMED]) or 'none'}"
        return Problem(str(folder), "is not a folder", hint)
    there = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    hint = f"There are {_some(there)}" if there else "It is empty"
    return Problem(str(folder), f"holds no file that '{pattern}' fits; allowed: {' and '.join(endings)}", hint)


def _missing(root: Path, what: str, pattern: str, missing: Sequence[str], there: Sequence[str]) -> Problem:
    noun = "labels" if what == "labels" else f"image ({what})"
    hint = did_you_mean(missing[0], list(there)) or "Add the files, or remove the others"
    return Problem(str(root / pattern), f"there is no file of {noun} for {_some(missing)}", hint)


def _some(names: Sequence[str]) -> str:
    others = f" and {len(names) - _NAMED} others" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + others

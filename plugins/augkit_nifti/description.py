"""What an nnU-Net dataset.json says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augkit import Channel, InputError, Problem

DESCRIPTION = "dataset.json"

VOLUME_ENDINGS = (".nii.gz", ".nii")
PICTURE_ENDINGS = (".png", ".bmp", ".tif", ".tiff")

_MR = ("mr", "t1", "t2", "flair", "pd", "dwi", "adc", "swi", "bold", "dce", "asl", "tof")
"""How names of MR sequences begin."""

_LIGHT = {"r": "red", "g": "green", "b": "blue", "grey": "grey", "gray": "grey", "l": "grey"}

_OLD = "It is of nnU-Net 1 or the Decathlon; convert it with nnUNetv2_convert_MSD_dataset"


@dataclass(frozen=True)
class Description:
    """The content of a dataset.json.

    channels: their names in order.
    classes:  name and values of each class, in the order of the file.
    ignored:  values of pixels that do not count.
    ending:   of all image and label files.
    cases:    images and labels of each case where the file lists them.
    """

    channels: tuple[str, ...]
    classes: tuple[tuple[str, tuple[int, ...]], ...]
    ignored: tuple[int, ...]
    ending: str
    cases: Mapping[str, tuple[tuple[Path, ...], Path]] | None


def read_description(root: Path, classes: Mapping[str, tuple[int, ...]] | None) -> Description:
    """Return what the file says; `InputError` names everything that is wrong with it.

    classes: instead of the file's; where it has regions that overlap, something has to say which classes are meant.
    """
    file = root / DESCRIPTION
    if not file.is_file():
        if not root.is_dir():
            raise InputError(Problem(str(root), "is not a folder", "Correct the option root"))
        inside = sorted(path.parent.name for path in root.glob(f"*/{DESCRIPTION}"))
        hint = f"It lies in {', '.join(inside[:5])}; write one of them in root" if inside else "Correct the option root"
        raise InputError(Problem(str(root), f"holds no {DESCRIPTION}; allowed: the folder that holds it", hint))
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(Problem(str(file), f"cannot be read as JSON ({error})")) from error
    problems = list(_wrong(facts, file, classes))
    if problems:
        raise InputError(*problems)
    labels = {name: _values(value) for name, value in facts["labels"].items()}
    own = tuple((name, values) for name, values in labels.items() if name not in ("background", "ignore"))
    chosen = own if classes is None else tuple(classes.items())
    names = facts["channel_names"]
    return Description(
        tuple(str(names[key]) for key in sorted(names, key=int)),
        chosen,
        labels.get("ignore", ()),
        facts["file_ending"],
        _cases(facts, root),
    )


def channel_of(name: str, light: bool) -> Channel:
    """Return the channel that an nnU-Net name means, without a window.

    light: whether images are photographs, so that other names mean grey.
    """
    lower = name.lower()
    if lower == "ct":
        return Channel(name, "ct")
    if lower in _LIGHT or lower in _LIGHT.values():
        return Channel(name, _LIGHT.get(lower, lower))  # type: ignore[arg-type] # both are meanings
    if lower.startswith(_MR):
        return Channel(name, "mr")
    return Channel(name, "grey" if light else "other")


def _wrong(facts: Any, file: Path, classes: Mapping[str, tuple[int, ...]] | None) -> Iterator[Problem]:
    where = str(file)
    if not isinstance(facts, dict):
        yield Problem(where, "holds no mapping; allowed: what nnU-Net 2 describes")
        return
    missing = [key for key in ("channel_names", "labels", "file_ending") if key not in facts]
    if missing:
        hint = _OLD if "modality" in facts else "Write what nnU-Net 2 asks for"
        yield Problem(where, f"has no {', '.join(missing)}", hint)
        return
    ending = facts["file_ending"]
    if ending not in VOLUME_ENDINGS + PICTURE_ENDINGS:
        allowed = ", ".join(VOLUME_ENDINGS + PICTURE_ENDINGS)
        yield Problem(where, f"has the file_ending '{ending}'; allowed: {allowed}", "Convert the files")
    names = facts["channel_names"]
    if not isinstance(names, dict) or sorted(names) != sorted(map(str, range(len(names)))) or not names:
        yield Problem(where, f"has the channel_names {names}; allowed: a name for 0, 1 and so on")
    yield from _wrong_labels(facts["labels"], where, classes)


def _wrong_labels(labels: Any, where: str, classes: Mapping[str, tuple[int, ...]] | None) -> Iterator[Problem]:
    if not isinstance(labels, dict) or labels.get("background") != 0:
        yield Problem(where, "has labels without 'background': 0; allowed: a mapping from names to values with it")
        return
    bad = [name for name, value in labels.items() if not _is_value(value)]
    if bad or len(labels) < 2:
        what = f"has labels of which {bad[0]} is {labels[bad[0]]!r}" if bad else "has no class besides the background"
        hint = _OLD if all(name.isdigit() for name in labels) else ""
        yield Problem(where, f"{what}; allowed: names with a whole number each, or a list of them", hint)
        return
    regions = [(name, _values(value)) for name, value in labels.items() if name not in ("background", "ignore")]
    values = sorted({0, *(value for _, those in regions for value in those)})
    if values != list(range(len(values))):
        found = ", ".join(map(str, values))
        yield Problem(
            where, f"has labels with the values {found}; allowed: 0, 1, 2 and so on without a gap, as in nnU-Net"
        )
    ignored = _values(labels["ignore"]) if "ignore" in labels else ()
    if ignored and ignored != (len(values),):
        what = f"has the label ignore with the value {labels['ignore']}; allowed: {len(values)}, the highest"
        yield Problem(where, what)
    owner: dict[int, str] = {}
    for name, those in regions:
        both = next((value for value in those if owner.setdefault(value, name) != name), None)
        if both is not None and classes is None:
            what = (
                f"has regions that overlap: {owner[both]} and {name} both hold the value {both}; allowed: classes that "
                "share no pixel"
            )
            spelt = ", ".join(f"class {value}: {value}" for value in values[1:])
            yield Problem(where, what, f"Name the values one by one in the recipe: 'classes: {{{spelt}}}'")
            return


def _is_value(value: Any) -> bool:
    def whole(one: Any) -> bool:
        return isinstance(one, int) and not isinstance(one, bool)

    return whole(value) or (isinstance(value, list) and bool(value) and all(map(whole, value)))


def _values(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, list) else (value,)


def _cases(facts: Mapping[str, Any], root: Path) -> Mapping[str, tuple[tuple[Path, ...], Path]] | None:
    if "dataset" not in facts:
        return None
    try:
        return {
            str(name): (tuple(root / path for path in case["images"]), root / case["label"])
            for name, case in facts["dataset"].items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        what = f"has an entry 'dataset' that cannot be read ({type(error).__name__}: {error})"
        hint = "It maps each case to {images: [...], label: ...}"
        raise InputError(Problem(str(root / DESCRIPTION), what, hint)) from error

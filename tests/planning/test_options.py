"""Options become a component, or sentences a person can act on."""

from __future__ import annotations

import json
import warnings
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_type_hints

import pytest

from augkit import AtLeast, Within
from augkit.contracts.registry import Entry, Provider, load_registry
from augkit.errors import InputError, Problem
from augkit.planning.document import parse
from augkit.planning.options import build_component, canonical, describe_options, option_model
from augkit.planning.recipe import Reference
from augkit.store import MANIFEST, Address, Store, write_bytes

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass(frozen=True)
class Stranger:
    """A generator of somebody else's package, which verifies nothing itself."""

    weights: Path | None = None


class Side(Enum):
    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True)
class Painter:
    width: Annotated[int, Within(4, 256)] = 16
    rate: Annotated[float, AtLeast(0)] = 2e-4
    strength: Annotated[float, Within(0, 0.5)] = 0.25
    amsgrad: bool = False
    betas: tuple[float, float] = (0.5, 0.999)
    sizes: tuple[int, ...] = ()
    folder: Path = Path("data")
    seed: int | None = None
    norm: Literal["batch", "instance", "none"] = "batch"
    rule: Literal["auto"] | int = "auto"
    weights: dict[str, float] = field(default_factory=dict)
    side: Side = Side.LEFT
    label: str = ""


def build(cls: type[Any], text: str) -> tuple[Any, list[str]]:
    """Build a component from the text of its options, which begins on line 2."""
    problems: list[Problem] = []
    document = parse("name:\n" + text, "r.yaml", problems)
    places = document.places_below((), document.root)
    options = {key: value for key, value in document.root.items() if key != "name"}
    reference = Reference("painter", options, "r.yaml:1", places)
    entry = Entry("generator", "painter", cls, Provider("acme", "augkit-acme", "1.2"))
    component = build_component(entry, reference, problems)
    return component, [str(problem) for problem in problems]


def test_yaml_values_become_the_types_of_the_fields():
    text = "width: 4\nrate: 1\nbetas: [0, 1]\nsizes: [1, 2, 3]\nfolder: a/b\nseed: 5\nrule: 7\nside: right\n"
    component, problems = build(Painter, text)
    assert problems == []
    expected = Painter(4, 1.0, betas=(0.0, 1.0), sizes=(1, 2, 3), folder=Path("a/b"), seed=5, rule=7, side=Side.RIGHT)
    assert component == expected
    assert isinstance(component.rate, float)


def test_no_options_give_the_defaults():
    assert build(Painter, "")[0] == Painter()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("width: '16'", "width: found the text '16'; allowed: a whole number. Remove the quotes"),
        ("width: sixteen", "width: found the text 'sixteen'; allowed: a whole number"),
        ("width: 1e2", "width: found 100.0; allowed: a whole number. Write 100"),
        ("width: 16.5", "width: found 16.5; allowed: a whole number"),
        ("width: true", "width: found true; allowed: a whole number"),
        ("width:", "width: found null; allowed: a whole number"),
        ("width: [16]", "width: found a list of 1; allowed: a whole number"),
        ("width: 3", "width: found 3; allowed: 4 or more"),
        ("width: 257", "width: found 257; allowed: 256 or less"),
        ("width: -16", "width: found -16; allowed: 4 or more"),
        ("rate: '1e-4'", "rate: found the text '1e-4'; allowed: a number. Remove the quotes"),
        ("width: 1_6", "width: found the text '1_6'; allowed: a whole number. Write 16"),
        ("rate: 0,01", "rate: found the text '0,01'; allowed: a number. Write 0.01"),
        ("rate: nan", "rate: found the text 'nan'; allowed: a number"),
        ("rate: -1e-9", "rate: found -1e-09; allowed: 0 or more"),
        ("rate: false", "rate: found false; allowed: a number"),
        ("strength: 0.6", "strength: found 0.6; allowed: 0.5 or less"),
        ("amsgrad: 1", "amsgrad: found 1; allowed: true or false"),
        ("amsgrad: yes", "amsgrad: found the text 'yes'; allowed: true or false. Write true"),
        ("amsgrad: Off", "amsgrad: found the text 'Off'; allowed: true or false. Write false"),
        ("amsgrad: 'true'", "amsgrad: found the text 'true'; allowed: true or false. Remove the quotes"),
        ("betas: 0.5", "betas: found 0.5; allowed: a list"),
        ("betas: [0.5]", "betas: found a list of 1; allowed: 2 items or more"),
        ("betas: [0.5, 0.9, 1]", "betas: found a list of 3; allowed: 2 items or fewer"),
        ("betas: [0.5, x]", "betas.1: found the text 'x'; allowed: a number"),
        ("sizes: [1, '2']", "sizes.1: found the text '2'; allowed: a whole number. Remove the quotes"),
        ("folder: 5", "folder: found 5; allowed: text"),
        ("seed: x", "seed: found the text 'x'; allowed: a whole number"),
        ("norm: bach", "norm: found the text 'bach'; allowed: 'batch', 'instance' or 'none'"),
        ("rule: fast", "rule: found the text 'fast'; allowed: 'auto' or a whole number"),
        ("rule: 1.5", "rule: found 1.5; allowed: 'auto' or a whole number"),
        ("weights: [1]", "weights: found a list of 1; allowed: a mapping"),
        ("weights: {l1: a}", "weights.l1: found the text 'a'; allowed: a number"),
        ("side: up", "side: found the text 'up'; allowed: 'left' or 'right'"),
        ("label: 5", "label: found 5; allowed: text"),
    ],
)
def test_a_wrong_value_is_told_in_plain_words(text, complaint):
    component, problems = build(Painter, text)
    assert component is None
    assert problems == [f"r.yaml:2: painter.{complaint}"]


def test_a_misspelt_option_is_told_with_the_nearest_name():
    assert build(Painter, "widht: 4\nzzz: 1\n")[1] == [
        "r.yaml:2: painter has no option 'widht'. Did you mean 'width'?",
        "r.yaml:3: painter has no option 'zzz'. Allowed: amsgrad, betas, folder, label, norm, rate, rule, seed, side, "
        "sizes, strength, weights, width",
    ]


def test_all_options_that_are_wrong_are_told_at_once_each_with_its_line():
    text = "width: x\nbetas: [0.1,\n a]\nweights: {l1: 1,\n   l2: b}\nrule: 1.5\n"
    assert sorted(problem.split("; ")[0] for problem in build(Painter, text)[1]) == [
        "r.yaml:2: painter.width: found the text 'x'",
        "r.yaml:4: painter.betas.1: found the text 'a'",
        "r.yaml:6: painter.weights.l2: found the text 'b'",
        "r.yaml:7: painter.rule: found 1.5",
    ]


def test_a_value_that_was_refused_when_it_was_read_is_not_told_twice():
    component, problems = build(Painter, "width: 007\nrate: x\n")
    assert component is None
    assert problems == [
        "r.yaml:2: '007' begins with a zero; allowed: 7, or quotes for text",
        "r.yaml:3: painter.rate: found the text 'x'; allowed: a number",
    ]


@dataclass(frozen=True)
class Strict:
    label: str = ""

    def __post_init__(self):
        raise ValueError(f"no label is called {self.label}")


def test_a_component_is_not_asked_about_a_value_that_was_refused_when_it_was_read():
    component, problems = build(Strict, "label: “a”\n")
    assert (component, len(problems)) == (None, 1)


@dataclass(frozen=True)
class Needy:
    root: Path
    size: int = 8


def test_a_missing_option_is_told():
    assert build(Needy, "size: 4\n") == (None, ["r.yaml:1: painter needs the option 'root'"])


@dataclass(frozen=True)
class Plain:
    pass


def test_a_component_without_options_says_so():
    assert build(Plain, "")[0] == Plain()
    assert build(Plain, "x: 1\n")[1] == ["r.yaml:2: painter has no option 'x'. It has no options"]


@dataclass(frozen=True)
class Choosy:
    low: int = 0
    high: int = 1

    def __post_init__(self) -> None:
        if self.high < self.low:
            raise ValueError(f"high: found {self.high}; allowed: {self.low} or more, as low")
        if self.low == 5:
            raise InputError(Problem("low", "found 5", "Use 6"), Problem("high", "is lonely"))
        if self.low == 6:
            raise TypeError("half a\nbug")
        if self.low == 7:
            raise SystemExit(3)


def test_what_a_component_itself_refuses_is_told_with_its_line():
    assert build(Choosy, "low: 2\n")[1] == ["r.yaml:1: painter: high: found 1; allowed: 2 or more, as low"]
    assert build(Choosy, "low: 5\nhigh: 9\n")[1] == [
        "r.yaml:1: painter: low: found 5. Use 6",
        "r.yaml:1: painter: high: is lonely",
    ]


@pytest.mark.parametrize(("low", "reason"), [(6, "TypeError: half a"), (7, "SystemExit: 3")])
def test_a_component_that_fails_is_told_with_its_plugin(low, reason):
    assert build(Choosy, f"low: {low}\nhigh: 9\n")[1] == [
        f"r.yaml:1: generator 'painter' failed to take its options: {reason}. Provided by augkit-acme 1.2 (acme)"
    ]


@dataclass(frozen=True)
class Unresolvable:
    amount: Decimal | None = None  # the name exists for type checkers only


def test_annotations_that_cannot_be_read_are_told_with_the_plugin():
    assert build(Unresolvable, "")[1] == [
        "r.yaml:1: generator 'painter' has options that cannot be read: NameError: name 'Decimal' is not defined. "
        "Provided by augkit-acme 1.2 (acme)"
    ]


@dataclass(frozen=True)
class Awkward:
    copy: bool = False
    json: int = 0
    schema: str = ""
    model_config: int = 0
    option_x: int = 0


def test_options_may_have_names_that_pydantic_uses_itself():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        component, problems = build(Awkward, "copy: true\njson: 2\nschema: s\nmodel_config: 4\noption_x: 5\n")
    assert problems == []
    assert component == Awkward(True, 2, "s", 4, 5)
    assert build(Awkward, "coyp: true\n")[1] == ["r.yaml:2: painter has no option 'coyp'. Did you mean 'copy'?"]


def test_an_option_cannot_be_set_by_its_name_inside_the_model():
    assert build(Awkward, "option_copy: true\n")[0] is None


@dataclass(frozen=True)
class Derived:
    width: int = 2
    _: KW_ONLY
    depth: int = 1
    cells: int = field(init=False, default=0)


def test_a_field_that_is_computed_is_no_option():
    assert build(Derived, "depth: 3\n")[0] == Derived(depth=3)
    assert build(Derived, "cells: 3\n")[1] == ["r.yaml:2: painter has no option 'cells'. Allowed: depth, width"]
    assert [name for name, _, _ in describe_options(Derived)] == ["width", "depth"]
    assert canonical(Derived()) == {"width": 2, "depth": 1}


def test_the_canonical_form_is_json_with_every_default():
    assert json.loads(json.dumps(canonical(Painter()), allow_nan=False)) == {
        "width": 16,
        "rate": 2e-4,
        "strength": 0.25,
        "amsgrad": False,
        "betas": [0.5, 0.999],
        "sizes": [],
        "folder": "data",
        "seed": None,
        "norm": "batch",
        "rule": "auto",
        "weights": {},
        "side": "left",
        "label": "",
    }


def test_a_default_and_the_same_value_written_out_have_one_canonical_form():
    written, problems = build(Painter, "width: 16\nrate: 2e-4\nbetas: [0.5, 0.999]\nfolder: data\nside: left\n")
    assert problems == []
    assert json.dumps(canonical(written)) == json.dumps(canonical(Painter()))


@dataclass(frozen=True)
class Turner:
    angle: float = 180
    names: frozenset[str] = frozenset({"a", "b", "c"})


def test_the_canonical_form_knows_no_difference_between_180_and_180_0():
    assert json.dumps(canonical(Turner(180))) == json.dumps(canonical(Turner(180.0)))
    assert json.dumps(canonical(Turner(180.5))) != json.dumps(canonical(Turner(180)))


def test_the_canonical_form_has_sets_in_one_order():
    assert canonical(Turner())["names"] == ["a", "b", "c"]


def test_options_are_described_for_people():
    assert describe_options(Painter) == [
        ("width", "int", "16"),
        ("rate", "float", "0.0002"),
        ("strength", "float", "0.25"),
        ("amsgrad", "bool", "false"),
        ("betas", "tuple[float, float]", "[0.5, 0.999]"),
        ("sizes", "tuple[int, ...]", "[]"),
        ("folder", "Path", "data"),
        ("seed", "int or null", "null"),
        ("norm", "one of batch, instance, none", "batch"),
        ("rule", "one of auto or int", "auto"),
        ("weights", "dict[str, float]", "{}"),
        ("side", "Side", "left"),
        ("label", "str", "''"),
    ]
    assert describe_options(Needy)[0] == ("root", "Path", "")


def test_the_model_of_a_class_is_made_once():
    assert option_model(Painter) is option_model(Painter)


# Trained weights


@pytest.fixture
def stored(tmp_path):
    """Return the folder of a generator as a run leaves it."""
    store, address = Store(tmp_path / "runs"), Address("generator", "stranger", "0123456789abcdef" * 4)
    work = store.workplace(address, fresh=True)
    write_bytes(work / "own" / "weights.bin", bytes(range(100)))
    write_bytes(work / "facts.json", b"{}")
    return store.publish(address, work, {"seconds": 1.0})


STRANGER = Entry("generator", "stranger", Stranger, Provider("plug", "augkit-plug", "1.0"))


def take(weights):
    problems: list[Problem] = []
    reference = Reference("stranger", {"weights": str(weights)}, "r.yaml:3", {})
    return build_component(STRANGER, reference, problems), [str(problem) for problem in problems]


def test_a_stored_generator_is_taken_as_weights_as_a_folder_or_by_one_of_its_files(stored):
    for weights in (stored, stored / "facts.json"):
        component, problems = take(weights)
        assert (component.weights, problems) == (weights, [])


@pytest.mark.parametrize("file", ["own/weights.bin", "facts.json", MANIFEST])
@pytest.mark.parametrize("named", ["", "facts.json"])
def test_one_flipped_bit_anywhere_in_the_weights_of_any_generator_is_refused(stored, file, named):
    data = bytearray((stored / file).read_bytes())
    data[len(data) // 2] ^= 1
    (stored / file).write_bytes(data)
    component, (problem,) = take(stored / named)
    assert component is None
    assert problem.startswith(f"r.yaml:3: stranger: {stored}: {file} ")
    assert problem.endswith("Import or train it again: a changed one would be used without a word")


def test_weights_that_nobody_sealed_are_taken_as_they_are(tmp_path):
    write_bytes(tmp_path / "G.pth", b"x")
    assert take(tmp_path / "G.pth")[1] == []
    assert take(tmp_path / "missing")[1] == []


# Text where a path is wanted


PATHS = [
    (entry, name)
    for entry in load_registry().entries.values()
    for name, hint in get_type_hints(entry.cls).items()
    if Path in (hint, *get_args(hint))
]


NEEDED = {"nifti": {"classes": {"liver": 1}}, "dicom": {"classes": {"liver": "Liver"}}}

FILES = {
    "coco": {
        "annotations.json": '{"images": [{"id": 1, "file_name": "a.png", "height": 8, "width": 8}], "annotations": [],'
        ' "categories": [{"id": 1, "name": "a"}]}'
    },
    "nnunet_raw": {
        "dataset.json": '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1}, "file_ending": ".png"}'
    },
}
"""Without these, data sets say that they are missing, and nothing of others."""


def test_the_components_that_read_files_are_all_asked():
    assert {entry.name for entry, _ in PATHS} >= {"folder", "isic", "mask2lesion"}


@pytest.mark.parametrize(("entry", "option"), PATHS, ids=[f"{entry.name}-{option}" for entry, option in PATHS])
def test_a_component_made_in_python_takes_text_for_a_path(entry, option, tmp_path):
    needed = {"root": tmp_path} if entry.kind in ("dataset", "mask source") else {}
    needed |= NEEDED.get(entry.name, {})
    for name, text in FILES.get(entry.name, {}).items():
        (tmp_path / name).write_text(text)
    said = []
    for kind in (str, Path):
        with pytest.raises(InputError) as caught:
            entry.cls(**{**needed, option: kind(tmp_path / "none")}).sources()
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert str(tmp_path / "none") in said[0]

"""Reading hostile and mistaken YAML: what is refused, where it stands, and what a plain value means."""

import math
from pathlib import Path

import pytest

from augkit.errors import Problem
from augkit.planning import document
from augkit.planning.document import (
    MAX_BYTES,
    MAX_WHOLE,
    Document,
    Override,
    Unreadable,
    apply_override,
    parse,
    parse_overrides,
    read_document,
    unused_override,
)


def read(text: str) -> tuple[Document | None, list[str]]:
    problems: list[Problem] = []
    found = parse(text, "r.yaml", problems)
    return found, [str(problem) for problem in problems]


def value(text: str):
    found, problems = read(f"a: {text}")
    assert problems == []
    assert isinstance(found.root, dict)
    return found.root["a"]


def complaints(text: str) -> list[str]:
    return read(text)[1]


def changed(text: str, *overrides: str) -> Document:
    problems: list[Problem] = []
    found = parse(text, "r.yaml", problems)
    for change in parse_overrides(overrides, problems):
        assert apply_override(found, change)
    assert problems == []
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-.5", -0.5),
        ("+7", 7),
        ("0", 0),
        ("9007199254740992", MAX_WHOLE),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text, expected):
    assert value(text) == expected
    assert type(value(text)) is type(expected)


@pytest.mark.parametrize(
    "text", ["yes", "no", "on", "off", "12:30", "2017-01-01", "0x10", "0o7", "1_000", "nan", "inf", "1e", "."]
)
def test_words_that_older_yaml_takes_for_something_else_are_text(text):
    assert value(text) == text


def test_a_backslash_that_became_something_else_in_double_quotes_is_explained():
    advice = "In double quotes a backslash begins an escape: put a path in single quotes, or write it with '/'"
    for path, found in (
        (r"C:\Users\me", "r.yaml:1: not YAML: "),
        (r"D:\data\skin", "r.yaml:1: not YAML: found unknown escape character"),
        (r"D:\new\train", r"r.yaml:1: 'D:\new\train' has '\n' within a word; allowed: letters"),
        (r"masks\benign", r"r.yaml:1: 'masks\x08enign' has '\x08' within a word; allowed: letters"),
    ):
        (said,) = complaints(f'a: "{path}"')
        assert said.startswith(found)
        assert said.endswith(f". {advice}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'"\t"', "\t"),
        (r'"one\n  two"', "one\n  two"),
        (r"'D:\new'", r"D:\new"),
        (r"D:\new", r"D:\new"),
        ('"a\n\n  b"', "a\nb"),
    ],
)
def test_texts_that_mean_their_control_characters_are_left_alone(text, expected):
    assert value(text) == expected


def test_letters_that_look_like_others_are_told():
    assert complaints("a: “data”") == ["r.yaml:1: '“data”' begins with a curly quote; allowed: ' and \""]
    assert complaints("a:\n\xa0 folder: 1") == [
        r"r.yaml:2: key '\xa0 folder' has letters that cannot be seen; allowed: spaces and printed letters"
    ]


@pytest.mark.parametrize(
    ("text", "kinds", "hint"),
    [
        ("yes", (bool,), "Write true"), ("On", (bool,), "Write true"), ("NO", (bool,), "Write false"),
        ("true", (bool,), "Remove the quotes"), ("maybe", (bool,), ""), ("yes", (int,), ""),
        ("1_000", (int,), "Write 1000"), ("1,000", (int,), "Write 1000"), ("1_0.5", (int, float), "Write 10.5"),
        ("0,125", (int, float), "Write 0.125"), ("0,01", (int, float), "Write 0.01"), ("0,01", (int,), ""),
        ("30%", (int, float), "Write 0.3"), ("30%", (int,), ""), ("10", (int,), "Remove the quotes"), ("x", (int,), ""),
    ],
)  # fmt: skip
def test_a_text_that_was_meant_as_a_value_is_told_how_to_write_it(text, kinds, hint):
    assert document.hint_for(text, kinds) == hint


@pytest.mark.parametrize("quoted", ["'1'", '"true"', "''", '"1e-4"'])
def test_quotes_make_text(quoted):
    assert value(quoted) == quoted[1:-1]


def test_a_block_text_is_text_even_when_it_looks_like_a_number():
    assert read("a: |-\n  5\n")[0].root == {"a": "5"}


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_bytes(b"\xef\xbb\xbfname: a\r\nseed: 1\r\n")
    problems: list[Problem] = []
    found = read_document(file, problems)
    assert problems == []
    assert found.root == {"name": "a", "seed": 1}
    assert found.place("seed") == f"{file}:2"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("007", "r.yaml:1: '007' begins with a zero; allowed: 7, or quotes for text"),
        ("-00", "r.yaml:1: '-00' begins with a zero; allowed: -0, or quotes for text"),
        (".nan", "r.yaml:1: '.nan' is not a finite number; allowed: finite numbers, or quotes for text"),
        ("-.inf", "r.yaml:1: '-.inf' is not a finite number; allowed: finite numbers, or quotes for text"),
        ("1e999", "r.yaml:1: '1e999' is not a finite number; allowed: up to 1.8e308, or quotes for text"),
        (
            "1000000000000000000",
            "r.yaml:1: '1000000000000000000' is too large; allowed: whole numbers up to 2^53, or quotes for text",
        ),
        (
            "-9007199254740993",
            "r.yaml:1: '-9007199254740993' is too large; allowed: whole numbers up to 2^53, or quotes for text",
        ),
    ],
)
def test_a_number_that_means_nothing_is_refused(text, complaint):
    found, problems = read(f"a: {text}")
    assert problems == [complaint]
    assert isinstance(found.root["a"], Unreadable)


@pytest.mark.parametrize(("first", "rest", "length"), [("9", "9", 5000), ("0", "0", 5000), ("0", "9", 100_000)])
def test_numbers_with_thousands_of_digits_are_refused_in_one_short_line(first, rest, length):
    text = first + rest * length
    (complaint,) = complaints(f"a: {text}")
    assert complaint.startswith(f"r.yaml:1: '{text[:40]}…' ")
    assert len(complaint) < 200


def test_a_long_fraction_is_a_number():
    assert math.isclose(value("0." + "3" * 100_000), 1 / 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "name: a\nseed: 1\nname: b\n",
            ["r.yaml:3: key 'name' appears twice, first at r.yaml:1; allowed: once. Remove one of them"],
        ),
        ("a: &x 1\n", ["r.yaml:1: anchor '&x'; allowed: plain values, written out"]),
        ("\n\na: *x\n", ["r.yaml:3: alias '*x'; allowed: plain values, written out"]),
        ("a: !!int 5\n", ["r.yaml:1: tag '!!int'; allowed: plain values without tags"]),
        ("a: ! 5\n", ["r.yaml:1: tag '!'; allowed: plain values without tags"]),
        ("a: !mine {b: 1}\n", ["r.yaml:1: tag '!mine'; allowed: plain values without tags"]),
        (
            "a: !!python/object/apply:os.system [echo]\n",
            ["r.yaml:1: tag '!!python/object/apply:os.system'; allowed: plain values without tags"],
        ),
        (
            "a: &a [*a]\n",
            [
                "r.yaml:1: anchor '&a'; allowed: plain values, written out",
                "r.yaml:1: alias '*a'; allowed: plain values, written out",
            ],
        ),
        ("a: 1\n---\nb: 2\n", ["r.yaml:2: a second document begins here; allowed: one recipe per file"]),
        ("? {a: 1}\n: 2\n", ["r.yaml:1: a list or mapping used as a key; allowed: a word"]),
        ("? [a]\n: 2\n", ["r.yaml:1: a list or mapping used as a key; allowed: a word"]),
        ("k" * 101 + ": 1", [f"r.yaml:1: key '{'k' * 40}…' has more than 100 characters"]),
    ],
)
def test_yaml_that_a_recipe_may_not_use_is_refused_with_its_line(text, expected):
    assert complaints(text) == expected


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a:\n\tb: 1\n", 2, "found character that cannot start any token"),
        ("a: {b: 1\nc: 2\n", 2, "did not find expected ',' or '}'"),
        ("a: 'open\n", 2, "found unexpected end of stream"),
        ("a: b: c\n", 1, "mapping values are not allowed in this context"),
        ('a: "\\ud800"\n', 1, "found invalid Unicode character escape code"),
    ],
)
def test_a_syntax_error_names_its_line_and_what_to_check(text, line, what):
    expected = f"r.yaml:{line}: not YAML: {what}. Check indentation (spaces, no tabs), brackets and quotes"
    found, problems = read(text)
    assert problems == [expected]
    assert found is None


def test_a_control_character_is_refused():
    assert complaints("a: \x00") == [
        "r.yaml: not YAML: unacceptable character #x0000: control characters are not allowed"
    ]


def test_mistakes_before_a_syntax_error_are_told_too():
    assert complaints("a: 007\nb: [\n")[0].startswith("r.yaml:1: '007' begins with a zero")
    assert len(complaints("a: 007\nb: [\n")) == 2


def test_one_mistake_does_not_hide_the_next():
    lines = complaints("a: &x 1\nb: *x\nc: 007\nd: .nan\na: 2\ne: !!str 3\n")
    assert [line.split(":")[1] for line in lines] == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}"), ("- ", "")])
def test_two_thousand_levels_are_refused(opening, closing):
    assert complaints(f"a:\n  {opening * 2000}{closing * 2000}") == ["r.yaml:2: nested deeper than 50 levels"]


def test_fifty_levels_are_allowed_and_one_more_is_not():
    assert complaints("[" * 50 + "]" * 50) == []
    assert complaints("[" * 51 + "]" * 51) == ["r.yaml:1: nested deeper than 50 levels"]


def test_a_text_of_very_many_values_is_refused_where_the_limit_is_passed():
    assert complaints("- a\n" * 9_999) == []
    assert complaints("- a\n" * 200_000) == ["r.yaml:10000: more than 10000 values; a recipe is a page of text"]


def test_an_alias_bomb_builds_nothing():
    levels = zip("abcdefgh", "bcdefghi", strict=True)
    bomb = (
        "a: &a [" + ",".join("x" * 9) + "]\n" + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in levels)
    )
    found, problems = read(bomb)
    assert len(bomb) < 324
    assert "r.yaml:2: alias '*a'; allowed: plain values, written out" in problems
    assert len(found.places) == 1 + 9 + 9 * 9


def test_every_node_knows_its_line():
    text = "name: a\naugment:\n  - g: {x: 1,\n        y: [1,\n            2]}\n  - h:\n      z: 3\n"
    found, _ = read(text)
    assert found.place() == "r.yaml:1"
    assert found.place("augment") == "r.yaml:3"
    assert found.place("augment", 0, "g", "x") == "r.yaml:3"
    assert found.place("augment", 0, "g", "y") == "r.yaml:4"
    assert found.place("augment", 0, "g", "y", 1) == "r.yaml:5"
    assert found.place("augment", 1, "h", "z") == "r.yaml:7"
    assert found.place("augment", 1, "h", "nothing", "here") == "r.yaml:7"


def test_the_places_below_a_node_are_told_from_there():
    found, _ = read("s: {u: {a: 1,\n b: [2,\n 3]}}\nother: {a: 5}\n")
    assert found.places_below(("s", "u"), found.root["s"]["u"]) == {
        ("a",): "r.yaml:1",
        ("b",): "r.yaml:2",
        ("b", 0): "r.yaml:2",
        ("b", 1): "r.yaml:3",
    }


def test_an_empty_text_is_a_document_with_nothing_in_it():
    for text in ("", "# only a comment\n", "\n\n"):
        found, problems = read(text)
        assert problems == []
        assert found.root is None
        assert found.place() == "r.yaml"


def file_complaints(file: Path) -> list[str]:
    problems: list[Problem] = []
    assert read_document(file, problems) is None
    return [str(problem) for problem in problems]


def test_a_file_over_one_mebibyte_is_refused_unread(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    assert file_complaints(file) == [f"{file}: larger than 1048576 bytes; a recipe is a page of text"]


def test_a_file_that_is_not_utf_8_is_refused_with_the_byte(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_bytes("name: é".encode("latin-1"))
    advice = "allowed: UTF-8. Save it anew with the encoding UTF-8"
    assert file_complaints(file) == [f"{file}: not UTF-8 text (byte 6); {advice}"]
    for encoding in ("utf-16", "utf-16-le"):
        file.write_bytes(b"\xff\xfe"[: 2 * (encoding == "utf-16-le")] + "name: é".encode(encoding))
        assert file_complaints(file) == [f"{file}: UTF-16 text, as PowerShell writes it; {advice}"]


def test_a_missing_file_is_told_with_the_nearest_name(tmp_path):
    (tmp_path / "allaug.yaml").touch()
    file = tmp_path / "alaug.yaml"
    assert file_complaints(file) == [f"{file}: no such recipe. Did you mean '{tmp_path / 'allaug.yaml'}'?"]
    nowhere = tmp_path / "nowhere" / "a.yaml"
    assert file_complaints(nowhere) == [
        f"{nowhere}: no such recipe. 'augkit ls' lists the recipes that come with augkit"
    ]


def test_a_pattern_that_the_shell_left_alone_is_explained(tmp_path):
    (tmp_path / "a.yaml").touch()
    pattern = tmp_path / "b*.yaml"
    assert file_complaints(pattern) == [
        f"{pattern}: no file matches this pattern. In that folder: {tmp_path / 'a.yaml'}"
    ]


def test_a_folder_in_place_of_a_file_is_explained(tmp_path):
    assert file_complaints(tmp_path) == [f"{tmp_path}: is a folder; allowed: recipe files. As in {tmp_path / '*.yaml'}"]


def test_a_file_that_cannot_be_opened_is_told(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert file_complaints(tmp_path / "r.yaml") == [f"{tmp_path / 'r.yaml'}: cannot be read: Permission denied"]


TREE = "name: a\naugment:\n  - g: {x: 1}\n  - h: {}\nsegmenter: {unet: {width: 16}}\n"


def test_an_override_changes_a_value_and_is_named_as_its_place():
    found = changed(TREE, "segmenter.unet.width=32")
    assert found.root["segmenter"] == {"unet": {"width": 32}}
    assert found.place("segmenter", "unet", "width") == "--set segmenter.unet.width=32"
    assert found.place("segmenter", "unet") == "r.yaml:5"


def test_an_override_may_add_a_key_to_a_mapping_that_is_there():
    assert changed(TREE, "segmenter.unet.steps=1e-3").root["segmenter"] == {"unet": {"width": 16, "steps": 1e-3}}


def test_an_override_reaches_into_lists_by_position():
    found = changed(TREE, "augment.0.g.x=[1, 2]", "augment.1={k: {}}")
    assert found.root["augment"] == [{"g": {"x": [1, 2]}}, {"k": {}}]
    assert found.place("augment", 0, "g", "x", 1) == "--set augment.0.g.x=[1, 2]"
    assert found.place("augment", 1) == "--set augment.1={k: {}}"


def test_an_override_of_a_whole_part_takes_the_place_of_everything_in_it():
    found = changed(TREE, "segmenter={unet: {width: x}}")
    assert found.place("segmenter", "unet", "width") == "--set segmenter={unet: {width: x}}"


def test_later_overrides_win_and_do_not_reach_other_documents():
    first, second = read(TREE)[0], read(TREE)[0]
    whole, inner = parse_overrides(["segmenter={unet: {}}", "segmenter.unet.width=5"], [])
    assert apply_override(first, whole)
    assert apply_override(second, whole)
    assert apply_override(first, inner)
    assert first.root["segmenter"] == {"unet": {"width": 5}}
    assert second.root["segmenter"] == {"unet": {}}


@pytest.mark.parametrize(
    "path", ["segmentr.unet", "augment.2", "augment.-1", "augment.²", "augment.x", "name.x", f"augment.{10**30}"]
)
def test_an_override_without_a_place_changes_nothing(path):
    found = read(TREE)[0]
    (change,) = parse_overrides([f"{path}.y=1" if path.startswith("seg") else f"{path}=1"], [])
    assert not apply_override(found, change)
    assert found.root == read(TREE)[0].root


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "segmentr.unet.steps=3",
            "--set segmentr.unet.steps=3: there is no 'segmentr' in any recipe. Did you mean 'segmenter'?",
        ),
        (
            "segmenter.unett.steps=3",
            "--set segmenter.unett.steps=3: there is no 'unett' in 'segmenter' of any recipe. Did you mean 'unet'?",
        ),
        ("augment.7=3", "--set augment.7=3: there is no '7' in 'augment' of any recipe. Allowed: 0, 1"),
        ("name.x=3", "--set name.x=3: there is no 'x' in 'name' of any recipe"),
    ],
)
def test_an_override_that_fits_nowhere_is_told_with_the_nearest_name(text, complaint):
    (change,) = parse_overrides([text], [])
    assert str(unused_override([read(TREE)[0]], change)) == complaint


def test_an_override_that_fits_nowhere_is_compared_with_the_recipe_that_comes_closest():
    (change,) = parse_overrides(["augment.0.gg.x=3"], [])
    documents = [read("augment: []")[0], read(TREE)[0]]
    expected = "--set augment.0.gg.x=3: there is no 'gg' in 'augment.0' of any recipe. Did you mean 'g'?"
    assert str(unused_override(documents, change)) == expected


def test_an_override_value_is_one_yaml_value():
    changes = parse_overrides(["a=1e-4", "b=yes", "c=", "d=x=y", "e='5'"], [])
    assert [(change.path, change.value) for change in changes] == [
        (("a",), 1e-4),
        (("b",), "yes"),
        (("c",), None),
        (("d",), "x=y"),
        (("e",), "5"),
    ]
    assert changes[0] == Override(("a",), 1e-4, "a=1e-4")


def test_overrides_that_cannot_be_read_are_all_told():
    problems: list[Problem] = []
    changes = parse_overrides(["a", "=3", "a..b=3", "a=[1", "a=!!x 1", "a=007"], problems)
    form = "not of the form path=value. As in segmenter.unet.steps=100"
    assert [str(problem) for problem in problems] == [
        f"--set a: {form}",
        f"--set =3: {form}",
        f"--set a..b=3: {form}",
        "--set a=[1: not YAML: did not find expected ',' or ']'. "
        "Check indentation (spaces, no tabs), brackets and quotes",
        "--set a=!!x 1: tag '!!x'; allowed: plain values without tags",
        "--set a=007: '007' begins with a zero; allowed: 7, or quotes for text",
    ]
    assert [change.text for change in changes] == ["a=!!x 1", "a=007"]


def test_the_pure_python_loader_reads_the_same(monkeypatch):
    text = 'a: [1, "x", 1e-4]\nb: &c {d: 007}\ne: *c\nf: ! 5\n'
    fast = read(text)
    monkeypatch.delattr(document.yaml, "CSafeLoader", raising=False)
    slow = read(text)
    assert slow[1] == fast[1]
    assert slow[0].root == fast[0].root
    assert slow[0].places == fast[0].places

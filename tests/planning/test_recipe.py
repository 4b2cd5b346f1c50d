"""The structure of a recipe: what is missing, misspelt or of the wrong kind, all told at once."""

from pathlib import Path

import pytest

from augkit.errors import InputError
from augkit.planning.recipe import RECIPE_KEYS, Reading, is_name, load_recipes, read_recipes

GOOD = """\
name: demo
seed: 3
dataset: {drawn: {size: 64}}
synthesize:
  - generator: {painter: {width: 16}}
    masks: {training: {}}
    per_real: 1.0
augment:
  - flip: {both: true,
           axes: [0,
                  1]}
segmenter: {unet: {}}
"""


@pytest.fixture
def reading(tmp_path, monkeypatch):
    """Read one text as r.yaml, with overrides."""
    monkeypatch.chdir(tmp_path)

    def read(text: str, *overrides: str) -> Reading:
        Path("r.yaml").write_text(text)
        return read_recipes([Path("r.yaml")], overrides)

    return read


def told(reading: Reading) -> list[str]:
    return [str(problem) for problem in reading.problems]


def test_a_whole_recipe_is_read_with_its_places(reading):
    found = reading(GOOD)
    assert told(found) == []
    (recipe,) = found.recipes
    assert (recipe.name, recipe.seed, recipe.file) == ("demo", 3, "r.yaml")
    assert (recipe.dataset.name, recipe.dataset.options) == ("drawn", {"size": 64})
    (source,) = recipe.synthesize
    assert (source.generator.name, source.masks.name, source.per_real, source.count) == ("painter", "training", 1, None)
    (flip,) = recipe.augment
    assert flip.where == "r.yaml:9"
    assert flip.place(("axes",)) == "r.yaml:10"
    assert flip.place(("axes", 1)) == "r.yaml:11"
    assert flip.place(("unknown", "deep")) == "r.yaml:9"
    assert found.parts == ()


def test_seed_synthesize_and_augment_have_defaults(reading):
    (recipe,) = reading("name: a\ndataset: {d: {}}\nsegmenter: {s: {}}\n").recipes
    assert (recipe.seed, recipe.synthesize, recipe.augment) == (0, (), ())


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("augment:", "augmnt:", ["r.yaml:9: unknown key 'augmnt'. Did you mean 'augment'?"]),
        (
            "name: demo",
            "nam: demo",
            ["r.yaml:1: unknown key 'nam'. Did you mean 'name'?", "r.yaml:1: 'name' is missing. As in 'name: allaug'"],
        ),
        (
            "name: demo",
            "name: a/b",
            [
                "r.yaml:1: name: found the text 'a/b'; allowed: up to 64 letters, digits, '_', '.', '-', "
                "beginning with a letter or digit. As in 'name: allaug'"
            ],
        ),
        (
            "name: demo",
            "name: 2017",
            [
                "r.yaml:1: name: found the number 2017; allowed: up to 64 letters, digits, '_', '.', '-', "
                "beginning with a letter or digit. Write name: '2017'"
            ],
        ),
        ("seed: 3", "seed: '3'", ["r.yaml:2: seed: found the text '3'; allowed: a whole number, 0 or more. "
                                  "Remove the quotes"]),
        ("seed: 3", "seed: 1_000", ["r.yaml:2: seed: found the text '1_000'; allowed: a whole number, 0 or more. "
                                    "Write 1000"]),
        ("seed: 3", "real_images: yes", ["r.yaml:2: real_images: found the text 'yes'; allowed: true or false. "
                                         "Write true"]),
        ("seed: 3", "seed: -1", ["r.yaml:2: seed: found the number -1; allowed: a whole number, 0 or more"]),
        ("seed: 3", "seed: 1.5", ["r.yaml:2: seed: found the number 1.5; allowed: a whole number, 0 or more"]),
        ("seed: 3", "seed: true", ["r.yaml:2: seed: found the truth value true; allowed: a whole number, 0 or more"]),
        ("seed: 3", "seed:", ["r.yaml:2: seed: found nothing; allowed: a whole number, 0 or more"]),
        (
            "dataset: {drawn: {size: 64}}\n",
            "",
            ["r.yaml:1: 'dataset' is missing. Add 'dataset: {name: {options}}'"],
        ),
        (
            "segmenter: {unet: {}}",
            "segmenter: unet",
            ["r.yaml:12: segmenter: found the text 'unet'; allowed: one component as 'name: {options}'. "
             "Write 'unet: {}'"],
        ),
        (
            "segmenter: {unet: {}}",
            "segmenter: {unet: }",
            ["r.yaml:12: unet: found nothing; allowed: a mapping of options. Write 'unet: {}' for the defaults"],
        ),
        (
            "segmenter: {unet: {}}",
            "segmenter: {unet: {}, other: {}}",
            ["r.yaml:12: found 2 keys (unet, other); allowed: one component as 'name: {options}'"],
        ),
        (
            "segmenter: {unet: {}}",
            "segmenter: {}",
            ["r.yaml:12: segmenter: found an empty mapping; allowed: one component as 'name: {options}'"],
        ),
        (
            "segmenter: {unet: {}}",
            "segmenter: [unet]",
            ["r.yaml:12: segmenter: found a list; allowed: one component as 'name: {options}'"],
        ),
        (
            "per_real: 1.0",
            "per_real: -1",
            ["r.yaml:7: per_real: found the number -1; allowed: 0 <= number <= 1000, 0 to leave the source out"],
        ),
        (
            "per_real: 1.0",
            "per_real: '0.5'",
            [
                "r.yaml:7: per_real: found the text '0.5'; allowed: 0 <= number <= 1000, 0 to leave the source out. "
                "Remove the quotes"
            ],
        ),
        ("per_real: 1.0", "count: 1.5", ["r.yaml:7: count: found the number 1.5; allowed: a whole number 1 .. 10^9"]),
        (
            "per_real: 1.0",
            "count: 10000000000",
            ["r.yaml:7: count: found the number 10000000000; allowed: a whole number 1 .. 10^9"],
        ),
        (
            "per_real: 1.0",
            "per_real: 1.0\n    count: 5",
            [
                "r.yaml:5: found both 'per_real' and 'count'; allowed: exactly one, "
                "as in 'per_real: 1.0' or 'count: 500'"
            ],
        ),
        (
            "    per_real: 1.0\n",
            "",
            [
                "r.yaml:5: found neither 'per_real' nor 'count'; allowed: exactly one, "
                "as in 'per_real: 1.0' or 'count: 500'"
            ],
        ),
        (
            "    masks:",
            "    mask:",
            [
                "r.yaml:6: unknown key 'mask'. Did you mean 'masks'?",
                "r.yaml:5: 'masks' is missing. Add 'masks: {name: {options}}'",
            ],
        ),
        ("segmenter: {unet: {}}", "segmenter:", [
            "r.yaml:12: segmenter: found nothing; allowed: one component as 'name: {options}'",
        ]),
        ("segmenter: {unet: {}}", "segmenter: *s", ["r.yaml:12: alias '*s'; allowed: plain values, written out"]),
    ],
)  # fmt: skip
def test_a_mistake_in_the_structure_is_told_once_with_its_line(reading, old, new, expected):
    assert old in GOOD
    found = reading(GOOD.replace(old, new))
    assert told(found) == expected
    assert found.recipes == ()


@pytest.mark.parametrize(
    ("text", "what"),
    [("", "nothing"), ("# nothing\n", "nothing"), ("- a\n- b\n", "a list"), ("hello\n", "the text 'hello'")],
)
def test_a_recipe_that_is_not_a_mapping_is_refused(reading, text, what):
    line = ":1" if text and not text.startswith("#") else ""
    expected = f"r.yaml{line}: found {what}; allowed: a mapping with {', '.join(RECIPE_KEYS)}"
    assert told(reading(text)) == [expected]


def test_lists_must_be_lists(reading):
    text = "name: a\ndataset: {d: {}}\nsynthesize:\naugment: {flip: {}}\nsegmenter: {s: {}}\n"
    assert told(reading(text)) == [
        "r.yaml:3: synthesize: found nothing; allowed: a list, '[]' for none",
        "r.yaml:4: augment: found a mapping; allowed: a list, '[]' for none",
    ]


def test_all_mistakes_of_all_files_are_told_in_one_pass(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text("nam: a\nseed: 007\naugment: [flip]\nsynthesize: [{count: 0}]\n")
    Path("b.yaml").write_text("name: [\n")
    found = read_recipes([Path("a.yaml"), Path("b.yaml"), Path("c.yaml")], ["no"])
    assert [problem.where for problem in found.problems] == [
        "--set no",
        "a.yaml:2",  # 007
        "b.yaml:2",
        "c.yaml",
        "a.yaml:1",  # nam
        "a.yaml:1",  # no name
        "a.yaml:1",  # no dataset
        "a.yaml:4",  # no generator
        "a.yaml:4",  # no masks
        "a.yaml:4",  # count
        "a.yaml:3",  # flip
    ]
    with pytest.raises(InputError) as caught:
        load_recipes([Path("a.yaml"), Path("b.yaml"), Path("c.yaml")], ["no"])
    assert caught.value.problems == found.problems
    assert caught.value.exit_code == 2


def test_the_whole_components_of_a_broken_recipe_are_still_handed_on(reading):
    found = reading(GOOD.replace("seed: 3", "sed: 3").replace("segmenter: {unet: {}}", "segmenter: unet"))
    assert found.recipes == ()
    assert [(kind, reference.name, reference.where) for kind, reference in found.parts] == [
        ("dataset", "drawn", "r.yaml:3"),
        ("generator", "painter", "r.yaml:5"),
        ("mask source", "training", "r.yaml:6"),
        ("augmentation", "flip", "r.yaml:9"),
    ]


def test_a_recipe_that_only_makes_images_names_no_segmenter(reading):
    found = reading(GOOD.replace("segmenter: {unet: {}}\n", ""))
    assert told(found) == []
    assert found.recipes[0].segmenter is None


def test_images_that_a_segmenter_is_to_choose_need_one(reading):
    source = "{generator: {g: {}}, masks: {m: {}}, count: 3, min_adherence: 0.5}"
    text = f"name: a\ndataset: {{d: {{}}}}\nsynthesize: [{source}]\n"
    assert told(reading(text)) == [
        "r.yaml:3: min_adherence needs a segmenter that judges the images, and the recipe names none. "
        "Add 'segmenter: {name: {options}}', or leave min_adherence out"
    ]
    assert told(reading(text + "segmenter: {unet: {}}\n")) == []


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (
            "count: 3, shard: 1000",
            "r.yaml:3: shard: found the number 1000; allowed: a multiple of 256, the images that are painted together. "
            "As in 8192",
        ),
        (
            "count: 3, shard: 0",
            "r.yaml:3: shard: found the number 0; allowed: a multiple of 256, the images that are painted together. "
            "As in 8192",
        ),
        (
            "count: 1000000000",
            "r.yaml:3: 1000000000 images in shards of 8192 are 122071 shards; allowed: up to 10000. Make shards "
            "larger, by 'shard'",
        ),
        (
            "count: 2560256, shard: 256",
            "r.yaml:3: 2560256 images in shards of 256 are 10001 shards; allowed: up to 10000. Make shards larger, "
            "by 'shard'",
        ),
    ],
)
def test_shards_are_multiples_of_a_batch_and_not_too_many(reading, amount, said):
    found = reading(
        f"name: a\ndataset: {{d: {{}}}}\nsynthesize: [{{generator: {{g: {{}}}}, masks: {{m: {{}}}}, {amount}}}]\n"
    )
    assert told(found) == [said]


def test_shards_have_8192_images_unless_a_recipe_says_otherwise(reading):
    source = "{generator: {g: {}}, masks: {m: {}}, count: 3}"
    text = f"name: a\ndataset: {{d: {{}}}}\nsynthesize: [{source}, {source.replace('3', '3, shard: 512')}]\n"
    assert [one.shard for one in reading(text).recipes[0].synthesize] == [8192, 512]


def test_the_same_name_twice_is_refused_even_beside_other_mistakes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(GOOD)
    Path("b.yaml").write_text("# a comment\n" + GOOD.replace("seed: 3", "sed: 3"))
    found = read_recipes([Path("a.yaml"), Path("b.yaml")])
    assert told(found) == [
        "b.yaml:3: unknown key 'sed'. Did you mean 'seed'?",
        "b.yaml:2: name 'demo' is also that of a.yaml; allowed: a different name per recipe",
    ]


def test_an_override_that_makes_names_equal_is_named_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(GOOD)
    Path("b.yaml").write_text(GOOD.replace("demo", "other"))
    assert told(read_recipes([Path("a.yaml"), Path("b.yaml")], ["name=x"])) == [
        "--set name=x: name 'x' is also that of a.yaml; allowed: a different name per recipe"
    ]


def test_an_override_applies_to_every_recipe_that_has_its_parent(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(GOOD)
    Path("b.yaml").write_text("name: b\ndataset: {d: {}}\nsegmenter: {unet: {}}\n")
    found = read_recipes([Path("a.yaml"), Path("b.yaml")], ["augment.0.flip.both=false", "segmenter.unet.width=4"])
    assert told(found) == []
    a, b = found.recipes
    assert a.augment[0].options["both"] is False
    assert b.augment == ()
    assert a.segmenter.options == b.segmenter.options == {"width": 4}
    assert a.segmenter.place(("width",)) == "--set segmenter.unet.width=4"


def test_an_override_that_applies_to_no_recipe_is_a_problem(reading):
    assert told(reading(GOOD, "segmenter.unt.width=4")) == [
        "--set segmenter.unt.width=4: there is no 'unt' in 'segmenter' of any recipe. Did you mean 'unet'?"
    ]


def test_an_override_is_not_blamed_while_a_recipe_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text("name: [\n")
    Path("b.yaml").write_text(GOOD)
    found = read_recipes([Path("a.yaml"), Path("b.yaml")], ["segmenter.special.width=4"])
    assert [problem.where for problem in found.problems] == ["a.yaml:2"]


def test_an_override_of_the_wrong_kind_is_named_itself(reading):
    assert told(reading(GOOD, "seed=x", "name={a: 1}")) == [
        "--set name={a: 1}: name: found a mapping; allowed: up to 64 letters, digits, '_', '.', '-', "
        "beginning with a letter or digit. As in 'name: allaug'",
        "--set seed=x: seed: found the text 'x'; allowed: a whole number, 0 or more",
    ]


@pytest.mark.parametrize("name", ["con", "NUL.a", "Com7", "lpt1.noaug", "noaug."])
def test_a_name_that_windows_cannot_hold_is_refused(name):
    assert not is_name(name)
    assert is_name(f"{name.strip('.')}-aug".replace(".", "_"))

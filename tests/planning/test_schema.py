"""The JSON schema says what `augkit validate` says: every shipped recipe passes it, broken ones do not."""

import json
from pathlib import Path

import pytest

from augkit.cli import app
from augkit.contracts.kinds import EXECUTOR
from augkit.contracts.registry import load_registry
from augkit.errors import InputError
from augkit.planning.document import parse
from augkit.planning.recipe import RECIPE_KEYS, SOURCE_KEYS
from augkit.planning.schema import option_texts, recipe_schema
from augkit.planning.shipped import shipped_recipes
from samples import checked_recipes

jsonschema = pytest.importorskip("jsonschema")

GOOD = """\
name: demo
dataset: {phantom: {train: 20, test: 10, size: 64}}
synthesize:
  - generator: {mask2lesion: {width: 16}}
    masks: {training: {}}
    per_real: 1.0
augment:
  - geometry: {flip: both}
segmenter: {unet: {steps: 10}}
"""


@pytest.fixture(scope="module")
def schema():
    return recipe_schema(load_registry())


@pytest.fixture(scope="module")
def check(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    def errors(text):
        return [error.message for error in validator.iter_errors(parse(text, "r.yaml", []).root)]

    return errors


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_passes(name, check):
    assert check(shipped_recipes()[name].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("name: demo", "nam: demo", "'nam' was unexpected"),
        ("name: demo\n", "", "'name' is a required property"),
        ("name: demo", "name: /etc", "does not match"),
        ("phantom", "phantm", "'phantm' was unexpected"),
        ("train: 20", "trian: 20", "'trian' was unexpected"),
        ("train: 20", "train: twenty", "is not of type 'integer'"),
        ("size: 64", "size: 7", "less than the minimum"),
        ("{mask2lesion: {width: 16}}", "{mask2lesion: {width: 3}}", "less than the minimum"),
        ("{mask2lesion: {width: 16}}", "{mask2lesion: {}, noise: {}}", "too many properties"),
        ("{mask2lesion: {width: 16}}", "mask2lesion", "is not of type 'object'"),
        ("flip: both", "flip: sideways", "is not one of"),
        ("per_real: 1.0", "per_real: -1", "less than the minimum"),
        ("per_real: 1.0", "per_real: 1.0\n    count: 5", "is valid under each of"),
        ("per_real: 1.0", "pair: shuffled", "is not valid under any"),
        ("per_real: 1.0", "per_real: 1.0\n    pair: other", "is not one of"),
        ("augment:\n  - geometry: {flip: both}", "augment: {geometry: {}}", "is not of type 'array'"),
        ("steps: 10}}", "steps: 10}}\ntraining_share: 0", "less than or equal to the minimum"),
        ("steps: 10}}", "steps: 10}}\nreal_images: 1", "is not of type 'boolean'"),
        ("steps: 10}}", "steps: 10}}\ndevelopment_share: 0.6", "greater than the maximum"),
        ("steps: 10}}", "steps: 10}}\nfolds: 1", "is not valid under any of the given schemas"),
        ("steps: 10}}", "steps: 10}}\nsweep: {training_share: [1]}", "is too short"),
    ],
)
def test_a_broken_recipe_does_not_pass(old, new, told, check):
    assert check(GOOD) == []
    assert old in GOOD
    assert any(told in message for message in check(GOOD.replace(old, new)))


def test_the_schema_knows_the_keys_that_a_recipe_may_have(schema):
    assert tuple(schema["properties"]) == RECIPE_KEYS
    assert tuple(schema["properties"]["synthesize"]["items"]["properties"]) == SOURCE_KEYS


def test_every_installed_component_is_in_the_schema_with_the_words_of_its_author(schema):
    registry = load_registry()
    for kind, name in registry.entries:
        if kind == EXECUTOR.name:  # an executor is chosen by a command, not by a recipe
            continue
        assert name in schema["$defs"][kind]["properties"], (kind, name)
    reference = schema["$defs"]["segmenter"]["properties"]["unet-strong"]["$ref"].removeprefix("#/$defs/")
    unet = schema["$defs"][reference]
    assert unet["description"].startswith("The same network trained better")
    assert unet["properties"]["batch_size"]["description"] == "images per step."
    assert unet["properties"]["steps"]["default"] == 12600


def test_an_option_s_words_may_go_on_in_the_next_lines_and_serve_several_options():
    text = (
        "What it is.\n\nwidth, height: in pixels,\n    rounded up.\nseed:   of the split.\n\nMore words: not an option."
    )
    assert option_texts(text) == {"width": "in pixels, rounded up.", "height": "in pixels, rounded up.",
                                  "seed": "of the split."}  # fmt: skip


def test_the_command_prints_the_schema(capsys):
    with pytest.raises(SystemExit) as ended:
        app(["schema"])
    assert ended.value.code in (0, None)
    assert json.loads(capsys.readouterr().out)["title"] == "augkit recipe"


def test_this_folder_s_recipes_are_the_shipped_ones():
    assert set(shipped_recipes().values()) == set((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))


EMPTY = ["shapes: {kinds: []}", "elastic: {degree: []}", "combine: {mix: []}"]


@pytest.mark.parametrize("source", EMPTY)
def test_an_empty_list_is_refused_by_the_schema_where_it_is_refused_by_a_check_of_the_recipe(check, tmp_path, source):
    text = GOOD.replace("training: {}", source)
    name, _, option = source.partition(": {")
    assert check(text) != []
    with pytest.raises(InputError) as caught:
        checked_recipes(tmp_path, text)
    assert str(caught.value) == (
        f"{tmp_path / '0.yaml'}:5: {name}.{option.partition(':')[0]}: found a list of 0; allowed: 1 item or more"
    )

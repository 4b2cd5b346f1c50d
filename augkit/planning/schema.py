"""The JSON schema of a recipe with the options of every installed component, for editors and other checkers.

It is made from the same types that check a recipe (`option_model`), so completion in an editor and `augkit validate`
agree. What a schema cannot say stays with `validate`: rules between options, files that must exist, and that a whole
number is not written 1.0.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from augkit.contracts.components import NATIVE_SIZE, PER_GROUP, PER_IMAGE, TRAINING_SIZE
from augkit.contracts.kinds import KINDS
from augkit.contracts.registry import Entry, Registry
from augkit.data.folds import ALL, DEVELOPMENT
from augkit.planning.divisions import BATCH, FEWEST_FOLDS, MOST_FOLDS, SHARD
from augkit.planning.options import option_model

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_NAME = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"

_OPTION_LINE = re.compile(r" {0,4}([a-z_0-9]+(?:, [a-z_0-9]+)*): +(.+)")


def recipe_schema(registry: Registry) -> Mapping[str, Any]:
    """Return the schema, JSON-ready; a component whose options cannot be read is left out."""
    models = {key: model for key, entry in registry.entries.items() if (model := _model(entry)) is not None}
    found, shared = models_json_schema(
        [(model, "validation") for model in models.values()], ref_template="#/$defs/{model}"
    )
    definitions: dict[str, Any] = dict(shared.get("$defs", {}))
    for kind in KINDS:
        options: dict[str, Any] = {}
        for name in registry.names(kind):
            if (kind, name) in models:
                reference = found[models[kind, name], "validation"]
                _document(definitions[reference["$ref"].removeprefix("#/$defs/")], registry.entries[kind, name].cls)
                options[name] = reference
        definitions[kind] = _component(kind, options)
    return {"$schema": DIALECT, "title": "augkit recipe", **_recipe(), "$defs": definitions}


def _model(entry: Entry) -> Any | None:
    try:
        model = option_model(entry.cls)
        model.model_json_schema()
    except (Exception, SystemExit):  # annotations and defaults are the plugin's, and may do anything
        return None
    return model


def _recipe() -> dict[str, Any]:
    """Return the structure that `recipe.read_recipes` checks."""
    reference = {kind: {"$ref": f"#/$defs/{kind}"} for kind in KINDS}
    source = _mapping(
        {
            "generator": reference["generator"],
            "masks": reference["mask source"],
            "per_real": _text({"type": "number", "minimum": 0, "maximum": 1000}, "Images per training image."),
            "count": _text({"type": "integer", "minimum": 1, "maximum": 10**9}, "Images in all."),
            "shard": _text(
                {"type": "integer", "minimum": BATCH, "multipleOf": BATCH, "default": SHARD},
                "Images of a larger count that are made at a time, by one of several jobs; changes nothing in them.",
            ),
            "pair": _text(
                {"enum": ["own", "shuffled"], "default": "own"},
                "The mask an image is given: its own, or as a control the one of another image.",
            ),
            "min_adherence": _text(
                {"type": "number", "minimum": 0, "exclusiveMaximum": 1, "default": 0},
                "Leave out images in which a segmenter trained on real images finds less of the mask than this Dice.",
            ),
        },
        required=("generator", "masks"),
    )
    source["oneOf"] = [{"required": ["per_real"]}, {"required": ["count"]}]
    values = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 32, "uniqueItems": True}
    sweep = {"type": "object", "additionalProperties": values, "minProperties": 1, "maxProperties": 1}
    share = {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 1}
    development = {"type": "number", "minimum": 0, "maximum": 0.5, "default": 0}
    count = {"type": "integer", "minimum": FEWEST_FOLDS, "maximum": MOST_FOLDS}
    only = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "uniqueItems": True}
    folds = _mapping(
        {
            "count": count,
            "of": _text(
                {"enum": [ALL, DEVELOPMENT], "default": ALL},
                "All samples, or those of the training and validation split, to look for settings.",
            ),
            "only": _text(only, "The folds that are trained and scored; all if not given."),
        },
        required=("count",),
    )
    return _mapping(
        {
            "name": {"type": "string", "pattern": _NAME},
            "seed": {"type": "integer", "minimum": 0, "default": 0},
            "dataset": reference["dataset"],
            "external": _text(
                {
                    "type": "object",
                    "propertyNames": {"pattern": _NAME},
                    "additionalProperties": reference["dataset"],
                },
                "Data sets by name that nothing is trained or chosen on; the same segmenters are scored on each.",
            ),
            "exclude_copies": _text(
                {"type": "boolean", "default": False}, "Whether images with a copy in a later split are left out."
            ),
            "development_share": _text(
                development,
                "Share of the training groups to score on in place of the test images, to look for settings.",
            ),
            "folds": _text(
                {"anyOf": [count, folds]}, "Test every sample once, by segmenters that never saw its group."
            ),
            "training_share": _text(share, "Share of the training groups that generators and segmenter may see."),
            "score_at": _text(
                {"enum": [TRAINING_SIZE, NATIVE_SIZE], "default": TRAINING_SIZE},
                "Whether masks are scored at training size, or at the size of each test image's mask file.",
            ),
            "score_per": _text(
                {"enum": [PER_IMAGE, PER_GROUP], "default": PER_IMAGE},
                "Whether each test image has a score, or all images of a group together, such as a volume's slices.",
            ),
            "real_images": _text({"type": "boolean", "default": True}, "Whether the segmenter trains on real images."),
            "synthesize": _text({"type": "array", "items": source}, "Sources of synthetic images; they mix freely."),
            "augment": {"type": "array", "items": reference["augmentation"]},
            "segmenter": _text(
                reference["segmenter"], "What is trained and scored; a recipe that only makes images has none."
            ),
            "sweep": _text(sweep, "A path in the recipe and the numbers to put there: one arm per number, one curve."),
        },
        required=("name", "dataset"),
    )


def _mapping(properties: Mapping[str, Any], required: tuple[str, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _component(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of ``name: {options}``: exactly one of the known names."""
    one = {"minProperties": 1, "maxProperties": 1}
    return {"description": f"One {kind}, as 'name: {{options}}'.", **_mapping(options, ()), **one}


def _text(schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {**schema, "description": description}


def _document(schema: dict[str, Any], cls: type[Any]) -> None:
    """Add the words of the class's docstring: its first line, and what it says about each option."""
    schema["title"] = cls.__name__
    schema["description"] = (inspect.getdoc(cls) or "").split("\n")[0]
    said: dict[str, str] = {}
    for owner in reversed(cls.__mro__):  # a preset may leave the options to the class it changes
        said |= option_texts(inspect.getdoc(owner) or "") if owner is not object else {}
    for name, option in schema.get("properties", {}).items():
        option.pop("title", None)
        if name in said:
            option["description"] = said[name]


def option_texts(docstring: str) -> Mapping[str, str]:
    """Return option -> what a docstring says about it, in lines such as ``size:  side in pixels``."""
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in docstring.split("\n"):
        match = _OPTION_LINE.fullmatch(line)
        if match is not None:
            names = match.group(1).split(", ")
            texts |= dict.fromkeys(names, match.group(2))
        elif names and line.startswith(" ") and line.strip():
            texts |= {name: f"{texts[name]} {line.strip()}" for name in names}
        else:
            names = []
    return texts

"""Options as data -> a validated component, or every problem with its line.

The pydantic model is made from the dataclass's own fields, so the types an author writes are the validation, the
documentation and the fingerprint. Strict: no text is taken for a number, no unknown key is ignored.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic_core import ErrorDetails

from augkit.errors import InputError, Problem, did_you_mean
from augkit.recipe import Reference
from augkit.registry import Entry


def build_component(entry: Entry, reference: Reference, problems: list[Problem]) -> Any | None:
    """Return an instance of the component with the recipe's options, or None after adding to `problems`."""
    try:
        # JSON mode is strict about types yet lets a list be a tuple and text be a path, which YAML cannot say.
        model = option_model(entry.cls).model_validate_json(json.dumps(reference.options), strict=True)
    except ValidationError as error:
        problems += [_problem(detail, entry, reference) for detail in error.errors()]
        return None
    options = {name: getattr(model, name) for name in model.model_fields_set}
    try:
        return entry.cls(**options)
    except InputError as error:
        problems += [Problem(reference.where, str(problem)) for problem in error.problems]
    except ValueError as error:
        problems.append(Problem(reference.where, f"{entry.name}: {error}"))
    return None


def option_model(cls: type[Any]) -> type[BaseModel]:
    """Return the pydantic model of a component's options, made from its dataclass fields."""
    hints = get_type_hints(cls, include_extras=True)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        if field.init:
            fields[field.name] = (hints[field.name], _default(field))
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return create_model(cls.__name__, __config__=config, **fields)


def describe_options(cls: type[Any]) -> list[tuple[str, str, str]]:
    """Return (name, type, default) of every option, as text for people; the default of a required one is ''."""
    rows = []
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        default = _default(field)
        kind = hints[field.name]
        text = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else _plain(str(kind))
        rows.append((field.name, text, "" if default is ... else _spell(default)))
    return rows


def canonical(component: object) -> dict[str, Any]:
    """Return a component's options as JSON-ready data, defaults included: what its fingerprint is made of."""
    return {field.name: _json(getattr(component, field.name)) for field in dataclasses.fields(component)}  # type: ignore[arg-type]


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return ...


def _json(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    return value


def _spell(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_spell(item) for item in value) + "]"
    return str(value)


def _plain(text: str) -> str:
    replacements = (("typing.", ""), ("pathlib.", ""), ("NoneType", "null"), ("None", "null"), ("Literal", "one of "))
    for ugly, plain in replacements:
        text = text.replace(ugly, plain)
    return text


def _problem(detail: ErrorDetails, entry: Entry, reference: Reference) -> Problem:
    path = tuple(detail["loc"])
    where = reference.place(path)
    option = ".".join(str(step) for step in path)
    if detail["type"] == "extra_forbidden":
        known = list(option_model(entry.cls).model_fields)
        return Problem(where, f"{entry.name} has no option '{option}'", did_you_mean(str(path[-1]), known))
    if detail["type"] == "missing":
        return Problem(where, f"{entry.name} needs the option '{option}'")
    found = detail["input"]
    hint = "Remove the quotes" if isinstance(found, str) and "number" in detail["msg"] + detail["type"] else ""
    if isinstance(found, str) and detail["type"] in ("int_type", "float_type", "bool_type"):
        hint = "Remove the quotes"
    message = detail["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return Problem(where, f"{entry.name}.{option}: found {_found(found)}; allowed: {message}", hint)


def _found(value: Any) -> str:
    if isinstance(value, str):
        return f"the text '{value[:40]}'"
    if isinstance(value, bool) or value is None:
        return _spell(value)
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "a mapping"
    return str(value)[:40]

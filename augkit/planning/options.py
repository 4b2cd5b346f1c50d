"""Options as data -> a validated component, or every problem with its line.

The pydantic model is made from the dataclass's own fields, so the types an author writes are the validation, the
documentation and the fingerprint. Strict: no text is taken for a number, no unknown key is ignored.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from augkit.contracts.manners import contained
from augkit.contracts.registry import Entry
from augkit.errors import InputError, Problem, did_you_mean, said_by
from augkit.planning.document import Steps, Unreadable, Value, hint_for
from augkit.planning.recipe import Reference
from augkit.store import check_seal

_PREFIX = "option_"
"""Keeps an option called ``copy`` or ``json`` apart from pydantic's own names."""


def build_component(entry: Entry, reference: Reference, problems: list[Problem]) -> Any | None:
    """Return an instance of the component with the recipe's options, or None after adding to `problems`."""
    try:
        model = option_model(entry.cls)
    except (Exception, SystemExit) as error:  # annotations and defaults are the plugin's, and may do anything
        problems.append(_plugin_problem(entry, reference, f"has options that cannot be read: {_one_line(error)}"))
        return None
    try:
        # JSON mode is strict about types yet lets a list be a tuple and text be a path, which YAML cannot say.
        values = model.model_validate_json(json.dumps(reference.options), strict=True)
    except ValidationError as error:
        problems += _problems(error.errors(), entry, reference)
        return None
    if _has_unreadable(reference.options):
        return None
    options = {name.removeprefix(_PREFIX): getattr(values, name) for name in values.model_fields_set}
    try:
        with contained():
            component = entry.cls(**options)
        _check_weights(component)
        return component
    except InputError as error:
        problems += [Problem(reference.where, f"{entry.name}: {problem}") for problem in error.problems]
    except ValueError as error:
        problems.append(Problem(reference.where, f"{entry.name}: {said_by(error)}"))
    except (Exception, SystemExit) as error:
        problems.append(_plugin_problem(entry, reference, f"failed to take its options: {_one_line(error)}"))
    return None


def _check_weights(component: Any) -> None:
    """Refuse trained weights of a sealed folder that was changed, whichever component they are for."""
    weights = getattr(component, "weights", None)
    if isinstance(weights, (str, Path)):
        check_seal(Path(weights).expanduser())


def _has_unreadable(node: Any) -> bool:
    """Tell whether something in a value was refused when it was read, and told then."""
    if isinstance(node, (dict, list)):
        return any(_has_unreadable(one) for one in (node.values() if isinstance(node, dict) else node))
    return isinstance(node, Unreadable)


def option_model(cls: type[Any]) -> type[BaseModel]:
    """Return the pydantic model of a component's options, made from its dataclass fields; aliases are the names."""
    return _model(cls)  # type: ignore[arg-type] # mypy does not see that a class is hashable


@lru_cache(maxsize=256)
def _model(cls: type[Any]) -> type[BaseModel]:
    hints = get_type_hints(cls, include_extras=True)
    fields: dict[str, Any] = {
        _PREFIX + field.name: (hints[field.name], Field(default=_default(field), alias=field.name))
        for field in _options(cls)
    }
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return create_model(cls.__name__, __config__=config, **fields)


def describe_options(cls: type[Any]) -> list[tuple[str, str, str]]:
    """Return (name, type, default) of every option, as text for people; the default of a required one is ''."""
    hints = get_type_hints(cls)
    defaults = {field.name: _default(field) for field in _options(cls)}
    return [
        (name, _plain_type(hints[name]), "" if default is ... else _spell(default, quoted=True))
        for name, default in defaults.items()
    ]


def canonical(component: object, places: bool = True) -> dict[str, Any]:
    """Return a component's options as JSON-ready data, defaults included: what its fingerprint is made of.

    places: whether options that are paths count; they do not where the files themselves do.
    """
    values = {field.name: getattr(component, field.name) for field in _options(type(component))}
    return {name: _json(value) for name, value in values.items() if places or not isinstance(value, Path)}


def _options(cls: type[Any]) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(cls) if field.init]


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return ...


def _json(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Enum):
        return _json(value.value)
    if dataclasses.is_dataclass(value):
        return canonical(value)
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_json(item) for item in value), key=repr)
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, float) and value.is_integer():
        return int(value)  # a default written 180 and a recipe's 180.0 are one option
    return value


def _spell(value: Any, quoted: bool = False) -> str:
    """Return a value as a recipe writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_spell(item, quoted) for item in value) + "]"
    if isinstance(value, Enum):
        return _spell(value.value, quoted)
    text = str(value)
    return "''" if quoted and text == "" else text


def _plain_type(hint: Any) -> str:
    """Return a type as text for people, such as ``int or null`` and ``one of none, both``."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is type(None):
        return "null"
    if origin is Literal:
        return "one of " + ", ".join(_spell(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_plain_type(argument) for argument in arguments)
    if origin is not None:
        inside = ", ".join("..." if argument is ... else _plain_type(argument) for argument in arguments)
        return f"{_plain_type(origin)}[{inside}]"
    return hint.__name__ if isinstance(hint, type) else str(hint)


def _problems(details: Sequence[ErrorDetails], entry: Entry, reference: Reference) -> list[Problem]:
    """Return one problem per option; the branches of a union are one 'or'."""
    found: dict[tuple[Steps, str], list[ErrorDetails]] = {}
    for detail in details:
        path = _path(detail, reference.options)
        special = detail["type"] if detail["type"] in (*_UNKNOWN, "missing") else ""
        found.setdefault((path, special), []).append(detail)
    return [
        problem for (path, _), same in found.items() if (problem := _problem(path, same, entry, reference)) is not None
    ]


def _path(detail: ErrorDetails, options: Mapping[str, Value]) -> Steps:
    """Return the way to the value that an error is about: its location without the names of union branches."""
    node: Any = options
    path: Steps = ()
    location = detail["loc"]
    for i, step in enumerate(location):
        is_inside = step in node if isinstance(node, dict) else isinstance(node, list) and step in range(len(node))
        if is_inside:
            path, node = (*path, step), node[step]
        elif detail["type"] == "missing" and i == len(location) - 1 and isinstance(step, str):
            path = (*path, step)
    return path


def _problem(path: Steps, same: Sequence[ErrorDetails], entry: Entry, reference: Reference) -> Problem | None:
    detail = same[0]
    where = reference.place(path)
    option = ".".join(str(step) for step in path)
    if detail["type"] in _UNKNOWN:
        cls = _class_at(entry.cls, path[:-1])
        known = [field.name for field in _options(cls)] if cls else []
        if str(path[-1]).isdigit() and _value(reference.options, path) is None:  # of {rate: 0,01}
            return Problem(where, f"{entry.name} has no option '{option}'", "Write decimals with a point, as in 0.01")
        nothing = "" if known else "It has no options"
        return Problem(where, f"{entry.name} has no option '{option}'", did_you_mean(str(path[-1]), known) or nothing)
    if detail["type"] == "missing" and isinstance(detail["loc"][-1], str):
        return Problem(where, f"{entry.name} needs the option '{option}'")
    value = _value(reference.options, path)
    if isinstance(value, Unreadable) or _counts_right_items_only(detail, value):
        return None
    if detail["type"] == "value_error":  # what a nested component found wrong with its options, in its own words
        return Problem(where, f"{entry.name}.{option}: {_allowed(detail)}")
    allowed = " or ".join(dict.fromkeys(_allowed(one) for one in same))
    hint = next((hint for one in same if (hint := _hint(value, one["type"]))), "")
    return Problem(where, f"{entry.name}.{option}: found {_found(value)}; allowed: {allowed}", hint)


def _counts_right_items_only(detail: ErrorDetails, value: Any) -> bool:
    """Tell whether a list is called too short for items that are wrong, which are told one by one."""
    least = detail.get("ctx", {}).get("min_length", 0)
    return detail["type"] == "too_short" and isinstance(value, list) and len(value) >= least


_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
"""pydantic's kinds of error for an option that a component, or a component in it, does not have."""


def _class_at(cls: type[Any], path: Steps) -> type[Any] | None:
    """Return the dataclass that takes the options at `path` within those of `cls`."""
    hint: Any = cls
    for step in path:
        if isinstance(step, str):
            inside = _dataclass_in(hint)
            hint = get_type_hints(inside).get(step) if inside else None
    return _dataclass_in(hint)


def _dataclass_in(hint: Any) -> type[Any] | None:
    """Return the dataclass that a type is or contains, as ``Circle`` in ``tuple[Circle, ...] | None``."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint
    return next((found for argument in get_args(hint) if (found := _dataclass_in(argument))), None)


def _value(options: Mapping[str, Value], path: Steps) -> Any:
    node: Any = options
    for step in path:
        node = node[step]
    return node


_ALLOWED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "path_type": "a path, as text",
    "none_required": "null",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than_equal": "{le} or less",
    "less_than": "less than {lt}",
    "multiple_of": "a multiple of {multiple_of}",
    "too_short": "{min_length} items or more",
    "too_long": "{max_length} items or fewer",
    "string_too_short": "{min_length} characters or more",
    "string_too_long": "{max_length} characters or fewer",
    "literal_error": "{expected}",
    "enum": "{expected}",
}
"""pydantic's kind of error -> what a person may write."""


def _allowed(detail: ErrorDetails) -> str:
    if detail["type"] == "missing":
        return f"{int(detail['loc'][-1]) + 1} items or more"
    template = _ALLOWED.get(detail["type"])
    if template is None:
        return detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    context = detail.get("ctx", {})
    if context.get("min_length") == 1:
        template = template.replace("items", "item").replace("characters", "character")
    return template.format(**{key: f"{fact:g}" if isinstance(fact, float) else fact for key, fact in context.items()})


_MEANT: Mapping[str, tuple[type, ...]] = {"int_type": (int,), "float_type": (int, float), "bool_type": (bool,)}


def _hint(value: Any, error: str) -> str:
    """Return what to do where text was meant as a number or truth value, or 1e3 as a whole number."""
    if isinstance(value, str) and error in _MEANT:
        return hint_for(value, _MEANT[error])
    if isinstance(value, float) and value.is_integer() and error in ("int_type", "int_from_float"):
        return f"Write {value:.0f}"
    return ""


def _plugin_problem(entry: Entry, reference: Reference, what: str) -> Problem:
    return Problem(reference.where, f"{entry.kind} '{entry.name}' {what}", f"Provided by {entry.provider}")


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {said_by(error)}"


def _found(value: Any) -> str:
    if isinstance(value, str):
        return f"the text '{value[:40]}'"
    if isinstance(value, bool) or value is None:
        return _spell(value)
    if isinstance(value, (list, dict)):
        kind = "a list" if isinstance(value, list) else "a mapping"
        return f"{kind} of {len(value)}"
    return str(value)[:40]

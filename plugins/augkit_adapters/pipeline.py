"""A pipeline of another library, written in a recipe as data: a list of ``{TransformName: {options}}``."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from augkit import InputError, Problem, did_you_mean

Step = dict[str, dict[str, Any]]


def import_library(name: str, extra: str) -> ModuleType:
    """Return a library, or say which extra of augkit installs it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        what = f"the library cannot be imported: {error}"
        raise InputError(Problem("pipeline", what, f"Run: pip install 'augkit[{extra}]'")) from None


def build_steps(steps: Sequence[Step], known: Mapping[str, Callable[..., Any]]) -> list[Any]:
    """Return the transforms that `steps` describe, or raise every problem at once.

    known: transform name -> class.
    """
    problems: list[Problem] = []
    built = [_build(step, f"pipeline.{i}", known, problems) for i, step in enumerate(steps)]
    if not steps:
        problems.append(Problem("pipeline", "is empty; allowed: a list of {TransformName: {options}}"))
    if problems:
        raise InputError(*problems)
    return built


def _build(step: Step, where: str, known: Mapping[str, Callable[..., Any]], problems: list[Problem]) -> Any:
    if len(step) != 1:
        problems.append(
            Problem(where, f"names {len(step)} transforms; allowed: one, as {{TransformName: {{options}}}}")
        )
        return None
    ((name, options),) = step.items()
    if name not in known:
        problems.append(Problem(where, f"there is no transform '{name}'", did_you_mean(name, list(known))))
        return None
    # Both libraries may take an unknown option with no more than a warning.
    taken = [key for key in inspect.signature(known[name]).parameters if key not in ("args", "kwargs", "always_apply")]
    unknown = [key for key in options if key not in taken]
    for key in unknown:
        problems.append(Problem(where, f"{name} has no option '{key}'", did_you_mean(key, taken)))
    if unknown:
        return None
    try:
        return known[name](**options)
    except Exception as error:  # the library's own checks, of any kind
        reason = str(error).strip().splitlines() or [type(error).__name__]
        problems.append(Problem(where, f"{name} refuses its options: {' '.join(reason)[:300]}"))
    return None

"""What the code says about itself: ``augkit plugin show`` and the pages of docs/reference.

``python -m augkit.authors.reference docs/reference`` writes the pages anew.
"""

from __future__ import annotations

import inspect
import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Interval, Le, Lt, MinLen

from augkit.authors.conformance import KITS, describe_check
from augkit.contracts.kinds import EXECUTOR, KINDS, Kind
from augkit.contracts.registry import Entry, Provider, Registry, load_registry
from augkit.data.formats import Takes
from augkit.planning.options import describe_options
from augkit.store import write_text

OWN = "augkit"
"""The distribution whose components the pages list; what else is installed differs from place to place."""

TAKE_NOTHING = ("dataset", EXECUTOR.name)
"""Kinds whose components are given no images."""


def describe_component(entry: Entry) -> list[str]:
    """Return a component for people, in lines: what it does, its options, who provides it under which licence."""
    lines = [f"{entry.name} ({entry.kind})", ""]
    lines += inspect.cleandoc(entry.cls.__doc__ or "").splitlines()
    lines += ["", "options:"]
    rows = option_rows(entry.cls)
    lines += [
        f"  {name}: {default or 'required'}   ({kind}{bounds and ', ' + bounds})"
        for name, kind, bounds, default in rows
    ]
    if not rows:
        lines.append("  none")
    if entry.kind not in TAKE_NOTHING:
        lines += ["", f"takes: {taken_by(entry.cls)}"]
    return [*lines, "", f"provided by: {entry.provider}", f"licence: {licence(entry.provider)}"]


def taken_by(cls: type[Any]) -> str:
    """Return what images and masks a component takes, for people."""
    takes = getattr(cls, "takes", Takes())
    return str(takes) if isinstance(takes, Takes) else "what follows from its options"


def option_rows(cls: type[Any]) -> list[tuple[str, str, str, str]]:
    """Return (name, type, bounds, default) of every option, as text for people."""
    hints = get_type_hints(cls, include_extras=True)
    return [(name, kind, _bounds(hints[name]), default) for name, kind, default in describe_options(cls)]


def _bounds(hint: Any) -> str:
    """Return the bounds written in a type, those of items included: ``4 .. 256`` or ``1 or more``."""
    found = [_plain(bound) for bound in hint.__metadata__] if get_origin(hint) is Annotated else []
    arguments = get_args(hint)[:1] if get_origin(hint) is Annotated else get_args(hint)
    inner = [_bounds(argument) for argument in arguments if get_origin(argument) is not None]
    return " and ".join(dict.fromkeys(text for text in (*found, *inner) if text))


def _plain(bound: Any) -> str:
    low, high = getattr(bound, "ge", None), getattr(bound, "le", None)
    if isinstance(bound, Interval) and low is not None and high is not None:
        return f"{low:g} .. {high:g}"
    if isinstance(bound, MinLen):
        return f"{bound.min_length} item{'' if bound.min_length == 1 else 's'} or more"
    texts = {Ge: "{} or more", Gt: "more than {}", Le: "{} or less", Lt: "less than {}"}
    for kind, text in texts.items():
        if isinstance(bound, kind):
            return text.format(getattr(bound, kind.__name__.lower()))
    return ""


def licence(provider: Provider) -> str:
    """Return the licence that a distribution declares."""
    try:
        facts = metadata(provider.distribution)
    except PackageNotFoundError:
        return "unknown"
    for field in ("License-Expression", "License"):
        if field in facts:
            return facts[field].split("\n")[0]
    marks = [one for one in facts.get_all("Classifier") or [] if one.startswith("License ::")]
    return marks[0].rpartition(" :: ")[2] if marks else "not declared"


def page(kind: Kind, registry: Registry) -> str:
    """Return the reference page of one kind, in Markdown: its contract, its checks, and the built-ins' options."""
    lines = [
        f"# The {kind.noun}",
        "",
        "*Made from the code by `python -m augkit.authors.reference docs/reference`; a test compares them.*",
        "",
        f"Hook: `{kind.hook}`, which returns a mapping from the name in {_where(kind)} to the class.",
    ]
    for protocol in kind.vocabulary:
        lines += ["", *_protocol(protocol)]
    lines += _checks(kind) if kind.name in KITS else []
    lines += ["", "## Built in"]
    for name in registry.names(kind.name):
        entry = registry.entries[kind.name, name]
        if entry.provider.distribution == OWN:
            lines += ["", *_built_in(entry)]
    return "\n".join(lines) + "\n"


def _where(kind: Kind) -> str:
    return "the user's file of clusters" if kind is EXECUTOR else "recipes"


def _checks(kind: Kind) -> list[str]:
    lines = [
        "",
        "## Checks",
        "",
        f"What `augkit plugin check` and `augkit.testing.{kind.contract}` try, on toy data:",
        "",
    ]
    lines += ["| check | what it demands |", "|---|---|"]
    return lines + [f"| `{check.__name__}` | {describe_check(check)} |" for check in KITS[kind.name].checks]


def _protocol(protocol: type[Any]) -> list[str]:
    lines = [f"## {protocol.__name__}", "", *_text(protocol.__doc__)]
    names = [name for name in vars(protocol) if not name.startswith("_") or name == "__call__"]
    for name in names:
        member = vars(protocol)[name]
        if inspect.isfunction(member) and member.__doc__:
            signature = str(inspect.signature(member)).replace("'", "").replace("self, ", "").replace("self", "")
            lines += ["", f"### `{name}{signature}`", "", *_text(member.__doc__)]
    return lines


def _built_in(entry: Entry) -> list[str]:
    lines = [f"### `{entry.name}`", "", *_text(entry.cls.__doc__)]
    if entry.kind not in TAKE_NOTHING:
        lines += ["", f"Takes {taken_by(entry.cls)}."]
    rows = option_rows(entry.cls)
    if rows:
        lines += ["", "| option | type | bounds | default |", "|---|---|---|---|"]
        lines += [f"| `{name}` | {kind} | {bounds} | {_code(default)} |" for name, kind, bounds, default in rows]
    return lines


def _code(default: str) -> str:
    return f"`{default}`" if default else "required"


def _text(docstring: str | None) -> list[str]:
    """Return a docstring as Markdown; what is aligned by blanks is set in a block."""
    lines: list[str] = []
    text = inspect.cleandoc(docstring or "").replace("``", "`")
    for paragraph in re.split(r"\n\s*\n", text):
        listed = "\n" in paragraph and re.search(r"^\s*[\w, ]+: ", paragraph, re.M) is not None
        aligned = listed or "    " in paragraph
        body = paragraph.replace("`", "") if aligned else paragraph
        lines += ["", *(["```text", *body.splitlines(), "```"] if aligned else body.splitlines())]
    return lines[1:]


def write_pages(folder: Path) -> None:
    """Write the page of every kind in `folder`."""
    registry = load_registry()
    for kind in (*KINDS.values(), EXECUTOR):
        write_text(folder / f"{kind.slug}.md", page(kind, registry))


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))

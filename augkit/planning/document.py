"""YAML text -> a tree of plain values with the line of each, and ``--set`` changes to it.

A recipe is untrusted text. It is read event by event: tags, anchors and aliases are refused and never acted on, and
reading ends at fixed limits, so a hostile file costs less than a second. Scalars follow YAML 1.2: ``1e-4`` is a number,
``yes`` and ``12:30`` are text. A value that is refused leaves an `Unreadable` behind and reading goes on, so that one
mistake does not hide the next.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from augkit.errors import Problem, did_you_mean
from augkit.planning.shipped import shipped_recipes

MAX_BYTES = 1 << 20
MAX_DEPTH = 50
MAX_VALUES = 10_000
MAX_KEY = 100
"""Characters in one key."""
MAX_WHOLE = 2**53
"""The largest whole number that JSON readers agree on."""

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]
Steps = tuple[str | int, ...]
"""The way from the root of a document to a node: keys and list positions."""

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_GLOB = re.compile(r"[*?\[]")
_NULL = ("", "~", "null", "Null", "NULL")
_GROUPED = re.compile(r"[-+]?[1-9][0-9]{0,2}(,[0-9]{3})+|[-+]?[0-9]+(_[0-9]+)+(\.[0-9]*)?([eE][-+]?[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+([eE][-+]?[0-9]+)?")
_TRUTH_WORDS = {"yes": True, "on": True, "no": False, "off": False}
_ESCAPE = re.compile(r"(?<=[\w:.])[\x00-\x1f](?=\w)")
"""A control character within words: what is left of a path where its backslash began an escape."""
_ESCAPE_ERROR = re.compile("hexa?decimal|escape char")
_CURLY = "“”„‟‘’‚«»"
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


class Unreadable(str):
    """Stands for a value whose problem was told when it was read; whoever meets it says nothing more."""

    __slots__ = ()


@dataclass
class Document:
    """A recipe's tree of plain values, the place of every node, and the text it was read from."""

    file: str
    root: Value
    places: dict[Steps, str]
    text: str = ""

    def place(self, *path: str | int) -> str:
        """Return ``file:line`` of a node, or of the nearest one around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, self.file)

    def places_below(self, path: Steps, node: Value) -> dict[Steps, str]:
        """Return the places of everything inside `node`, which is at `path`, by the way from there."""
        return {inside: self.places[*path, *inside] for inside in _ways(node) if (*path, *inside) in self.places}


@dataclass(frozen=True)
class Override:
    """One ``--set path=value``."""

    path: tuple[str, ...]
    value: Value
    text: str

    @property
    def where(self) -> str:
        """The place to name in messages."""
        return f"--set {self.text}"


def parse(text: str, file: str, problems: list[Problem], numbered: bool = True) -> Document | None:
    """Return the tree of a YAML text, or None where it has none; what is wrong is added to `problems`.

    numbered: name lines in messages; a text that is not a file has none.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    reader = _Reader(file, problems, numbered)
    try:
        for event in yaml.parse(text, Loader=loader):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        is_escape = _ESCAPE_ERROR.search(error.problem or "")
        hint = _BACKSLASH if is_escape else "Check indentation (spaces, no tabs), brackets and quotes"
        problems.append(Problem(reader.where(mark), f"not YAML: {error.problem or error.context}", hint))
    except (yaml.YAMLError, UnicodeError) as error:
        problems.append(Problem(file, f"not YAML: {str(error).splitlines()[0]}"))
    except _EndError as end:
        problems.append(end.problem)
    else:
        return Document(file, reader.root, reader.places, text)
    return None


_BACKSLASH = "In double quotes a backslash begins an escape: put a path in single quotes, or write it with '/'"


class _EndError(Exception):
    """Nothing after this point can be read."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem


class _Reader:
    """Builds plain values from YAML events, with a place for each, without recursion."""

    def __init__(self, file: str, problems: list[Problem], numbered: bool) -> None:
        self.file = file
        self.problems = problems
        self.numbered = numbered
        self.root: Value = None
        self.places: dict[Steps, str] = {}
        self._open: list[tuple[list[Value] | dict[str, Value], Steps]] = []
        self._key: list[str | None] = []
        self._documents = 0
        self._values = 0

    def where(self, mark: Any) -> str:
        return f"{self.file}:{mark.line + 1}" if self.numbered and mark is not None else self.file

    def take(self, event: yaml.Event) -> None:
        where = self.where(event.start_mark)
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise _EndError(Problem(where, "a second document begins here; allowed: one recipe per file"))
        elif isinstance(event, yaml.NodeEvent):
            self._values += 1
            if self._values > MAX_VALUES:
                raise _EndError(Problem(where, f"more than {MAX_VALUES} values; a recipe is a page of text"))
            self._node(event, where)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._open.pop()
            self._key.pop()

    def _node(self, event: yaml.NodeEvent, where: str) -> None:
        unreadable = self._refuse_indirection(event, where)
        wants_key = bool(self._open) and isinstance(self._open[-1][0], dict) and self._key[-1] is None
        if isinstance(event, (yaml.ScalarEvent, yaml.AliasEvent)):
            text = event.value if isinstance(event, yaml.ScalarEvent) else f"*{event.anchor}"
            if wants_key:
                self._begin_pair(text, where)
            else:
                self._place(Unreadable(text) if unreadable else self._scalar(event, where), where)
            return
        if len(self._open) >= MAX_DEPTH:
            raise _EndError(Problem(where, f"nested deeper than {MAX_DEPTH} levels"))
        if wants_key:
            raise _EndError(Problem(where, "a list or mapping used as a key; allowed: a word"))
        container: list[Value] | dict[str, Value] = {} if isinstance(event, yaml.MappingStartEvent) else []
        path = self._place(container, where)
        self._open.append((container, path))
        self._key.append(None)

    def _refuse_indirection(self, event: yaml.NodeEvent, where: str) -> bool:
        """Complain about aliases, anchors and tags; return whether the value itself cannot be known."""
        tag: str | None = getattr(event, "tag", None)
        if isinstance(event, yaml.AliasEvent):
            self._complain(where, f"alias '*{_clip(event.anchor)}'; allowed: plain values, written out")
        elif event.anchor is not None:
            self._complain(where, f"anchor '&{_clip(event.anchor)}'; allowed: plain values, written out")
        if tag is not None:
            shown = _clip(tag.replace("tag:yaml.org,2002:", "!!"))
            self._complain(where, f"tag '{shown}'; allowed: plain values without tags")
        return tag is not None or isinstance(event, yaml.AliasEvent)

    def _scalar(self, event: yaml.NodeEvent, where: str) -> Value:
        assert isinstance(event, yaml.ScalarEvent)
        if event.style in ("'", '"', "|", ">"):
            text: str = event.value
            escape = _ESCAPE.search(text) if event.style == '"' and _is_in_one_line(event) else None
            if escape is None:
                return text
            self._complain(where, f"{_clip(text)!r} has {escape[0]!r} within a word; allowed: letters", _BACKSLASH)
            return Unreadable(text)
        if event.value[:1] in _CURLY and event.value:
            self._complain(where, f"'{_clip(event.value)}' begins with a curly quote; allowed: ' and \"")
            return Unreadable(event.value)
        try:
            return plain_value(event.value)
        except ValueError as error:
            self._complain(where, str(error))
            return Unreadable(event.value)

    def _begin_pair(self, key: str, where: str) -> None:
        container, path = self._open[-1]
        if len(key) > MAX_KEY:
            raise _EndError(Problem(where, f"key '{_clip(key)}' has more than {MAX_KEY} characters"))
        if key in container:
            first = self.places[*path, key]
            self._complain(where, f"key '{key}' appears twice, first at {first}; allowed: once. Remove one of them")
        if not key.isprintable():
            self._complain(where, f"key {key!r} has letters that cannot be seen; allowed: spaces and printed letters")
        self._key[-1] = key

    def _place(self, value: Value, where: str) -> Steps:
        if not self._open:
            self.root = value
            self.places[()] = where
            return ()
        container, path = self._open[-1]
        if isinstance(container, dict):
            key = self._key[-1]
            assert key is not None
            self._key[-1] = None
            container[key] = value
            path = (*path, key)
        else:
            container.append(value)
            path = (*path, len(container) - 1)
        self.places[path] = where
        return path

    def _complain(self, where: str, what: str, hint: str = "") -> None:
        self.problems.append(Problem(where, what, hint))


def _is_in_one_line(event: yaml.Event) -> bool:
    begin, end = event.start_mark, event.end_mark
    return begin is not None and end is not None and begin.line == end.line


def plain_value(text: str) -> Value:
    """Return what a text without quotes means; a `ValueError` says why it means nothing."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _LEADING_ZERO.fullmatch(text):
        number = re.sub("^([-+]?)0+(?=[0-9])", r"\1", text)
        raise ValueError(f"'{_clip(text)}' begins with a zero; allowed: {_clip(number)}, or quotes for text")
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"'{text}' is not a finite number; allowed: finite numbers, or quotes for text")
    if _INTEGER.fullmatch(text):
        if len(text) > 20 or abs(int(text)) > MAX_WHOLE:
            raise ValueError(f"'{_clip(text)}' is too large; allowed: whole numbers up to 2^53, or quotes for text")
        return int(text)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if math.isinf(value):
            raise ValueError(f"'{_clip(text)}' is not a finite number; allowed: up to 1.8e308, or quotes for text")
        return value
    return text


def unquoted(text: str) -> Value:
    """Return what a text would be without its quotes, or the text where that is nothing."""
    try:
        return plain_value(text)
    except ValueError:
        return text


def hint_for(text: str, kinds: tuple[type, ...]) -> str:
    """Return what to write in place of a text that was meant as a value of one of these types; '' if it was not."""
    if type(unquoted(text)) in kinds:
        return "Remove the quotes"
    meant = _read_elsewhere(text)
    return f"Write {str(meant).lower()}" if type(meant) in kinds else ""


def _read_elsewhere(text: str) -> Value:
    """Return what YAML 1.1, a spreadsheet or a person takes a text for, or the text where that is nothing else."""
    if text.lower() in _TRUTH_WORDS:
        return _TRUTH_WORDS[text.lower()]
    if _GROUPED.fullmatch(text):
        return unquoted(re.sub("[_,]", "", text))
    if _DECIMAL_COMMA.fullmatch(text):
        return unquoted(text.replace(",", "."))
    if text.endswith("%") and _FLOAT.fullmatch(text[:-1]):
        return round(float(text[:-1]) / 100, 12)
    return text


def _clip(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= 40 else text[:40] + "…"


def _ways(node: Value, path: Steps = ()) -> Iterator[Steps]:
    """Yield the way to every node inside; `MAX_DEPTH` bounds the recursion."""
    pairs: Sequence[tuple[str | int, Value]] = ()
    if isinstance(node, dict):
        pairs = list(node.items())
    elif isinstance(node, list):
        pairs = list(enumerate(node))
    for key, child in pairs:
        yield (*path, key)
        yield from _ways(child, (*path, key))


def read_document(file: Path, problems: list[Problem]) -> Document | None:
    """Return the document in a file, or None where it has none; what is wrong is added to `problems`."""
    name = str(file)
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        problems.append(_absent(file))
        return None
    except IsADirectoryError:
        problems.append(Problem(name, "is a folder; allowed: recipe files", f"As in {file / '*.yaml'}"))
        return None
    except (OSError, ValueError) as error:  # no file can have this name
        problems.append(Problem(name, f"cannot be read: {getattr(error, 'strerror', None) or error}"))
        return None
    if len(data) > MAX_BYTES:
        problems.append(Problem(name, f"larger than {MAX_BYTES} bytes; a recipe is a page of text"))
        return None
    try:
        return parse(data.decode("utf-8-sig"), name, problems)
    except UnicodeDecodeError as error:
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        found = "UTF-16 text, as PowerShell writes it" if wide else f"not UTF-8 text (byte {error.start})"
        problems.append(Problem(name, f"{found}; allowed: UTF-8", "Save it anew with the encoding UTF-8"))
        return None


def _absent(file: Path) -> Problem:
    near = sorted(str(other) for other in file.parent.glob("*.yaml"))
    if near and _GLOB.search(file.name):
        return Problem(str(file), "no file matches this pattern", f"In that folder: {', '.join(near[:10])}")
    shipped = [] if file.suffix else list(shipped_recipes())
    hint = did_you_mean(str(file), [*near[:1000], *shipped]) or "'augkit ls' lists the recipes that come with augkit"
    return Problem(str(file), "no such recipe", hint)


def parse_overrides(texts: Sequence[str], problems: list[Problem]) -> list[Override]:
    """Return the changes asked for by ``--set`` texts; those that cannot be read go to `problems`."""
    changes = []
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals or not all(path.split(".")):
            problems.append(Problem(f"--set {text}", "not of the form path=value", "As in segmenter.unet.steps=100"))
            continue
        document = parse(value, f"--set {text}", problems, numbered=False)
        if document is not None:
            changes.append(Override(tuple(path.split(".")), document.root, text))
    return changes


def apply_override(document: Document, change: Override) -> bool:
    """Change one value of a document in place; return False when the document has nothing there to change."""
    node: Value = document.root
    path: Steps = ()
    for step in change.path[:-1]:
        child = _child(node, step)
        if child is None:
            return False
        path, node = (*path, child[0]), child[1]
    last = change.path[-1]
    if isinstance(node, dict):
        node[last] = deepcopy(change.value)
        path = (*path, last)
    elif isinstance(node, list) and (position := _position(node, last)) is not None:
        node[position] = deepcopy(change.value)
        path = (*path, position)
    else:
        return False
    document.places = {way: where for way, where in document.places.items() if way[: len(path)] != path}
    document.places[path] = change.where
    return True


def _child(node: Value, step: str) -> tuple[str | int, Value] | None:
    if isinstance(node, dict) and step in node:
        return step, node[step]
    if isinstance(node, list) and (position := _position(node, step)) is not None:
        return position, node[position]
    return None


def _position(items: list[Value], step: str) -> int | None:
    """Return the list position that a step names, or None; '²' is a digit to Python but not a position."""
    is_number = step.isascii() and step.isdigit() and len(step) < 10
    return int(step) if is_number and int(step) < len(items) else None


def unused_override(documents: Sequence[Document], change: Override) -> Problem:
    """Return the problem of an override that no document has a place for, told where one comes closest to it."""
    reached, node = max((_follow(document.root, change.path) for document in documents), key=lambda found: found[0])
    step, place = change.path[reached], ".".join(change.path[:reached])
    where = f"'{place}' of any recipe" if place else "any recipe"
    return Problem(change.where, f"there is no '{step}' in {where}", did_you_mean(step, _children(node)))


def _follow(node: Value, path: Sequence[str]) -> tuple[int, Value]:
    """Return how many steps of a path exist, and the last node reached; at most all steps but one."""
    for depth, step in enumerate(path[:-1]):
        child = _child(node, step)
        if child is None:
            return depth, node
        node = child[1]
    return len(path) - 1, node


def _children(node: Value) -> list[str]:
    if isinstance(node, list):
        return [str(i) for i in range(len(node))]
    return list(node) if isinstance(node, dict) else []

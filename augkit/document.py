"""YAML text -> a tree of plain values with the line of each, and ``--set`` changes to it.

A recipe is untrusted text. It is read event by event, so tags, anchors and aliases are refused before anything is
built and a hostile file costs no more than its bytes. Scalars follow YAML 1.2: ``1e-4`` is a number, ``yes`` and
``12:30`` are text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from augkit.errors import Problem, did_you_mean

MAX_BYTES = 1 << 20
MAX_DEPTH = 50

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]
Steps = tuple[str | int, ...]
"""The way from the root of a document to a node: keys and list positions."""

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NULL = ("", "~", "null", "Null", "NULL")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


@dataclass
class Document:
    """A recipe's tree of plain values and the place of every node."""

    file: str
    root: Value
    places: dict[Steps, str]

    def place(self, *path: str | int) -> str:
        """Return ``file:line`` of a node, or of the nearest one around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, self.file)


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


def parse(text: str, file: str, problems: list[Problem]) -> Document | None:
    """Return the tree of a YAML text, or None after adding to `problems` why it cannot be read."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    reader = _Reader(file, problems)
    before = len(problems)
    try:
        for event in yaml.parse(text, Loader=loader):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}" if mark is not None else file
        problems.append(Problem(where, f"not YAML: {error.problem or error.context}", "Check indentation and brackets"))
    except yaml.YAMLError as error:
        problems.append(Problem(file, f"not YAML: {str(error).splitlines()[0]}"))
    except _UnsafeError:
        pass
    return Document(file, reader.root, reader.places) if len(problems) == before else None


class _UnsafeError(Exception):
    """Nothing after this point can be read safely."""


class _Reader:
    """Builds plain values from YAML events, with a place for each, without recursion."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = problems
        self.root: Value = None
        self.places: dict[Steps, str] = {}
        self._open: list[tuple[list[Value] | dict[str, Value], Steps]] = []
        self._key: list[str | None] = []
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        mark: Any = event.start_mark
        where = f"{self.file}:{mark.line + 1}"
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._refuse(where, "a second document begins here; allowed: one recipe per file", stop=True)
        elif isinstance(event, yaml.AliasEvent):
            self._refuse(where, f"alias '*{event.anchor}'; allowed: plain values, written out", stop=True)
        elif isinstance(event, yaml.NodeEvent):
            if event.anchor is not None:
                self._refuse(where, f"anchor '&{event.anchor}'; allowed: plain values, written out", stop=True)
            if _tag(event) not in (None, "!"):
                self._refuse(where, f"tag '{_tag(event)}'; allowed: plain values without tags", stop=True)
            self._node(event, where)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._open.pop()
            self._key.pop()

    def _node(self, event: yaml.NodeEvent, where: str) -> None:
        if isinstance(event, yaml.ScalarEvent):
            if self._open and isinstance(self._open[-1][0], dict) and self._key[-1] is None:
                self._begin_pair(event.value, where)
            else:
                self._place(_scalar(event, where, self.problems), where)
            return
        if len(self._open) >= MAX_DEPTH:
            self._refuse(where, f"nested deeper than {MAX_DEPTH} levels", stop=True)
        if self._open and isinstance(self._open[-1][0], dict) and self._key[-1] is None:
            self._refuse(where, "a list or mapping used as a key; allowed: a word", stop=True)
        container: list[Value] | dict[str, Value] = {} if isinstance(event, yaml.MappingStartEvent) else []
        path = self._place(container, where)
        self._open.append((container, path))
        self._key.append(None)

    def _begin_pair(self, key: str, where: str) -> None:
        container, path = self._open[-1]
        if key in container:
            first = self.places[(*path, key)]
            self._refuse(where, f"key '{key}' appears twice, first at {first}; allowed: once. Remove one of them")
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

    def _refuse(self, where: str, what: str, stop: bool = False) -> None:
        self.problems.append(Problem(where, what))
        if stop:
            raise _UnsafeError


def _tag(event: yaml.NodeEvent) -> str | None:
    tag: str | None = getattr(event, "tag", None)
    return tag


def _scalar(event: yaml.ScalarEvent, where: str, problems: list[Problem]) -> Value:
    text: str = event.value
    if event.style in ("'", '"', "|", ">"):
        return text
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _LEADING_ZERO.fullmatch(text):
        problems.append(Problem(where, f"'{text}' begins with a zero; allowed: {int(text)}, or quotes for text"))
        return text
    if _NOT_FINITE.fullmatch(text):
        problems.append(Problem(where, f"'{text}' is not a finite number"))
        return text
    if _INTEGER.fullmatch(text) and len(text) <= 20:
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            problems.append(Problem(where, f"'{text[:40]}' is not a finite number"))
        return number
    return text


def read_document(file: Path, problems: list[Problem]) -> Document | None:
    """Return the document in a file, or None after adding to `problems` why there is none."""
    name = str(file)
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        near = sorted(str(other) for other in file.parent.glob("*.yaml"))
        problems.append(Problem(name, "no such recipe", did_you_mean(name, near)))
        return None
    except OSError as error:
        problems.append(Problem(name, f"cannot be read: {error.strerror}"))
        return None
    if len(data) > MAX_BYTES:
        problems.append(Problem(name, f"larger than {MAX_BYTES} bytes; a recipe is a page of text"))
        return None
    try:
        return parse(data.decode("utf-8-sig"), name, problems)
    except UnicodeDecodeError as error:
        problems.append(Problem(name, f"not UTF-8 text (byte {error.start})"))
        return None


def parse_overrides(texts: Sequence[str], problems: list[Problem]) -> list[Override]:
    """Return the changes asked for by ``--set`` texts; those that cannot be read go to `problems`."""
    changes = []
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals or not all(path.split(".")):
            problems.append(Problem(f"--set {text}", "not of the form path=value", "As in segmenter.unet.steps=100"))
            continue
        document = parse(value, f"--set {text}", problems)
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
        key, node = child
        path = (*path, key)
    key = change.path[-1]
    if isinstance(node, dict):
        node[key] = change.value
        document.places[(*path, key)] = change.where
        return True
    if isinstance(node, list) and key.isdigit() and int(key) < len(node):
        node[int(key)] = change.value
        document.places[(*path, int(key))] = change.where
        return True
    return False


def _child(node: Value, step: str) -> tuple[str | int, Value] | None:
    if isinstance(node, dict) and step in node:
        return step, node[step]
    if isinstance(node, list) and step.isdigit() and int(step) < len(node):
        return int(step), node[int(step)]
    return None


def unused_override(document: Document, change: Override) -> Problem:
    """Return the problem of an override that no document has a place for."""
    node: Value = document.root
    for depth, step in enumerate(change.path):
        child = _child(node, step)
        if child is None:
            place = ".".join(change.path[:depth]) or "the recipe"
            return Problem(change.where, f"no recipe has '{step}' in {place}", did_you_mean(step, _children(node)))
        node = child[1]
    return Problem(change.where, "applies to no recipe")


def _children(node: Value) -> list[str]:
    if isinstance(node, list):
        return [str(i) for i in range(len(node))]
    return list(node) if isinstance(node, dict) else []

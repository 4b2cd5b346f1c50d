"""What code does, as a hash. Comments, docstrings, layout and the version of Python do not count; words and numbers do.

A file counts by its syntax tree. What a file of the core does depends on the files of the core that it imports, so
these are found by following its imports: nobody keeps a list of them. Templates count where a file that counts names
them. That is how an artifact's name covers the code it was made by, and nothing else.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

CORE = Path(__file__).parent.parent

DECIDE_NO_BYTES = frozenset(
    {
        "errors",
        "store",
        "contracts/rules",
        "planning/document",
        "contracts/events",
        "contracts/hookspecs",
        "running/job",
        "training/rehearsal",
        "training/stopping",
        "planning/tasks",
    }
)
"""Core modules and rooms that no artifact's name covers: they refuse, tell, read, hold options, write, or stop."""

DRAW_ONLY = frozenset({"figures"})
"""Rooms that draw the pictures beside an artifact: a component that uses them is not another one for that."""


def core_code(module: str, root: Path = CORE, without: frozenset[str] = frozenset()) -> str:
    """Return the hash of a core module (``running/stages/report``) and of all that it imports from the core.

    root:    the folder of the core.
    without: modules and rooms that do not count besides `DECIDE_NO_BYTES`.
    """
    return _hash(_counted([module], root, DECIDE_NO_BYTES | without), root)


def core_modules(module: str, root: Path = CORE, without: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Return the files that `core_code` covers, as paths from the core's folder."""
    return tuple(path.relative_to(root).as_posix() for path in _counted([module], root, DECIDE_NO_BYTES | without))


def package_code(package: str, root: Path = CORE) -> str:
    """Return the hash of an imported package or module, and of what it imports from the core."""
    file = getattr(sys.modules.get(package), "__file__", None)
    if file is None:
        return "unknown"
    path = Path(file)
    files = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
    doors = dict.fromkeys(module for file in files for module in _core_imports(file, root))
    core = _hash(_counted(tuple(doors), root, DECIDE_NO_BYTES | DRAW_ONLY), root)
    return _combined([*_digests(files, path.parent), core])


def meaning(source: str) -> str:
    """Return the hash of what a Python source does, the same for every version of Python that can run it."""
    return _Source.read(source).digest


@dataclass(frozen=True)
class _Source:
    """A Python source: the hash of its meaning, what it imports (module, names), and the words that it holds."""

    digest: str
    imports: tuple[tuple[str, tuple[str, ...]], ...]
    templates: tuple[str, ...]

    @staticmethod
    def read(text: str) -> _Source:
        reader = _Reader()
        reader.tell(ast.parse(text))
        digest = hashlib.sha256(" ".join(reader.words).encode()).hexdigest()
        return _Source(digest, tuple(reader.imports), tuple(reader.templates))


@lru_cache(maxsize=4096)
def _source(path: Path) -> _Source:
    return _Source.read(path.read_text(encoding="utf-8"))


def _counted(modules: Sequence[str], root: Path, without: frozenset[str]) -> list[Path]:
    """Return the files of these core modules and of all that they import, sorted; packages only hand on."""
    found: set[Path] = set()
    waiting = list(modules)
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in seen or without & {module, module.partition("/")[0]}:
            continue
        seen.add(module)
        path = root / f"{module}.py"
        waiting += _core_imports(path, root)
        found |= {path, *_templates(path)}
    return sorted(found)


def _core_imports(path: Path, root: Path) -> Iterator[str]:
    """Yield the core modules that a file imports when it runs, each where the imported name is defined."""
    for module, names in _source(path).imports:
        if module.partition(".")[0] == "augkit":
            for name in names:
                yield from _home(module, name, root)


@lru_cache(maxsize=4096)
def _home(module: str, name: str, root: Path) -> tuple[str, ...]:
    """Return the core modules that ``from <module> import <name>`` is about, followed through packages.

    A package that is imported as a whole, without a name or with ``*``, is about all that it hands on.
    """
    parts = module.split(".")[1:]
    inner = "/".join([*parts, name])
    if name and (root / f"{inner}.py").is_file():
        return (inner,)
    if parts and (root / f"{'/'.join(parts)}.py").is_file():
        return ("/".join(parts),)
    file = root.joinpath(*parts, "__init__.py")
    imports = _source(file).imports if file.is_file() else ()
    handed_on = [(of, one) for of, names in imports for one in names if name in ("", "*", one)]
    ours = [(of, one) for of, one in handed_on if of.partition(".")[0] == "augkit"]
    return tuple(dict.fromkeys(home for of, one in ours for home in _home(of, one, root)))


def _templates(path: Path) -> Iterator[Path]:
    """Yield the templates beside a module that it names, and those that these name."""
    known = {file.name: file for file in (path.parent / "templates").glob("*.j2")}
    waiting = [name for name in _source(path).templates if name in known]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            yield known[name]
            waiting += [other for other in known if f'"{other}"' in _template_text(known[name])]


def _hash(files: Sequence[Path], root: Path) -> str:
    return _combined(_digests(files, root))


def _digests(files: Sequence[Path], root: Path) -> Iterator[str]:
    for file in files:
        is_python = file.suffix == ".py"
        digest = _source(file).digest if is_python else hashlib.sha256(_template_text(file).encode()).hexdigest()
        yield f"{file.relative_to(root).as_posix()} {digest}"


def _combined(lines: Sequence[str] | Iterator[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


_COMMENT = re.compile(r"\{#(-?)(?:(?!#\}).)*?(-?)#\}", re.DOTALL)


@lru_cache(maxsize=64)
def _template_text(path: Path) -> str:
    """Return a Jinja template without its comments; those that trim white space leave a sign of it."""
    return _COMMENT.sub(lambda found: f"{{#{found[1]}{found[2]}#}}".replace("{##}", ""), path.read_text("utf-8"))


_NOTED = {ast.Constant, ast.Import, ast.ImportFrom}

_SILENT = {"ctx", "kind", "type_comment", "type_ignores"}
"""Fields of a syntax tree that say nothing about what the code does."""


class _Reader:
    """Says a syntax tree in words, and notes the imports that run and the names of templates on the way."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.imports: list[tuple[str, tuple[str, ...]]] = []
        self.templates: list[str] = []
        self._runs = True

    def tell(self, value: object) -> None:
        """Say a node, a list of them, or a constant.

        Empty fields are left out, because newer Pythons have some that older ones lack.
        """
        if isinstance(value, ast.AST):
            kind = type(value)
            if kind in _NOTED:
                self._note(value)
            self.words.append(f"({kind.__name__}")
            runs, self._runs = self._runs, self._runs and not (kind is ast.If and _is_for_types(value))
            for field in value._fields:
                inner = getattr(value, field, None)
                if inner is None or inner == [] or field in _SILENT:
                    continue
                if field == "orelse":
                    self._runs = runs
                self.words.append(field)
                self.tell(_merged(inner) if kind is ast.JoinedStr else inner)
            self._runs = runs
            self.words.append(")")
        elif isinstance(value, list):
            self.words.append("[")
            for item in value:
                if not _does_nothing(item):
                    self.tell(item)
            self.words.append("]")
        else:
            self.words.append(ascii(value))

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and node.value.endswith(".j2"):
                self.templates.append(node.value)
        elif self._runs and isinstance(node, ast.Import):
            self.imports += [(alias.name, ("",)) for alias in node.names]
        elif self._runs and isinstance(node, ast.ImportFrom) and node.module and not node.level:
            self.imports.append((node.module, tuple(alias.name for alias in node.names)))


def _does_nothing(node: object) -> bool:
    """Tell whether this is the statement ``pass``, or text on its own: a docstring."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.Pass)


def _merged(parts: Sequence[ast.expr]) -> list[ast.expr]:
    """Return the parts of an f-string with neighbouring texts joined: Python versions cut them differently."""
    joined: list[ast.expr] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, ast.Constant) and isinstance(last, ast.Constant):
            joined[-1] = ast.Constant(str(last.value) + str(part.value))
        elif not (isinstance(part, ast.Constant) and part.value == ""):
            joined.append(part)
    return joined


def _is_for_types(node: ast.AST) -> bool:
    """Tell whether this is ``if TYPE_CHECKING:``, whose body runs for no one."""
    test = node.test if isinstance(node, ast.If) else None
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else ""
    return name == "TYPE_CHECKING"

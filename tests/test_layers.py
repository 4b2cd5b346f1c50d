"""The architecture as a test: the order of the rooms, no circles, doors for plugins, no torch before it is needed.

Imports inside functions and under TYPE_CHECKING count.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import augkit

CORE = Path(augkit.__file__).parent
PLUGINS = CORE.parent / "plugins"

FLOORS = (
    {"starting", "errors", "amounts"},
    {"store"},
    {"data"},
    {"contracts"},
    {"metrics", "figures", "images"},
    {"training", "planning", "quality"},
    {"report"},
    {"running"},
    {"sharing", "searching", "executors"},
    {"face"},
    {"authors"},
    {"testing"},
    {"commands"},
    {"cli"},
)
"""Rooms and doors from the ground up: each may import from the floors below, and a room from itself."""

DOORS = {
    "augkit",
    "augkit.amounts",
    "augkit.executors",
    "augkit.figures",
    "augkit.images",
    "augkit.metrics",
    "augkit.store",
    "augkit.training",
}
"""What plugins import from the core; CONTRIBUTING.md lists them too. `augkit.testing` is for their tests."""

MOST_MODULES = 16
"""In one folder."""


def module_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join((root.name, *(part for part in parts if part != "__init__")))


def sources(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*.py")) if "templates" not in path.parts]


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Every module that a file imports, anywhere in it; of ``from a import b`` both ``a.b`` and ``a``."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
            names.append(str(node.module))
    return tuple(dict.fromkeys(names))


def rooms_imported(path: Path) -> set[str]:
    """The rooms and doors of the core that a file of it imports."""
    parts = [name.split(".") for name in imports(path)]
    known = set().union(*FLOORS)
    return {part[1] for part in parts if part[0] == "augkit" and len(part) > 1 and part[1] in known}


def test_every_room_and_door_has_its_floor():
    rooms = {path.parent.name for path in CORE.glob("*/__init__.py")}
    doors = {path.stem for path in CORE.glob("*.py")} - {"__init__", "__main__"}
    assert set().union(*FLOORS) == rooms | doors


def test_rooms_import_only_from_the_floors_below():
    floor = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
    offences = [
        f"{path.relative_to(CORE)} imports {other}"
        for path in sources(CORE)
        if (room := path.relative_to(CORE).with_suffix("").parts[0]) not in ("__init__", "__main__")
        for other in rooms_imported(path)
        if other != room and floor[other] >= floor[room]
    ]
    assert offences == []


def circles(root: Path) -> Iterator[list[str]]:
    """Yield the groups of modules that import each other in a circle; a package that hands on is no part of one."""
    files = {module_of(path, root): path for path in sources(root) if path.name != "__init__.py"}
    graph = {name: [other for other in imports(path) if other in files] for name, path in files.items()}
    reach = {name: reached(name, graph) for name in graph}
    seen: set[str] = set()
    for name in graph:
        circle = sorted(other for other in reach[name] if name in reach[other])
        if circle and not seen.intersection(circle):
            seen.update(circle)
            yield circle


def reached(name: str, graph: dict[str, list[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(graph[name])
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += graph[other]
    return found


@pytest.mark.parametrize(
    "root", [CORE, *sorted(path for path in PLUGINS.iterdir() if path.is_dir())], ids=lambda p: p.name
)
def test_no_modules_import_each_other_in_a_circle(root):
    assert list(circles(root)) == []


def test_no_folder_is_too_full():
    folders = {path.parent for path in [*sources(CORE), *sources(PLUGINS)]}
    counts = {folder: len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) for folder in folders}
    assert {folder.name: count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_the_core_imports_no_plugin():
    offences = [
        f"{path.name} imports {name}" for path in sources(CORE) for name in imports(path) if name.startswith("augkit_")
    ]
    assert offences == []


def past_the_doors(path: Path, root: Path) -> Iterator[str]:
    """Yield what a plugin's file imports besides doors of the core, itself, and what is no part of augkit."""
    inside = {module_of(file, CORE) for file in sources(CORE)} - DOORS
    for name in imports(path):
        top = name.partition(".")[0]
        if name in inside or (top.startswith("augkit_") and top != root.name):
            yield name


def test_plugins_import_doors_and_themselves_only():
    offences = [
        f"{path.relative_to(PLUGINS)} imports {name}"
        for root in PLUGINS.iterdir()
        for path in sources(root)
        for name in past_the_doors(path, root)
    ]
    assert offences == []


def test_contributing_lists_the_doors():
    page = (CORE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [door for door in sorted(DOORS) if f"`{door}`" not in page] == []


def test_help_validate_and_plugin_list_do_not_import_torch():
    recipe = CORE.parent / "recipes" / "allaug.yaml"
    for arguments in (
        ["--help"],
        ["validate", str(recipe)],
        ["plugin", "list"],
        ["plan", str(recipe)],
        ["schema"],
        ["ls"],
    ):
        code = (
            "import sys, atexit\n"
            "atexit.register(lambda: sys.stderr.write(f'torch imported: {\"torch\" in sys.modules}'))\n"
            f"sys.argv = ['augkit', *{arguments!r}]\n"
            "from augkit.cli import main; main()"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "torch imported: False" in done.stderr, arguments

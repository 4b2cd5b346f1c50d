"""``augkit plugin new``: a package with one component that works, its test and a recipe."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from augkit.contracts.kinds import Kind
from augkit.contracts.registry import Registry
from augkit.errors import InputError, Problem
from augkit.store import write_text


def write_package(name: str, kind: Kind, parent: Path, registry: Registry) -> Path:
    """Write the package ``augkit-NAME`` in `parent` and return its folder. Raises `InputError` before it writes."""
    folder = parent / f"augkit-{name}"
    problems = []
    if re.fullmatch("[a-z][a-z0-9]*(-[a-z0-9]+)*", name) is None or len(name) > 40:
        what = f"found '{name}'; allowed: up to 40 lower-case letters and digits in words joined by '-'"
        problems.append(Problem("name", what, "As in stripes or soft-edges"))
    elif (kind.name, name) in registry.entries:
        what = f"a {kind.name} called '{name}' is installed already, from {registry.entries[kind.name, name].provider}"
        problems.append(Problem("name", what, "Choose another name"))
    if len(name) <= 40 and folder.exists():
        problems.append(Problem(str(folder), "exists already", "Choose another name or --out"))
    if problems:
        raise InputError(*problems)
    module = f"augkit_{name.replace('-', '_')}"
    facts = {
        "name": name,
        "distribution": f"augkit-{name}",
        "module": module,
        "cls": "".join(word.capitalize() for word in name.split("-")),
        "kind": kind.name,
        "noun": kind.noun,
        "summary": kind.starts_as,
        "contract": kind.contract,
    }
    environment = Environment(
        loader=PackageLoader("augkit.authors"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    files = {
        "pyproject.toml": "pyproject.toml.j2",
        "README.md": "README.md.j2",
        "recipe.yaml": "recipe.yaml.j2",
        f"src/{module}/__init__.py": f"{kind.slug}.py.j2",
        f"tests/test_{module}.py": "test.py.j2",
    }
    for path, template in files.items():
        text = environment.get_template(template).render(facts)
        write_text(folder / path, re.sub("\n{3,}$", "\n", text.rstrip("\n") + "\n"))
    return folder

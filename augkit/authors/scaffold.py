"""``augkit plugin new``: a package with one component that works, its test and a recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from augkit.contracts.hookspecs import HOOK_OF_KIND
from augkit.contracts.registry import Registry
from augkit.errors import InputError, Problem
from augkit.store import write_text

SUMMARIES: Mapping[str, str] = {
    "generator": "Paint lesion and skin in the training images' mean colours, with noise.",
    "mask source": "Draw discs as large as the training masks.",
    "augmentation": "Mirror half of the samples and darken them a little.",
    "segmenter": "Call everything foreground that is darker than a learnt level.",
    "dataset": "Draw dark discs on bright, noisy ground.",
}
"""Component kind -> what the component of a new package does."""

CONTRACTS: Mapping[str, str] = {
    "generator": "GeneratorContract",
    "mask source": "MaskSourceContract",
    "augmentation": "AugmentationContract",
    "segmenter": "SegmenterContract",
    "dataset": "DatasetContract",
}


def kind_named(text: str) -> str:
    """Return the kind that a person means: ``mask-source`` is a mask source. Raises `InputError`."""
    kind = text.replace("-", " ")
    if kind not in HOOK_OF_KIND:
        allowed = ", ".join(one.replace(" ", "-") for one in HOOK_OF_KIND)
        raise InputError(Problem("--kind", f"found '{text}'; allowed: {allowed}"))
    return kind


def write_package(name: str, kind: str, parent: Path, registry: Registry) -> Path:
    """Write the package ``augkit-NAME`` in `parent` and return its folder. Raises `InputError` before it writes."""
    folder = parent / f"augkit-{name}"
    problems = []
    if re.fullmatch("[a-z][a-z0-9]*(-[a-z0-9]+)*", name) is None or len(name) > 40:
        what = f"found '{name}'; allowed: up to 40 lower-case letters and digits in words joined by '-'"
        problems.append(Problem("name", what, "As in stripes or soft-edges"))
    elif (kind, name) in registry.entries:
        what = f"a {kind} called '{name}' is installed already, from {registry.entries[kind, name].provider}"
        problems.append(Problem("name", what, "Choose another name"))
    if folder.exists():
        problems.append(Problem(str(folder), "exists already", "Choose another name or --out"))
    if problems:
        raise InputError(*problems)
    module = f"augkit_{name.replace('-', '_')}"
    facts = {
        "name": name,
        "distribution": f"augkit-{name}",
        "module": module,
        "cls": "".join(word.capitalize() for word in name.split("-")),
        "kind": kind,
        "noun": "data set" if kind == "dataset" else kind,
        "summary": SUMMARIES[kind],
        "contract": CONTRACTS[kind],
    }
    environment = Environment(
        loader=PackageLoader("augkit.authors"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    files = {
        "pyproject.toml": "pyproject.toml.j2",
        "README.md": "README.md.j2",
        "recipe.yaml": "recipe.yaml.j2",
        f"src/{module}/__init__.py": f"{kind.replace(' ', '-')}.py.j2",
        f"tests/test_{module}.py": "test.py.j2",
    }
    for path, template in files.items():
        text = environment.get_template(template).render(facts)
        write_text(folder / path, re.sub("\n{3,}$", "\n", text.rstrip("\n") + "\n"))
    return folder

"""Weights trained elsewhere: a file of another program's -> a folder that a generator can open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from augkit.contracts.registry import Entry, Registry
from augkit.errors import InputError, Problem
from augkit.store import (
    check_place,
    check_seal,
    draft_beside,
    explained,
    named_by,
    publish_folder,
    remove_folder,
    seal,
)

KIND = "generator"


def import_weights(file: Path, folder: Path, generator: str | None, registry: Registry) -> Sequence[str]:
    """Let a generator read `file` and write what it opens into `folder`; return what it says and how to use it.

    generator: its name; None takes the only one that imports weights. Raises `InputError` for a file it does not take,
    for one of a sealed folder that was changed, and for a folder that holds something; then nothing is written.
    """
    entry = _importer(generator, registry)
    if not file.is_file():
        raise InputError(Problem(str(file), "is not a file", "Give a file of weights, such as latest_net_G.pth"))
    check_place(folder, "--to")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(Problem(str(folder), "exists and is not an empty folder", "Choose another one with --to"))
    check_seal(file)
    draft = draft_beside(folder)
    with named_by("--to"), explained(folder):
        try:
            sentences: Sequence[str] = entry.cls.import_weights(file, draft)
            seal(draft, {"generator": entry.name, "provider": str(entry.provider)})
            publish_folder(draft, folder)
        finally:
            remove_folder(draft)
    return [*sentences, f"In a recipe: generator: {{{entry.name}: {{weights: {folder}}}}}"]


def _importer(name: str | None, registry: Registry) -> Entry:
    able = [registry.entries[KIND, one] for one in registry.names(KIND)]
    able = [entry for entry in able if callable(getattr(entry.cls, "import_weights", None))]
    names = ", ".join(entry.name for entry in able) or "none that is installed"
    if name is not None:
        entry = registry.find(KIND, name, "--generator")
        if isinstance(entry, Problem):
            raise InputError(entry)
        if entry not in able:
            what = f"{KIND} '{name}' does not import weights; allowed: {names}"
            raise InputError(Problem("--generator", what, f"Provided by {entry.provider}"))
        return entry
    # A preset inherits what it does not define, and is no other importer.
    own = [entry for entry in able if "import_weights" in vars(entry.cls)]
    if len(own) != 1:
        raise InputError(Problem("--generator", f"is needed to say which generator reads the file; allowed: {names}"))
    return own[0]

"""Seals: the hash of every file of a folder, so that a change of any byte of it is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from augkit.errors import InputError, Problem
from augkit.store.writing import to_json, write_text

MANIFEST = "artifact.json"

SCHEMA = 1

FileFacts = Mapping[str, int | str]
"""What is sealed of a file: ``bytes`` and ``sha256``."""


def manifest_of(files: Mapping[str, bytes], facts: Mapping[str, Any]) -> bytes:
    """Return what `seal` would write into a folder of these files."""
    listed = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in sorted(files.items())
    }
    return sealed({"schema": SCHEMA, **facts, "files": listed}).encode()


def seal(folder: Path, facts: Mapping[str, Any], written: Mapping[Path, FileFacts] | None = None) -> None:
    """Record `facts` and the hash of every file, so that `find_damage` can tell whether the folder is whole.

    written: what `write_unflushed` returned of some of the files, which are then not read again.
    """
    known = written or {}
    files = {path.relative_to(folder).as_posix(): known.get(path) or _facts_of(path) for path in files_in(folder)}
    write_text(folder / MANIFEST, sealed({"schema": SCHEMA, **facts, "files": files}))


def find_damage(folder: Path) -> list[str]:
    """Return what is wrong with a sealed folder: files missing, changed or unlisted; empty when it is sound."""
    try:
        files: Mapping[str, Any] = dict(sealed_manifest(folder)["files"].items())
    except _BrokenSealError as error:
        return [str(error)]
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        return [f"{MANIFEST} cannot be read ({type(error).__name__})"]
    present = {path.relative_to(folder).as_posix(): path for path in files_in(folder)} if folder.is_dir() else {}
    damage = [f"{name} is missing" for name in files if name not in present]
    damage += [f"{name} was added" for name in added_files(folder, files)]
    for name, facts in files.items():
        if name in present and facts != _facts_of(present[name]):
            damage.append(f"{name} does not have the bytes that were written")
    return damage


def check_seal(path: Path) -> None:
    """Refuse a sealed folder, or a file in one, of which any byte was changed; what nobody sealed passes.

    Raises `InputError`.
    """
    folder = path if path.is_dir() else path.parent
    if (folder / MANIFEST).is_file() and (damage := find_damage(folder)):
        hint = "Import or train it again: a changed one would be used without a word"
        raise InputError(*(Problem(str(folder), what, hint) for what in damage))


def added_files(folder: Path, files: Mapping[str, Any]) -> list[str]:
    """Return the names of the files in a sealed folder that its manifest's `files` do not list."""
    return [name for path in files_in(folder) if (name := path.relative_to(folder).as_posix()) not in files]


class _BrokenSealError(ValueError):
    """A manifest does not have the bytes that were written."""


def sealed_manifest(folder: Path) -> Mapping[str, Any]:
    """Return the manifest of a sealed folder; `_BrokenSealError` where any byte of it was changed."""
    text = (folder / MANIFEST).read_text(encoding="utf-8")
    manifest: Mapping[str, Any] = json.loads(text)
    if text != sealed({key: value for key, value in manifest.items() if key != "seal"}):
        raise _BrokenSealError(f"{MANIFEST} does not have the bytes that were written")
    return manifest


def sealed(manifest: Mapping[str, Any]) -> str:
    """Return the text of a manifest that carries its own hash, so that a change of any byte of it is found too."""
    return to_json({**manifest, "seal": hashlib.sha256(to_json(manifest).encode()).hexdigest()})


def files_in(folder: Path) -> list[Path]:
    """Return the files of a folder, sorted, but for its manifest."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)


def _facts_of(path: Path) -> FileFacts:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

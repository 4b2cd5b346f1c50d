"""A report for a co-author: what it takes to compute it again, without images and without this machine's own paths."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from augkit.amounts import bytes_text
from augkit.errors import InputError, Problem
from augkit.report.origin import read_origin
from augkit.report.recorded import read_report
from augkit.sharing.zips import is_plain, read_zip, zip_bytes
from augkit.store import MANIFEST, manifest_of, read_json, write_bytes

_TEXTS = (".json", ".csv", ".html", ".yaml", ".txt", ".svg")
_IMG = re.compile(r'<img class="([^"]*)" src="[^"]*" alt="([^"]*)"[^>]*>')


@dataclass(frozen=True)
class Shared:
    """A report packed: the name of its folder, its files, and paths in its recipes that are of this machine."""

    name: str
    files: Mapping[str, bytes]
    paths: tuple[str, ...]

    def zipped(self) -> bytes:
        """Return the zip."""
        return zip_bytes(self.name, self.files)

    def contents(self) -> Iterator[tuple[str, str]]:
        """Yield what is in it, folder by folder: its name, and how much."""
        for top in dict.fromkeys(name.partition("/")[0] for name in sorted(self.files)):
            sizes = [len(data) for name, data in self.files.items() if name.partition("/")[0] == top]
            yield (
                top,
                f"{len(sizes)} files, {bytes_text(sum(sizes))}" if top not in self.files else bytes_text(sizes[0]),
            )


def pack(folder: Path, pictures: bool) -> Shared:
    """Return the files of a report as they are to be shared.

    pictures: also those that show images, real or synthetic; without them the page says what was left out. Plots stay.

    The user's home folder becomes ``~`` wherever it is named. The seal is made anew.
    """
    report, origin = read_report(folder), read_origin(folder)
    manifest = read_json(folder / MANIFEST)
    files = {name: (folder / name).read_bytes() for name in manifest["files"]}
    if not pictures:
        images = [name for name in files if name.endswith(".png") and f"{name[:-4]}.svg" not in files]
        files = {name: data for name, data in files.items() if name not in images}
        files["report.html"] = _without_images(files["report.html"].decode()).encode()
    files = {name: _without_home(data) if name.endswith(_TEXTS) else data for name, data in files.items()}
    paths = tuple(dict.fromkeys(path for one in origin.recipes for path in _places(files[one.file])))
    facts = {name: value for name, value in manifest.items() if name not in ("schema", "files", "seal")}
    facts = json.loads(_without_home(json.dumps(facts).encode())) | {"shared": {"pictures": pictures}}
    name = folder.name if is_plain(folder.name) else "report"
    files["README.txt"] = _readme(name, _without_home(report.command.encode()).decode(), origin.environment)
    return Shared(name, files | {MANIFEST: manifest_of(files, facts)}, paths)


def write_shared(shared: Shared, target: Path) -> bool:
    """Write the zip; returns False where the same one is there already, and refuses anything else there."""
    data = shared.zipped()
    if target.is_file() and target.read_bytes() == data:
        return False
    if target.exists():
        raise InputError(Problem(str(target), "exists; allowed: a new file", "Give another name, or move it away"))
    write_bytes(target, data)
    read_zip(target)  # what cannot be read again is no help to anybody
    return True


def _without_images(page: str) -> str:
    """Return the page with a note in place of each picture that is no plot."""

    def kept(found: re.Match[str]) -> str:
        if "plot" in found[1].split():
            return found[0]
        return f'<p class="note">Left out when this report was shared: {html.escape(html.unescape(found[2]))}.</p>'

    return _IMG.sub(kept, page)


def _without_home(data: bytes) -> bytes:
    """Return text with the home folder as ``~``, however JSON or HTML spell it."""
    for home in dict.fromkeys((str(Path.home()), str(Path.home().resolve()))):
        if len(home) > 2:
            for spelling in dict.fromkeys((home, json.dumps(home)[1:-1], html.escape(home))):
                data = re.sub(re.escape(spelling.encode()) + rb"(?![A-Za-z0-9_.-])", b"~", data)
    return data


def _places(recipe: bytes) -> Iterator[str]:
    """Yield the values of a recipe that are absolute paths."""
    waiting: list[Any] = [yaml.safe_load(recipe)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and (Path(value).is_absolute() or value.startswith("~")):
            yield value


def _readme(name: str, command: str, environment: Mapping[str, object]) -> bytes:
    versions = "".join(f"  {key:<14} {value}\n" for key, value in environment.items())
    text = f"""{name}: a report of augkit, to be computed again.

  augkit reproduce THIS.zip        (or this folder)

checks data and versions first, runs the command below anew and compares every score. Where the data lie elsewhere:
--set dataset.folder.root=PLACE (paths in recipes are as they were on the first machine; ~ is the home folder).

  {command}

report.html    the report              recipes/   the recipes as resolved: what is run again
report.json    the same for machines   written/   the recipes as somebody wrote them
per_image.csv  every score             origin.json  hashes of data and code, options, seeds, versions of every stage

Made with:
{versions}"""
    return text.encode()

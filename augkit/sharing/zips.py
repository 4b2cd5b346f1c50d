"""A report as one zip: written so that equal reports give equal bytes, and read as a stranger's file.

A zip is read into memory, within limits, and every name in it is held to one rule, before anything is written.
"""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from augkit.errors import AugkitError, InputError, Problem
from augkit.planning.recipe import is_device
from augkit.report.origin import ORIGIN
from augkit.report.recorded import find_report
from augkit.store import MANIFEST, temporary_folder

NEEDED = (MANIFEST, "report.json", "per_image.csv", ORIGIN)

MOST_FILES = 2000
MOST_BYTES = 1 << 29
"""Of all files of a report, unpacked."""

_TIME = (1980, 1, 1, 0, 0, 0)
_PLAIN = r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,159}"
_NAME = re.compile(rf"{_PLAIN}(/{_PLAIN}){{1,5}}")
_BROKEN = (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zlib.error, KeyError)
_MINE = "Allowed: what augkit share wrote"


def is_plain(name: str) -> bool:
    """Tell whether a file or folder that is handed on may be called this: the name is the same on every system."""
    return re.fullmatch(_PLAIN, name) is not None and not name.endswith(".") and not is_device(name)


def zip_bytes(folder: str, files: Mapping[str, bytes]) -> bytes:
    """Return a zip with these files in one folder; its bytes depend on nothing else."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{folder}/{name}", _TIME)
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED, 9)
    return buffer.getvalue()


def read_zip(path: Path) -> tuple[str, Mapping[str, bytes]]:
    """Return the folder's name and the files of a zip that `zip_bytes` wrote; `InputError` for any other."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not _is_folder(entry)]
            _check(path, entries)
            files = {entry.filename: _content(archive, entry) for entry in entries}
    except _BROKEN as error:
        what = f"cannot be read as a zip ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
        raise InputError(Problem(str(path), what, _MINE)) from error
    folder = next(iter(files)).partition("/")[0]
    return folder, {name.partition("/")[2]: data for name, data in files.items()}


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """Give the folder of a report: `path`, the only one in a folder of runs, or a zip unpacked elsewhere for a while.

    What is wrong in it is told with the zip's own name.
    """
    if not path.is_file():
        yield find_report(path)
        return
    name, files = read_zip(path)
    with temporary_folder({f"{name}/{file}": data for file, data in files.items()}) as folder:
        try:
            yield folder / name
        except AugkitError as error:
            error.problems = tuple(_renamed(problem, str(folder), str(path)) for problem in error.problems)
            raise


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    """Tell whether an entry only names a folder, as programs that pack by hand write them."""
    return entry.filename.endswith("/") and entry.file_size == 0 and _NAME.fullmatch(f"{entry.filename}x") is not None


def _check(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    def refuse(what: str) -> None:
        raise InputError(Problem(str(path), what, _MINE))

    names = [entry.filename for entry in entries]
    if len(entries) > MOST_FILES:
        refuse(f"holds {len(entries)} files; allowed: up to {MOST_FILES}")
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if _NAME.fullmatch(entry.filename) is None or not all(map(is_plain, entry.filename.split("/"))):
            refuse(f"holds a file called {entry.filename[:80]!r}; allowed: one folder of plain names")
        if kind not in (0, stat.S_IFREG):
            refuse(f"holds {entry.filename}, which is a link or another special file; allowed: plain files")
        if entry.flag_bits & 1:
            refuse(f"holds {entry.filename}, which is encrypted; allowed: plain files")
    size = sum(entry.file_size for entry in entries)
    if size > MOST_BYTES:
        refuse(f"holds {size / 1e6:.0f} MB unpacked; allowed: up to {MOST_BYTES / 1e6:.0f} MB")
    folded = [name.casefold() for name in names]
    if len(set(folded)) < len(folded):
        twice = next(name for name in names if folded.count(name.casefold()) > 1)
        refuse(f"holds {twice} twice; allowed: each file once")
    folders = sorted({name.partition("/")[0] for name in names})
    if len(folders) != 1:
        refuse(f"holds {len(folders)} folders; allowed: one, of one report")
    missing = [name for name in NEEDED if f"{folders[0]}/{name}" not in names]
    if missing:
        refuse(f"lacks {', '.join(missing)}")


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return the bytes of a file, no more than it claims to have."""
    with archive.open(entry) as stream:
        data = stream.read(entry.file_size)
        if len(data) != entry.file_size or stream.read(1):
            raise zipfile.BadZipFile(f"{entry.filename} has another size than it claims")
    return data


def _renamed(problem: Problem, folder: str, name: str) -> Problem:
    where, what, hint = (text.replace(folder, name) for text in (problem.where, problem.what, problem.hint))
    return replace(problem, where=where, what=what, hint=hint)

"""The one folder beside the artifacts for what is augkit's own business: work, locks, and what may be removed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from augkit.errors import InputError, Problem
from augkit.store.explaining import explained
from augkit.store.owners import PRIVATE

_MARKER = "THIS-FOLDER-IS-AUGKITS.txt"

_ABOUT_PRIVATE = """augkit made this folder, works in it, and removes what is no longer needed. Keep nothing here.

damaged   artifacts whose bytes had changed
errors    tracebacks of stages that failed
jobs      what was submitted to a cluster
locks     which process builds what
runs      runs that have begun and not ended
trash     what is being removed
work      what is being built, with checkpoints to continue from
"""


def private_folder(root: Path) -> Path:
    """Return the private folder beside the artifacts of `root`, which need not exist.

    Raises `InputError` where something of its name is there that augkit did not make.
    """
    folder = root / PRIVATE
    try:
        link = next((place for place in (folder, *folder.glob("*")) if place.is_symlink()), None)
        strange = _is_strange(folder)
    except OSError as error:
        raise InputError(Problem(str(folder), f"cannot be read: {error.strerror}")) from error
    if link is not None:  # what is removed must lie where it seems to lie
        what = "is a link; allowed: a folder in its place"
        raise InputError(Problem(str(link), what, "Let --out itself lead elsewhere instead"))
    if strange:
        what = f"was not made by augkit (it has no {_MARKER}) and is left alone"
        raise InputError(Problem(str(folder), what, "Choose another folder with --out, or move this one away"))
    return folder


def _is_strange(folder: Path) -> bool:
    """Tell whether a folder is somebody else's. An empty one is not: a process killed while making it leaves that."""
    if not folder.exists():
        return False
    marker = folder / _MARKER
    # Looked for twice, because another process may make both the marker and what is listed here meanwhile.
    return not folder.is_dir() or (not marker.exists() and any(folder.iterdir()) and not marker.exists())


def make_private_folder(root: Path) -> Path:
    """Return the private folder of `root`, made and marked if need be. Raises as `private_folder` does."""
    folder = private_folder(root)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError), (folder / _MARKER).open("x", encoding="utf-8") as stream:
            stream.write(_ABOUT_PRIVATE)
    return folder

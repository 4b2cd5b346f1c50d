"""The artifact store: the only place that writes files.

An artifact is a folder named by the fingerprint of everything that went into it. It is built in a work folder, sealed
with the SHA-256 of every file, flushed to disk and published by one rename, so that a reader sees all of it or none.
Readers verify the hashes; a damaged artifact is set aside and built again. A lock is held by the process (flock), so a
killed process leaves nothing to clean up.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import mmap
import os
import re
import shutil
import socket
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO, cast

import numpy as np
from filelock import BaseFileLock, FileLock, Timeout
from numpy.typing import NDArray

from augkit.errors import DamagedArtifactError, InputError, Problem, StageError

MANIFEST = "artifact.json"
SCHEMA = 1
PRIVATE = ".augkit"
"""The one folder beside the artifacts for what is augkit's own business: work, locks, and what may be removed."""

_MARKER = "THIS-FOLDER-IS-AUGKITS.txt"
_ABOUT_PRIVATE = """augkit made this folder, works in it, and removes what is no longer needed. Keep nothing here.

damaged   artifacts whose bytes had changed
errors    tracebacks of stages that failed
locks     which process builds what
runs      runs that have begun and not ended
trash     what is being removed
work      what is being built, with checkpoints to continue from
"""

FileFacts = Mapping[str, int | str]
"""What is sealed of a file: ``bytes`` and ``sha256``."""


@dataclass(frozen=True)
class Address:
    """Where an artifact lives: its kind, a label for people, and the fingerprint that identifies it."""

    kind: str
    label: str
    fingerprint: str

    @property
    def name(self) -> str:
        """The folder name: ``unet-0f3a9c2d41be``."""
        return f"{self.label}-{self.fingerprint[:12]}"

    def __str__(self) -> str:
        return f"{self.kind} {self.label}"


class Store:
    """The artifacts under one folder: ``<root>/<kind>/<label>-<fingerprint>/``. Nothing is created until needed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def private(self, name: str) -> Path:
        """Return a folder of the private one, to look at; `InputError` where that is somebody else's."""
        return private_folder(self.root) / name

    def make_private(self, name: str) -> Path:
        """Return a folder of the private one, to write into; `InputError` where that is somebody else's."""
        return make_private_folder(self.root) / name

    def published(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Yield folder and manifest of every artifact that was published here, and of nothing else that lies here.

        Its manifest bears its seal and the very names of the folders that it lies in. Links are not followed.
        """
        for file in sorted(self.root.glob(f"*/*/{MANIFEST}")):
            folder = file.parent
            with suppress(OSError, ValueError, KeyError, AttributeError, TypeError):
                manifest = _sealed_manifest(folder)
                address = Address(*(manifest[key] for key in ("kind", "label", "fingerprint")))
                is_link = folder.is_symlink() or folder.parent.is_symlink()
                if self.path(address) == folder and not is_link:
                    yield folder, manifest

    def path(self, address: Address) -> Path:
        """Return where the artifact is or will be."""
        return self.root / address.kind / address.name

    def has(self, address: Address) -> bool:
        """Tell whether the artifact was published; its bytes are verified by `open`."""
        return (self.path(address) / MANIFEST).is_file()

    def manifest(self, address: Address) -> Mapping[str, Any]:
        """Return what was recorded when the artifact was published."""
        return _read_manifest(self.path(address))

    def open(self, address: Address) -> Path:
        """Return the folder after verifying every byte; a damaged one is set aside: `DamagedArtifactError`."""
        folder = self.path(address)
        if find_damage(folder):
            # Another process may be building it again: look twice, and the second time with the lock.
            with self.lock(address, lambda _: None):
                self._set_aside_if_damaged(address)
        return folder

    def _set_aside_if_damaged(self, address: Address) -> None:
        folder = self.path(address)
        damage = find_damage(folder)
        if not damage:
            return
        aside = self.make_private("damaged") / f"{address.kind}-{address.name}-{time.time_ns()}"
        with explained(aside):
            aside.parent.mkdir(parents=True, exist_ok=True)
            if folder.exists():
                folder.rename(aside)
        raise DamagedArtifactError(*(Problem(str(aside), what, "It will be built again") for what in damage))

    def workplace(self, address: Address, fresh: bool) -> Path:
        """Return the folder in which the artifact is built; unless `fresh`, with what an interrupted run left there."""
        folder = self.make_private("work") / f"{address.kind}-{address.name}"
        with explained(folder):
            if fresh and folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(parents=True, exist_ok=True)
            for half in folder.rglob(f".*{_HALF}*"):  # what a killed writer left must not become part of the artifact
                half.unlink()
        return folder

    def publish(self, address: Address, work: Path, facts: Mapping[str, Any]) -> Path:
        """Seal the work folder and make it the artifact in one rename; returns the artifact's folder."""
        with explained(work):
            identity = {"kind": address.kind, "label": address.label, "fingerprint": address.fingerprint}
            seal(work, {**identity, **facts})
            if self.path(address).exists():  # without its manifest, or it would not have been built again
                with suppress(DamagedArtifactError):
                    self._set_aside_if_damaged(address)
            publish_folder(work, self.path(address))
        return self.path(address)

    @contextmanager
    def lock(self, address: Address, waiting: Callable[[str], None]) -> Iterator[None]:
        """Hold the artifact's lock; while another process has it, `waiting` is told once who does."""
        with self._lock(f"{address.kind}-{address.name}", f"is building {address}", waiting):
            yield

    @contextmanager
    def hold(self, folder: Path) -> Iterator[None]:
        """Hold a folder of results alone; `InputError` at once where another process does."""
        file = self.make_private("locks") / f"{folder.parent.name}-{folder.name}.lock"
        lock = FileLock(file)
        with explained(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                hint = "Wait until it has ended, or choose another --out"
                raise InputError(Problem(str(folder), f"is held by {_holder(file)}", hint)) from error
        try:
            _sign(file)
            yield
        finally:
            lock.release()

    @contextmanager
    def lock_list_of_runs(self) -> Iterator[None]:
        """Hold the lock under which runs enter themselves and things are removed: never both at once."""
        with self._lock("runs", "is removing what no run needs", lambda _: None):
            yield

    @contextmanager
    def _lock(self, name: str, doing: str, waiting: Callable[[str], None]) -> Iterator[None]:
        file = self.make_private("locks") / f"{name}.lock"
        lock = FileLock(file)
        with explained(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            _acquire(lock, lambda: waiting(f"waiting for {_holder(file)}, which {doing}"))
        try:
            _sign(file)
            yield
        finally:
            lock.release()

    def held_locks(self) -> list[str]:
        """Return who holds a lock of an artifact, one line each; the lock of the list of runs does not count."""
        held = []
        for file in sorted(self.private("locks").glob("*.lock")):
            if file.name == "runs.lock":
                continue
            lock = FileLock(file)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                held.append(f"{file.stem}: {_holder(file)}")
            else:
                lock.release()
        return held

    def discard(self, path: Path) -> None:
        """Remove a file or folder of the store. It vanishes from its place by one rename, so never by halves."""
        trash = self.make_private("trash") / f"{path.name}-{time.time_ns()}"
        with explained(trash):
            trash.parent.mkdir(parents=True, exist_ok=True)
            path.rename(trash)
        self.empty_trash()

    def empty_trash(self) -> None:
        """Remove what `discard` set aside, also what a killed process left there."""
        shutil.rmtree(self.private("trash"), ignore_errors=True)


_DIGESTS = "digests.json"


class Digests:
    """SHA-256 of input files, remembered by path, size and times, so that a second look costs a stat.

    What is remembered bears a seal: a file of it with any changed bit is forgotten.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, list[Any]] = {}
        file = private_folder(root) / _DIGESTS
        with suppress(OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
            known = read_json(file)
            if file.read_text(encoding="utf-8") == _sealed({"files": known["files"]}):  # otherwise it is damaged
                self._known = {str(path): list(facts) for path, facts in known["files"].items()}
        self._changed = False

    def of(self, paths: Sequence[Path]) -> str:
        """Return one digest for the names and contents of `paths`, in order; '' for none."""
        if not paths:
            return ""
        total = hashlib.sha256()
        for path in paths:
            total.update(f"{path.name}\0{self._one(path)}\n".encode())
        return total.hexdigest()

    def each(self, paths: Sequence[Path]) -> tuple[tuple[str, str], ...]:
        """Return the name of every file below the folder that all of them are in, and its digest."""
        absolute = [str(path.absolute()) for path in paths]
        names = [path.name for path in paths]
        with suppress(ValueError):  # there is no such folder, as of two drives
            folder = os.path.commonpath([str(Path(path).parent) for path in absolute])
            names = [Path(path).relative_to(folder).as_posix() for path in absolute]
        return tuple((name, self._one(path)) for name, path in zip(names, paths, strict=True))

    def save(self) -> None:
        """Remember what was hashed."""
        if self._changed:
            write_text(make_private_folder(self._root) / _DIGESTS, _sealed({"files": self._known}))

    def _one(self, path: Path) -> str:
        name = str(path.absolute())
        try:
            stat = path.stat()
            facts = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]  # copying tools restore mtime, never ctime
            *known, digest = self._known.get(name) or [""]
            if not S_ISREG(stat.st_mode):  # a pipe would be waited for
                raise InputError(Problem(str(path), "is no regular file", "Give a file, not a pipe, device or folder"))
            if known != facts:
                digest = _sha256(path)
                self._known[name] = [*facts, digest]
                self._changed = True
        except OSError as error:
            raise InputError(Problem(str(path), f"cannot be read: {error.strerror}")) from error
        return str(digest)


# The private folder


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


# Writing: every byte augkit puts on a disk goes through these.

_HALF = ".tmp-"
"""In the name of a file that is being written."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that it has either all of `data` or what it had before; its folder is made if need be."""
    with whole_file(path, len(data)) as write:
        write(data)


@contextmanager
def whole_file(path: Path, needed: int = 0) -> Iterator[Callable[[Any], None]]:
    """Give a function that writes the next bytes of a file, which appears when all are written, or stays as it was.

    needed: how many bytes there will be, for who is told that the disk is full. Whatever else is raised meanwhile is no
            error of writing, and is passed on.
    """
    temporary = path.with_name(f".{path.name}{_HALF}{os.getpid()}")
    with explained(path, needed):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = temporary.open("wb")

    def write(data: Any) -> None:
        with explained(path, needed):
            stream.write(data)

    try:
        yield write
        with explained(path, needed):
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()
            temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            stream.close()
        with suppress(OSError):
            temporary.unlink()
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    write_bytes(path, text.encode())


def write_pieces(path: Path, pieces: Iterable[str]) -> None:
    """Write UTF-8 text that is never whole in memory, whole or not at all."""
    with whole_file(path) as write:
        for piece in pieces:
            write(piece.encode())


def append_line(path: Path, text: str) -> None:
    """Add one line to a log that must not wait for the disk; after a power cut its last lines may be missing."""
    with explained(path, len(text)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")


def write_json(path: Path, value: object) -> None:
    """Write JSON, whole or not at all."""
    write_text(path, _json(value))


_PIECE = 1 << 24
"""Bytes of an array that are written at a time."""


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write one array as .npy, whole or not at all, without a copy of it in memory."""
    columns = isinstance(array, np.ndarray) and array.flags.f_contiguous and not array.flags.c_contiguous
    with array_file(path, array.shape, array.dtype, columns) as add:
        rows = array.T if columns else array if array.ndim else array[None]
        step = max(1, _PIECE // max(1, rows.nbytes // max(1, len(rows))))
        for begin in range(0, len(rows), step):
            add(rows[begin : begin + step])


@contextmanager
def array_file(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], columns: bool = False
) -> Iterator[Callable[[NDArray[Any]], None]]:
    """Give a function that adds the next rows of an array to a .npy file, which appears when all are written.

    columns: the array lies in memory column by column, and so does the file; what is added are rows of its transpose.
    """
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be saved; allowed: numbers and truth values")
    header = BytesIO()
    facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": columns, "shape": shape}
    np.lib.format.write_array_header_1_0(header, facts)
    with whole_file(path, math.prod(shape) * dtype.itemsize) as write:
        write(header.getvalue())

        def add(rows: NDArray[Any]) -> None:
            # Not by tofile, whose errors do not tell a full disk from others.
            write(np.ascontiguousarray(rows, dtype).data.cast("B") if rows.size else b"")

        yield add


def let_go(array: NDArray[Any]) -> None:
    """Take what was read of an array that `read_array` mapped out of this process's memory; it can be read again.

    Otherwise whoever reads here and there in many large files ends up with all of them in memory.
    """
    mapped = getattr(array, "base", None)
    while isinstance(mapped, np.ndarray):  # of a view
        mapped = mapped.base
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def read_json(path: Path) -> Any:
    """Return the value in a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_array(path: Path) -> NDArray[Any]:
    """Return an array, mapped from disk and read-only."""
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


@contextmanager
def temporary_folder(files: Mapping[str, bytes]) -> Iterator[Path]:
    """Write files, by names such as ``recipes/a.yaml``, into a new folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="augkit-") as name:
        for path, data in files.items():
            write_bytes(Path(name) / path, data)
        yield Path(name)


def manifest_of(files: Mapping[str, bytes], facts: Mapping[str, Any]) -> bytes:
    """Return what `seal` would write into a folder of these files."""
    listed = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in sorted(files.items())
    }
    return _sealed({"schema": SCHEMA, **facts, "files": listed}).encode()


def seal(folder: Path, facts: Mapping[str, Any], written: Mapping[Path, FileFacts] | None = None) -> None:
    """Record `facts` and the hash of every file, so that `find_damage` can tell whether the folder is whole.

    written: what `write_unflushed` returned of some of the files, which are then not read again.
    """
    known = written or {}
    files = {path.relative_to(folder).as_posix(): known.get(path) or _facts_of(path) for path in _files(folder)}
    write_text(folder / MANIFEST, _sealed({"schema": SCHEMA, **facts, "files": files}))


def publish_folder(work: Path, target: Path) -> None:
    """Rename a folder to its final name; an equal one published meanwhile by another process is kept."""
    for path in [*work.rglob("*"), work]:
        _flush(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        work.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(work)
    _flush(target.parent)


def write_unflushed(path: Path, data: bytes) -> FileFacts:
    """Write a new file into a folder that nobody reads before `publish_whole` has given it its name.

    Returns what `seal` records of it: size and hash of the bytes that were to be written.
    """
    with explained(path, len(data)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            stream.write(data)
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


class _Hashing:
    """What is written into a stream, counted and hashed on the way."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._total, self._bytes = stream, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self._total.update(data)
        self._bytes += len(data)
        return self._stream.write(data)

    def facts(self) -> FileFacts:
        return {"bytes": self._bytes, "sha256": self._total.hexdigest()}


@contextmanager
def tar_unflushed(path: Path) -> Iterator[tuple[Callable[[str, bytes], None], Callable[[], FileFacts]]]:
    """Write a tar file into a folder such as `write_unflushed` does, member by member.

    Gives a function that adds a member, name and content, and one that returns, after the end, what `seal` records.
    Equal members give equal bytes: no member has a time, an owner, or other rights than to be read.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            hashing = _Hashing(stream)
            with tarfile.open(fileobj=cast(Any, hashing), mode="w|", format=tarfile.USTAR_FORMAT) as tar:

                def add(name: str, data: bytes) -> None:
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, BytesIO(data))

                yield add, hashing.facts


def publish_whole(work: Path, target: Path) -> None:
    """Rename a folder of many new files to its name, which must be free or an empty folder.

    One call makes the bytes of all of them, and their names, survive a power cut (Linux waits for the disk here). It
    also waits for what other programs have written, and still takes a third of the time of flushing thousands of files
    by 64 threads, and a hundredth of flushing them one by one.
    """
    with explained(target):
        os.sync()
        work.rename(target)
        _flush(target.parent)


_DRAFT = ".augkit-draft-"


def draft_beside(target: Path) -> Path:
    """Return the path of a folder to fill before it gets its name, hidden beside `target`; it is nobody else's.

    Drafts there of processes of this machine that have died are removed: they may hold copies of images.
    """
    target = target.absolute()
    host = re.sub(r"[^A-Za-z0-9]", "", socket.gethostname())[:24] or "host"
    for left in target.parent.glob(f".*{_DRAFT}{host}-*"):
        owner = left.name.rpartition(_DRAFT)[2].split("-")[1]
        if owner.isdecimal() and not _is_running(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    return target.parent / f".{target.name[:100]}{_DRAFT}{host}-{os.getpid()}-{time.time_ns()}"


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a draft to fill, and let its files appear in `folder` when all of them are written; other files there stay.

    A new folder appears by one rename. In one that is there, each file does, pages last.
    """
    draft = draft_beside(folder)
    with explained(folder):
        try:
            draft.mkdir(parents=True)
            yield draft
            if folder.exists():
                for file in sorted(_files(draft), key=lambda path: path.suffix == ".html"):
                    place = folder / file.relative_to(draft)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    file.replace(place)
            else:
                publish_folder(draft, folder)
        finally:
            remove_folder(draft)


def check_place(folder: Path, option: str) -> None:
    """Refuse a place that no folder can be given by one rename; `option` is the one that named it.

    These are links, mount points, the working folder, files, and places where nothing may be written. Raises
    `InputError`; nothing is written.
    """
    there = folder.absolute()
    parent = next(place for place in there.parents if place.exists())
    what = ""
    if folder.is_symlink():
        what, hint = "is a link; allowed: a new or empty folder", "Name the folder that it leads to"
    elif folder.exists() and not folder.is_dir():
        what, hint = "is a file; allowed: a new or empty folder", "Choose another name"
    elif os.path.ismount(folder):
        what, hint = "is a mount point; allowed: a new or empty folder", "Name a new folder in it"
    elif folder.is_dir() and folder.samefile(Path.cwd()):
        what, hint = "is the folder you are in; allowed: a new or empty folder", "Name a new folder in it"
    elif not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        what, hint = f"cannot be made: {parent} cannot be written into", "Choose another place"
    if what:
        raise InputError(Problem(f"{option} {folder}", what, hint))


def remove_folder(folder: Path) -> None:
    """Remove a folder that is no longer needed, such as an old checkpoint.

    It vanishes from its place by one rename, so that a process that is killed meanwhile leaves no half of it there.
    """
    gone = folder.with_name(f"{folder.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)  # of a process that was killed
    with suppress(OSError):
        folder.rename(gone)
    for path in (gone, folder):  # the folder itself only where it cannot be renamed
        shutil.rmtree(path, ignore_errors=True)


def find_damage(folder: Path) -> list[str]:
    """Return what is wrong with a sealed folder: files missing, changed or unlisted; empty when it is sound."""
    try:
        files: Mapping[str, Any] = dict(_sealed_manifest(folder)["files"].items())
    except _BrokenSealError as error:
        return [str(error)]
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        return [f"{MANIFEST} cannot be read ({type(error).__name__})"]
    present = {path.relative_to(folder).as_posix(): path for path in _files(folder)} if folder.is_dir() else {}
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
    return [name for path in _files(folder) if (name := path.relative_to(folder).as_posix()) not in files]


_option: ContextVar[str] = ContextVar("option", default="--out")


@contextmanager
def named_by(option: str) -> Iterator[None]:
    """Let errors of writing, in this context, name the option that chose the place; otherwise that is ``--out``."""
    token = _option.set(option)
    try:
        yield
    finally:
        _option.reset(token)


@contextmanager
def explained(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn an operating-system error while writing into one sentence with the path and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = f"disk full: needs {max(needed, 1000) / 1e6:.3f} MB, {free_bytes(path) / 1e6:.3f} MB free"
            hint = f"Free some space or choose another folder with {_option.get()}; the same command continues"
        else:
            what, hint = f"cannot be written: {error.strerror}", f"Choose another folder with {_option.get()}"
        raise StageError(Problem(str(path), what, hint)) from error


def _json(value: object) -> str:
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


class _BrokenSealError(ValueError):
    """A manifest does not have the bytes that were written."""


def _sealed_manifest(folder: Path) -> Mapping[str, Any]:
    """Return the manifest of a sealed folder; `_BrokenSealError` where any byte of it was changed."""
    text = (folder / MANIFEST).read_text(encoding="utf-8")
    manifest: Mapping[str, Any] = json.loads(text)
    if text != _sealed({key: value for key, value in manifest.items() if key != "seal"}):
        raise _BrokenSealError(f"{MANIFEST} does not have the bytes that were written")
    return manifest


def _sealed(manifest: Mapping[str, Any]) -> str:
    """Return the text of a manifest that carries its own hash, so that a change of any byte of it is found too."""
    return _json({**manifest, "seal": hashlib.sha256(_json(manifest).encode()).hexdigest()})


def free_bytes(path: Path) -> int:
    """Return the free space of the disk on which `path` is or would be."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)


def _facts_of(path: Path) -> FileFacts:
    return {"bytes": path.stat().st_size, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_manifest(folder: Path) -> Mapping[str, Any]:
    manifest: Mapping[str, Any] = read_json(folder / MANIFEST)
    return manifest


def _flush(path: Path) -> None:
    """Make the bytes of a file, or the names in a folder, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _acquire(lock: BaseFileLock, waiting: Callable[[], None]) -> None:
    """Wait for the lock; call `waiting` once if another process has it."""
    try:
        lock.acquire(timeout=0.5)
    except Timeout:
        waiting()
        lock.acquire()


def _sign(lock: Path) -> None:
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    write_json(lock.with_suffix(".json"), holder)


def _holder(lock: Path) -> str:
    try:
        holder = read_json(lock.with_suffix(".json"))
        return f"process {holder['pid']} on {holder['host']} (since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"

"""Locks on file systems that have none."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from augkit.errors import InputError, StageError
from augkit.running.cache import collect
from augkit.store import Address, Store
from system_faults import failing

ADDRESS = Address("masks", "shapes", "0123456789abcdef" * 4)


@pytest.fixture(params=[errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def without_locks(request, monkeypatch):
    """flock as it is where a file system or its server has no locks; returns what the system calls that."""

    def flock(handle, operation):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)
    return os.strerror(request.param)


def use_a_lock(store):
    with store.lock(ADDRESS, lambda text: None):
        pytest.fail("nothing was locked")


def hold_a_folder(store):
    with store.hold(store.root / "search" / "best"):
        pytest.fail("nothing was locked")


@pytest.mark.parametrize("use", [use_a_lock, hold_a_folder, lambda store: collect(store, 0, False, dry=False)])
def test_without_locks_nothing_is_built_and_no_file_says_that_it_is_locked(tmp_path, without_locks, use):
    with pytest.raises(InputError) as caught:
        use(Store(tmp_path))
    assert str(caught.value) == (
        f"the file system of {tmp_path}/.augkit/locks: has no locks (flock: {without_locks}), without which two "
        "processes would build one artifact. Mount it with locks (Lustre: -o flock; NFS: without nolock), or choose "
        "another folder"
    )
    assert caught.value.exit_code == 2
    assert {path.name for path in tmp_path.iterdir()} == {".augkit"}
    assert not list(tmp_path.rglob("*.json"))


RUN = """
name: arm
dataset: {phantom: {train: 8, test: 4, size: 32}}
segmenter: {unet: {width: 2, steps: 2, batch_size: 2}}
"""


@pytest.mark.parametrize("words", [("run", "arm.yaml", "--quiet", "--device=cpu"), ("cache", "gc")])
def test_a_command_on_a_file_system_whose_locks_the_system_has_not_ends_with_two_and_builds_nothing(tmp_path, words):
    (tmp_path / "arm.yaml").write_text(RUN)
    runs = tmp_path / "runs"
    runs.mkdir()
    environment = {**os.environ, **failing(tmp_path, runs, flock=errno.ENOSYS)}
    command = [sys.executable, "-m", "augkit", *words, f"--out={runs}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr == (
        f"the file system of {runs}/.augkit/locks: has no locks (flock: Function not implemented), without which two "
        "processes would build one artifact. Mount it with locks (Lustre: -o flock; NFS: without nolock), or choose "
        "another folder\n"
    )
    assert [path.name for path in runs.iterdir()] == [".augkit"]
    assert not list(runs.rglob("*.json"))


def test_a_collection_does_not_take_a_lock_that_cannot_be_asked_for_free(tmp_path, monkeypatch):
    store = Store(tmp_path)
    with store.lock(ADDRESS, lambda text: None):
        pass
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSYS, "not implemented")))
    with pytest.raises(InputError, match="has no locks"):
        store.held_locks()


def test_another_failure_of_a_lock_is_explained_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, os.strerror(errno.EIO))))
    with pytest.raises(StageError, match=r"masks-shapes-0123456789ab\.lock: cannot be written: Input/output error"):
        use_a_lock(Store(tmp_path))


def test_a_lock_is_free_again_after_an_error_inside(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(ZeroDivisionError), store.lock(ADDRESS, lambda text: None):
        1 / len([held for held in store.held_locks() if "masks" not in held])
    assert store.held_locks() == []

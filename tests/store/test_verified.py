"""Bytes are verified once per node; what was changed since is read again."""

import errno
import os
import time

import pytest

from augkit.errors import DamagedArtifactError
from augkit.store import Address, Store, Verified, write_bytes
from augkit.store.seals import sha256_of

ADDRESS = Address("images", "painted", "0123456789abcdef" * 4)


def build(root):
    store = Store(root)
    work = store.workplace(ADDRESS, fresh=True)
    write_bytes(work / "a.npy", b"a" * 1000)
    write_bytes(work / "b.npy", b"b" * 1000)
    return store.publish(ADDRESS, work, {"seconds": time.time()})


@pytest.fixture
def hashed(monkeypatch):
    """The files that are read to be hashed, in order."""
    read = []
    monkeypatch.setattr("augkit.store.seals.sha256_of", lambda path: read.append(path.name) or sha256_of(path))
    return read


@pytest.fixture
def node(tmp_path):
    return tmp_path / "node"


def another_process(tmp_path, node):
    return Store(tmp_path / "runs", Verified(node))


def test_a_second_process_of_a_node_reads_nothing_again_and_one_of_another_node_everything(tmp_path, node, hashed):
    build(tmp_path / "runs")
    hashed.clear()
    folder = another_process(tmp_path, node).open(ADDRESS)
    assert hashed == ["a.npy", "b.npy"]
    assert another_process(tmp_path, node).open(ADDRESS) == folder
    assert hashed == ["a.npy", "b.npy"]
    another_process(tmp_path, tmp_path / "another node").open(ADDRESS)
    assert hashed == ["a.npy", "b.npy"] * 2


def test_a_store_that_was_given_no_node_reads_every_byte_every_time(tmp_path, hashed):
    build(tmp_path / "runs")
    hashed.clear()
    for _ in range(2):
        Store(tmp_path / "runs").open(ADDRESS)
    assert hashed == ["a.npy", "b.npy"] * 2


def flip(file):
    """Change a byte, and put back the time of the last write, as a careless tool does."""
    times = file.stat()
    with file.open("r+b") as stream:
        stream.write(b"X")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def put_another_in_its_place(file):
    times = file.stat()
    other = file.with_name("other")
    other.write_bytes(b"X" + file.read_bytes()[1:])
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(file)


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (flip, "a.npy does not have the bytes that were written"),
        (put_another_in_its_place, "a.npy does not have the bytes that were written"),
        (lambda file: file.write_bytes(b"a" * 1001), "a.npy does not have the bytes that were written"),
        (lambda file: file.unlink(), "a.npy is missing"),
        (lambda file: (file.parent / "c.npy").write_bytes(b"c"), "c.npy was added"),
        (lambda file: (file.parent / "artifact.json").write_text("{}"), "artifact.json does not have the bytes"),
        (lambda file: (file.parent / "artifact.json").unlink(), "artifact.json cannot be read"),
    ],
)
def test_what_was_changed_since_is_found(tmp_path, node, harm, found):
    folder = build(tmp_path / "runs")
    another_process(tmp_path, node).open(ADDRESS)
    time.sleep(0.02)
    harm(folder / "a.npy")
    with pytest.raises(DamagedArtifactError, match=found):
        another_process(tmp_path, node).open(ADDRESS)


def test_an_artifact_that_was_built_again_is_read_again(tmp_path, node, hashed):
    folder = build(tmp_path / "runs")
    another_process(tmp_path, node).open(ADDRESS)
    folder.rename(tmp_path / "gone")
    build(tmp_path / "runs")
    hashed.clear()
    another_process(tmp_path, node).open(ADDRESS)
    assert hashed == ["a.npy", "b.npy"]


def test_after_a_day_everything_is_read_again_and_old_records_are_removed(tmp_path, node, hashed):
    build(tmp_path / "runs")
    another_process(tmp_path, node).open(ADDRESS)
    (record,) = node.iterdir()
    stranger = node / "notes.txt"
    stranger.write_text("mine")
    old = record.with_name("0" * 64 + ".json")
    old.write_bytes(record.read_bytes())
    for file in (record, old, stranger):
        os.utime(file, (time.time() - 90_000,) * 2)
    hashed.clear()
    another_process(tmp_path, node).open(ADDRESS)
    assert hashed == ["a.npy", "b.npy"]
    assert set(node.iterdir()) == {record, stranger}


def test_a_record_of_the_future_or_with_a_flipped_bit_does_not_count(tmp_path, node, hashed):
    build(tmp_path / "runs")
    another_process(tmp_path, node).open(ADDRESS)
    (record,) = node.iterdir()
    whole = record.read_bytes()
    for place in range(0, len(whole), 7):
        record.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        hashed.clear()
        another_process(tmp_path, node).open(ADDRESS)
        assert hashed == ["a.npy", "b.npy"]
    os.utime(record, (time.time() + 9000,) * 2)
    hashed.clear()
    another_process(tmp_path, node).open(ADDRESS)
    assert hashed == ["a.npy", "b.npy"]


def make_writable_for_all(node):
    node.mkdir()
    node.chmod(0o777)


def make_a_link(node):
    node.with_name("elsewhere").mkdir()
    node.symlink_to(node.with_name("elsewhere"))


@pytest.mark.parametrize("make", [make_writable_for_all, make_a_link, lambda node: node.write_text("a file")])
def test_a_folder_into_which_others_could_write_is_not_trusted(tmp_path, node, hashed, make):
    build(tmp_path / "runs")
    make(node)
    hashed.clear()
    for _ in range(2):
        another_process(tmp_path, node).open(ADDRESS)
    assert hashed == ["a.npy", "b.npy"] * 2
    assert not node.is_dir() or list(node.iterdir()) == []


def test_a_node_whose_own_disk_is_full_verifies_every_time_and_goes_on(tmp_path, node, hashed, monkeypatch):
    build(tmp_path / "runs")
    hashed.clear()

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for _ in range(2):
        another_process(tmp_path, node).open(ADDRESS)
    assert hashed == ["a.npy", "b.npy"] * 2
    assert list(node.iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setattr("augkit.store.verified.free_bytes", lambda folder: 1000)
    another_process(tmp_path, node).open(ADDRESS)
    assert list(node.iterdir()) == []

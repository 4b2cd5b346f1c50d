"""Who may write into a half-built artifact, when a process is thought dead, when it is, and when two begin at once."""

import json
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from augkit.errors import SupersededError
from augkit.store import Address, Store, find_damage, publish_folder, seal, write_bytes, write_json
from augkit.store.owners import Owner

ADDRESS = Address("segmenter", "unet", "0123456789abcdef" * 4)
PLACE = ".augkit/work/segmenter-unet-0123456789ab"


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def save_checkpoint(work, name, data):
    """Save as a training does: written aside, sealed, published by one rename."""
    draft = work / "checkpoints" / "draft"
    write_bytes(draft / "tensors.bin", data)
    seal(draft, {})
    publish_folder(draft, work / "checkpoints" / name)


def attempts(store):
    return sorted((store.root / PLACE).iterdir())


def pretend_elsewhere(store):
    """Let the owner of the only attempt be a process of another host."""
    (attempt,) = attempts(store)
    owner = json.loads((attempt / "owner.json").read_text())
    write_json(attempt / "owner.json", {**owner, "host": "node7", "pid": 4711, "node": "another boot"})
    return attempt


ZOMBIE = """
    import fcntl, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from test_attempts import ADDRESS, Store, save_checkpoint, write_bytes
    from augkit.errors import AugkitError

    fcntl.flock = lambda *_: None  # as where the locks of one host are not those of another

    def attempt(work):
        try:
            work()
        except AugkitError as error:
            print(f"{type(error).__name__} {error}", flush=True)
        else:
            print("done", flush=True)

    store = Store(Path(sys.argv[2]))
    with store.lock(ADDRESS, print):
        work = store.workplace(ADDRESS, fresh=False)
        save_checkpoint(work, "000000010", b"ten steps")
        write_bytes(work / "notes.txt", b"kept by a plugin")
        print("begun", flush=True)
        for order in sys.stdin:
            if order == "checkpoint\\n":
                attempt(lambda: save_checkpoint(work, "000000020", b"of the zombie"))
            else:
                attempt(lambda: store.publish(ADDRESS, work, {}))
"""


@pytest.fixture
def start_zombie(tmp_path):
    """Start processes that build the artifact without a lock that excludes others; returns one that can be ordered."""
    started = []

    def start():
        command = [sys.executable, "-c", textwrap.dedent(ZOMBIE), Path(__file__).parent, tmp_path]
        zombie = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(zombie)
        assert zombie.stdout.readline() == "begun\n"
        return zombie

    yield start
    for zombie in started:
        zombie.kill()
        zombie.communicate()


def order(zombie, what):
    zombie.stdin.write(f"{what}\n")
    zombie.stdin.flush()
    return zombie.stdout.readline().strip()


def test_a_zombie_can_neither_save_nor_publish_once_its_successor_has_begun(tmp_path, start_zombie):
    zombie, store = start_zombie(), Store(tmp_path)
    with store.lock(ADDRESS, lambda _: None):
        work = store.workplace(ADDRESS, fresh=False)
        before = contents(work)
        assert {"notes.txt", "checkpoints/000000010/tensors.bin"} <= set(before)
        assert find_damage(work / "checkpoints" / "000000010") == []
        for what in ("checkpoint", "publish"):
            said = order(zombie, what)
            assert said.startswith(f"SupersededError {tmp_path / PLACE}/")
            assert f": {Owner.me().host}" not in said
            assert f"process {Owner.me().pid} on {Owner.me().host} (since 20" in said
            assert "has taken this over, so nothing more of it is written here. If that should not have" in said
            assert said.endswith("see whether locks exclude other hosts: augkit doctor --shared DIR")
        assert contents(work) == before
        assert not store.has(ADDRESS)
        write_bytes(work / "weights.bin", b"of the successor")
        folder = store.publish(ADDRESS, work, {})
    published = contents(folder)
    assert order(zombie, "publish").startswith("SupersededError")
    assert order(zombie, "checkpoint").startswith("SupersededError")
    assert contents(store.open(ADDRESS)) == published
    assert published["weights.bin"] == b"of the successor"
    assert list((tmp_path / ".augkit/work").iterdir()) == []


def test_a_process_that_publishes_before_anybody_takes_over_does_so(tmp_path, start_zombie):
    zombie, store = start_zombie(), Store(tmp_path)
    assert order(zombie, "checkpoint") == "done"
    assert order(zombie, "publish") == "done"
    assert set(contents(store.open(ADDRESS))) >= {"checkpoints/000000020/tensors.bin", "artifact.json"}


def test_what_a_killed_process_saved_is_moved_and_not_copied(tmp_path, start_zombie):
    zombie, store = start_zombie(), Store(tmp_path)
    (attempt,) = attempts(store)
    before = {path.name: path.stat().st_ino for path in (attempt / "files").rglob("*")}
    zombie.kill()
    zombie.wait()
    work = store.workplace(ADDRESS, fresh=False)
    assert {path.name: path.stat().st_ino for path in work.rglob("*")} == before
    assert attempts(store) == [work.parent]


def test_what_a_process_elsewhere_saved_is_copied_but_for_sealed_checkpoints_which_get_a_second_name(tmp_path):
    store = Store(tmp_path)
    work = store.workplace(ADDRESS, fresh=False)
    save_checkpoint(work, "000000010", b"ten steps")
    write_bytes(work / "notes.txt", b"kept by a plugin")
    checkpoint = (work / "checkpoints/000000010/tensors.bin").stat().st_ino
    with (work / "notes.txt").open("r+b") as still_open:  # by the process that may not be dead
        pretend_elsewhere(store)
        after = store.workplace(ADDRESS, fresh=False)
        still_open.write(b"SCRIBBLED")
    assert (after / "notes.txt").read_bytes() == b"kept by a plugin"
    assert (after / "checkpoints/000000010/tensors.bin").stat().st_ino == checkpoint
    assert find_damage(after / "checkpoints" / "000000010") == []
    assert attempts(store) == [after.parent]


def test_where_a_file_cannot_have_a_second_name_it_is_copied(tmp_path, monkeypatch):
    def refuse(place, path):
        raise PermissionError(1, "Operation not permitted")

    store = Store(tmp_path)
    save_checkpoint(store.workplace(ADDRESS, fresh=False), "000000010", b"ten steps")
    pretend_elsewhere(store)
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert find_damage(store.workplace(ADDRESS, fresh=False) / "checkpoints" / "000000010") == []


def test_a_fresh_attempt_takes_nothing_over_and_ends_the_earlier_one_all_the_same(tmp_path):
    store = Store(tmp_path)
    first = store.workplace(ADDRESS, fresh=False)
    write_bytes(first / "left.bin", b"x")
    assert contents(store.workplace(ADDRESS, fresh=True)) == {}
    with pytest.raises(SupersededError, match="has taken this over"):
        write_bytes(first / "more.bin", b"x")
    assert not first.parent.exists()


def test_an_attempt_whose_owner_cannot_be_read_is_taken_over_too(tmp_path):
    store = Store(tmp_path)
    write_bytes(store.workplace(ADDRESS, fresh=False) / "left.bin", b"x")
    (attempts(store)[0] / "owner.json").write_text("{")
    assert contents(store.workplace(ADDRESS, fresh=False)) == {"left.bin": b"x"}


def test_an_owner_is_dead_when_its_number_belongs_to_another_process_now(tmp_path):
    me = Owner.me()
    assert me.is_me
    assert not me.is_dead
    later = Owner.of({**me.facts(), "start": "1"})
    assert later.is_dead
    assert not later.is_me
    elsewhere = Owner.of({**me.facts(), "node": "another boot"})
    assert elsewhere.is_elsewhere
    assert not elsewhere.is_dead
    assert str(me) == f"process {me.pid} on {me.host} (since {me.since})"


def test_where_the_system_tells_less_of_processes_the_dead_are_known_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("augkit.store.owners.PROC", tmp_path / "none")
    me, ended = Owner.me(), subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert me.is_me
    assert not me.is_dead
    assert not me.is_elsewhere
    assert Owner.of({**me.facts(), "pid": ended.pid}).is_dead


# Killed, or out of space, at any moment of taking over

EVERY_MOMENT = """
    import errno, os, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from test_attempts import ADDRESS, Store, attempts, contents, pretend_elsewhere, save_checkpoint, write_bytes
    from augkit.errors import AugkitError

    FATE, IS_ELSEWHERE = sys.argv[3], sys.argv[4] == "elsewhere"
    WATCHED = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "shutil.copyfile", "fsync"}
    left = 10**9

    def count(event, *arguments):
        global left
        if event in WATCHED:
            left -= 1
            if left == 0:
                if FATE == "kill":
                    os._exit(137)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    os.fsync = lambda handle: count("fsync")
    sys.addaudithook(count)

    def fork(work):
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        try:
            work()
        except AugkitError as error:
            assert "disk full" in str(error), error
            os._exit(1)
        os._exit(0 if left > 0 else 3)

    def save(store):
        work = store.workplace(ADDRESS, fresh=False)
        save_checkpoint(work, "000000010", b"ten steps")
        write_bytes(work / "notes.txt", b"kept by a plugin")

    def take_over(store, n):
        global left
        left = n
        store.workplace(ADDRESS, fresh=False)

    n, codes = 0, []
    while not codes or codes[-1] != 0:
        n += 1
        store = Store(Path(sys.argv[2]) / str(n))
        assert fork(lambda: save(store)) == 0
        if IS_ELSEWHERE:
            pretend_elsewhere(store)
        before = contents(attempts(store)[0] / "files")
        assert len(before) == 3
        codes.append(fork(lambda: take_over(store, n)))
        assert contents(store.workplace(ADDRESS, fresh=False)) == before, (n, codes[-1], "something was lost")
        assert len(attempts(store)) == 1
    print(n, sorted(set(codes)))
"""


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize("fate", ["kill", "full"])
def test_nothing_saved_is_lost_whenever_a_successor_is_killed_or_finds_the_disk_full(tmp_path, where, fate):
    command = [sys.executable, "-c", textwrap.dedent(EVERY_MOMENT), Path(__file__).parent, tmp_path, fate, where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    n, codes = done.stdout.split(" ", 1)
    assert int(n) > 12
    assert set(json.loads(codes)) == ({0, 137} if fate == "kill" else {0, 1, 3})


# Late artifacts


@pytest.fixture
def late(tmp_path):
    """An artifact that is built, but not where it belongs; the store, its folder now, and then."""
    store = Store(tmp_path)
    work = store.workplace(ADDRESS, fresh=True)
    write_bytes(work / "weights.bin", b"x")
    folder = store.publish(ADDRESS, work, {})
    hidden = tmp_path / "hidden"
    folder.rename(hidden)
    folder.parent.rmdir()
    return store, hidden, folder


def test_what_another_host_published_is_waited_for(late, monkeypatch):
    store, hidden, folder = late
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 4:
            folder.parent.mkdir()
            hidden.rename(folder)

    monkeypatch.setattr(time, "sleep", sleep)
    assert store.appears(ADDRESS)
    assert looks == [0.02, 0.04, 0.08, 0.16]


def test_a_folder_that_is_remembered_as_missing_is_seen_once_its_parent_is_listed(late, monkeypatch):
    store, hidden, folder = late
    folder.parent.mkdir()
    hidden.rename(folder)
    listed, original, has = set(), Path.iterdir, Store.has
    monkeypatch.setattr(Path, "iterdir", lambda path: listed.add(path) or original(path))
    monkeypatch.setattr(Store, "has", lambda self, address: folder.parent in listed and has(self, address))
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("waited"))
    assert not store.has(ADDRESS)
    assert store.appears(ADDRESS)


def test_what_never_appears_is_not_waited_for_for_ever(late):
    began = time.monotonic()
    assert not late[0].appears(ADDRESS, seconds=0.1)
    assert 0.1 <= time.monotonic() - began < 5

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from augkit.errors import AugkitError, DamagedArtifactError, InputError, StageError
from augkit.store import (
    MANIFEST,
    Address,
    Digests,
    Store,
    array_file,
    explained,
    find_damage,
    make_private_folder,
    publish_folder,
    read_array,
    read_json,
    remove_folder,
    seal,
    write_array,
    write_bytes,
    write_json,
    write_text,
)
from augkit.store.seals import sha256_of

ADDRESS = Address("masks", "shapes", "0123456789abcdef" * 4)


def build(store, address=ADDRESS, facts=None):
    """Build a small artifact as the engine does."""
    with store.lock(address, lambda text: None):
        if store.has(address):
            return store.path(address)
        work = store.workplace(address, fresh=False)
        write_array(work / "train" / "masks.npy", np.arange(6, dtype=np.int8))
        write_json(work / "records.json", [{"area": 0.25}])
        write_bytes(work / "weights.bin", b"\x00\xff weights")
        return store.publish(address, work, facts or {"seconds": 1.5, "environment": {"device": "cpu"}})


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def run_python(program, *arguments, prefix=(), **options):
    text = textwrap.dedent(program)
    return subprocess.run(
        [*prefix, sys.executable, "-c", text, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def test_a_published_artifact_is_found_opened_and_described(tmp_path):
    store = Store(tmp_path / "runs")
    assert not store.has(ADDRESS)
    folder = build(store)
    assert folder == tmp_path / "runs" / "masks" / "shapes-0123456789ab"
    assert store.has(ADDRESS)
    assert store.open(ADDRESS) == folder
    assert read_array(folder / "train" / "masks.npy").tolist() == [0, 1, 2, 3, 4, 5]
    manifest = store.manifest(ADDRESS)
    assert (manifest["kind"], manifest["label"], manifest["seconds"]) == ("masks", "shapes", 1.5)
    assert manifest["fingerprint"] == ADDRESS.fingerprint
    assert set(manifest["files"]) == {"train/masks.npy", "records.json", "weights.bin"}


def test_a_store_creates_nothing_until_something_is_built(tmp_path):
    store = Store(tmp_path / "runs")
    assert not store.has(ADDRESS)
    assert not (tmp_path / "runs").exists()


def test_arrays_are_mapped_read_only(tmp_path):
    write_array(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(ValueError, match="read-only"):
        read_array(tmp_path / "a.npy")[0] = 1


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.int16).reshape(2, 3, 4),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24).reshape(4, 6)[::2, ::3],
        np.zeros((0, 5), np.uint8),
        np.array(2.5),
        np.array([True, False]),
    ],
    ids=["rows", "columns", "spaced", "empty", "a number", "truth values"],
)
def test_arrays_are_written_as_numpy_writes_them(tmp_path, array):
    write_array(tmp_path / "a.npy", array)
    np.save(tmp_path / "b.npy", array)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_an_array_is_written_by_pieces_as_it_is_at_once_or_not_at_all(tmp_path):
    whole = np.arange(30, dtype=np.uint16).reshape(10, 3)
    with array_file(tmp_path / "a.npy", whole.shape, whole.dtype) as add:
        add(whole[:4])
        add(whole[4:])
    assert np.array_equal(np.load(tmp_path / "a.npy"), whole)
    with suppress(KeyError), array_file(tmp_path / "b.npy", whole.shape, whole.dtype) as add:
        add(whole[:4])
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_what_goes_wrong_while_the_pieces_are_made_is_no_error_of_writing(tmp_path):
    with pytest.raises(FileNotFoundError, match="weights"), array_file(tmp_path / "a.npy", (2,), np.dtype(int)):
        raise FileNotFoundError("weights")
    assert list(tmp_path.iterdir()) == []


def test_writing_an_array_takes_no_memory_of_its_size(tmp_path):
    array = np.zeros(30_000_000, np.uint8)
    tracemalloc.start()
    write_array(tmp_path / "a.npy", array)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000


def test_arrays_of_objects_and_numbers_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        write_array(tmp_path / "a.npy", np.array([object()]))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


# Damage


@pytest.mark.parametrize("name", [MANIFEST, "train/masks.npy", "records.json", "weights.bin"])
def test_every_flipped_bit_of_every_file_is_found(tmp_path, name):
    folder = build(
        Store(tmp_path), facts={"seconds": 1e-05, "note": "é · ü", "identity": {"seed": 0, "options": [1.5]}}
    )
    undetected = []
    data = (folder / name).read_bytes()
    with (folder / name).open("r+b", buffering=0) as file:
        for position, byte in enumerate(data):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([byte ^ (1 << bit)]), position)
                if not find_damage(folder):
                    undetected.append((position, bit))
            os.pwrite(file.fileno(), bytes([byte]), position)
    assert undetected == []
    assert find_damage(folder) == []


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (lambda folder: (folder / "weights.bin").unlink(), "weights.bin is missing"),
        (lambda folder: (folder / "train" / "extra.npy").write_bytes(b""), "train/extra.npy was added"),
        (lambda folder: os.truncate(folder / "weights.bin", 3), "weights.bin does not have the bytes"),
        (lambda folder: (folder / "weights.bin").write_bytes(b"other"), "weights.bin does not have the bytes"),
        (lambda folder: (folder / MANIFEST).unlink(), f"{MANIFEST} cannot be read (FileNotFoundError)"),
        (lambda folder: (folder / MANIFEST).write_bytes(b"\xff\xfe"), f"{MANIFEST} cannot be read"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), f"{MANIFEST} cannot be read"),
        (lambda folder: (folder / MANIFEST).write_text("{}"), f"{MANIFEST} does not have the bytes"),
    ],
)
def test_a_damaged_artifact_is_set_aside_with_the_reason(tmp_path, harm, found):
    store = Store(tmp_path)
    folder = build(store)
    harm(folder)
    with pytest.raises(DamagedArtifactError) as caught:
        store.open(ADDRESS)
    assert found in str(caught.value)
    assert str(tmp_path / ".augkit/damaged" / "masks-shapes-0123456789ab-") in str(caught.value)
    assert "It will be built again" in str(caught.value)
    assert not folder.exists()
    assert not store.has(ADDRESS)
    assert len(list((tmp_path / ".augkit/damaged").iterdir())) == 1


def test_a_folder_that_lost_its_manifest_gives_way_to_the_new_build(tmp_path):
    store = Store(tmp_path)
    before = contents(build(store))
    (store.path(ADDRESS) / MANIFEST).unlink()
    (store.path(ADDRESS) / "weights.bin").write_bytes(b"broken")
    build(store)
    assert contents(store.open(ADDRESS)) == before


def test_an_artifact_healed_by_another_process_is_not_set_aside(tmp_path, monkeypatch):
    store = Store(tmp_path)
    build(store)
    answers = iter([["weights.bin is missing"], []])  # damaged at the first look, rebuilt at the second
    monkeypatch.setattr("augkit.store.artifacts.find_damage", lambda folder: next(answers))
    assert store.open(ADDRESS) == store.path(ADDRESS)


def test_an_equal_artifact_published_meanwhile_is_kept(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        write_text(folder / "a.txt", folder.name)
        seal(folder, {})
    publish_folder(first, tmp_path / "kind" / "name")
    publish_folder(second, tmp_path / "kind" / "name")
    assert (tmp_path / "kind" / "name" / "a.txt").read_text() == "first"
    assert not second.exists()


# Killed at any moment

EVERY_MOMENT = """
    import errno, os, sys, traceback
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from test_store import ADDRESS, Store, build, contents, find_damage

    FATE = sys.argv[3]  # 'kill', or the error that the n-th operation fails with
    WATCHED = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree", "fsync"}
    left = 10**9

    def count(event, *arguments):
        global left
        if event not in WATCHED:
            return
        left -= 1
        if left == 0:
            if FATE == "kill":
                os._exit(137)
            raise OSError(getattr(errno, FATE), os.strerror(getattr(errno, FATE)))

    os.fsync = lambda handle: count("fsync")
    sys.addaudithook(count)

    def attempt(root, n):
        global left
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        from augkit.errors import AugkitError
        left = n
        try:
            build(Store(root))
            code = 0 if left > 0 else 3  # 3: the failure was swallowed
        except AugkitError:
            code = 1
        except OSError:
            left = 0
            traceback.print_exc()
            code = 2  # a raw error of the operating system, without explanation
        os._exit(code)

    root = Path(sys.argv[2])
    build(Store(root / "whole"))
    whole = contents(Store(root / "whole").path(ADDRESS))
    n, codes = 0, []
    while not codes or codes[-1] != 0:
        n += 1
        store = Store(root / str(n))
        codes.append(attempt(store.root, n))
        visible = store.path(ADDRESS)
        assert not visible.exists() or find_damage(visible) == [], (n, "half an artifact is visible")
        if codes[-1] == 3:
            assert contents(visible) == whole, (n, "swallowed and wrong")
        build(store)
        assert contents(store.path(ADDRESS)) == whole, (n, "not the same bytes after the next run")
        assert not [p for p in store.path(ADDRESS).rglob("*") if ".tmp-" in p.name], n
    print(sorted(set(codes)), n)
"""


@pytest.mark.parametrize("fate", ["kill", "ENOSPC", "EIO", "EACCES"])
def test_a_failure_at_any_file_operation_leaves_nothing_half_and_the_next_run_ends_equal(tmp_path, fate):
    done = run_python(EVERY_MOMENT, Path(__file__).parent, tmp_path, fate)
    assert done.returncode == 0, done.stderr[-2000:]
    codes, n = done.stdout.rsplit(" ", 1)
    assert int(n) > 25
    allowed = {"kill": {0, 137}}.get(fate, {0, 1, 3})
    assert set(json.loads(codes)) <= allowed, done.stderr[-3000:]


WRITER = """
    import os, sys
    from pathlib import Path
    from augkit.store import Address, Store, write_bytes
    root, direct = Path(sys.argv[1]), sys.argv[2] == "direct"
    data = os.urandom(1 << 20)
    store, i = Store(root), 0
    print("ready", flush=True)
    while True:
        address = Address("blob", "blob", f"{i:064x}"[::-1])
        if direct:
            folder = store.path(address)
            folder.mkdir(parents=True)
            with (folder / "data").open("wb") as stream:
                for begin in range(0, len(data), 4096):
                    stream.write(data[begin : begin + 4096])
                    stream.flush()
        else:
            work = store.workplace(address, fresh=True)
            write_bytes(work / "data", data)
            store.publish(address, work, {})
        i += 1
"""


@pytest.mark.parametrize("way", ["store", "direct"])
def test_kill_9_in_a_write_loop_leaves_no_half_file_unless_files_are_written_directly(tmp_path, way):
    half = 0
    for i, delay in enumerate([0.011, 0.023, 0.037, 0.052, 0.071]):
        root = tmp_path / str(i)
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), root, way], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(delay)
            writer.kill()
        for folder in (root / "blob").glob("*"):
            half += not (folder / "data").is_file() or (folder / "data").stat().st_size != 1 << 20
            half += way == "store" and find_damage(folder) != []
    assert (half > 0) == (way == "direct")


def test_what_a_killed_writer_left_does_not_become_part_of_the_artifact(tmp_path):
    store = Store(tmp_path)
    work = store.workplace(ADDRESS, fresh=False)
    (work / "train").mkdir()
    (work / "train" / ".masks.npy.tmp-4711").write_bytes(b"half")
    (work / "kept.bin").write_bytes(b"resumable")
    work = store.workplace(ADDRESS, fresh=False)
    assert list(contents(work)) == ["kept.bin"]
    assert list(contents(store.workplace(ADDRESS, fresh=True))) == []


# A full disk

ON_A_FULL_DISK = """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    import numpy as np
    from test_store import ADDRESS, Store, build, find_damage, write_array
    from augkit.errors import StageError
    from augkit.store import Address

    disk = Path(sys.argv[2])
    store = Store(disk / "runs")
    build(store)
    big = Address("images", "big", "f" * 64)
    for size in (300_000, 900_000, 3_000_000):
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(400_000))
        work = store.workplace(big, fresh=True)
        try:
            for i in range(3):
                write_array(work / f"{i}.npy", np.zeros(size, np.uint8))
            raise SystemExit("no error")
        except StageError as error:
            print(error)
            assert error.exit_code == 1
        names = [p.name for p in (disk / "runs").rglob("*") if p.is_file()]
        assert not [name for name in names if ".tmp-" in name], names
        assert not store.has(big)
        assert all(len(np.load(p)) == size for p in work.glob("*.npy"))
        store.open(ADDRESS)
        ballast.unlink()
    work = store.workplace(big, fresh=True)
    write_array(work / "0.npy", np.zeros(300_000, np.uint8))
    store.publish(big, work, {})
    assert find_damage(store.path(big)) == []
"""


def can_mount():
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="user namespaces are not available")
def test_a_full_disk_is_told_in_one_sentence_and_leaves_no_half_file(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=1m none "{disk}" && exec "$@"'
    done = run_python(ON_A_FULL_DISK, Path(__file__).parent, disk, prefix=["unshare", "-Urm", "sh", "-c", mount, "sh"])
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line, size in zip(lines, ("0.300", "0.900", "3.000"), strict=True):
        assert line.startswith(f"{disk}/runs/.augkit/work/images-big-ffffffffffff/")
        assert f".npy: disk full: needs {size} MB, 0." in line
        assert line.endswith("MB free. Free some space or choose another folder with --out; the same command continues")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_or_quota_keeps_the_old_bytes_and_says_what_is_needed(tmp_path, monkeypatch, number):
    file = tmp_path / "state.json"
    write_bytes(file, b"old")

    def fail(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StageError, match=r"state.json: disk full: needs 2.500 MB, [0-9.]+ MB free. Free some space"):
        write_bytes(file, bytes(2_500_000))
    assert contents(tmp_path) == {"state.json": b"old"}


def test_another_failure_to_write_names_the_path_and_the_reason(tmp_path):
    reason = r"cannot be written: Permission denied\. Choose another folder with --out"
    with pytest.raises(StageError, match=reason), explained(tmp_path / "a"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    (tmp_path / "file").write_text("")
    with pytest.raises(StageError, match=r"file.*: cannot be written: (File exists|Not a directory)"):
        Store(tmp_path / "file").workplace(ADDRESS, fresh=False)
    with pytest.raises(StageError, match="cannot be written: Not a directory"):
        build(Store(tmp_path / "file"))


# Several processes

BUILDER = """
    import os, sys, time
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from test_store import ADDRESS, Store
    from augkit.store import write_text
    store, log = Store(Path(sys.argv[2])), Path(sys.argv[2]).with_suffix(".log")
    print("ready", flush=True)
    sys.stdin.readline()
    with store.lock(ADDRESS, lambda text: print(text, flush=True)):
        print("has the lock", flush=True)
        if not store.has(ADDRESS):
            with log.open("a") as stream:
                stream.write(f"{os.getpid()}\\n")
            time.sleep(float(sys.argv[3]))
            work = store.workplace(ADDRESS, fresh=True)
            write_text(work / "a.txt", "built")
            store.publish(ADDRESS, work, {})
    assert (store.open(ADDRESS) / "a.txt").read_text() == "built"
"""


def start_builder(root, seconds):
    command = [sys.executable, "-c", textwrap.dedent(BUILDER), Path(__file__).parent, root, str(seconds)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def release(process):
    process.stdin.write("go\n")
    process.stdin.flush()


def test_of_several_processes_one_builds_and_the_others_wait_for_it_by_name_and_reuse(tmp_path):
    root = tmp_path / "runs"
    builders = [start_builder(root, 1.2) for _ in range(3)]
    for builder in builders:
        release(builder)
    said = {builder.pid: builder.communicate(timeout=60)[0] for builder in builders}
    assert [builder.returncode for builder in builders] == [0, 0, 0]
    (winner,) = map(int, (tmp_path / "runs.log").read_text().split())
    assert said.pop(winner) == "has the lock\n"
    for text in said.values():
        waiting, lock = text.splitlines()
        assert lock == "has the lock"
        assert waiting.startswith(f"waiting for process {winner} on {socket.gethostname()} (since 20")
        assert waiting.endswith("), which is building masks shapes")


def test_a_holder_killed_with_9_leaves_nothing_to_unlock(tmp_path):
    root = tmp_path / "runs"
    holder = start_builder(root, 60)
    release(holder)
    assert holder.stdout.readline() == "has the lock\n"
    holder.kill()
    holder.wait()
    said = []
    began = time.monotonic()
    with Store(root).lock(ADDRESS, said.append):
        assert time.monotonic() - began < 30, "its builder holds it for sixty"
    assert said == []
    assert holder.returncode == -signal.SIGKILL
    holder.stdout.close()
    holder.stdin.close()


def test_a_lock_that_cannot_be_taken_is_explained(tmp_path):
    store = Store(tmp_path)
    lock = store.make_private("locks") / "masks-shapes-0123456789ab.lock"
    lock.mkdir(parents=True)
    with pytest.raises(AugkitError, match=r"masks-shapes-0123456789ab.lock: cannot be written: "):
        build(store)


# The private folder


def test_everything_that_is_no_artifact_lies_in_one_folder_that_says_what_it_is(tmp_path):
    store = Store(tmp_path)
    build(store)
    store.discard(store.path(ADDRESS))
    Digests(tmp_path).save()
    assert {path.name for path in tmp_path.iterdir()} == {".augkit", "masks"}
    text = (tmp_path / ".augkit" / "THIS-FOLDER-IS-AUGKITS.txt").read_text()
    assert text.startswith("augkit made this folder")
    named = {line.split()[0] for line in text.splitlines()[2:]}
    assert {path.name for path in (tmp_path / ".augkit").iterdir() if path.is_dir()} <= named


@pytest.mark.parametrize("use", [build, Store.held_locks, Store.empty_trash, lambda store: Digests(store.root)])
def test_a_folder_of_that_name_that_augkit_did_not_make_is_refused_and_left_alone(tmp_path, use):
    write_text(tmp_path / ".augkit" / "trash" / "thesis.txt", "mine")
    before = contents(tmp_path)
    with pytest.raises(InputError) as caught:
        use(Store(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path / '.augkit'}: was not made by augkit (it has no THIS-FOLDER-IS-AUGKITS.txt) and is left alone. "
        "Choose another folder with --out, or move this one away"
    )
    assert contents(tmp_path) == before


def test_a_file_of_that_name_is_refused_too(tmp_path):
    write_text(tmp_path / ".augkit", "mine")
    with pytest.raises(InputError, match=r"\.augkit: was not made by augkit"):
        build(Store(tmp_path))


def test_an_empty_folder_of_that_name_is_what_a_killed_process_left_and_is_taken(tmp_path):
    (tmp_path / ".augkit").mkdir()
    assert find_damage(build(Store(tmp_path))) == []


@pytest.mark.parametrize("link", [".augkit", ".augkit/work", ".augkit/trash"])
def test_no_link_leads_removal_to_another_place(tmp_path, link):
    write_text(tmp_path / "elsewhere" / "masks-shapes-0123456789ab" / "thesis.txt", "mine")
    make_private_folder(tmp_path / "elsewhere" if link == ".augkit" else tmp_path / "runs")
    (tmp_path / "runs").mkdir(exist_ok=True)
    (tmp_path / "runs" / link).symlink_to(tmp_path / "elsewhere")
    store = Store(tmp_path / "runs")
    with pytest.raises(InputError, match=rf"runs/{link}: is a link; allowed: a folder in its place"):
        store.workplace(ADDRESS, fresh=True)
    with pytest.raises(InputError, match="is a link"):
        store.empty_trash()
    assert (tmp_path / "elsewhere" / "masks-shapes-0123456789ab" / "thesis.txt").read_text() == "mine"


def test_processes_that_make_the_private_folder_at_once_all_get_it(tmp_path):
    for i in range(20):
        root = tmp_path / str(i)
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda _, root=root: Store(root).make_private("work"), range(8))) == {
                root / ".augkit" / "work"
            }


# Digests of inputs


@pytest.fixture
def hashed(monkeypatch):
    """Return the paths that were really read, in order."""
    read = []
    monkeypatch.setattr("augkit.store.digests.sha256_of", lambda path: read.append(path.name) or sha256_of(path))
    return read


def make_inputs(folder):
    folder.mkdir(parents=True)
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(name.encode() * 10)
    return [folder / "a.png", folder / "b.png"]


def test_a_digest_says_names_contents_and_order_and_not_the_place(tmp_path):
    inputs = make_inputs(tmp_path / "here")
    digest = Digests(tmp_path).of(inputs)
    assert digest == Digests(tmp_path).of(make_inputs(tmp_path / "there"))
    assert digest != Digests(tmp_path).of(inputs[::-1])
    assert digest != Digests(tmp_path).of(inputs[:1])
    assert Digests(tmp_path).of([]) == ""
    inputs[0].rename(tmp_path / "here" / "c.png")
    assert digest != Digests(tmp_path).of([tmp_path / "here" / "c.png", inputs[1]])


def test_a_folder_that_is_removed_is_never_there_by_halves(tmp_path, monkeypatch):
    folder = tmp_path / "000000024"
    write_bytes(folder / "a.bin", b"a")
    write_bytes(folder / "b.bin", b"b")

    def killed(path, ignore_errors):
        if Path(path).is_dir():
            assert not folder.exists()
            (Path(path) / "a.bin").unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_folder(folder)
    assert not folder.exists()
    write_bytes(folder / "a.bin", b"a")
    remove_folder(folder)
    assert list(tmp_path.iterdir()) == []
    remove_folder(folder)


def test_an_unchanged_input_is_not_read_twice(tmp_path, hashed):
    inputs = make_inputs(tmp_path / "data")
    first = Digests(tmp_path / "runs")
    digest = first.of(inputs)
    first.save()
    assert hashed == ["a.png", "b.png"]
    second = Digests(tmp_path / "runs")
    assert second.of(inputs) == digest
    second.save()
    assert hashed == ["a.png", "b.png"]


def test_a_changed_input_is_noticed_even_if_its_size_and_modification_time_are_not_changed(tmp_path, hashed):
    inputs = make_inputs(tmp_path / "data")
    digests = Digests(tmp_path)
    before, times = digests.of(inputs), inputs[0].stat()
    time.sleep(0.02)
    inputs[0].write_bytes(b"A.PNG" * 10)
    os.utime(inputs[0], ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digests.of(inputs) != before
    assert hashed == ["a.png", "b.png", "a.png"]


def test_equal_relative_paths_in_two_folders_are_two_files(tmp_path, monkeypatch):
    found = []
    digests = Digests(tmp_path)
    for name in ("one", "two"):
        file = tmp_path / name / "a.bin"
        file.parent.mkdir()
        file.write_bytes(name.encode())
        os.utime(file, ns=(10**18, 10**18))
        monkeypatch.chdir(file.parent)
        found.append(digests.of([Path("a.bin")]))
    assert found[0] != found[1]
    digests.save()
    assert set(read_json(tmp_path / ".augkit/digests.json")["files"]) == {
        str(tmp_path / name / "a.bin") for name in ("one", "two")
    }


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"x": 3}', '{"x": null}', "null"])
def test_a_broken_memory_of_digests_is_as_good_as_none(tmp_path, text):
    inputs = make_inputs(tmp_path / "data")
    expected = Digests(tmp_path / "none").of(inputs)
    (make_private_folder(tmp_path) / "digests.json").write_text(text.replace("x", str(inputs[0])))
    digests = Digests(tmp_path)
    assert digests.of(inputs) == expected
    digests.save()
    assert len(read_json(tmp_path / ".augkit/digests.json")["files"]) == 2


def test_no_flipped_bit_of_the_memory_of_digests_is_used(tmp_path):
    inputs = make_inputs(tmp_path / "data")
    digests = Digests(tmp_path)
    expected = digests.of(inputs)
    digests.save()
    file = tmp_path / ".augkit/digests.json"
    whole = file.read_bytes()
    for place in range(0, 8 * len(whole), 3):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        file.write_bytes(damaged)
        assert Digests(tmp_path).of(inputs) == expected


def test_a_pipe_or_device_among_inputs_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    for file in (tmp_path / "a.png", Path("/dev/zero"), tmp_path):
        with pytest.raises(InputError, match=f"{file}: is no regular file. Give a file, not a pipe, device or folder"):
            Digests(tmp_path / "runs").of([file])


def test_an_input_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone.png: cannot be read: No such file or directory"):
        Digests(tmp_path).of([tmp_path / "gone.png"])

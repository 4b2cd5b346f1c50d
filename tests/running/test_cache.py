import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from augkit.cli import app
from augkit.errors import DamagedArtifactError, StageError
from augkit.planning.plan import Plan
from augkit.planning.tasks import Stage
from augkit.running.cache import collect, contents, forget_run, record_run
from augkit.store import Address, Store, find_damage, read_json, seal, write_bytes, write_json, write_text

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")
DAY = 86400.0


def stage(kind, label, inputs=()):
    fingerprint = hashlib.sha256(f"{kind} {label}".encode()).hexdigest()
    identity = {"inputs": [upstream.address.fingerprint for upstream in inputs]}
    return Stage(Address(kind, label, fingerprint), label, {one.title: one for one in inputs}, None, (), {}, identity)


def plan(name, data=None):
    """dataset -> masks -> synthesis -> segmenter -> report, where the report does not name the masks."""
    data = data or stage("dataset", "phantom")
    masks = stage("masks", f"m-{name}", [data])
    synthesis = stage("synthesis", f"s-{name}", [data, masks])
    segmenter = stage("segmenter", f"u-{name}", [data, synthesis])
    return Plan((), stage("report", f"{name}.v1", [data, synthesis, segmenter]))


def build(store, *stages):
    for one in stages:
        if not store.has(one.address):
            work = store.workplace(one.address, fresh=True)
            write_bytes(work / "file.bin", b"x" * 1000)
            store.publish(one.address, work, {"identity": one.identity})


def users(store):
    return {item.path.name: item.used_by for item in contents(store)}


def names(items):
    return sorted(item.path.name[:-13] for item in items)


def make_old(store, days):
    then = time.time() - days * DAY
    for path in [store.root, *store.root.rglob("*")]:
        os.utime(path, (then, then))


def test_what_reports_need_is_kept_through_what_it_was_made_from_and_the_rest_goes(tmp_path):
    store, first, second = Store(tmp_path), plan("first"), plan("second")
    build(store, *first.stages(), *second.stages(), stage("generator", "orphan"))
    assert users(store)[store.path(first.stages()[0].address).name] == (
        f"report {first.report.address.name}", f"report {second.report.address.name}"
    )  # fmt: skip
    store.discard(store.path(second.report.address))
    removed = collect(store, 0, False, dry=False)
    assert names(removed) == ["m-second", "orphan", "s-second", "u-second"]
    assert sum(item.size for item in removed) > 4000
    assert {item.path.name for item in contents(store)} == {store.path(s.address).name for s in first.stages()}
    assert all(find_damage(item.path) == [] for item in contents(store))
    assert not (tmp_path / ".augkit/trash").exists()


def test_a_dry_run_shows_the_same_and_removes_nothing(tmp_path):
    store = Store(tmp_path)
    build(store, *plan("kept").stages(), stage("generator", "orphan"))
    before = sorted(tmp_path.rglob("*"))
    shown = collect(store, 0, False, dry=True)
    assert sorted(tmp_path.rglob("*")) == before
    assert names(shown) == names(collect(store, 0, False, dry=False)) == ["orphan"]


def test_only_what_is_old_enough_goes(tmp_path):
    store = Store(tmp_path)
    build(store, stage("generator", "old"))
    make_old(store, 40)
    build(store, stage("generator", "new"))
    assert names(collect(store, 30 * DAY, False, dry=False)) == ["old"]
    assert names(collect(store, 0, False, dry=False)) == ["new"]


def test_an_unfinished_run_keeps_what_it_has_and_its_work_until_it_is_given_up(tmp_path):
    store, run = Store(tmp_path), plan("long")
    record_run(store, [run.report])
    build(store, *run.stages()[:2])
    work = store.workplace(run.stages()[2].address, fresh=True)
    write_bytes(work / "checkpoints" / "1.bin", b"precious")
    make_old(store, 400)
    assert collect(store, 0, False, dry=False) == []
    assert (work / "checkpoints" / "1.bin").exists()
    assert users(store)[work.parents[1].name] == (f"unfinished run {run.report.address.name}",)
    assert names(collect(store, 0, True, dry=True)) == ["m-long", "phantom", "synthesis-s-long"]
    assert names(collect(store, 500 * DAY, True, dry=False)) == []
    assert names(collect(store, 0, True, dry=False)) == ["m-long", "phantom", "synthesis-s-long"]
    assert contents(store) == []
    assert list((tmp_path / ".augkit/runs").iterdir()) == []


def test_giving_up_a_run_keeps_what_another_needs(tmp_path):
    store, done, given_up = Store(tmp_path), plan("done"), plan("up")
    record_run(store, [done.report])
    record_run(store, [given_up.report])
    build(store, *done.stages(), *given_up.stages()[:3])
    forget_run(store, [done.report])
    assert names(collect(store, 0, True, dry=False)) == ["m-up", "s-up"]
    assert store.has(done.report.address)
    assert store.has(done.stages()[0].address)


def test_damaged_things_tracebacks_and_what_a_killed_collection_left_go(tmp_path):
    store, run = Store(tmp_path), plan("kept")
    build(store, *run.stages())
    write_bytes(store.make_private("damaged") / "dataset-phantom-0123-99" / "file.bin", b"x")
    write_bytes(store.make_private("errors") / "u-lost-0123456789ab.txt", b"x")
    write_bytes(store.make_private("trash") / "half" / "file.bin", b"x")
    write_bytes(tmp_path / "figures" / "arm" / "index.html", b"not of the store")
    assert {item.kind for item in collect(store, 0, False, dry=False)} == {"damaged", "traceback"}
    assert not (tmp_path / ".augkit/trash").exists()
    assert (tmp_path / "figures" / "arm" / "index.html").exists()
    assert store.has(run.report.address)


def test_in_a_folder_in_use_nothing_is_removed_that_the_store_did_not_publish(tmp_path):
    store = Store(tmp_path)
    build(store, stage("generator", "orphan"))
    orphan = next((tmp_path / "generator").iterdir())
    identity = {"kind": "generator", "label": "x", "fingerprint": "0123456789abcdef" * 4}
    for name in (".trash", ".work", ".errors", ".damaged", ".locks", ".runs"):
        write_bytes(tmp_path / name / "unet-0123456789ab" / "file.bin", b"mine")
    write_text(tmp_path / "report" / "2026" / "thesis.txt", "mine")
    for place in ("models/best-0123456789ab", "generator/unet-0123456789ab", "generator/exported"):
        write_text(tmp_path / place / "file.txt", "mine")
    seal(tmp_path / "generator" / "exported", {"export": {}})  # as augkit export writes
    seal(tmp_path / "models" / "best-0123456789ab", identity)  # of another kind than its folder
    write_json(tmp_path / "generator" / "unet-0123456789ab" / "artifact.json", {**identity, "files": {}})  # no seal
    shutil.copytree(orphan, tmp_path / "generator" / "copy")  # under another name than it was published
    shutil.copytree(tmp_path / "generator", tmp_path.with_name("elsewhere") / "generator")
    (tmp_path / "masks").symlink_to(tmp_path.with_name("elsewhere") / "generator")
    (tmp_path / "generator" / "linked-0123456789ab").symlink_to(orphan)
    gone = {orphan, *orphan.rglob("*")}
    expected = {path for path in tmp_path.rglob("*") if path not in gone}
    assert [item.path for item in collect(store, 0, True, dry=False)] == [orphan]
    made = {path for path in tmp_path.rglob("*") if path.is_relative_to(tmp_path / ".augkit")}
    assert set(tmp_path.rglob("*")) - made == {path for path in expected if path not in made}
    assert (tmp_path.with_name("elsewhere") / "generator" / orphan.name / "file.bin").exists()


def test_an_artifact_with_a_file_of_somebody_else_stays(tmp_path, capsys):
    store, noted, damaged = Store(tmp_path), stage("generator", "noted"), stage("masks", "damaged")
    build(store, noted, damaged)
    for one in (noted, damaged):
        write_text(store.path(one.address) / "notes.txt", "mine")
    with pytest.raises(DamagedArtifactError):
        store.open(damaged.address)
    assert collect(store, 0, False, dry=False) == []
    assert command(capsys, "ls", f"--out={tmp_path}")[1][-2].endswith("   holds notes.txt, which augkit did not write")
    assert len(list(tmp_path.rglob("notes.txt"))) == 2


def test_a_private_folder_that_is_somebody_elses_ends_with_two_and_stays(tmp_path, capsys):
    write_text(tmp_path / ".augkit" / "work" / "file.txt", "mine")
    for arguments in (["gc"], ["gc", "--dry-run"], ["ls"]):
        code, out, err = command(capsys, *arguments, f"--out={tmp_path}")
        assert (code, out) == (2, [])
        assert err.startswith(f"{tmp_path / '.augkit'}: was not made by augkit")
    assert (tmp_path / ".augkit" / "work" / "file.txt").read_text() == "mine"


def test_nothing_is_removed_while_something_is_built(tmp_path):
    store, busy = Store(tmp_path), stage("generator", "busy")
    build(store, stage("generator", "orphan"))
    with (
        store.lock(busy.address, lambda _: None),
        pytest.raises(StageError, match=rf"in use: generator-busy-.*: process {os.getpid()} on .* Nothing was removed"),
    ):
        collect(store, 0, False, dry=False)
    assert names(collect(store, 0, False, dry=False)) == ["orphan"]


def begin_on_another_host(store, one):
    """Leave an attempt as a process of another host does, with or without a lock that is seen here."""
    work = store.workplace(one.address, fresh=True)
    write_bytes(work / "checkpoints" / "1.bin", b"precious")
    owner = read_json(work.parent / "owner.json")
    write_json(work.parent / "owner.json", {**owner, "host": "node7", "pid": 4711, "node": "another boot"})
    return work.parent


def test_nothing_is_removed_while_another_host_builds_even_if_its_lock_is_not_seen_here(tmp_path, capsys):
    store, busy = Store(tmp_path), stage("generator", "busy")
    build(store, stage("generator", "orphan"))
    attempt = begin_on_another_host(store, busy)
    code, out, err = command(capsys, "gc", f"--out={tmp_path}", "--unfinished")
    assert (code, out) == (1, [])
    assert re.fullmatch(
        rf"{tmp_path}: may be in use: generator-busy-[0-9a-f]+: process 4711 on node7 \(since 20.*\), last written to "
        r"[0-9.]+ s ago\. Nothing was removed; try again when that has ended, or with --force if that host is dead\n",
        err,
    )
    assert (attempt / "files" / "checkpoints" / "1.bin").exists()
    assert names(contents(store)) == ["generator-busy", "orphan"]


def test_a_dead_hosts_attempt_goes_by_force_or_after_a_day_of_silence(tmp_path, capsys):
    store, busy = Store(tmp_path), stage("generator", "busy")
    begin_on_another_host(store, busy)
    assert command(capsys, "gc", f"--out={tmp_path}", "--force")[1][-1].endswith("1 thing that no run on disk needs")
    assert contents(store) == []
    begin_on_another_host(store, busy)
    make_old(store, 1.1)
    assert names(collect(store, 0, False, dry=False)) == ["generator-busy"]


def test_force_does_not_remove_what_a_recorded_run_needs_nor_under_a_lock(tmp_path):
    store, run = Store(tmp_path), plan("long")
    record_run(store, [run.report])
    attempt = begin_on_another_host(store, run.stages()[0])
    assert collect(store, 0, False, dry=False, force=True) == []
    with store.lock(run.report.address, lambda _: None), pytest.raises(StageError, match="in use: report-long"):
        collect(store, 0, True, dry=False, force=True)
    assert attempt.is_dir()


def test_what_a_killed_process_of_this_host_left_holds_nobody_up(tmp_path):
    code = f"""
import os, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_cache import Store, stage
Store(Path({str(tmp_path)!r})).workplace(stage("generator", "busy").address, fresh=True)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert names(collect(Store(tmp_path), 0, False, dry=False)) == ["generator-busy"]


def test_what_is_left_of_an_attempt_whose_artifact_is_there_is_needed_by_nobody(tmp_path):
    store, run = Store(tmp_path), plan("kept")
    build(store, *run.stages())
    store.workplace(run.report.address, fresh=True)
    assert names(collect(store, 0, False, dry=False)) == ["report-kept.v1"]
    assert store.has(run.report.address)


@pytest.mark.parametrize("harm", ["manifest", "record", "no manifest"])
def test_nothing_is_removed_while_it_is_not_known_what_a_run_needs(tmp_path, harm):
    store, run = Store(tmp_path), plan("kept")
    record_run(store, [run.report])
    build(store, *run.stages())
    manifest = store.path(run.report.address) / "artifact.json"
    record = next((tmp_path / ".augkit/runs").iterdir())
    file = record if harm == "record" else manifest
    file.write_text("[]") if harm != "no manifest" else file.unlink()
    with pytest.raises(StageError, match=r"cannot be read, so it is not known what this run needs\. Nothing was"):
        collect(store, 0, False, dry=False)
    assert store.has(run.stages()[0].address)


def test_a_run_that_begins_while_things_are_removed_waits_for_the_end_of_that(tmp_path):
    store, run = Store(tmp_path), plan("new")
    build(store, *run.stages()[:2])
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_cache import Store, plan, record_run
print("ready", flush=True)
record_run(Store(Path({str(tmp_path)!r})), [plan("new").report])
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        with store.lock_list_of_runs():
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.3)
            assert process.poll() is None
            assert not (tmp_path / ".augkit/runs").exists()
        assert process.wait(timeout=60) == 0
    assert len(list((tmp_path / ".augkit/runs").iterdir())) == 1


# The commands


def command(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        app(["cache", *arguments])
    out, err = capsys.readouterr()
    return ended.value.code or 0, out.splitlines(), err


def test_ls_names_kind_size_age_and_runs_and_gc_says_what_it_freed(tmp_path, capsys):
    store = Store(tmp_path / "runs")
    for name in ("a", "b", "c"):
        build(store, *plan(name).stages())
    build(store, stage("generator", "orphan"))
    out = f"--out={store.root}"
    code, lines, _ = command(capsys, "ls", out)
    assert code == 0
    data = next(line for line in lines if line.startswith("dataset"))
    assert "phantom-" in data
    assert " kB " in data
    assert data.count("report ") == 2
    assert data.endswith(" and 1 more")
    assert next(line for line in lines if line.startswith("generator")).endswith("   no run")
    assert lines[-1].endswith("kB of it")
    code, lines, _ = command(capsys, "gc", out, "--dry-run")
    assert lines[-1].startswith("would free ")
    code, lines, _ = command(capsys, "gc", out, "--older-than", "30d")
    assert lines == ["freed 0 B: 0 things that no run on disk needs"]
    code, lines, _ = command(capsys, "gc", out)
    assert lines[-1].startswith("freed ")
    assert lines[-1].endswith(" kB: 1 thing that no run on disk needs")


def test_commands_on_a_folder_that_is_not_there_write_nothing(tmp_path, capsys):
    out = f"--out={tmp_path / 'none'}"
    assert command(capsys, "ls", out)[1] == [f"0 B in {tmp_path / 'none'}; no run on disk needs 0 B of it"]
    assert command(capsys, "gc", out)[1] == ["freed 0 B: 0 things that no run on disk needs"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("age", ["30", "d", "-1d", "1.5h", "30 d", "3w"])
def test_an_age_that_is_none_ends_with_two(capsys, age):
    code, _, err = command(capsys, "gc", f"--older-than={age}")
    assert (code, err) == (
        2, f"--older-than {age}: found '{age}'; allowed: a whole number and s, m, h or d, as in 30d\n"
    )  # fmt: skip

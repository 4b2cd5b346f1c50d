"""Places that augkit is told to write to, and what processes that were killed leave there."""

import errno
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from augkit.errors import InputError, StageError
from augkit.store import check_place, draft_beside, explained, named_by, whole_folder, write_text


def test_places_that_cannot_be_given_by_one_rename_are_refused_by_the_option_that_named_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "empty").mkdir()
    for place, said in {
        Path("link"): "--to link: is a link; allowed: a new or empty folder. Name the folder that it leads to",
        Path("file"): "--to file: is a file; allowed: a new or empty folder",
        Path(): "--to .: is the folder you are in; allowed: a new or empty folder. Name a new folder in it",
        Path("/proc"): "--to /proc: is a mount point; allowed: a new or empty folder. Name a new folder in it",
        Path("file/below"): "--to file/below: cannot be made: .*/file cannot be written into. Choose another place",
    }.items():
        with pytest.raises(InputError, match=said):
            check_place(place, "--to")
    check_place(Path("empty"), "--to")
    check_place(Path("new/below"), "--to")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "link"]


def test_errors_of_writing_name_the_option_that_chose_the_place(tmp_path):
    said = "Free some space or choose another folder with --to"
    with named_by("--to"), pytest.raises(StageError, match=said), explained(tmp_path):
        raise OSError(errno.ENOSPC, "full")
    with pytest.raises(StageError, match="choose another folder with --out"), explained(tmp_path):
        raise OSError(errno.ENOSPC, "full")


def test_drafts_of_processes_that_died_are_removed_and_those_of_others_stay(tmp_path):
    program = "import sys; from pathlib import Path; from augkit.store import *; d = draft_beside(Path(sys.argv[1]));"
    program += "write_text(d / 'patient.png', 'pixels'); import os; os.kill(os.getpid(), 9)"
    for name in ("export", "another"):
        subprocess.run([sys.executable, "-c", program, str(tmp_path / name)], check=False)
    mine = draft_beside(tmp_path / "mine")
    write_text(mine / "patient.png", "pixels")
    (tmp_path / ".somebody.draft-1-2").mkdir()
    draft_beside(tmp_path / "export")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([mine.name, ".somebody.draft-1-2"])


def test_the_files_of_a_page_appear_together_or_not_at_all(tmp_path):
    with suppress(RuntimeError), whole_folder(tmp_path / "page") as draft:
        write_text(draft / "index.html", "half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    for text in ("first", "second"):
        with whole_folder(tmp_path / "page") as draft:
            write_text(draft / "figures/a.png", text)
            write_text(draft / "index.html", text)
        assert (tmp_path / "page/index.html").read_text() == (tmp_path / "page/figures/a.png").read_text() == text
        (tmp_path / "page/notes.txt").write_text("mine")
    assert (tmp_path / "page/notes.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("arguments", [["--version"], ["ls"]])
def test_an_output_that_takes_no_more_is_one_sentence(arguments):
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "augkit", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "reading or writing failed: No space left on device\n"


def test_an_early_ctrl_c_is_no_traceback(tmp_path):
    """While the command line is being imported; before that, it is Python that starts."""
    (tmp_path / "typer.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)\n")
    with_signal = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-c", "from augkit.__main__ import main; main()", "ls"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60, env=with_signal)
    assert (done.returncode, done.stderr) == (130, "Interrupted.\n")


@pytest.mark.parametrize("way", ["python -m augkit", "the script"])
def test_a_ctrl_c_while_the_package_itself_is_being_imported_is_no_traceback(tmp_path, way):
    (tmp_path / "numpy.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)\n")
    script = tmp_path / "bin/augkit"
    script.parent.mkdir()
    script.write_text("from augkit.__main__ import main\nmain()\n")
    command = [sys.executable, "-m", "augkit"] if way == "python -m augkit" else [sys.executable, str(script)]
    with_signal = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run([*command, "ls"], stderr=subprocess.PIPE, text=True, timeout=60, env=with_signal)
    assert (done.returncode, done.stderr) == (130, "Interrupted.\n")


def test_another_program_that_imports_augkit_keeps_its_own_way_of_telling_errors():
    program = "import sys; before = sys.excepthook; import augkit; assert sys.excepthook is before"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_any_error_of_the_system_is_a_sentence_with_its_file(augkit, monkeypatch):
    def failing(*arguments):
        raise OSError(errno.EIO, os.strerror(errno.EIO), "runs/.augkit/trash")

    monkeypatch.setattr("augkit.running.cache.collect", failing)
    code, _, said = augkit("cache", "gc")
    assert (code, said) == (1, "runs/.augkit/trash: Input/output error\n")

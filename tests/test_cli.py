"""The command line as a person meets it: help, exit codes, sentences instead of tracebacks, and nothing written."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from augkit import cli
from augkit.commands.arguments import parse_seeds
from augkit.commands.terminal import print_table
from augkit.images import encode_png

RECIPE = """\
name: demo
dataset: {phantom: {train: 2, test: 2, size: 32}}
synthesize:
  - generator: {mask2lesion: {width: 4}}
    masks: {training: {}}
    per_real: 1.0
augment:
  - geometry: {flip: both}
segmenter: {unet: {width: 4, steps: 2}}
"""


def subprocess_run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from augkit.cli import main; main()", *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(text: str = RECIPE, name: str = "r.yaml") -> Path:
    Path(name).write_text(text)
    return Path(name)


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize(
    ("command", "example"),
    [
        ([], "augkit run recipes/allaug.yaml"),
        (["run"], "augkit run recipes/*aug.yaml --seeds 0,1,2 --set segmenter.unet.steps=100"),
        (["compare"], "augkit compare recipes/*aug.yaml --seeds 0..5"),
        (
            ["power"],
            "augkit power recipes/classicaug.yaml recipes/allaug.yaml --gain 0.02, or: augkit power runs/report/",
        ),
        (["plan"], "augkit plan recipes/*aug.yaml --seeds 0..2"),
        (["validate"], "augkit validate recipes/*aug.yaml"),
        (["controls"], "augkit controls recipes/allaug.yaml --to controls"),
        (["preview"], "augkit preview recipes/allaug.yaml"),
        (["figures"], "augkit figures recipes/allaug.yaml"),
        (["quality"], "augkit quality recipes/allaug.yaml --seeds 0..2"),
        (["export"], "augkit export recipes/allaug.yaml --format nnunet --to exported"),
        (["data"], "augkit data check RECIPE"),
        (["data", "check"], "augkit data check recipes/isic2017/noaug.yaml"),
        (["generator"], "augkit generator import latest_net_G.pth"),
        (["generator", "import"], "augkit generator import latest_net_G.pth --to generators/pix2pix"),
        (["schema"], "augkit schema > recipe.schema.json"),
        (["ls"], "augkit ls"),
        (["cp"], "augkit cp allaug my_recipes"),
        (["doctor"], "augkit doctor"),
        (["plugin"], "augkit plugin list"),
        (["cache"], "augkit cache ls"),
        (["cache", "ls"], "augkit cache ls"),
        (["cache", "gc"], "augkit cache gc --older-than 30d --dry-run"),
        (["plugin", "list"], "augkit plugin list"),
        (["plugin", "show"], "augkit plugin show mask2lesion"),
        (["plugin", "check"], "augkit plugin check mask2lesion --set width=4 --set epochs=2"),
        (["plugin", "new"], "augkit plugin new stripes --kind generator"),
    ],
)
def test_every_command_explains_itself_with_an_example(augkit, command, example, flag):
    code, out, _ = augkit(*command, flag)
    assert code == 0
    assert example in " ".join(out.split())


def test_no_command_is_without_an_example(augkit):
    for name, _, _ in cli.COMMANDS:
        code, out, _ = augkit(*name.split(), "--help")
        assert code == 0
        assert f"Example: augkit {name}" in " ".join(out.split())


def test_help_lists_the_commands_in_the_order_of_work(augkit):
    _, out, _ = augkit("--help")
    shown = [line.split()[1] for line in out.splitlines() if re.match("│ [a-z]", line)]
    ours = (
        "run compare power search plan validate controls preview figures quality reproduce share export data generator "
        "plugin ls cp schema cache doctor"
    )
    assert " ".join(shown) == f"{ours} jobs paint", "those of plugins come last"


def test_the_tab_key_completes_commands_and_options_and_help_tells_how(augkit, monkeypatch):
    assert "For the tab key: augkit --install-completion" in " ".join(augkit("--help")[1].split())
    for words, position, found in (("augkit contr", "1", "controls"), ("augkit plan --est", "2", "--estimate")):
        monkeypatch.setenv("_AUGKIT_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", position)
        assert found in augkit()[1].split()


@pytest.mark.parametrize("arguments", [["rnu"], ["plugin", "lst"], ["validate"], ["run", "--sedes", "1", "r.yaml"]])
def test_a_wrong_command_line_ends_with_two_and_a_sentence(augkit, arguments):
    code, out, err = augkit(*arguments)
    assert code == 2
    assert "Usage: augkit" in out + err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "x" * 300], "File name too long"),
        (["run", "r.yaml", "-o", "x" * 300], "File name too long"),
        (["plan", "r.yaml", "-o", "x" * 300], "File name too long"),
        (["cache", "ls", "-o", "x" * 300], "File name too long"),
        (["export", "r.yaml", "--to", "x" * 300], ": is too long; allowed: names of up to 255 bytes"),
        (["generator", "import", "x" * 300, "--to", "y"], "File name too long"),
        (["validate", "r.yaml", "--set", "name=\udcff"], "--set name=\\udcff: not YAML"),
    ],
)
def test_a_name_that_no_file_can_have_is_bad_input(augkit, arguments, said):
    write()
    code, out, err = augkit(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert names(Path()) == ["r.yaml"]


@pytest.mark.parametrize("width", [80, 1000])
def test_a_table_loses_no_digit_however_narrow_the_terminal(capsys, width):
    rows = [["a-long-name-of-an-arm", *["0.6803 ± 0.0123"] * 4]]
    print_table("scores", ["arm", "Dice", "accuracy", "sensitivity", "specificity"], rows, Console(width=width))
    said = capsys.readouterr().out
    assert said.count("0.6803") == said.count("0.0123") == 4
    assert "…" not in said


def test_a_world_size_that_is_no_number_is_bad_input(augkit, monkeypatch):
    write()
    monkeypatch.setenv("WORLD_SIZE", "x")
    code, _, err = augkit("run", "r.yaml")
    assert (code, err) == (
        2,
        "WORLD_SIZE: found 'x' in the environment; allowed: a number of processes, as torchrun sets it\n",
    )


def test_a_good_recipe_is_ok(augkit):
    write()
    assert augkit("validate", "r.yaml") == (0, "r.yaml: ok\n", "")
    assert names(Path()) == ["r.yaml"]


def test_validate_with_data_reads_every_pixel_and_tells_many_files_alike_in_one_line(augkit, tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for i in range(30):
            Image.new("L", (32, 32), 1).save(tmp_path / folder / f"{i:02}.png")
    write(
        f"name: n\ndataset: {{folder: {{root: '{tmp_path}', size: 32, test_fraction: 0.4}}}}\n"
        "segmenter: {unet: {width: 4, steps: 1, batch_size: 2}}\n"
    )
    code, out, err = augkit("validate", "r.yaml", "--data")
    assert (code, err) == (0, "")
    assert re.match(r"r\.yaml:2: \d+ train, 0 validation, \d+ test images read\n", out)
    assert "structure covers 100% of the frame" in out
    assert out.endswith("r.yaml: ok\n")
    for i in range(12):  # what headers do not tell
        levels = np.arange(32 * 32, dtype=np.uint8).reshape(32, 32)
        Image.fromarray(levels).save(tmp_path / "masks" / f"{i:02}.png")
    truncated = tmp_path / "images" / "29.png"
    truncated.write_bytes(truncated.read_bytes()[:-30])
    assert augkit("validate", "r.yaml")[0] == 0
    code, out, err = augkit("validate", "r.yaml", "--data")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 2
    assert f"r.yaml:2: {tmp_path / 'masks'}: 12 files with one fault, such as" in err
    assert f"r.yaml:2: {truncated}: is damaged: its chunk IDAT is cut off" in err


def test_validate_and_run_say_which_files_of_a_folder_are_not_read(augkit, tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for i in range(12):
            level = 0 if folder == "masks" and i == 0 else 1
            Image.new("L", (32, 32), level).save(tmp_path / folder / f"{i}.png")
    (tmp_path / "masks" / "notes.txt").write_text("x")
    write(
        f"name: n\ndataset: {{folder: {{root: '{tmp_path}', size: 32, test_fraction: 0.4}}}}\n"
        "segmenter: {unet: {width: 4, steps: 1, batch_size: 2}}\n"
    )
    told = f"r.yaml:2: {tmp_path / 'masks'}: 1 file is not read beside 12: 1 .txt, such as notes.txt\n"
    assert augkit("validate", "r.yaml") == (0, f"{told}r.yaml: ok\n", "")
    code, out, err = augkit("run", "r.yaml", "--quiet")
    assert code == 0
    assert err.startswith(told)
    assert "1 file is not read beside 12" in out


def test_plan_shows_every_stage_and_writes_nothing(augkit):
    write()
    code, out, err = augkit("plan", "r.yaml", "--seeds", "0..1")
    assert (code, err) == (0, "")
    sizes, *lines = out.splitlines()
    assert sizes == "split sizes: 2 train, 0 validation, 2 test"
    assert len(lines) == 1 + 2 * 5 + 1
    assert all(line.startswith("will be built  ") for line in lines)
    assert "segmenter unet · seed 1" in out
    assert str(Path("runs", "generator", "mask2lesion-")) in out
    assert names(Path()) == ["r.yaml"]


def test_plan_counts_the_trainings_of_folds(augkit):
    write()
    code, out, err = augkit("plan", "r.yaml", "--seeds", "0..1", "--set", "folds=3")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "1 arm x 2 seeds x 3 folds: 6 segmenters and 6 generators to train"
    assert "dataset phantom · fold 2 of 3" in out
    assert "segmenter unet · seed 1 · fold 2" in out
    assert lines[1] == "split sizes (of the first fold): about 2 train, 0 validation, 2 test"
    assert len(lines) == 2 + 1 + 3 + 2 * 3 * 5 + 1
    assert names(Path()) == ["r.yaml"]


def test_fewer_groups_than_folds_are_told_by_validate_with_data_and_by_run_before_it_trains(augkit):
    write()
    few = ["--set", "folds=20", *(word for key in ("train", "test") for word in ("--set", f"dataset.phantom.{key}=5"))]
    said = "found 10 groups for 20 folds; allowed: at least one group for each"
    code, _, err = augkit("validate", "--data", "r.yaml", *few)
    assert code == 2
    assert said in err
    code, _, err = augkit("run", "r.yaml", *few, "--device", "cpu", "--quiet")
    assert code == 2
    assert said in err
    assert not Path("runs", "generator").exists()


def test_plan_says_that_too_few_seeds_give_no_verdict_where_several_were_asked_for(augkit):
    write()
    write(re.sub(r"synthesize:\n.*\n.*\n.*\n", "", RECIPE).replace("demo", "plain"), "plain.yaml")
    said = (
        "comparison: no verdict can come out of this: 3 trainings per arm are too few to separate an arm from the luck "
        "of its trainings. Train at least 4 seeds, better 6: --seeds 0..5.\n"
    )
    for arguments, err in (
        (("r.yaml", "plain.yaml", "--seeds", "0..2"), said),
        (("r.yaml", "plain.yaml", "--seeds", "0..3"), ""),
        (("r.yaml", "plain.yaml"), ""),
        (("r.yaml", "--seeds", "0..2"), ""),
    ):
        assert augkit("plan", *arguments)[::2] == (0, err)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "lines"), [("compare", 2), ("run", 0)])
def test_compare_says_before_it_trains_that_no_verdict_can_come_and_run_of_one_seed_does_not(augkit, command, lines):
    write(PLAIN)
    write(PLAIN.replace("plain", "flipped") + "augment: [geometry: {flip: both}]\n", "flipped.yaml")
    code, _, err = augkit(command, "r.yaml", "flipped.yaml", "--device", "cpu")
    told, trains = (
        [i for i, line in enumerate(err.splitlines()) if words in line]
        for words in ("no verdict can come out of this", "] segmenter")
    )
    assert (code, len(told)) == (0, lines)
    assert all(line < trains[0] for line in told)


def test_every_problem_of_every_kind_is_told_in_one_pass(augkit):
    write(
        "name: demo\nsed: 1\nseed: 007\n"
        "dataset: {phantm: {}}\n"
        "synthesize:\n  - generator: {mask2lesion: {width: '4'}}\n    masks: {trainin: {}}\n    per_real: .nan\n"
        "augment:\n  - geometry: {flp: both,\n      rotate: x}\n  - unet: {}\n"
        "segmenter: {unet: {width: 4, steps: 2}}\nname: other\n"
    )
    write(RECIPE.replace("steps: 2", "steps: 1.5"), "s.yaml")
    code, out, err = augkit("validate", "r.yaml", "s.yaml", "gone.yaml", "--set", "segmenter.unet.widht=1")
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        "r.yaml:2",  # sed
        "r.yaml:3",  # 007
        "r.yaml:4",  # phantm
        "r.yaml:6",  # '4'
        "r.yaml:7",  # trainin
        "r.yaml:8",  # .nan
        "r.yaml:10",  # flp
        "r.yaml:11",  # rotate
        "r.yaml:12",  # unet as an augmentation
        "r.yaml:14",  # name twice
        "gone.yaml",
        "--set segmenter.unet.widht=1",
        "s.yaml:9",  # steps
    ]
    assert "r.yaml:2: unknown key 'sed'. Did you mean 'seed'?" in lines
    assert "r.yaml:4: no dataset is called 'phantm'. Did you mean 'phantom'?" in lines
    assert "r.yaml:6: mask2lesion.width: found the text '4'; allowed: a whole number. Remove the quotes" in lines
    assert "r.yaml:7: no mask source is called 'trainin'. Did you mean 'training'?" in lines
    assert "r.yaml:10: geometry has no option 'flp'. Did you mean 'flip'?" in lines
    assert "r.yaml:11: geometry.rotate: found the text 'x'; allowed: a number" in lines
    assert "--set segmenter.unet.widht=1: unet has no option 'widht'. Did you mean 'width'?" in lines
    assert "s.yaml:9: unet.steps: found 1.5; allowed: a whole number" in lines
    assert names(Path()) == ["r.yaml", "s.yaml"]


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
def test_every_command_refuses_a_wrong_recipe_with_two_and_writes_nothing(augkit, command):
    write(RECIPE.replace("both", "bth"))
    code, out, err = augkit(command, "r.yaml")
    assert (code, out) == (2, "")
    assert err == (
        "r.yaml:8: geometry.flip: found the text 'bth'; allowed: 'none', 'horizontal', 'vertical' or 'both'\n"
    )
    assert names(Path()) == ["r.yaml"]


def test_arms_on_different_data_end_with_two(augkit):
    write()
    write(RECIPE.replace("demo", "other").replace("size: 32", "size: 64"), "s.yaml")
    code, _, err = augkit("plan", "r.yaml", "s.yaml")
    assert code == 2
    assert err.startswith(
        "recipe 'other': has another data set, other options of it, or another development_share or folds than 'demo'; "
    )


@pytest.mark.parametrize(
    ("text", "seeds"), [("0,1,2", [0, 1, 2]), ("0..5", [0, 1, 2, 3, 4, 5]), (" 3 , 7..8 ", [3, 7, 8]), ("4..4", [4])]
)
def test_seeds_are_a_list_of_numbers_and_ranges(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ""),
        ("a", "a"),
        ("1,", ""),
        ("1.5", "1.5"),
        ("-1", "-1"),
        ("5..0", "5..0"),
        ("0..", "0.."),
        ("..5", "..5"),
        ("0...5", "0...5"),
        ("²", "²"),
        ("1e3", "1e3"),
        ("9999999999999999", "9999999999999999"),
    ],
)
def test_bad_seeds_end_with_two(augkit, text, found):
    write()
    code, out, err = augkit("plan", "r.yaml", f"--seeds={text}")
    assert (code, out) == (2, "")
    allowed = "allowed: whole numbers such as 0,1,2 or a range such as 0..5"
    assert err == f"--seeds {text}: found '{found}'; {allowed}\n"


@pytest.mark.parametrize("text", ["0..1000", "0..999999999999999", "0..600,0..600"])
def test_very_many_seeds_are_refused_before_they_fill_the_memory(augkit, text):
    write()
    code, _, err = augkit("plan", "r.yaml", "--seeds", text)
    assert code == 2
    assert err == f"--seeds {text}: found more than 1000 seeds; allowed: up to that many\n"


def test_file_names_may_have_spaces_and_any_letters(augkit):
    write(name="мой рецепт é.yaml")
    assert augkit("validate", "мой рецепт é.yaml") == (0, "мой рецепт é.yaml: ok\n", "")


def test_a_file_name_that_no_encoding_can_show_is_no_traceback(tmp_path):
    name = os.fsdecode(b"caf\xe9.yaml")
    try:
        (tmp_path / name).write_text(RECIPE)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    done = subprocess_run(tmp_path, "validate", name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "caf\\udce9.yaml: ok\n", "")


def test_a_terminal_that_shows_ascii_only_is_no_traceback(tmp_path):
    (tmp_path / "r.yaml").write_text(RECIPE)
    done = subprocess_run(tmp_path, "plan", "r.yaml", "--seeds", "0,1", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "segmenter unet \\xb7 seed 1" in done.stdout


def test_a_recipe_that_is_a_folder_a_pattern_or_missing_is_told(augkit):
    Path("recipes").mkdir()
    write(name="recipes/allaug.yaml")
    code, _, err = augkit("validate", "recipes", "recipes/no*.yaml", "recipes/alaug.yaml")
    assert code == 2
    assert err.splitlines() == [
        "recipes: is a folder; allowed: recipe files. As in recipes/*.yaml",
        "recipes/no*.yaml: no file matches this pattern. In that folder: recipes/allaug.yaml",
        "recipes/alaug.yaml: no such recipe. Did you mean 'recipes/allaug.yaml'?",
    ]


def test_a_recipe_cannot_steer_the_terminal(augkit):
    write(RECIPE.replace("both", '"\\e[2J\\nr.yaml: ok"'))
    code, _, err = augkit("validate", "r.yaml")
    assert code == 2
    assert "r.yaml:8: '\\x1b[2J\\nr.yaml: ok' has '\\n' within a word; allowed: letters. In double" in err
    assert err.count("\n") == 1
    assert "\x1b" not in err


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
HEAD = "name: a\ndataset: {phantom: {}}\nsegmenter: {unet: {}}\n"
HOSTILE = {
    "alias bomb": BOMB,
    "deep nesting": "[" * 200_000,
    "two megabytes": "#" * (2 << 20),
    "a million digits": "seed: " + "9" * 1_000_000,
    "very many unknown keys": HEAD + "".join(f"segmente{i}: 1\n" for i in range(4_900)),
    "very many unknown options": HEAD
    + "augment:\n  - geometry:\n"
    + "".join(f"      flip{i}: 1\n" for i in range(4_900)),
    "very many unknown plugins": HEAD + "augment:\n" + "".join(f"  - geometr{i}: {{}}\n" for i in range(3_300)),
    "python objects": HEAD + "seed: !!python/object/apply:os.system ['touch owned']\n",
}


USED = """
import atexit, os, resource
def tell():
    # Of the memory since the program began: what wait4 tells starts at the peak of the process that forked.
    peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1]
    used = resource.getrusage(resource.RUSAGE_SELF)
    open("used", "w").write(f"{used.ru_utime + used.ru_stime} {int(peak) * 1024}")
atexit.register(tell)
from augkit.cli import main
main()
"""


def validated(folder, text):
    """Validate a recipe; return the exit code, the seconds of processor time and the bytes that it took."""
    (folder / "r.yaml").write_text(text)
    with (folder / "err").open("wb") as err:
        command = [sys.executable, "-c", USED, "validate", "r.yaml"]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=err, check=False)
    seconds, memory = map(float, (folder / "used").read_text().split())
    return done.returncode, seconds, memory


@pytest.fixture(scope="module")
def usual_seconds(tmp_path_factory):
    """What a usual recipe takes on this machine, the start of the command included."""
    code, seconds, _ = validated(tmp_path_factory.mktemp("usual"), HEAD)
    assert code == 0
    return seconds


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to tell a process's peak memory")
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_recipe_is_refused_quickly_in_little_memory(tmp_path, usual_seconds, text):
    code, seconds, memory = validated(tmp_path, text)
    assert code == 2
    assert seconds < 3 * usual_seconds
    assert memory < 200e6
    lines = (tmp_path / "err").read_text().splitlines()
    assert lines
    assert all(line.startswith("r.yaml:") for line in lines)
    assert names(tmp_path) == ["err", "r.yaml", "used"]


def test_a_device_that_is_not_there_ends_with_two_and_nothing_written(tmp_path):
    (tmp_path / "r.yaml").write_text(RECIPE)
    done = subprocess_run(tmp_path, "run", "r.yaml", "--device", "tpu9", OMP_NUM_THREADS="1")
    assert done.returncode == 2, done.stderr
    assert "tpu9" in done.stderr
    assert "Traceback" not in done.stderr
    assert names(tmp_path) == ["r.yaml"]


@pytest.fixture
def strangers(tmp_path):
    """A folder with two installed plugins of strangers: one that cannot be imported, one that cannot be described."""
    odd = """
from __future__ import annotations
from dataclasses import dataclass
from augkit import hookimpl

@dataclass(frozen=True)
class Odd:
    amount: Nowhere = 1
    def __call__(self, images, masks, draws): ...

@hookimpl
def augkit_augmentations():
    return {"odd": Odd}
"""
    return install(tmp_path / "site", {"broken": "import sys; sys.exit('no licence')", "odd": odd})


def install(folder: Path, plugins: Mapping[str, str]) -> str:
    """Install plugins of strangers in a new folder; return the PYTHONPATH with which they are found."""
    folder.mkdir()
    for name, source in plugins.items():
        (folder / f"stranger_{name}.py").write_text(source)
        facts = folder / f"stranger_{name}-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: stranger-{name}\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text(f"[augkit]\n{name} = stranger_{name}\n")
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))


COMPILED = """
import ctypes, os
os.write(1, b"to the descriptor\\n")
library = ctypes.CDLL(None)
library.printf(b"kept until the end\\n")
"""
"""Prints as compiled code does: to the descriptor of the standard output, at once and at the end of the process."""


@pytest.mark.skipif(sys.platform == "win32", reason="the C library is found otherwise there")
@pytest.mark.parametrize("arguments", [["schema"], ["plan", "r.yaml"], ["plugin", "list"]], ids=" ".join)
def test_what_compiled_code_of_a_plugin_prints_is_no_result_of_a_command(tmp_path, arguments):
    (tmp_path / "r.yaml").write_text(RECIPE)
    quiet = subprocess_run(tmp_path, *arguments, PYTHONPATH=install(tmp_path / "quiet", {"loud": ""}))
    loud = subprocess_run(tmp_path, *arguments, PYTHONPATH=install(tmp_path / "loud", {"loud": COMPILED}))
    assert (loud.returncode, loud.stdout) == (0, quiet.stdout)
    assert loud.stderr.splitlines() == ["to the descriptor", "kept until the end"]


@pytest.mark.skipif(sys.platform == "win32", reason="shells say it otherwise there")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_output_is_no_traceback(tmp_path, closed):
    (tmp_path / "r.yaml").write_text(RECIPE)
    command = f"{sys.executable} -m augkit validate r.yaml {closed}"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("r.yaml: ok\n" if closed == "2>&-" else "")


@pytest.mark.skipif(sys.platform == "win32", reason="shells say it otherwise there")
def test_no_file_gets_the_number_of_an_output_that_was_closed_from_the_start(tmp_path):
    program = (
        "import os, sys; from augkit.commands.terminal import fill_closed_streams, open_console; fill_closed_streams();"
        "file = os.open('file', os.O_CREAT | os.O_WRONLY); os.write(1, b'x'); os.write(2, b'x'); print('x');"
        "print('x', file=sys.stderr); open_console(); os.write(file, str(file).encode())"
    )
    command = f'{sys.executable} -c "{program}" <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, check=False).returncode == 0
    assert (tmp_path / "file").read_text() == "3"


def test_plugin_list_shows_everything_and_what_is_not_usable(tmp_path, strangers):
    done = subprocess_run(tmp_path, "plugin", "list", PYTHONPATH=strangers)
    assert (done.returncode, done.stderr) == (0, "")
    assert "not usable: stranger-broken 1.0 (broken): SystemExit: no licence\n" in done.stdout
    assert "not usable: stranger-odd 1.0 (odd): augmentation 'odd': NameError: name 'Nowhere' is not defined\n" in (
        done.stdout
    )
    assert "flip: both   (one of none, horizontal, vertical, both)" in done.stdout
    for kind in ("datasets", "mask sources", "generators", "augmentations", "segmenters"):
        assert f"{kind}\n" in done.stdout


def test_a_recipe_is_untouched_by_plugins_it_does_not_need_and_told_about_those_it_does(tmp_path, strangers):
    (tmp_path / "good.yaml").write_text(RECIPE)
    assert subprocess_run(tmp_path, "validate", "good.yaml", PYTHONPATH=strangers).returncode == 0
    (tmp_path / "bad.yaml").write_text(RECIPE.replace("geometry: {flip: both}", "broken: {}\n  - odd: {}"))
    done = subprocess_run(tmp_path, "validate", "bad.yaml", PYTHONPATH=strangers)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "bad.yaml:8: augmentation 'broken' is not usable: SystemExit: no licence. "
        "Provided by stranger-broken 1.0 (broken)",
        "bad.yaml:9: augmentation 'odd' has options that cannot be read: NameError: name 'Nowhere' is not defined. "
        "Provided by stranger-odd 1.0 (odd)",
    ]


def test_the_version_is_that_of_the_package(augkit):
    from augkit import __version__

    assert augkit("--version") == (0, f"augkit {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--observer", "jsonll"],
            "--observer jsonll: no installed plugin 'jsonll' observes runs. Did you mean 'jsonl'?",
        ),
        (["--jobs", "0"], "Invalid value for '--jobs'"),
        (["--threads", "x"], "Invalid value for '--threads'"),
    ],
)
def test_a_wish_for_observers_jobs_or_threads_that_cannot_be_ends_with_two_and_nothing_written(
    augkit, arguments, words
):
    write()
    code, _, err = augkit("run", "r.yaml", *arguments)
    assert code == 2
    assert words in " ".join(err.split())
    assert names(Path()) == ["r.yaml"]


TRAINING = [["run", "r.yaml"], ["compare", "r.yaml"], ["quality", "r.yaml"], ["export", "r.yaml", "--to", "exported"]]


@pytest.mark.parametrize("command", TRAINING)
def test_a_precision_that_is_none_ends_with_two_and_says_what_is_allowed(augkit, command):
    write()
    code, out, err = augkit(*command, "--precision", "half")
    assert (code, out) == (2, "")
    assert err == "--precision: found 'half'; allowed: auto, float32, bfloat16\n"
    assert names(Path()) == ["r.yaml"]


def test_a_precision_from_the_environment_is_checked_alike(augkit, monkeypatch):
    write()
    monkeypatch.setenv("AUGKIT_PRECISION", "float16")
    code, _, err = augkit("run", "r.yaml")
    assert code == 2
    assert "--precision: found 'float16'; allowed: auto, float32, bfloat16" in err


@pytest.mark.parametrize("command", TRAINING)
def test_commands_that_train_say_the_same_of_device_precision_and_quiet(augkit, command):
    _, out, _ = augkit(command[0], "--help")
    words = " ".join(out.replace("│", " ").split())
    assert "auto, cpu, cuda, cuda:1 or mps." in words
    assert "auto, float32 or bfloat16; auto takes bfloat16 where it is native." in words
    assert "--quiet -q <bool> Print the result only." in words


@pytest.mark.parametrize("command", ["run", "compare"])
@pytest.mark.parametrize("wish", [["--jobs", "2"], ["--threads", "1"]])
def test_jobs_and_threads_are_refused_in_a_process_of_torchrun(augkit, monkeypatch, command, wish):
    write()
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, out, err = augkit(command, "r.yaml", *wish)
    assert (code, out) == (2, "")
    assert err == (
        "--jobs: is for one process; allowed under torchrun: neither --jobs nor --threads nor --executor. "
        "Set OMP_NUM_THREADS for the threads of each process\n"
    )
    assert names(Path()) == ["r.yaml"]


@pytest.mark.slow
def test_a_run_without_a_terminal_prints_plain_progress_lines_and_a_quiet_one_none(tmp_path):
    (tmp_path / "r.yaml").write_text(
        "name: a\ndataset: {phantom: {train: 2, test: 2, size: 32}}\n" + "segmenter: {unet: {width: 4, steps: 2}}\n"
    )
    loud, quiet = (
        subprocess_run(tmp_path, "run", "r.yaml", f"--out={out}", *more, OMP_NUM_THREADS="1")
        for out, more in (("loud", []), ("quiet", ["--quiet"]))
    )
    assert (loud.returncode, quiet.returncode, quiet.stderr) == (0, 0, "")
    lines = loud.stderr.splitlines()
    assert lines[0].endswith("stages to build, 0 already there")
    assert any(line.startswith("  done  segmenter unet") for line in lines)
    assert "\x1b" not in loud.stderr
    assert loud.stdout.replace("loud", "quiet") == quiet.stdout


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
@pytest.mark.parametrize(("before", "code", "said"), [("SIG_DFL", 143, "Interrupted.\n"), ("SIG_IGN", 0, "")])
def test_a_closed_terminal_ends_a_run_as_sigterm_does_unless_it_is_ignored(tmp_path, before, code, said):
    script = (
        f"import signal; signal.signal(signal.SIGHUP, signal.{before})\n"
        "from augkit.commands.terminal import end_on_signals, written\n"
        "with written():\n"
        "    end_on_signals()\n"
        "    signal.raise_signal(signal.SIGHUP)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize("more", [[], ["--quiet"]])
def test_an_observer_whose_library_is_missing_is_told_also_where_the_run_is_quiet(augkit, monkeypatch, more):
    write("name: a\ndataset: {phantom: {train: 2, test: 2, size: 32}}\nsegmenter: {unet: {width: 4, steps: 2}}\n")
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    code, _, err = augkit("run", "r.yaml", "--device", "cpu", "--observer", "tensorboard", *more)
    said = "tensorboard failed and is ignored: "
    lines = [line for line in err.splitlines() if said in line]
    assert (code, len(lines)) == (0, 1)
    assert lines[0].endswith("; pip install 'augkit[tensorboard]'")
    if more:
        assert err.splitlines() == lines


def test_a_command_may_be_called_from_another_thread_than_the_main_one(tmp_path):
    (tmp_path / "r.yaml").write_text(
        "name: a\ndataset: {phantom: {train: 2, test: 2, size: 32}}\nsegmenter: {unet: {width: 4, steps: 2}}\n"
    )
    script = (
        "import threading\n"
        "from augkit.cli import app\n"
        "def call(*words): app(list(words), standalone_mode=False); print('returned')\n"
        "for words in (('plan', 'r.yaml', '--estimate'), ('run', 'r.yaml', '--quiet', '--device', 'cpu')):\n"
        "    thread = threading.Thread(target=call, args=words); thread.start(); thread.join()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("returned\n") == 2
    assert "Report: " in done.stdout


def test_help_does_not_ask_the_plugins(tmp_path, strangers):
    done = subprocess_run(tmp_path, "--help", PYTHONPATH=strangers)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["--help"], ["run", "-h"], ["validate", "r.yaml"], ["plan", "r.yaml"]])
def test_what_only_looks_does_not_import_torch(tmp_path, arguments):
    (tmp_path / "r.yaml").write_text(RECIPE)
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: sys.stderr.write(str(sorted({'torch', 'scipy', 'matplotlib'} & set(sys.modules)))))\n"
        "from augkit.cli import main; main()"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "[]")


def test_compare_needs_a_report_or_a_recipe_and_changes_need_a_recipe(augkit):
    Path("empty").mkdir()
    code, _, err = augkit("compare", "empty")
    assert code == 2
    assert err.startswith("empty: has no report; allowed: a recipe, the folder of a report")
    code, _, err = augkit("compare", "empty", "--set", "segmenter.unet.width=4")
    assert code == 2
    assert err == "--set segmenter.unet.width=4: changes recipes, and none was given; allowed: with recipes\n"
    code, out, err = augkit("compare", "empty", "--margin", "0")
    assert code == 2
    assert "--margin" in out + err


PLAIN = "name: plain\ndataset: {phantom: {train: 4, test: 3, size: 32}}\nsegmenter: {unet: {width: 4, steps: 2}}\n"


@pytest.mark.parametrize("out", ["run[/s]", "[bold]x", "a\x1b[31mb"])
def test_a_folder_whose_name_looks_like_markup_or_steers_a_terminal_is_printed_as_it_is(augkit, out):
    Path("r.yaml").write_text(PLAIN)
    code, printed, _ = augkit("run", "r.yaml", "--quiet", "--device", "cpu", "--out", out)
    assert code == 0
    assert f"Report: {out}/report/".replace("\x1b", "\\x1b") in printed
    assert "\x1b" not in printed


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_folder_of_files_whose_names_are_not_utf_8_is_refused_by_name(augkit):
    for part in ("images", "masks"):
        folder = Path("data") / part
        folder.mkdir(parents=True)
        shade = np.full((32, 32), 60, np.uint8)
        shade[8:20, 8:20] = 0
        for i in range(6):
            name = os.fsencode(folder / "M.png").replace(b"M", b"M\xfc%d" % i)
            Path(os.fsdecode(name)).write_bytes(encode_png(shade if part == "images" else shade == 0))
    Path("r.yaml").write_text(
        "name: r\ndataset: {folder: {root: data, size: 32}}\nsegmenter: {unet: {width: 4, steps: 2}}\n"
    )
    code, _, err = augkit("validate", "r.yaml")
    assert code == 2
    assert err.startswith("r.yaml:2: data/images/M\\xfc0.png: the name is not UTF-8 (12 such files); allowed:")

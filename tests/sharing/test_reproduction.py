"""Reports shared and computed again: what goes into a zip, what is refused in one, what differs, which scores do."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from augkit.errors import InputError
from augkit.metrics import METRICS
from augkit.report.origin import (
    Difference,
    Made,
    OfArm,
    OfRecipe,
    Origin,
    Part,
    differences,
    first_divergence,
    origin_text,
    read_origin,
    seeds_of,
)
from augkit.report.record import per_image
from augkit.report.recorded import merge, read_report, why_scores_differ
from augkit.report.verdict.comparison import compare, comparison_record
from augkit.report.verdict.scores import ArmScores, Design
from augkit.sharing import zips
from augkit.sharing.reproduce import Reproduction, begin, choose_out, compare_scores, refuse_serious
from augkit.sharing.share import pack, write_shared
from augkit.sharing.zips import opened, read_zip, zip_bytes
from augkit.store import find_damage, read_json, seal, write_bytes, write_json, write_text

HERE = {"torch": "2.13.0", "device": "cpu", "threads": 1, "precision": "float32"}
FILES = (("images/a.png", "1"), ("images/b.png", "2"), ("masks/a.png", "3"))
DATA = Part("folder", {"size": 32}, "digest", "augkit 0.1.0 (folder)", "s")
UNET = Part("unet", {"steps": 20, "width": 4}, "", "augkit 0.1.0 (unet)", "s")


def origin(
    arm: str = "noaug", seeds: tuple[int, ...] = (0,), data: Part = DATA, unet: Part = UNET, **here: str | int
) -> Origin:
    """An origin of one arm; `here` changes the circumstances."""
    facts = {**HERE, **here}
    stages = [Made("dataset folder", "c", (data,), {}, {"torch": "2.13.0", "device": "cpu"}, "d")]
    arms = []
    for seed in seeds:
        stages.append(Made(f"segmenter unet · seed {seed}", "c", (unet,), {"seed": seed}, facts, f"{facts}"))
        arms.append(OfArm(arm, seed, {"data set": 0, "segmenter": len(stages) - 1}))
    recipes = (OfRecipe("recipes/1-noaug.yaml", "written/1-noaug.yaml", ("segmenter.unet.steps=20",)),)
    return Origin(tuple(arms), tuple(stages), {data.files: FILES}, recipes, seeds)


def scores(seeds: tuple[int, ...] = (0,), shift: float = 0.0, ids: tuple[str, ...] = ("a", "b", "c")) -> ArmScores:
    values = np.stack([np.linspace(0.5, 0.6, len(ids)) + seed / 100 + shift for seed in seeds])
    return ArmScores("noaug", ids, seeds, dict.fromkeys(METRICS, values), Design("d #1", "s #2"))


def report(folder: Path, found: Origin | None = None, arm: ArmScores | None = None, root: str = "data") -> Path:
    """Write the files of a report that sharing and reading need."""
    found, arm = found or origin(), arm or scores()
    plot, image = b"\x89PNG plot", b"\x89PNG of a patient"
    shown = [base64.b64encode(one).decode() for one in (plot, image)]
    page = "".join(
        f'<img class="{kind}" src="data:image/png;base64,{one}" alt="{alt}" width="3">'
        for one, kind, alt in zip(shown, ("plot wide light", ""), ("Densities", "Best Dice: cases"), strict=True)
    )
    record = {
        "order": ["noaug"], "test": {"sha256": "same"}, "command": "augkit run x",
        "comparison": comparison_record(compare([arm])),
        "arms": {"noaug": {"seeds": list(arm.seeds), "design": asdict(arm.design), "warnings": []}},
    }  # fmt: skip
    write_json(folder / "report.json", record)
    write_text(folder / "per_image.csv", per_image([arm]))
    write_text(folder / "origin.json", origin_text(found, found.recipes))
    write_text(folder / "report.html", f"<html>{page}{Path.home()}/data</html>")
    write_text(folder / "recipes" / "1-noaug.yaml", f"name: noaug\ndataset: {{folder: {{root: {root}}}}}\n")
    write_text(folder / "written" / "1-noaug.yaml", "# mine\nname: noaug\n")
    for name, data in (("densities.png", plot), ("densities.svg", b"<svg/>"), ("cases-best.png", image)):
        write_bytes(folder / "figures" / name, data)
    seal(folder, {"fingerprint": "f" * 64, "seconds": 1.0})
    return folder


# Sharing


def test_a_shared_report_is_sound_read_back_equal_and_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    folder = report(tmp_path / "noaug-0123")
    file, again = tmp_path / "a.zip", tmp_path / "b.zip"
    assert write_shared(pack(folder, pictures=False), file)
    os.utime(folder / "report.json", (1, 1))
    assert write_shared(pack(folder, pictures=False), again)
    assert file.read_bytes() == again.read_bytes()
    assert not write_shared(pack(folder, pictures=False), file)
    with opened(file) as unpacked:
        assert unpacked.name == "noaug-0123"
        assert find_damage(unpacked) == []
        found = read_report(unpacked)
        assert found.origin == origin()
        assert (found.arms[0].values["dice"] == scores().values["dice"]).all()
    assert not unpacked.exists()


def test_pictures_of_images_are_left_out_unless_asked_for_and_plots_stay(tmp_path: Path) -> None:
    folder = report(tmp_path / "noaug-0123")
    without, whole = pack(folder, pictures=False).files, pack(folder, pictures=True).files
    patient = base64.b64encode(b"\x89PNG of a patient")
    assert "figures/cases-best.png" not in without
    assert "figures/densities.png" in without
    assert not any(b"of a patient" in data or patient in data for data in without.values())
    assert b"Left out when this report was shared: Best Dice: cases." in without["report.html"]
    assert base64.b64encode(b"\x89PNG plot") in without["report.html"]
    assert patient in whole["report.html"]
    assert whole["figures/cases-best.png"] == b"\x89PNG of a patient"


def test_the_home_folder_is_written_as_a_tilde_and_other_places_are_told(tmp_path: Path) -> None:
    home = report(tmp_path / "home-1", root=f"{Path.home()}/isic")
    shared = pack(home, pictures=True)
    assert b"root: ~/isic" in shared.files["recipes/1-noaug.yaml"]
    assert b"~/data" in shared.files["report.html"]
    assert not any(f"{Path.home()}/".encode() in data for data in shared.files.values())
    assert shared.paths == ("~/isic",)
    assert pack(report(tmp_path / "elsewhere-1", root="/mnt/isic"), pictures=False).paths == ("/mnt/isic",)


def test_another_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("mine")
    with pytest.raises(InputError, match=r"a\.zip: exists; allowed: a new file"):
        write_shared(pack(report(tmp_path / "noaug-1"), pictures=False), tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_text() == "mine"


# A stranger's zip


def forged(change: Callable[[zipfile.ZipFile, dict[str, bytes]], None], tmp_path: Path) -> Path:
    """A zip of a good report, to which `change` adds or of which it takes away something."""
    files = {f"r/{name}": data for name, data in pack(report(tmp_path / "noaug-1"), pictures=False).files.items()}
    with zipfile.ZipFile(tmp_path / "forged.zip", "w") as archive:
        change(archive, files)
        for name, data in files.items():
            archive.writestr(name, data)
    return tmp_path / "forged.zip"


def link(archive: zipfile.ZipFile, files: dict[str, bytes]) -> None:
    entry = zipfile.ZipInfo("r/link")
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    archive.writestr(entry, "/etc/passwd")


FORGERIES = {
    "out of the folder": (lambda a, f: a.writestr("../x", "x"), r"holds a file called '../x'; allowed: one folder"),
    "within, and out": (lambda a, f: a.writestr("r/../../x", "x"), r"holds a file called 'r/../../x'"),
    "absolute": (lambda a, f: a.writestr("/x", "x"), r"holds a file called '/x'"),
    "backslash": (lambda a, f: a.writestr("r/..\\x", "x"), r"holds a file called"),
    "control characters": (lambda a, f: a.writestr("r/\x1b[31m", "x"), r"holds a file called 'r/\\x1b\[31m'"),
    "hidden": (lambda a, f: a.writestr("r/.git/config", "x"), r"holds a file called 'r/.git/config'"),
    "link": (link, r"holds r/link, which is a link or another special file; allowed: plain files"),
    "two folders": (lambda a, f: a.writestr("s/x", "x"), r"holds 2 folders; allowed: one, of one report"),
    "letter case": (lambda a, f: a.writestr("r/REPORT.json", "x"), r"holds r/.* twice; allowed: each file once"),
    "missing": (lambda a, f: f.pop("r/per_image.csv"), r"lacks per_image\.csv"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_zip_is_refused_in_one_sentence_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    change, said = FORGERIES[name]
    file = forged(change, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=said) as error, opened(file):
        pass
    assert len(error.value.problems) == 1
    assert str(error.value).startswith(f"{file}: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_zip_that_unpacks_to_too_much_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "MOST_BYTES", 1_000_000)
    file = forged(lambda a, f: f.update({"r/more.txt": bytes(2_000_000)}), tmp_path)
    with pytest.raises(InputError, match=r"holds 2 MB unpacked; allowed: up to 1 MB"):
        read_zip(file)


def test_a_file_that_is_longer_than_it_claims_is_refused(tmp_path: Path) -> None:
    file = forged(lambda a, f: f.update({"r/more.txt": b"x" * 1234}), tmp_path)
    data = file.read_bytes()
    file.write_bytes(data.replace((1234).to_bytes(4, "little") * 2, (12).to_bytes(4, "little") * 2))
    with pytest.raises(InputError, match=r"cannot be read as a zip \(BadZipFile"):
        read_zip(file)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"no zip at all"])
def test_a_file_that_is_no_zip_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.zip: cannot be read as a zip \(BadZipFile.*Allowed: what augkit share"):
        read_zip(tmp_path / "a.zip")


def test_every_cut_and_a_flipped_bit_of_a_zip_is_a_sentence(tmp_path: Path) -> None:
    data = zip_bytes("r", pack(report(tmp_path / "noaug-1"), pictures=False).files)
    for place in range(0, len(data), len(data) // 20):
        for broken in (data[:place], data[:place] + bytes([data[place] ^ 64]) + data[place + 1 :]):
            (tmp_path / "a.zip").write_bytes(broken)
            said = ""
            try:
                with opened(tmp_path / "a.zip") as folder:
                    read = read_report(folder).arms
            except InputError as error:
                said = str(error)
            assert str(tmp_path / "a.zip") in said or read[0].seeds == (0,)  # where the bit is of no use


@pytest.mark.parametrize("order", [["a/b"], ["../x"], [3], [["noaug"]]])
def test_names_of_arms_in_a_sealed_report_are_held_to_the_rule(order: list[object], tmp_path: Path) -> None:
    folder = report(tmp_path / "noaug-1")
    write_json(folder / "report.json", read_json(folder / "report.json") | {"order": order})
    seal(folder, {})
    with pytest.raises(InputError, match="has an arm called"):
        read_report(folder)


@pytest.mark.parametrize("text", ["[]", "3", "{", "[" * 5000, '{"order": 3}', '{"order": ["noaug"], "arms": []}'])
def test_a_report_whose_record_is_anything_else_is_refused(text: str, tmp_path: Path) -> None:
    folder = report(tmp_path / "noaug-1")
    write_text(folder / "report.json", text)
    seal(folder, {})
    with pytest.raises(InputError, match=r"report\.json cannot be read|another version of augkit"):
        read_report(folder)


@pytest.mark.parametrize("text", ["[]", "{", "{}", '{"arms": 3}'])
def test_an_origin_that_is_anything_else_is_refused(text: str, tmp_path: Path) -> None:
    write_text(tmp_path / "origin.json", text)
    with pytest.raises(InputError, match=r"origin\.json was not written by this version of augkit"):
        read_origin(tmp_path)


def test_a_recipe_outside_the_report_is_refused(tmp_path: Path) -> None:
    folder = report(tmp_path / "r" / "noaug-1")
    (tmp_path / "x.yaml").write_text("name: x")
    for name in ("../../x.yaml", str(tmp_path / "x.yaml"), "recipes/2-gone.yaml"):
        write_text(folder / "origin.json", origin_text(origin(), [OfRecipe(name)]))
        with pytest.raises(InputError, match="no recipe is called"):
            read_origin(folder)


def test_a_report_of_an_earlier_version_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no origin\.json, so it does not say how it was made\. Run its recipes"):
        read_origin(tmp_path)


# What differs


def test_nothing_differs_between_equal_origins() -> None:
    assert differences(origin(), origin()) == ()
    assert first_divergence(origin(), origin()) == ""


def test_every_reason_is_told_by_kind_with_both_values() -> None:
    changed = Origin(files={"other": (("images/a.png", "9"), ("masks/a.png", "3"), ("masks/c.png", "4"))})
    other = origin(
        data=replace(DATA, files="other"),
        unet=replace(UNET, options={"steps": 40, "width": 4}, source="t", provider="augkit 0.2.0 (unet)"),
        torch="2.14.0", threads=2, precision="bfloat16",
    )  # fmt: skip
    found = differences(origin(), replace(other, files=changed.files))
    assert [str(one) for one in found] == [
        "data: folder: of 3 files 1 changed, such as images/a.png; 1 missing, such as images/b.png; 1 new, such as"
        " masks/c.png",
        "recipe: unet.steps 20 → 40",
        "code: what unet does",
        "versions: unet: augkit 0.1.0 (unet) → augkit 0.2.0 (unet)",
        "versions: torch 2.13.0 → 2.14.0",
        "circumstances: threads 1 → 2",
        "circumstances: precision float32 → bfloat16",
    ]
    assert first_divergence(origin(), other) == "segmenter unet · seed 0"


def test_seeds_differ_only_as_seeds() -> None:
    assert differences(origin(seeds=(0, 1)), origin(seeds=(1, 2))) == (Difference("seeds", "0, 1 → 1, 2"),)
    assert differences(origin(seeds=(0,)), origin(seeds=(3,))) == (Difference("seeds", "0 → 3"),)


def test_reports_without_a_common_arm_differ_in_data_and_circumstances_but_not_by_design() -> None:
    assert differences(origin("noaug"), origin("allaug", threads=2)) == (Difference("circumstances", "threads 1 → 2"),)


def test_recipes_with_seeds_of_their_own_are_run_without_a_list_of_seeds() -> None:
    assert seeds_of([("a", 0), ("b", 0), ("a", 1), ("b", 1)]) == (0, 1)
    assert seeds_of([("a", 0), ("b", 1)]) is None


def test_a_comparison_that_is_refused_says_why_scores_differ(tmp_path: Path) -> None:
    first = read_report(report(tmp_path / "a"))
    second = read_report(report(tmp_path / "b", origin(threads=2), scores(shift=0.01)))
    assert why_scores_differ([first, second]) == ("a → b: circumstances: threads 1 → 2",)
    with pytest.raises(InputError, match="has other scores than in an earlier report") as error:
        merge([first, second], None)
    assert "differs: a → b: circumstances: threads 1 → 2" in str(error.value)


# Again


def reproduction(tmp_path: Path, *found: Difference) -> Reproduction:
    wanted = read_report(report(tmp_path / "noaug-1"))
    return Reproduction(wanted, origin(), None, None, found, {"digest": "1", "threads": 1})  # type: ignore[arg-type]


def test_other_data_and_recipes_are_refused_and_other_versions_are_not() -> None:
    refuse_serious([Difference("versions", "torch 1 → 2"), Difference("circumstances", "threads 1 → 2")])
    with pytest.raises(InputError) as error:
        refuse_serious([Difference("data", "folder: other files"), Difference("recipe", "unet.steps 1 → 2", ("a",))])
    assert [str(one) for one in error.value.problems] == [
        "data: differs from what was recorded: folder: other files. Give --anyway to compute it on these",
        "recipe: differs from what was recorded: unet.steps 1 → 2 (in a). --set is for where files lie here; of"
        " another version defaults may differ: --anyway computes it so",
    ]


def test_an_interrupted_reproduction_is_continued_and_nothing_else_is_ever_reused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = reproduction(tmp_path)
    monkeypatch.chdir(tmp_path)
    first, second = Path("reproduced-noaug-1"), Path("reproduced-noaug-1-2")
    assert choose_out(None, wanted) == (first, False)
    begin(wanted, first)
    assert choose_out(None, wanted) == (first, True)
    assert choose_out(first, wanted) == (first, True)
    assert choose_out(None, replace(wanted, identity={"digest": "1", "threads": 2})) == (second, False)
    write_json(first / "reproduction.json", read_json(first / "reproduction.json") | {"result": {"equal": True}})
    assert choose_out(None, wanted) == (second, False)
    for used in (first, tmp_path / "noaug-1"):
        with pytest.raises(InputError, match="holds something else, or a reproduction that has ended; allowed: a new"):
            choose_out(used, wanted)


def test_scores_are_compared_to_the_last_digit_by_arm_seed_and_image() -> None:
    recorded, again = scores((0, 1)), scores((0, 1))
    assert all(one.equal for one in compare_scores([recorded], [again]))
    values = {metric: rows.copy() for metric, rows in again.values.items()}
    values["dice"][1, 2] = np.nextafter(values["dice"][1, 2], 1)
    same, other = compare_scores([recorded], [replace(again, values=values)])
    assert same.equal
    assert (other.seed, other.other, other.images, other.largest[0]) == (1, 1, 3, "c")
    assert 0 < other.largest[1] < 1e-15


def test_images_that_only_one_report_scored_count_as_different() -> None:
    (found,) = compare_scores([scores()], [scores(ids=("a", "b", "x"))])
    assert (found.equal, found.other) == (False, 2)


@pytest.mark.slow
def test_a_report_is_computed_again_from_its_folder_and_from_a_zip_without_its_recipes(tmp_path: Path) -> None:
    def augkit(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "augkit", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    (tmp_path / "mine.yaml").write_text(
        "name: mine\ndataset: {phantom: {train: 12, test: 6, size: 32}}\n"
        "segmenter: {unet: {width: 4, steps: 40, optimizer: adamw, learning_rate: 5e-3}}\n"  # finds something
    )
    done = augkit("run", "mine.yaml", "--seeds", "0,1", "--threads", "1", "--precision", "float32", "-q")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs" / "report").iterdir()
    assert augkit("share", str(folder), "mine.zip").returncode == 0
    (tmp_path / "mine.yaml").unlink()
    equal = "Equal to the last digit: every score of 2 trainings on 6 images."
    for source in (str(folder), "mine.zip"):
        done = augkit("reproduce", source)
        assert (done.returncode, done.stdout.partition("\n")[0]) == (0, equal), done.stderr
        assert (
            "5 stages to build, 0 already there" in done.stderr or "6 stages to build, 0 already there" in done.stderr
        )
    done = augkit("reproduce", "mine.zip", "--precision", "bfloat16", "-q")
    assert done.returncode == 3
    assert "Differs (recorded → here): circumstances: precision float32 → bfloat16" in done.stdout
    record = read_json(tmp_path / f"reproduced-{folder.name}-3" / "reproduction.json")
    assert record["result"]["equal"] is False

from __future__ import annotations

import csv
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from augkit.errors import InputError
from augkit.metrics import METRICS
from augkit.report.comparison_page import write_comparison
from augkit.report.record import per_image
from augkit.report.recorded import merge, read_report
from augkit.report.verdict.comparison import compare, comparison_record
from augkit.report.verdict.scores import ArmScores, Design
from augkit.store import read_json, seal, write_json, write_text

CONTROL = Design("d #1", "s #2", "geometry #3")
TREATED = replace(CONTROL, synthesis="gan/training × 1 #4")


def arm(name: str, design: Design, seeds: tuple[int, ...], images: int = 12, shift: float = 0.0) -> ArmScores:
    """Return an arm whose scores depend on its name, seed and image only."""
    rows = [np.random.Generator(np.random.Philox([len(name), seed])).uniform(0.5, 0.6, images) for seed in seeds]
    ids = tuple(f"i{i}" for i in range(images))
    return ArmScores(name, ids, seeds, dict.fromkeys(METRICS, np.stack(rows) + shift), design)


def both(seeds: tuple[int, ...]) -> tuple[ArmScores, ArmScores]:
    return arm("ctrl", CONTROL, seeds), arm("treated", TREATED, seeds, shift=0.2)


def write(folder: Path, arms: tuple[ArmScores, ...], test: str = "same") -> Path:
    """Write what `read_report` needs of a report."""
    facts = {
        one.arm: {"seeds": list(one.seeds), "design": asdict(one.design), "warnings": ["gan: weak"]} for one in arms
    }
    record = {
        "order": [one.arm for one in arms], "arms": facts, "test": {"sha256": test}, "command": "augkit run x",
        "comparison": comparison_record(compare(arms)),
    }  # fmt: skip
    write_json(folder / "report.json", record)
    write_text(folder / "per_image.csv", per_image(arms))
    seal(folder, {})
    return folder


def problems(error: pytest.ExceptionInfo[InputError]) -> list[str]:
    return [str(problem) for problem in error.value.problems]


def test_a_report_is_read_back_to_the_last_digit(tmp_path: Path) -> None:
    arms = both((0, 3))
    found = read_report(write(tmp_path, arms))
    for read, written in zip(found.arms, arms, strict=True):
        assert (read.arm, read.image_ids, read.seeds, read.design) == (
            written.arm, written.image_ids, written.seeds, written.design
        )  # fmt: skip
        assert all((read.values[metric] == written.values[metric]).all() for metric in METRICS)


def test_conditions_of_training_are_read_back_and_those_of_one_arm_put_together(tmp_path: Path) -> None:
    folders = []
    for seed, precision in ((0, "float32"), (1, "bfloat16")):
        folder = write(tmp_path / precision, both((seed,)))
        record = read_json(folder / "report.json")
        record["arms"]["ctrl"]["conditions"] = {"precision": [precision]}
        write_json(folder / "report.json", record)
        seal(folder, {})
        folders.append(read_report(folder))
    ctrl, treated = merge(folders, None)
    assert ctrl.conditions == {"precision": ("float32", "bfloat16")}
    assert treated.conditions == {}


def test_a_folder_of_runs_with_one_report_stands_for_it(tmp_path: Path) -> None:
    write(tmp_path / "report" / "a", both((0,)))
    assert read_report(tmp_path).folder == tmp_path / "report" / "a"
    write(tmp_path / "report" / "b", both((0,)))
    with pytest.raises(InputError) as error:
        read_report(tmp_path)
    allowed = "allowed: a recipe, the folder of a report, or a folder of runs with one report"
    choose = f"Choose among {tmp_path / 'report' / 'a'}, {tmp_path / 'report' / 'b'}"
    assert problems(error) == [f"{tmp_path}: has 2 reports; {allowed}. {choose}"]


def test_a_folder_without_a_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no report; allowed: a recipe, the folder of a report"):
        read_report(tmp_path)


def test_scores_that_were_changed_by_hand_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path, both((0,))) / "per_image.csv"
    file.write_text(file.read_text().replace("0.5", "0.9"))
    with pytest.raises(InputError) as error:
        read_report(tmp_path)
    changed = "per_image.csv does not have the bytes that were written"
    assert problems(error) == [f"{tmp_path}: {changed}. Scores that were changed cannot be compared"]


def test_a_report_of_another_version_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "report.json", {"order": []})
    write_text(tmp_path / "per_image.csv", "")
    seal(tmp_path, {})
    with pytest.raises(InputError, match=r"was written by another version of augkit \(KeyError: 'test'\)"):
        read_report(tmp_path)


def test_seeds_of_one_arm_in_several_reports_are_put_together(tmp_path: Path) -> None:
    reports = [read_report(write(tmp_path / str(i), both(seeds))) for i, seeds in enumerate([(0, 1), (1, 2)])]
    control, treated = merge(reports, None)
    assert (control.arm, treated.arm, treated.seeds) == ("ctrl", "treated", (0, 1, 2))
    np.testing.assert_array_equal(treated.values["dice"], both((0, 1, 2))[1].values["dice"])
    assert [one.seeds for one in merge(reports, [2, 0])] == [(2, 0)] * 2


def test_what_does_not_belong_together_is_refused_all_at_once(tmp_path: Path) -> None:
    first = read_report(write(tmp_path / "a", both((0, 1))))
    control, treated = both((0,))
    other = replace(control, design=replace(CONTROL, segmenter="t #7"))
    moved = replace(treated, values={metric: values / 2 for metric, values in treated.values.items()})
    second = read_report(write(tmp_path / "b", (other, moved)))
    with pytest.raises(InputError) as error:
        merge([first, second], [0, 5])
    assert problems(error) == [
        f"{tmp_path / 'b'}: its 'ctrl' is another arm than that of an earlier report; allowed: one name for one arm. "
        "Other options or another version: name the recipes differently",
        f"{tmp_path / 'b'}: 'treated' with seed 0 has other scores than in an earlier report; "
        "allowed: one result a seed",
        "--seeds: arm 'ctrl' has no seed 5; found 0, 1",
        "--seeds: arm 'treated' has no seed 5; found 0, 1",
    ]


def test_reports_on_other_images_are_refused(tmp_path: Path) -> None:
    reports = [read_report(write(tmp_path / name, both((0,)), test=name)) for name in "ab"]
    with pytest.raises(InputError) as error:
        merge(reports, None)
    what = f"was scored on other images than {tmp_path / 'a'}; allowed: the same"
    assert problems(error) == [f"{tmp_path / 'b'}: {what}"]


def test_reports_on_other_classes_are_refused_with_both(tmp_path: Path) -> None:
    (first, second) = (read_report(write(tmp_path / name, both((0,)))) for name in "ab")
    arms = tuple(replace(one, classes={"liver": 3, "spleen": 2}) for one in second.arms)
    with pytest.raises(InputError) as error:
        merge([first, replace(second, arms=arms)], None)
    what = f"has other classes (liver, spleen) than {tmp_path / 'a'}; allowed: one class"
    assert problems(error) == [f"{tmp_path / 'b'}: {what}"]


def test_reports_scored_at_different_sizes_are_refused(tmp_path: Path) -> None:
    native = tuple(replace(one, design=replace(one.design, score_at="native")) for one in both((1,)))
    reports = [read_report(write(tmp_path / "a", both((0,)))), read_report(write(tmp_path / "b", native))]
    with pytest.raises(InputError) as error:
        merge(reports, None)
    what = f"was scored at another size than {tmp_path / 'a'}; allowed: one score_at"
    assert problems(error) == [f"{tmp_path / 'b'}: {what}"]


def test_a_comparison_is_a_page_numbers_scores_and_pictures_in_a_folder_of_its_own(tmp_path: Path) -> None:
    reports = [read_report(write(tmp_path / str(i), both(seeds))) for i, seeds in enumerate([(0, 1), (2, 3)])]
    arms = merge(reports, None)
    folder = write_comparison(reports, arms, compare(arms, 0.02), tmp_path)
    assert folder.parent == tmp_path / "comparison"
    assert folder.name.startswith("ctrl+treated-")
    record = json.loads((folder / "comparison.json").read_text())
    (contrast,) = record["contrasts"]
    assert (contrast["verdict"], contrast["seeds"], record["margin"]) == ("helps", [0, 1, 2, 3], 0.02)
    page = (folder / "comparison.html").read_text()
    assert contrast["sentence"] in page.replace("&lt;", "<")
    assert "gan: weak" in page
    assert "<script" not in page
    with (folder / "per_image.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 2 * 4 * 12
    plots = {f"{plot}.{form}" for plot in ("effects", "densities", "paired") for form in ("png", "svg")}
    assert {path.name for path in (folder / "figures").glob("*.*")} == plots | {"table1.md", "table1.tex"}
    assert {path.name for path in (folder / "figures" / "column").iterdir()} == plots


@pytest.mark.parametrize("name", ["../../escaped", "a/b", "", "x" * 65, "a\nb", "[/s]", ".hidden"])
def test_a_report_with_an_arm_whose_name_no_recipe_may_have_is_refused(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "forged", (arm(name, CONTROL, (0,)),))
    with pytest.raises(InputError) as error:
        read_report(folder)
    assert problems(error) == [
        f"{folder}: has an arm called {name!r}; allowed: letters, digits, '_', '.', '-'. It was not written by augkit"
    ]


@pytest.mark.parametrize("name", ["ratio-0.5", "ratio-1e+06", "a.b_c-1"])
def test_points_of_a_sweep_have_names_with_their_numbers(tmp_path: Path, name: str) -> None:
    assert read_report(write(tmp_path, (arm(name, CONTROL, (0,)),))).arms[0].arm == name


def in_folds(arms: tuple[ArmScores, ...], count: int) -> tuple[ArmScores, ...]:
    return tuple(replace(one, design=replace(one.design, folds=count), folds=np.arange(12) // 3) for one in arms)


def test_the_fold_of_every_image_is_read_back_and_seeds_of_several_reports_are_put_together(tmp_path: Path) -> None:
    reports = [
        read_report(write(tmp_path / name, in_folds(both(seeds), 4))) for name, seeds in (("a", (0, 1)), ("b", (1, 2)))
    ]
    rows = list(csv.DictReader((tmp_path / "a" / "per_image.csv").read_text().splitlines()))
    assert list(rows[0])[:4] == ["image_id", "arm", "seed", "fold"]
    assert [row["fold"] for row in rows[:12]] == [*"000111222333"]
    merged = merge(reports, None)
    assert [one.seeds for one in merged] == [(0, 1, 2), (0, 1, 2)]
    assert [one.folds.tolist() for one in merged] == [[0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]] * 2
    assert per_image(merged).splitlines()[1:13] == (tmp_path / "a" / "per_image.csv").read_text().splitlines()[1:13]


def test_reports_without_folds_have_no_column_of_them(tmp_path: Path) -> None:
    (found, _) = read_report(write(tmp_path, both((0,)))).arms
    assert "fold" not in (tmp_path / "per_image.csv").read_text()
    assert found.folds.tolist() == [0] * 12
    assert found.in_folds == ""


def test_reports_in_other_folds_or_on_a_test_split_are_refused(tmp_path: Path) -> None:
    of_split = read_report(write(tmp_path / "split", both((0, 1))))
    four = read_report(write(tmp_path / "four", in_folds(both((2, 3)), 4)))
    five = read_report(write(tmp_path / "five", in_folds(both((4, 5)), 5)))
    with pytest.raises(InputError) as error:
        merge([four, of_split, five], None)
    assert problems(error) == [
        f"{tmp_path / 'split'}: was scored on a test split and {tmp_path / 'four'} in 4 folds; allowed: the same folds",
        f"{tmp_path / 'five'}: was scored in 5 folds and {tmp_path / 'four'} in 4 folds; allowed: the same folds",
    ]

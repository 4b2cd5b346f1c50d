"""`augkit power`: what a pilot tells, and what is said where there is none."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from augkit.metrics import METRICS
from augkit.report.record import per_image
from augkit.report.verdict.comparison import compare, comparison_record
from augkit.report.verdict.scores import ArmScores, Design
from augkit.store import seal, write_json, write_text

CONTROL = Design("d #1", "s #2", "geometry #3")
TREATED = Design("d #1", "s #2", "geometry #3", "gan/training × 1 #4")

RECIPE = """\
name: {name}
dataset: {{phantom: {{train: 2, test: 2, size: 32}}}}
augment: {augment}
segmenter: {{unet: {{width: 4, steps: 2}}}}
"""


def report(folder: Path, designs: tuple[Design, ...] = (CONTROL, TREATED), seeds: int = 4, images: int = 40) -> Path:
    """Write what `read_report` needs of a report on arms whose luck depends on the numbers of seeds and images only."""
    random, arms = np.random.Generator(np.random.Philox(1)), []
    for number, design in enumerate(designs):
        luck = 0.004 * random.normal(size=(seeds, 1)) + 0.03 * random.normal(size=(seeds, images))
        values = dict.fromkeys(METRICS, 0.7 + luck + 0.03 * random.normal(size=(1, images)))
        ids = tuple(f"i{i}" for i in range(images))
        arms.append(ArmScores(f"arm{number}", ids, tuple(range(seeds)), values, design))
    record = {
        "order": [one.arm for one in arms], "test": {"sha256": "same"}, "command": "augkit run x",
        "arms": {one.arm: {"seeds": list(one.seeds), "design": asdict(one.design), "warnings": []} for one in arms},
        "comparison": comparison_record(compare(arms)),
    }  # fmt: skip
    write_json(folder / "report.json", record)
    write_text(folder / "per_image.csv", per_image(arms))
    seal(folder, {})
    return folder


def test_a_report_tells_how_luck_scatters_what_it_could_see_and_what_is_enough(augkit, tmp_path):
    code, out, err = augkit("power", str(report(tmp_path / "pilot")), "--gain", "0.02")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "arm1 vs arm0: a pilot of 4 trainings per arm and 40 test images."
    assert lines[1].startswith("The difference in Dice scatters by 0.0")
    assert lines[2].startswith("The pilot itself finds a true difference of 0.0")
    assert lines[3].startswith("To find 0.02 with 80 % power")
    rows = [line.split() for line in lines if line.strip()[:1].isdecimal()]
    assert [row[0] for row in rows] == ["2", "3", "4", "6", "8", "12", "20"]
    assert [row[1:3] for row in rows[:2]] == [["no", "verdict"]] * 2
    needed = [int(row[1].replace(",", "")) for row in rows[3:]]
    assert needed == sorted(needed, reverse=True)  # more seeds need fewer images
    assert lines[-1].startswith("On as many test images as the pilot has (40): ")


def test_a_smaller_gain_asks_for_more(augkit, tmp_path):
    folder = str(report(tmp_path / "pilot"))
    last = [augkit("power", folder, "--gain", gain)[1].splitlines()[-1] for gain in ("0.06", "0.02", "0.001")]
    assert last[0].endswith(" (40): 4 seeds.")
    assert last[2].endswith(" (40): no number of seeds up to 100.")
    images = [
        int(augkit("power", folder, "--gain", gain)[1].split("\n  6 ")[1].split()[0].replace(",", ""))
        for gain in ("0.03", "0.02")
    ]
    assert images[0] < images[1]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"seeds": 1}, "arm1 vs arm0: the pilot has 1 common seed; allowed: two or more, better four. Luck of training "
         "shows between trainings only\n"),
        ({"images": 9}, "arm1 vs arm0: the pilot has 9 test images; allowed: 10 or more\n"),
        ({"designs": (CONTROL,)}, "pilot: no two arms differ in nothing but synthetic images or classical "
         "augmentation; allowed: an arm and its control\n"),
    ],
)  # fmt: skip
def test_a_pilot_that_tells_nothing_is_refused_with_what_is_needed(augkit, tmp_path, monkeypatch, made, said):
    monkeypatch.chdir(tmp_path)
    report(Path("pilot"), **made)
    assert augkit("power", "pilot") == (2, "", said)


def test_recipes_without_a_pilot_are_told_what_to_run_and_nothing_is_written(augkit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, augment in (("plain", "[]"), ("turned", "[{geometry: {flip: both}}]")):
        Path(f"{name}.yaml").write_text(RECIPE.format(name=name, augment=augment))
    code, out, err = augkit("power", "plain.yaml", "turned.yaml", "--set", "segmenter.unet.steps=3")
    assert (code, out) == (2, "")
    assert err == (
        "runs: has no seed of every arm; allowed: a pilot of two seeds or more, better four. Train it with: "
        "augkit run plain.yaml turned.yaml --seeds 0..3 --set segmenter.unet.steps=3\n"
    )
    assert not Path("runs").exists()
    code, _, err = augkit("power", "plain.yaml", "turned.yaml", "--seeds", "2,3", "--out", "other")
    assert code == 2
    assert err.endswith("Train it with: augkit run plain.yaml turned.yaml --seeds 2,3 --out other\n")


@pytest.mark.slow
def test_recipes_that_were_run_are_their_own_pilot_and_nothing_is_trained_again(augkit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, augment in (("plain", "[]"), ("turned", "[{geometry: {flip: both}}]")):
        Path(f"{name}.yaml").write_text(RECIPE.format(name=name, augment=augment).replace("test: 2", "test: 12"))
    assert augkit("run", "plain.yaml", "turned.yaml", "--seeds", "0,1,2", "--quiet")[0] == 0
    before = sorted(Path("runs").glob("*/*"))
    code, out, _ = augkit("power", "plain.yaml", "turned.yaml")
    assert code == 0
    assert out.startswith("turned vs plain: a pilot of 3 trainings per arm and 12 test images.\n")
    assert "The pilot itself has too few seeds for a verdict." in out
    assert augkit("power", "plain.yaml", "turned.yaml", "--seeds", "0,2")[1].startswith(
        "turned vs plain: a pilot of 2 trainings per arm"
    )
    assert sorted(Path("runs").glob("*/*")) == before
    code, _, err = augkit("power", "plain.yaml", "turned.yaml", "--seeds", "0..3")
    assert code == 2
    assert err.startswith(
        "runs: has seed 0, 1, 2 of every arm; allowed: a pilot of two seeds or more, better four. Train"
    )

"""Quality, export and the check for copies as a user calls them."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[2] / "recipes"
SMALL = [
    "--set=dataset.phantom={train: 12, test: 8, size: 32}",
    "--set=segmenter.unet={width: 2, steps: 30, batch_size: 4}",
    "--set=synthesize.0.generator={mask2lesion: {width: 4, norm: instance, patch_layers: 1, epochs: 2, decay_epochs: 0,"
    " batch_size: 4}}",
]
ARM = str(RECIPES / "allaug.yaml")


def augkit(*arguments, cwd):
    command = [sys.executable, "-c", "from augkit.cli import main; main()", *arguments]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judged")
    return folder, augkit("quality", ARM, *SMALL, cwd=folder)


def test_quality_prints_a_table_and_leaves_numbers_and_pictures(judged):
    folder, done = judged
    assert done.returncode == 0, done.stderr
    assert "mask adherence (Dice)" in done.stdout
    assert "kid_handcrafted" in done.stdout
    (artifact,) = (folder / "runs" / "quality").iterdir()
    assert json.loads((artifact / "quality.json").read_text())["images"]["synthetic"] == 12
    assert {path.name for path in artifact.glob("*.png")} == {"adherence.png", "closest.png", "diversity.png"}


def test_the_segmenter_that_judges_is_the_plain_arms_own(judged):
    folder, _ = judged
    plan = augkit("plan", str(RECIPES / "noaug.yaml"), *SMALL[:2], cwd=folder)
    state = {" ".join(line.split()[-3:-1]): line.split()[0] for line in plan.stdout.splitlines()}
    assert state["segmenter unet"] == "exists"


def test_export_writes_the_set_once_and_then_says_that_it_is_there(judged):
    folder, _ = judged
    done = augkit("export", ARM, *SMALL, "--format", "nnunet", "--to", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "out\n"
    assert "[1/" not in done.stderr
    rows = list(csv.DictReader((folder / "out" / "manifest.csv").read_text().splitlines()))
    assert len(rows) == 12
    assert all((folder / "out" / row["image"]).is_file() for row in rows)
    again = augkit("export", ARM, *SMALL, "--format", "nnunet", "--to", "out", cwd=folder)
    assert again.stdout == "out holds this export already\n"


def test_a_wrong_format_and_a_recipe_without_synthetic_images_are_refused(tmp_path):
    done = augkit("export", ARM, "--format", "nnUNet", "--to", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "--format: found 'nnUNet'; allowed: folder, nnunet, coco, webdataset. Did you mean 'nnunet'?" in done.stderr
    done = augkit("export", str(RECIPES / "noaug.yaml"), "--to", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "has no synthetic images; allowed: at least one source under 'synthesize'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_data_check_counts_pairs(tmp_path):
    done = augkit("data", "check", str(RECIPES / "noaug.yaml"), SMALL[0], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0 pairs across splits, 0 within a split.\n"

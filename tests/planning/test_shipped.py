"""Recipes that come with augkit: listed, copied, and inside the wheel."""

import zipfile
from pathlib import Path

import pytest

from augkit.cli import app
from augkit.errors import InputError
from augkit.planning.shipped import copy_recipes, purpose, shipped_recipes

ROOT = Path(__file__).parents[2]


def test_ls_names_every_recipe_with_what_it_is_for(capsys):
    with pytest.raises(SystemExit):
        app(["ls"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(shipped_recipes())
    assert any(
        line.startswith("noaug ") and line.endswith("Real images only: the baseline of Table 1.") for line in lines
    )


def test_every_recipe_says_what_it_is_for():
    assert all(purpose(file).endswith(".") for file in shipped_recipes().values())


def test_cp_copies_one_recipe_or_a_folder_of_them(tmp_path, capsys):
    with pytest.raises(SystemExit):
        app(["cp", "allaug", str(tmp_path)])
    assert capsys.readouterr().out == f"{tmp_path / 'allaug.yaml'}\n"
    assert (tmp_path / "allaug.yaml").read_bytes() == (ROOT / "recipes" / "allaug.yaml").read_bytes()
    copies = copy_recipes("isic2017", tmp_path / "isic")
    assert sorted(copy.name for copy in copies) == sorted(file.name for file in (ROOT / "recipes/isic2017").iterdir())


def test_cp_never_overwrites_and_knows_what_was_meant(tmp_path):
    (tmp_path / "noaug.yaml").write_text("mine")
    with pytest.raises(InputError, match=r"noaug.yaml: is there already; allowed: a folder without it"):
        copy_recipes("noaug", tmp_path)
    assert (tmp_path / "noaug.yaml").read_text() == "mine"
    with pytest.raises(InputError, match=r"alaug: no shipped recipe or folder .* Did you mean 'allaug'\?"):
        copy_recipes("alaug", tmp_path)


def test_the_wheel_has_every_recipe_where_an_installed_augkit_looks(tmp_path):
    wheels = pytest.importorskip("hatchling.builders.wheel")
    (wheel,) = wheels.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    inside = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"augkit/recipes/{name}.yaml" for name in shipped_recipes()}
    assert wanted <= inside
    assert "augkit/planning/shipped.py" in inside

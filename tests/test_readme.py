"""What the README tells a plugin author is installed and run, letter by letter."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

README = Path(__file__).parent.parent / "README.md"
RECIPES = README.parent / "recipes"


def block_after(marker, language):
    """The first fenced block of a language after a line of the README that contains `marker`."""
    text = README.read_text()
    match = re.search(rf"```{language}\n(.*?)```", text[text.index(marker) :], re.S)
    assert match is not None
    return match.group(1)


def run(*command, path=""):
    return subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_generator_in_the_readme_installs_and_runs_in_a_recipe(tmp_path):
    package, site = tmp_path / "augkit-flat", tmp_path / "site"
    package.mkdir()
    (package / "pyproject.toml").write_text(block_after("`pyproject.toml`", "toml"))
    (package / "augkit_flat.py").write_text(block_after("`augkit_flat.py`", "python"))
    pip = run(
        sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index",
        "--target", str(site), str(package),
    )  # fmt: skip
    assert pip.returncode == 0, pip.stderr

    command = [sys.executable, "-c", "from augkit.cli import main; main()"]
    listed = run(*command, "plugin", "list", path=str(site))
    assert "flat" in listed.stdout
    assert "augkit-flat 0.1.0" in listed.stdout
    assert "noise: 8.0" in listed.stdout

    source = block_after("in any recipe", "yaml")
    recipe = tmp_path / "flataug.yaml"
    recipe.write_text(
        "name: flataug\ndataset: {phantom: {train: 12, test: 6, size: 32}}\n"
        f"{source}segmenter: {{unet: {{width: 2, steps: 3, batch_size: 4}}}}\n"
    )
    done = run(*command, "run", str(recipe), "--out", str(tmp_path / "runs"), path=str(site))
    assert done.returncode == 0, done.stderr
    assert "flataug" in done.stdout
    assert len(list((tmp_path / "runs" / "synthesis").iterdir())) == 1


def test_every_recipe_that_the_readme_names_exists():
    named = re.findall(r"recipes/[\w/*.-]+\.yaml", README.read_text())
    assert named
    for name in named:
        assert list(README.parent.glob(name)), name


def test_the_recipe_in_the_readme_is_the_shipped_one():
    shown = yaml.safe_load(block_after("## A recipe", "yaml"))
    assert shown == yaml.safe_load((RECIPES / "allaug.yaml").read_text())


def test_the_readme_has_the_two_commands():
    lines = README.read_text().splitlines()
    block = block_after("## Two commands", "").splitlines()
    assert block[-2].endswith("augkit run recipes/allaug.yaml")
    tested = next(line for line in lines if line.endswith("pytest"))  # what .ci/run looks for
    assert tested == "pip install -c constraints.txt -e '.[test]' && pytest"

"""The day of a plugin author: the tutorial is executed block by block, and every kind of new package works."""

import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from augkit.authors import reference
from augkit.contracts.kinds import EXECUTOR, KINDS
from augkit.contracts.registry import load_registry

DOCS = Path(__file__).parents[2] / "docs"
SLUGS = [kind.slug for kind in KINDS.values()]
PROGRAMS = {
    "augkit": [sys.executable, "-c", "from augkit.cli import main; main()"],
    "pytest": [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
}


def run(folder, program, *arguments):
    """Run a program with what is installed in the folder's `site`; returns it after it ended well."""
    path = os.pathsep.join([str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [*PROGRAMS[program], *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(folder, *packages):
    """Install packages beside the environment, without network; not editable, which would change the environment."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    command += ["--upgrade", "--target", str(folder / "site"), *(str(folder / package) for package in packages)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def blocks(text):
    """Yield language and content of every fenced block, with the text before it."""
    end = 0
    for match in re.finditer(r"```(\w+)\n(.*?)```", text, re.S):
        yield match.group(1), match.group(2), text[end : match.start()]
        end = match.end()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tutorial_leads_from_nothing_to_a_comparison(tmp_path):
    said = {}
    for language, content, before in blocks((DOCS / "plugin-author.md").read_text()):
        if language == "console":
            for line in content.splitlines():
                program, *arguments = shlex.split(line.removeprefix("$ "))
                if program == "pip":
                    install(tmp_path, arguments[-1])
                else:
                    said[line] = run(tmp_path, program, *arguments)
        else:
            name = re.findall(r"`([\w./-]+\.(?:py|yaml))`", before)[-1]
            file = tmp_path / ("augkit-stripes" if language == "python" else "") / name
            if language == "python":
                assert file.is_file(), "the tutorial replaces a file of the new package"
            file.write_text(content)
            if language == "python":
                install(tmp_path, "augkit-stripes")  # as an editable installation would notice by itself
    assert "augkit-stripes 0.1.0 (stripes)" in said["$ augkit plugin list"]
    assert "licence: MIT" in said["$ augkit plugin show stripes"]
    checked = said["$ augkit plugin check stripes --set width=4"]
    assert "ok       follows_the_mask" in checked
    assert "ok       opens_in_a_fresh_process" in checked
    assert "passed" in said["$ pytest augkit-stripes"]
    table = said["$ augkit run plain.yaml striped.yaml"]
    assert table.index("plain") < table.index("striped")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_new_package_of_every_kind_installs_is_listed_keeps_its_contract_and_runs(tmp_path):
    for kind in SLUGS:
        run(tmp_path, "augkit", "plugin", "new", f"my-{kind}", "--kind", kind)
    packages = [f"augkit-my-{kind}" for kind in SLUGS]
    install(tmp_path, *packages)
    listed = run(tmp_path, "augkit", "plugin", "list")
    for package in packages:
        assert f"from {package} 0.1.0" in listed
    assert "not usable" not in listed
    tested = run(tmp_path, "pytest", "--import-mode=importlib", *packages)
    assert "failed" not in tested
    run(tmp_path, "augkit", "validate", *(f"{package}/recipe.yaml" for package in packages))
    for kind in ("segmenter", "augmentation"):
        assert f"my-{kind}" in run(tmp_path, "augkit", "run", f"augkit-my-{kind}/recipe.yaml")


def test_a_new_package_installs_for_editing_with_nothing_but_hatchling(tmp_path):
    run(tmp_path, "augkit", "plugin", "new", "my-generator", "--kind", "generator")
    package = tmp_path / "augkit-my-generator"
    # None in sys.modules makes an import of it fail, as where it is not installed.
    code = "import sys; sys.modules['editables'] = None; from hatchling.build import build_editable as b; print(b('.'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=package, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(package / done.stdout.strip()) as wheel:
        (path,) = (name for name in wheel.namelist() if name.endswith(".pth"))
        assert wheel.read(path).decode().split() == [str(package / "src")]


@pytest.mark.parametrize("kind", [*KINDS.values(), EXECUTOR], ids=lambda kind: kind.slug)
def test_the_reference_page_of_a_kind_is_as_the_code_says(kind):
    file = DOCS / "reference" / f"{kind.slug}.md"
    made = reference.page(kind, load_registry())
    assert file.read_text() == made, "run: python -m augkit.authors.reference docs/reference"

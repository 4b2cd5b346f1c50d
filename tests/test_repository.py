"""What a visitor of the repository meets: pages, links and pictures, how to cite it, what runs on a change."""

import importlib
import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

import augkit
from augkit.cli import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
"""A fenced block, which shows files of others and is no part of the text."""


def loaded(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def prose(path):
    return FENCED.sub("", path.read_text(encoding="utf-8"))


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def anchors(path):
    """The names by which the headings of a page are linked to, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named_python():
    versions = re.findall(r"Programming Language :: Python :: (3\.\d+)", "\n".join(project()["classifiers"]))
    assert versions
    return versions


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_and_picture_of_a_page_is_there(page):
    missing = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / unquote(name)).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            missing.append(target)
    assert sorted(set(missing)) == []


def test_the_first_picture_of_the_readme_stands_on_its_first_screen():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert next(number for number, line in enumerate(lines) if line.startswith("![")) < 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_modules_that_a_page_names_exist(page):
    named = set(re.findall(r"\baugkit(?:\.[a-zA-Z_]\w*)+", page.read_text(encoding="utf-8")))
    assert [name for name in sorted(named) if not resolves(name.split("."))] == []


def resolves(parts):
    """Tell whether a dotted name is a module or what is found in one."""
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_paths_that_contributing_names_exist():
    """In full, from the folder of the core, or beside the file that was named last."""
    last, missing = ROOT, []
    for name in re.findall(r"`([\w./-]+(?:\.py|\.md|\.j2|\.yaml|/))`", prose(ROOT / "CONTRIBUTING.md")):
        places = [ROOT / name, ROOT / "augkit" / name, last / name]
        found = next((place for place in places if place.exists()), None)
        if found is None:
            missing.append(name)
        else:
            last = found if found.is_dir() else found.parent
    assert sorted(set(missing)) == []


def test_every_command_has_a_line_on_the_page_of_commands():
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert [name for name, _, _ in COMMANDS if f"`augkit {name}" not in page] == []


def test_the_citation_is_of_this_version():
    citation = loaded(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == augkit.__version__
    assert citation["license"] == project()["license"]
    assert citation["authors"] == [{"name": "The augkit developers"}]
    assert [paper["doi"] for paper in citation["references"]] == ["10.1007/978-3-030-32778-1_8"]


def test_the_workflow_runs_the_gate_on_every_python_that_is_supported():
    workflow = loaded(ROOT / ".github" / "workflows" / "ci.yml")
    assert set(workflow[True]) == {"push", "pull_request"}  # YAML 1.1 reads `on` as true
    (job,) = workflow["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == named_python()
    assert job["steps"][-1]["run"] == ".ci/run"
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100


def test_the_python_versions_that_are_named_begin_with_the_least_one():
    assert project()["requires-python"] == f">={named_python()[0]}"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [version for version in named_python() if version not in readme] == []


def test_there_is_a_form_for_each_kind_of_issue():
    assert {form.stem for form in FORMS} == {"bug", "plugin", "data-layout", "config"}


@pytest.mark.parametrize("path", [form for form in FORMS if form.stem != "config"], ids=lambda path: path.stem)
def test_an_issue_form_asks_by_unique_names(path):
    form = loaded(path)
    assert {"name", "description", "body"} <= set(form)
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields) > 0
    assert all(field["attributes"]["label"] for field in fields)


def test_the_replay_on_the_page_about_augmentation_is_what_a_training_sees(tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "augmentation.md").read_text("utf-8"), re.M | re.S)
    (code,) = [block for block in blocks if "replay(" in block]
    recipe = (ROOT / "recipes" / "classicaug.yaml").read_text("utf-8")
    (tmp_path / "recipes").mkdir()
    small = recipe.replace("{train: 200, test: 150, size: 64}", "{train: 4, test: 1, size: 32}")
    assert small != recipe
    (tmp_path / "recipes" / "classicaug.yaml").write_text(small)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert names["again"].images.shape == (1, 32, 32, 3)
    assert "rotate" in str(names["again"].parameters)

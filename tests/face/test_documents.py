"""docs/python.md and docs/first-look.ipynb are executed as they stand."""

import json
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder with the recipes beside it, as in a checkout."""
    (tmp_path / "recipes").symlink_to(DOCS.parent / "recipes")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_about_python_runs_from_top_to_bottom(elsewhere, capsys):
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S):
        exec(compile(block, "docs/python.md", "exec"), names)
    assert names["result"].verdicts[0].word == "no verdict"
    assert names["again"].images.shape == (1, 64, 64, 3)
    assert "segmenter unet" in capsys.readouterr().out


@pytest.mark.slow
def test_the_notebook_goes_from_a_recipe_to_a_verdict_and_a_gallery_in_ten_cells(elsewhere, capsys):
    cells = json.loads((DOCS / "first-look.ipynb").read_text(encoding="utf-8"))["cells"]
    assert len(cells) == 10
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec(compile("".join(cell["source"]), "docs/first-look.ipynb", "exec"), names)
    assert names["result"].verdicts[0].word in ("helps", "harms", "no evidence", "equivalent")
    assert names["painted"].shape == (6, 32, 32, 3)
    assert (elsewhere / "first-look" / "report").is_dir()

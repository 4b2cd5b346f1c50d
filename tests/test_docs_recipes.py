"""Every command and every recipe of docs/recipes.md, in order, in one folder, as a reader would."""

import json
import re
import shlex
from pathlib import Path

import pytest

from augkit.cli import app
from augkit.commands import doctor
from augkit.contracts.registry import load_registry
from augkit.data.encoding import encode_png
from augkit.planning.document import parse
from augkit.planning.schema import recipe_schema
from augkit.running import estimate

PAGE = Path(__file__).parent.parent / "docs" / "recipes.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
"""Language and text of a fenced block."""


def blocks():
    return [(language, text) for language, text in BLOCK.findall(PAGE.read_text(encoding="utf-8"))]


def commands():
    return [line for language, text in blocks() if not language for line in text.splitlines() if "augkit " in line]


@pytest.mark.slow
def test_the_page_is_followed_to_the_letter(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(estimate, "SECONDS", 0.2)
    monkeypatch.setattr(estimate, "MOST_SECONDS", 10_000)  # however busy the machine is
    monkeypatch.setitem(doctor._MATRIX, "cpu", 64)
    draw_data(Path("my_data"), seed=0)
    draw_data(Path("other_data"), seed=1)
    told = {}
    for language, text in blocks():
        if language == "yaml":
            Path(re.match(r"# (\w+\.yaml)", text).group(1)).write_text(text)
            continue
        for line in text.splitlines():
            program, *arguments = shlex.split(line, comments=True) or [""]
            if program == "augkit":
                with pytest.raises(SystemExit) as ended:
                    app(arguments)
                out, err = capsys.readouterr()
                assert ended.value.code in (0, None), f"{line}\n{err}"
                told[line] = out
    check(told)


def check(told):
    """What the words around the commands promise."""
    run = next(out for line, out in told.items() if line.startswith("augkit run plain.yaml"))
    assert all(name in run for name in ("plain", "rotated", "painted", "seed SD", "report.html"))
    looked = next(out for line, out in told.items() if "development_share" in line)
    assert "over the development images (not the test set)" in looked
    elsewhere = " ".join(told["augkit run elsewhere.yaml --quiet"].split())
    assert "over the external other-clinic images (nothing was trained or chosen on them)" in elsewhere
    assert (next(Path("runs/report").glob("elsewhere-*")) / "external" / "other-clinic" / "per_image.csv").is_file()
    plan = next(out for line, out in told.items() if line.endswith("--estimate"))
    assert "measured" in plan
    assert "unknown" not in plan
    assert "in all: " in plan
    folders = [path.parent for path in Path("runs/report").glob("*/curves.json")]
    assert len(folders) == 1
    assert (folders[0] / "figures" / "curves.png").stat().st_size > 1000
    points = json.loads((folders[0] / "curves.json").read_text())["curves"][0]["points"]
    assert [point["value"] for point in points] == [0.5, 1.0]
    compared = next(path for path in Path("runs/report").glob("*/costs.json") if "rotated" in path.parent.name)
    assert json.loads(compared.read_text())["estimated_stages"]["estimated_seconds"] > 0
    assert Path("noaug.yaml").is_file()
    assert {path.name for path in Path("controls").iterdir()} >= {"noise.yaml", "shuffled.yaml"}
    assert json.loads(told["augkit schema"])["title"] == "augkit recipe"


def draw_data(root, seed):
    from augkit_phantom import Phantom

    train = Phantom(train=16, test=1, size=32, seed=seed).load().train
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for i in range(len(train)):
        (root / "images" / f"case{i:02d}.png").write_bytes(encode_png(train.images[i]))
        (root / "masks" / f"case{i:02d}.png").write_bytes(encode_png(train.masks[i]))


def test_the_page_shows_the_line_that_tells_an_editor_the_schema():
    jsonschema = pytest.importorskip("jsonschema")
    text = PAGE.read_text(encoding="utf-8")
    assert "# yaml-language-server: $schema=recipe.schema.json" in text
    validator = jsonschema.Draft202012Validator(recipe_schema(load_registry()))
    recipes = [text for language, text in blocks() if language == "yaml"]
    assert len(recipes) == 5
    for recipe in recipes:
        assert list(validator.iter_errors(parse(recipe, "r.yaml", []).root)) == []


def test_every_command_that_the_page_names_is_run():
    named = set(re.findall(r"`augkit (\w+)", PAGE.read_text(encoding="utf-8")))
    assert named <= {line.split()[1] for line in commands()}

"""A sweep is several ordinary recipes: complete, named after their number, and differing in nothing else."""

from pathlib import Path

import pytest
import yaml

from augkit.errors import InputError
from augkit.planning.recipe import load_recipes
from augkit.planning.sweep import SweepPoint, swept_recipe

RECIPE = """\
name: ratio
dataset: {drawn: {}}
synthesize:
  - {generator: {painter: {}}, masks: {training: {}}, per_real: 1}
segmenter: {unet: {steps: 5}}
sweep: {synthesize.0.per_real: [0, 0.5, 2]}
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def read(text, *overrides):
        (tmp_path / "r.yaml").write_text(text)
        return load_recipes([Path("r.yaml")], overrides)

    return read


def test_each_number_is_one_complete_recipe(load):
    points = load(RECIPE)
    assert [point.name for point in points] == ["ratio-0", "ratio-0.5", "ratio-2"]
    assert [point.synthesize[0].per_real for point in points] == [0, 0.5, 2]
    assert [point.sweep for point in points] == [SweepPoint("ratio", "synthesize.0.per_real", v) for v in (0, 0.5, 2)]
    for point in points:
        assert "sweep" not in point.document
        assert {k: v for k, v in point.document.items() if k not in ("name", "synthesize")} == {
            "dataset": {"drawn": {}}, "segmenter": {"unet": {"steps": 5}}
        }  # fmt: skip


def test_the_recipe_that_swept_is_found_again_from_its_points(load):
    points = load(RECIPE)
    texts = [yaml.safe_dump(point.document) for point in points]
    again = load(swept_recipe(texts, points[0].sweep))
    assert [(point.document, point.sweep) for point in again] == [(point.document, point.sweep) for point in points]


def test_any_number_of_a_component_may_be_swept_and_a_key_that_is_not_written(load):
    steps = load(RECIPE.replace("synthesize.0.per_real: [0, 0.5, 2]", "segmenter.unet.steps: [1, 2]"))
    assert [point.segmenter.options["steps"] for point in steps] == [1, 2]
    shares = load(RECIPE.replace("synthesize.0.per_real: [0, 0.5, 2]", "training_share: [0.1, 1]"))
    assert [point.training_share for point in shares] == [0.1, 1.0]


def test_a_sweep_can_be_set_and_changed_from_the_command_line(load):
    points = load(RECIPE, "sweep={training_share: [0.5, 1]}", "segmenter.unet.steps=7")
    assert [point.training_share for point in points] == [0.5, 1.0]
    assert {point.segmenter.options["steps"] for point in points} == {7}


@pytest.mark.parametrize(
    ("sweep", "told"),
    [
        ("3", "r.yaml:6: sweep; allowed: one path with a list of numbers"),
        ("{a: [1, 2], b: [1, 2]}", "r.yaml:6: sweep; allowed: one path with a list of numbers"),
        ("{training_share: [1]}", "2 to 32 of them"),
        ("{training_share: [0.5, half]}", "2 to 32 of them"),
        ("{training_share: [0.5, 0.5]}", "sweep has a number twice; allowed: each once"),
        ("{dataset.drawn.size: [32, 64]}", "'dataset.drawn.size' cannot be swept"),
        ("{seed: [1, 2]}", "seeds are given with --seeds"),
        ("{synthesize.3.per_real: [1, 2]}", "r.yaml:6: there is no '3' in 'synthesize' of any recipe"),
        ("{training_share: [0.5, 7]}", "r.yaml:6: training_share: found the number 7; allowed: 0 < number <= 1"),
    ],
)
def test_a_wrong_sweep_is_told_with_its_line(sweep, told, load):
    with pytest.raises(InputError) as failure:
        load(RECIPE.replace("{synthesize.0.per_real: [0, 0.5, 2]}", sweep))
    assert told in str(failure.value)
    assert len(failure.value.problems) == 1


def test_a_mistake_elsewhere_is_told_once_and_not_per_number(load):
    with pytest.raises(InputError) as failure:
        load(RECIPE.replace("segmenter:", "segmentr:"))
    told = [str(problem) for problem in failure.value.problems]
    assert told == ["r.yaml:5: unknown key 'segmentr'. Did you mean 'segmenter'?"]


def test_two_sweeps_of_one_name_are_refused(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(RECIPE)
    with pytest.raises(InputError, match="a different name per recipe"):
        load_recipes([tmp_path / "a.yaml", tmp_path / "b.yaml"])

"""The key ``folds`` of a recipe."""

import pytest

from augkit.errors import InputError
from augkit.planning.divisions import Folds
from augkit.planning.recipe import load_recipes

RECIPE = "name: arm\ndataset: {phantom: {}}\nsegmenter: {unet: {}}\n"


@pytest.fixture
def read(tmp_path):
    def load(text, *changes):
        file = tmp_path / "r.yaml"
        file.write_text(RECIPE + text)
        return load_recipes([file], changes)[0].folds

    return load


def test_a_number_is_short_for_all_folds_of_all_samples(read):
    assert read("") is None
    assert read("folds: 5\n") == read("folds: {count: 5, of: all}\n") == Folds(5, (0, 1, 2, 3, 4), "all")
    assert read("folds: {count: 3, of: development, only: [2, 0]}\n") == Folds(3, (0, 2), "development")


def test_the_command_line_can_ask_for_folds(read):
    assert read("", "folds=4") == Folds(4, (0, 1, 2, 3))
    assert read("folds: {count: 4}\n", "folds.only=[1]") == Folds(4, (1,))


@pytest.mark.parametrize(
    ("folds", "what"),
    [
        ("1", "folds: found the number 1; allowed: a whole number 2 .. 20, or {count, of, only}"),
        ("21", "folds: found the number 21; allowed: a whole number 2 .. 20, or {count, of, only}"),
        ("true", "folds: found the truth value true; allowed: a whole number 2 .. 20, or {count, of, only}"),
        ("five", "folds: found the text 'five'; allowed: a whole number 2 .. 20, or {count, of, only}"),
        ("{count: 2.5}", "count: found the number 2.5; allowed: a whole number 2 .. 20, or {count, of, only}"),
        ("{of: all}", "'count' is missing. As in 'folds: {count: 5}'"),
        ("{count: 5, off: all}", "unknown key 'off'. Did you mean 'of'?"),
        ("{count: 5, of: test}", "of: found the text 'test'; allowed: all, or development to leave the test images"),
        ("{count: 5, only: [5]}", "only: found a list; allowed: a list of some of the folds 0 .. 4, each once"),
        ("{count: 5, only: [1, 1]}", "only: found a list; allowed: a list of some of the folds 0 .. 4, each once"),
        ("{count: 5, only: []}", "only: found a list; allowed: a list of some of the folds 0 .. 4, each once"),
        ("{count: 5, only: 1}", "only: found the number 1; allowed: a list of some of the folds 0 .. 4, each once"),
    ],
)
def test_folds_that_are_none_are_refused_with_their_line(read, folds, what):
    with pytest.raises(InputError) as error:
        read(f"folds: {folds}\n")
    (problem,) = map(str, error.value.problems)
    assert "r.yaml:4: " in problem
    assert what in problem


def test_folds_have_development_images_of_their_own(read):
    with pytest.raises(InputError) as error:
        read("folds: {count: 5, of: development}\ndevelopment_share: 0.2\n")
    assert str(error.value.problems[0]).endswith(
        "r.yaml:5: found with 'folds', which have development images of their own; allowed: one of the two. As in "
        "'folds: {count: 5, of: development}'"
    )


def test_folds_cannot_be_swept(read):
    with pytest.raises(InputError, match=r"'folds\.count' cannot be swept"):
        read("folds: {count: 5}\nsweep: {folds.count: [2, 3]}\n")

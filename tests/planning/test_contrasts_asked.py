"""Contrasts that somebody asks for are part of a report, and of nothing else."""

import pytest

from augkit.commands.arguments import parse_contrasts
from augkit.errors import InputError
from augkit.planning.plan import make_plan
from augkit.store import Digests
from samples import checked_recipes

DATA = "dataset: {phantom: {train: 4, test: 3, size: 32}}\nsegmenter: {unet: {width: 2, steps: 1}}\n"


def plan(folder, contrasts):
    texts = [f"name: {name}\n{DATA}augment: [geometry: {{flip: {flip}}}]\n"
             for name, flip in (("a", "both"), ("b", "horizontal"))]  # fmt: skip
    return make_plan(checked_recipes(folder, *texts), None, Digests(folder), contrasts)


def test_a_report_with_another_contrast_is_another_report_of_the_same_trainings(tmp_path):
    without, asked = plan(tmp_path, []), plan(tmp_path, [("a", "b")])
    assert asked.report.task.contrasts == (("a", "b"),)
    assert asked.report.address != without.report.address
    assert asked.stages()[:-1] == without.stages()[:-1]


def test_the_command_line_s_text_becomes_two_names():
    assert parse_contrasts(["a:b", "b:c"], ["a", "b", "c"]) == (("a", "b"), ("b", "c"))
    assert parse_contrasts(None, ["a"]) == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a", "--contrast a: found 'a'; allowed: two of a, b, with a colon between them"),
        ("a:x", "--contrast a:x: no arm is called 'x'; allowed: two of a, b"),
    ],
)
def test_what_names_no_two_arms_is_refused_with_those_that_there_are(text, problem):
    with pytest.raises(InputError) as error:
        parse_contrasts([text], ["a", "b"])
    assert [str(one) for one in error.value.problems] == [problem]

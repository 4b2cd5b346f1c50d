"""Slices of int16 in one channel with three classes and ignored pixels, from a recipe to pages and pictures."""

import csv
import json

import numpy as np
import pytest

from augkit.data.stored import read_evaluation, read_image_set
from augkit.errors import InputError
from augkit.metrics import class_confusion, scores
from augkit.planning.recipe import load_recipes
from augkit.report.arms import read_scores
from augkit.report.recorded import merge, read_report
from augkit.running.preview import augment_panel, preview, write_page
from augkit.running.session import How, Session
from augkit.training.replay import replay
from organs import FORMAT, Organs, registry
from samples import checked_recipes, no_change

RECIPES = [
    """
name: plain
dataset: {organs: {patients: 4, slices: 3}}
segmenter: {unet: {width: 4, steps: 5, batch_size: 4}}
""",
    """
name: painted
dataset: {organs: {patients: 4, slices: 3}}
synthesize: [{generator: {levels: {}}, masks: {drawn: {}}, per_real: 1.0}]
segmenter: {unet: {width: 4, steps: 5, batch_size: 4}}
""",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A session, the plan of two arms, the folder of their report, and that of the same scored by group."""
    folder = tmp_path_factory.mktemp("organs")
    session = Session(How(folder / "runs", "cpu"))
    plans = [
        session.plan(checked_recipes(folder, *RECIPES, changes=changes, registry=registry()))
        for changes in ((), ["score_per=group"])
    ]
    return session, plans, [session.run(plan) for plan in plans]


def rows_of(folder):
    with (folder / "per_image.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_report_has_the_mean_over_classes_and_the_dice_of_each(runs):
    page = (runs[2][0] / "report.html").read_text()
    assert "Mean ± standard error over the test images, of the mean over the 3 classes" in page
    assert "a class that is neither in the true mask nor found does not count there" in page
    assert "Dice of each class (exploratory: no verdict rests on one class)." in page
    record = json.loads((runs[2][0] / "report.json").read_text())
    assert record["test"]["classes"] == {"liver": 6, "kidney": 6, "tumour": 2}
    assert list(record["arms"]["plain"]["metrics"])[-3:] == ["dice of liver", "dice of kidney", "dice of tumour"]
    assert "Distances are between images as they are shown" in page


def test_the_scores_of_a_report_are_read_back_with_those_of_each_class(runs):
    (arm, _) = read_report(runs[2][0]).arms
    assert list(arm.classes) == ["liver", "kidney", "tumour"]
    first = rows_of(runs[2][0])[0]
    assert float(first["dice of kidney"]) == arm.values["dice of kidney"][0, 0]


def test_groups_pool_the_pixels_of_their_images_class_by_class(runs):
    session, (_, plan), (images, folder) = runs
    arm, store = plan.arms[0], session.store
    test = read_image_set(store.path(arm.dataset.address) / "test")
    found = read_evaluation(store.path(arm.evaluation.address))
    rows = [row for row in rows_of(folder) if row["arm"] == "plain"]
    assert [row["group"] for row in rows] == ["test0", "test1"]
    for row, part in zip(rows, (slice(0, 3), slice(3, 6)), strict=True):
        # One tall image of all slices, scored by itself.
        stacked = (np.concatenate(list(masks[part]))[None] for masks in (found.predictions, test.masks))
        dice = scores(class_confusion(*stacked, 3)[0])["dice"]
        assert [float(row[f"dice of {name}"]) for name in FORMAT.classes] == dice.tolist()
    assert len(rows_of(images)) == 2 * 6


def test_a_class_that_no_slice_has_counts_neither_in_distance_nor_in_dice_of_its_group(runs):
    session, (_, plan), _ = runs
    arm, store = plan.arms[0], session.store
    test = read_image_set(store.path(arm.dataset.address) / "test")
    found = read_scores([arm], test, lambda stage: store.path(stage.address))
    evaluation = read_evaluation(store.path(arm.evaluation.address))
    present = evaluation.counts[..., :3].sum(-1) > 0
    means = [[evaluation.nsd[part, k][present[part, k]].mean() for k in range(3) if present[part, k].any()]
             for part in (slice(0, 3), slice(3, 6))]  # fmt: skip
    np.testing.assert_allclose(found.values["nsd"][0], [np.mean(one) for one in means])
    assert found.image_ids == ("test0", "test1")


def test_the_page_of_groups_says_so_and_shows_images(runs):
    page = (runs[2][1] / "report.html").read_text()
    assert "averaged over the 2 test groups" in page
    assert "Each score is of a group, such as a volume: the pixels of all its images are counted together" in page
    assert "test0/0" in page  # among the cases


def test_nothing_but_the_report_is_built_anew_for_scores_of_groups(runs):
    _, (one, other), _ = runs
    assert [arm.evaluation for arm in one.arms] == [arm.evaluation for arm in other.arms]
    assert one.report != other.report


def test_reports_of_images_and_of_groups_are_not_compared(runs):
    first, second = (read_report(folder) for folder in runs[2])
    with pytest.raises(InputError, match=r"has a score per group and .* one per image; allowed: one score_per"):
        merge([first, second], None)


def test_arms_with_different_units_of_scores_are_refused(runs, tmp_path):
    recipes = checked_recipes(tmp_path, RECIPES[0], RECIPES[1] + "score_per: group\n", registry=registry())
    with pytest.raises(InputError, match="recipe 'painted': has another score_per than 'plain'; allowed: the same in"):
        runs[0].plan(recipes)


def test_another_unit_of_scores_is_refused_with_its_line(tmp_path):
    (tmp_path / "r.yaml").write_text(RECIPES[0] + "score_per: volume\n")
    with pytest.raises(InputError, match=r"r.yaml:5: score_per: found the text 'volume'; allowed: image or group"):
        load_recipes([tmp_path / "r.yaml"])


def test_previews_tell_the_format_and_paint_with_the_trained_generator(runs, tmp_path):
    recipe = checked_recipes(tmp_path, RECIPES[1], registry=registry())[0]
    panels = preview(runs[0].plan_supply(recipe), runs[0].engine)
    write_page("Preview", panels, tmp_path / "page")
    assert panels[0].sentence == (
        "12 training images of 32×32 pixels; 1 channel (ct -200..400; int16) and 3 classes (liver, kidney, tumour) "
        "with ignored pixels; the first ones."
    )
    assert panels[1].sentence == "The first 8 of 12 masks, and what the trained generator paints."


def test_variants_of_label_maps_are_shown_in_their_classes():
    train = Organs(patients=1).load().train
    again = replay([("none", no_change)], train, 0, 0)
    assert np.array_equal(again.images.clip(-200, 400), train.images.clip(-200, 400))
    assert augment_panel(train, [("none", no_change)], 0).png.startswith(b"\x89PNG")

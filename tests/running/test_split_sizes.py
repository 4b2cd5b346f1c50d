"""How large the splits of a plan are, before and after its data set is read."""

import pytest

from augkit.running.engine import Engine
from augkit.running.forecast import expected_arms, split_sizes, trained_arms

TEXT = (
    "name: plain\ndataset: {phantom: {train: 20, validation: 4, test: 12, size: 32}}\n"
    "segmenter: {unet: {width: 2, steps: 1}}\n"
)


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ("", {"train": 20, "validation": 4, "test": 12}),
        ("development_share: 0.25\n", {"train": 15, "validation": 4, "test": 5}),
        ("folds: 4\n", {"train": 23, "validation": 4, "test": 9}),
        ("training_share: 0.5\n", {"train": 10, "validation": 4, "test": 12}),
    ],
)
def test_sizes_are_foretold_as_they_are_counted_later(options, sizes, plan, store):
    planned = plan(TEXT + options)
    told, known = split_sizes(planned, store)
    assert (told, known) == (sizes, False)
    Engine(store, "cpu").build([planned.arms[0].training])
    counted, known = split_sizes(planned, store)
    assert known
    assert {split: abs(counted[split] - told[split]) <= 1 for split in counted} == dict.fromkeys(counted, True)


def test_arms_to_be_trained_have_as_many_images_as_the_data_set_says(plan, store):
    (arm,) = expected_arms(plan(TEXT, seeds=[0, 1]), store)
    assert (len(arm.image_ids), arm.seeds, dict(arm.values)) == (12, (0, 1), {})


def test_trainings_that_are_there_are_read_and_one_seed_is_no_pilot(plan, store):
    planned = plan(TEXT, seeds=[0, 1, 2])
    assert trained_arms(planned, store) == ()
    Engine(store, "cpu").build([arm.evaluation for arm in planned.arms if arm.seed < 2])
    (arm,) = trained_arms(planned, store)
    assert (arm.seeds, arm.values["dice"].shape) == ((0, 1), (2, 12))
    assert trained_arms(plan(TEXT, seeds=[0, 2]), store) == ()

"""What a run says of its verdicts before anything trains."""

from dataclasses import replace

import pytest

from augkit.contracts.events import RunStarted, StageFinished, StageNoted
from augkit.report.arms import expected
from augkit.running.engine import Engine
from augkit.running.forecast import Forecast, asks_for_verdict

DATA = "dataset: {phantom: {train: 2, test: TEST, size: 32}}\nsegmenter: {unet: {width: 4, steps: 2}}\n"
PLAIN = f"name: plain\n{DATA}"
FLIPPED = f"name: flipped\n{DATA}augment: [geometry: {{flip: both}}]\n"
SEEDS = (
    "no verdict can come out of this: 2 trainings per arm are too few to separate an arm from the luck of its "
    "trainings. Train at least 4 seeds, better 6: --seeds 0..5."
)
IMAGES = (
    "no verdict can come out of this: 3 test images are too few to say anything about others; at least 10 are needed."
)


def arms_on(images):
    return [text.replace("TEST", str(images)) for text in (PLAIN, FLIPPED)]


def heard(forecast, *events):
    return [note for event in events for note in forecast.hear(event)]


def test_seeds_are_told_as_the_run_starts_and_images_as_soon_as_the_data_set_is_there_and_each_once(plan, store):
    planned = plan(*arms_on(3), seeds=[0, 1])
    forecast, dataset = Forecast(planned, store), planned.arms[0].dataset
    start = RunStarted(("dataset phantom", "segmenter unet"), 0, store.root)
    assert heard(forecast, start) == [StageNoted("comparison", SEEDS)]
    (folder,) = Engine(store, "cpu").build([dataset])
    elsewhere = StageFinished("masks training", 1.0, store.root / "masks" / "training-1")
    assert heard(forecast, elsewhere) == []
    done = StageFinished(dataset.title, 1.0, folder)
    assert heard(forecast, done, done) == [StageNoted("comparison", IMAGES)]
    assert Forecast(planned, store).hear(start) == (StageNoted("comparison", SEEDS), StageNoted("comparison", IMAGES))
    assert Forecast(planned, store).hear(RunStarted((), 9, store.root)) == ()


def test_enough_seeds_and_images_are_no_matter_for_a_word(plan, store):
    planned = plan(*arms_on(10), seeds=range(4))
    Engine(store, "cpu").build([planned.arms[0].dataset])
    assert Forecast(planned, store).lines() == ()


def test_a_data_set_that_is_damaged_is_counted_when_it_was_built_again(plan, store):
    planned = plan(*arms_on(4), seeds=range(4))
    (folder,) = Engine(store, "cpu").build([planned.arms[0].dataset])
    (folder / "test" / "samples.json").write_text("{")
    assert Forecast(planned, store).lines() == ()


def test_trainings_of_reports_beside_count(plan, store):
    planned = plan(*arms_on(3), seeds=[0, 1])
    beside = expected(plan(*arms_on(3), seeds=range(2, 4)).arms, {None: tuple("abcdefghij")})
    assert Forecast(planned, store, beside).lines() == ()
    assert Forecast(planned, store, [replace(arm, seeds=()) for arm in beside]).lines() == (SEEDS,)


@pytest.mark.parametrize(("seeds", "asked"), [(None, False), ([3], False), ([0, 1], True)])
def test_arms_of_one_seed_may_be_tried_out_without_a_word(plan, seeds, asked):
    assert asks_for_verdict(plan(*arms_on(3), seeds=seeds)) is asked

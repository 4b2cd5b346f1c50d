"""Folds: every sample is tested once, by segmenters that never saw its group."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from augkit.contracts.events import RunStarted
from augkit.data.arrays import ImageSet, Splits
from augkit.data.draws import Draws, derive_seed, sample_keys
from augkit.data.stored import read_image_set, read_splits
from augkit.errors import InputError
from augkit.planning.plan import everything_of, make_quality
from augkit.report.arms import read_scores
from augkit.report.origin import differences, read_origin
from augkit.report.recorded import read_report
from augkit.running.engine import Engine
from augkit.running.forecast import Forecast
from augkit.running.session import How, Session
from augkit.sharing.card import data_card
from augkit.sharing.export import gather_export
from augkit.store import Digests, Store
from samples import checked_recipes

RECIPE = """\
name: arm
dataset: {phantom: {train: 20, test: 6, validation: 4, size: 32}}
synthesize:
  - {generator: {noise: {}}, masks: {training: {}}, per_real: 1.0}
segmenter: {unet: {width: 2, steps: 1, batch_size: 2}}
"""
PLAIN = RECIPE.replace(RECIPE[RECIPE.index("synthesize") : RECIPE.index("segmenter")], "").replace("arm", "plain")


def splits_of(stage, store) -> Splits:
    return read_splits(Engine(store, "cpu").artifact(stage))


def ids_of(splits: Splits) -> list[str]:
    return [*splits.train.ids, *splits.validation.ids, *splits.test.ids]


@pytest.fixture
def guess(monkeypatch):
    """A segmenter that finds the left part of an image; what it is given to train on is kept, by seed."""
    trained = {}

    def fit(self, train, validation, augment, space):
        trained[space.seed] = (train, validation)

    def predict(images):
        scores = np.zeros((len(images), 1, 32, 32), np.float32)
        scores[..., :16] = images.mean(axis=(1, 2, 3))[:, None, None, None] / 255
        return scores

    monkeypatch.setattr("augkit_unet.segmenter.Unet.fit", fit)
    monkeypatch.setattr("augkit_unet.segmenter.Unet.open", lambda self, *rest: predict)
    return trained


def test_every_sample_is_tested_once_and_never_by_who_trained_or_validated_on_it(plan, store):
    whole = splits_of(plan(PLAIN).arms[0].dataset, store)
    folds = [splits_of(arm.dataset, store) for arm in plan(PLAIN, changes=["folds=5"]).arms]
    assert sorted(name for fold in folds for name in fold.test.ids) == sorted(ids_of(whole))
    for fold in folds:
        assert sorted(ids_of(fold)) == sorted(ids_of(whole))
        assert (len(fold.train), len(fold.validation), len(fold.test)) == (20, 4, 6)
    images = np.concatenate([whole.train.images, whole.validation.images, whole.test.images])
    pixels = dict(zip(ids_of(whole), images, strict=True))
    for name, image in zip(folds[2].test.ids, folds[2].test.images, strict=True):
        assert np.array_equal(image, pixels[name])


def test_folds_of_development_samples_leave_the_test_images_out(plan, store):
    whole = splits_of(plan(PLAIN).arms[0].dataset, store)
    arms = plan(PLAIN, changes=["folds={count: 4, of: development}"]).arms
    folds = [splits_of(arm.dataset, store) for arm in arms]
    assert sorted(name for fold in folds for name in fold.test.ids) == sorted([*whole.train.ids, *whole.validation.ids])
    assert all(set(ids_of(fold)).isdisjoint(whole.test.ids) for fold in folds)


def test_a_data_set_without_validation_has_none_in_folds(plan, store):
    (arm, *_) = plan(PLAIN, changes=["folds=3", "dataset.phantom.validation=0"]).arms
    assert len(splits_of(arm.dataset, store).validation) == 0


def test_arms_and_seeds_share_the_folds_and_every_training_has_luck_of_its_own(plan):
    arms = plan(RECIPE, PLAIN, seeds=[0, 1], changes=["folds=3"]).arms
    assert [(arm.name, arm.seed, arm.fold) for arm in arms] == [
        (name, seed, fold) for seed in (0, 1) for name in ("plain", "arm") for fold in range(3)
    ]
    assert len({arm.dataset for arm in arms}) == 3
    assert len({arm.segmenter.task.seed for arm in arms}) == 6
    assert len({stage.task.seed for arm in arms for stage in arm.generators}) == 6
    assert len({stage.inputs["masks"].task.seed for arm in arms for stage in arm.syntheses}) == 6
    assert arms[0].segmenter.title == "segmenter unet · plain · seed 0 · fold 0"


def test_some_folds_are_those_of_all_of_them(plan):
    arms = plan(PLAIN, changes=["folds=5"]).arms
    some = plan(PLAIN, changes=["folds={count: 5, only: [3, 1]}"]).arms
    assert [arm.segmenter for arm in some] == [arms[1].segmenter, arms[3].segmenter]


def test_a_recipe_without_folds_is_planned_with_its_own_seeds(plan):
    (arm,) = plan(RECIPE, seeds=[3]).arms
    assert arm.fold is None
    assert "fold" not in arm.segmenter.title
    assert arm.dataset.identity.keys() == {"schema", "kind", "code", "inputs", "components"}
    assert arm.segmenter.task.seed == derive_seed(3, "segmenter")
    assert arm.generators[0].task.seed == derive_seed(3, "generator")
    assert arm.syntheses[0].inputs["masks"].task.seed == derive_seed(3, "masks", "0")


def test_a_training_share_is_a_share_of_each_fold(plan, store):
    for arm in plan(PLAIN, changes=["folds=3", "training_share=0.5"]).arms:
        fold, taken = splits_of(arm.dataset, store), splits_of(arm.training, store)
        assert len(taken.train) == round(len(fold.train) / 2)
        assert set(taken.train.ids) < set(fold.train.ids)
        assert taken.test.ids == fold.test.ids


def test_a_worker_finds_the_stages_of_all_folds_from_the_recipe_alone(plan, store, tmp_path):
    text = RECIPE.replace("per_real: 1.0", "per_real: 1.0, min_adherence: 0.1") + "folds: 3\n"
    known = set(everything_of(checked_recipes(tmp_path, text)[0], Digests(store.root)))
    seen = plan(text)
    assert len(known) > 20
    assert {stage for stage in seen.stages() if stage.document is not None} <= known


@pytest.mark.parametrize("change", ["folds=4", "folds={count: 3, only: [0]}", "folds={count: 3, of: development}"])
def test_arms_of_other_folds_are_not_compared(plan, change):
    with pytest.raises(InputError, match="or another development_share or folds than 'plain'; allowed: the same"):
        plan(RECIPE + "folds: 3\n", PLAIN + f"folds: {change.removeprefix('folds=')}\n")


# Data sets that make trouble


def photographs(names):
    """Return one noisy image per name, with groups of two images each."""
    keys = Draws.of(1, "photographs", sample_keys(names))
    images = (keys.uniform("pixels", shape=(32, 32, 3)) * 255).astype(np.uint8)
    masks = np.zeros((len(names), 32, 32), bool)
    masks[:, 8:20, 8:20] = True
    groups = tuple(f"patient-{name[:-1]}" for name in names)
    return ImageSet(tuple(names), images, masks, groups, ("real",) * len(names))


def use(monkeypatch, train, test):
    splits = Splits(train, ImageSet.empty((32, 32)), test)
    monkeypatch.setattr("augkit_phantom.Phantom.load", lambda self: splits)


def halves(numbers):
    return [f"{i}{half}" for i in numbers for half in "ab"]


def test_a_patient_is_in_one_fold_and_fewer_patients_than_folds_are_refused(plan, monkeypatch, tmp_path):
    use(monkeypatch, photographs(halves(range(4))), photographs(halves([4, 5])))
    store, text = Store(tmp_path / "runs"), PLAIN.replace("train: 20", "train: 21")
    for arm in plan(text, changes=["folds=6"]).arms:
        splits = splits_of(arm.dataset, store)
        assert len(set(splits.test.groups)) == 1
        assert set(splits.test.groups).isdisjoint(splits.train.groups)
    with pytest.raises(InputError, match="found 6 groups for 7 folds; allowed: at least one group for each"):
        splits_of(plan(text, changes=["folds=7"]).arms[0].dataset, store)


def test_a_copy_of_what_a_fold_tests_is_not_trained_on_and_is_tested_itself(plan, monkeypatch, tmp_path):
    train, test = photographs(halves(range(6))), photographs(halves([6, 7]))
    images = train.images.copy()
    images[train.ids.index("0a")] = test.images[test.ids.index("7b")]
    use(monkeypatch, ImageSet(train.ids, images, train.masks, train.groups, train.origins), test)
    store, text = Store(tmp_path / "runs"), PLAIN.replace("train: 20", "train: 22") + "exclude_copies: true\n"
    arms = plan(text, changes=["folds=4"]).arms
    folds = [splits_of(arm.dataset, store) for arm in arms]
    assert sorted(name for fold in folds for name in fold.test.ids) == halves(range(8))
    for fold, arm in zip(folds, arms, strict=True):
        assert len({"0a", "7b"} & set(fold.test.ids)) == 0 or {"0a", "7b"}.isdisjoint(fold.train.ids)
        excluded = json.loads((store.path(arm.dataset.address) / "excluded.json").read_text())
        assert set(excluded) == {"0a", "7b"} & set(fold.test.ids) ^ {"0a", "7b"} - set(fold.train.ids)


def test_a_fold_that_tests_nothing_but_empty_masks_is_told_and_one_that_trains_on_them_refused(
    plan, monkeypatch, tmp_path
):
    names = halves(range(8))
    shown = photographs(names)
    text = PLAIN.replace("train: 20", "train: 23")
    use(monkeypatch, shown, photographs(["xa"]))
    folds = [splits_of(arm.dataset, Store(tmp_path / "a")) for arm in plan(text, changes=["folds=3"]).arms]
    place = next(i for i, fold in enumerate(folds) if "xa" not in fold.test.ids)

    masks = shown.masks & ~np.isin(names, folds[place].test.ids)[:, None, None]
    use(monkeypatch, ImageSet(shown.ids, shown.images, masks, shown.groups, shown.origins), photographs(["xa"]))
    arm, store = plan(text, changes=["folds=3"]).arms[place], Store(tmp_path / "b")
    (folder,) = Engine(store, "cpu").build([arm.dataset])
    assert json.loads((folder / "remarks.json").read_text()) == [
        f"fold {place} of 3: none of its {len(folds[place].test)} test masks shows anything, so finding nothing there "
        "scores 1; fewer folds are larger"
    ]

    # Where only the patient of the data set's test split and another one of the same fold have masks.
    place = next(i for i, fold in enumerate(folds) if "xa" in fold.test.ids)
    masks = shown.masks & np.isin(names, folds[place].test.ids)[:, None, None]
    use(monkeypatch, ImageSet(shown.ids, shown.images, masks, shown.groups, shown.origins), photographs(["xa"]))
    with pytest.raises(InputError) as error:
        splits_of(plan(text, changes=["folds=3"]).arms[place].dataset, Store(tmp_path / "c"))
    assert f"training masks of fold {place} of 3: none of the" in str(error.value.problems[0])


def test_quality_is_judged_of_the_first_fold(tmp_path, store):
    recipes = checked_recipes(tmp_path, RECIPE + "folds: {count: 5, only: [2, 4]}\n")
    (stage,) = make_quality(recipes, None, Digests(store.root))
    assert stage.inputs["dataset"].title == "dataset phantom · fold 2 of 5"
    assert stage.title.endswith(" · fold 2")


def test_an_export_is_of_the_first_fold_and_its_card_says_so(store, tmp_path, guess):
    (recipe,) = checked_recipes(tmp_path, RECIPE + "folds: 5\n")
    export = gather_export(recipe, 0, Session(How(store.root, "cpu")))
    supply = Session(How(store.root, "cpu")).plan_supply(recipe)
    assert supply.fold == 0
    assert export.real.test.ids == splits_of(supply.dataset, store).test.ids
    assert "4 validation and 6 test images of fold 0 of 5 were held out" in data_card(export, "folder", "png")


@pytest.mark.slow
def test_jobs_side_by_side_give_the_scores_of_one_after_the_other(augkit):
    Path("arm.yaml").write_text(RECIPE.replace("steps: 1", "steps: 5"))
    rest = ["--set", "folds=3", "--seeds", "0,1", "--device", "cpu", "--quiet", "--threads", "1"]
    for out, jobs in (("one", "1"), ("two", "2")):
        assert augkit("run", "arm.yaml", "--out", out, "--jobs", jobs, *rest)[0] == 0
    (one,), (two,) = (list(Path(out).glob("report/*/per_image.csv")) for out in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert len(one.read_text().splitlines()) == 1 + 2 * 30


# Scores


def test_a_report_scores_every_image_once_and_says_in_how_many_folds(plan, store, guess):
    seen = plan(RECIPE, PLAIN, seeds=[0, 1], changes=["folds=3"])
    folder = Engine(store, "cpu").run(seen)
    record, page = json.loads((folder / "report.json").read_text()), (folder / "report.html").read_text()
    assert record["title"] == "plain+arm (3 folds)"
    assert folder.name.startswith("plain+arm-3-folds-")
    assert record["provenance"]["scored on"] == "30 images, each once, in 3 folds"
    assert record["arms"]["arm"]["design"]["data"].startswith("phantom, 3 folds #")
    assert record["arms"]["arm"]["seeds"] == [0, 1]
    assert "Table 1. Mean ± standard error over the test images in 3 folds; scores averaged over seeds." in page
    assert "trained for each arm with 2 seeds (0 to 1) in each of 3 folds" in page
    assert "The first samples of the first seed and fold" in page
    assert "Number of training samples by origin, in the first fold." in page
    assert "synthetic images of the first seed and fold, used by arm" in page

    rows = list(csv.DictReader(StringIO((folder / "per_image.csv").read_text())))
    assert list(rows[0])[:5] == ["image_id", "arm", "seed", "fold", "dice"]
    assert len(rows) == 2 * 2 * 30
    tests = {fold: splits_of(seen.arms[fold].dataset, store).test for fold in range(3)}
    for row in rows:
        samples = tests[int(row["fold"])]
        place = samples.ids.index(row["image_id"])
        found = np.zeros((32, 32), bool)
        found[:, :16] = samples.images[place].mean() / 255 >= 0.5
        true = samples.masks[place]
        assert float(row["dice"]) == pytest.approx(2 * (found & true).sum() / (found.sum() + true.sum()))

    arms = read_report(folder).arms
    assert np.bincount(arms[0].folds).tolist() == [10, 10, 10]
    assert arms[0].design.folds == 3
    origin = read_origin(folder)
    assert list(origin.runs()) == [(arm.name, arm.seed, arm.fold) for arm in seen.arms]
    assert origin.seeds == (0, 1)
    assert differences(origin, origin) == ()


def scores_of(planned, store):
    """Return the scores of the one arm of a plan, with the samples that they are of."""
    arms = planned.arms
    engine = Engine(store, "cpu")
    engine.build([arm.evaluation for arm in arms])
    first = [arm for arm in arms if arm.seed == arms[0].seed]
    test = ImageSet.concatenate([splits_of(arm.dataset, store).test for arm in first])
    return read_scores(arms, test, lambda stage: store.path(stage.address)), test


def test_some_folds_are_scored_on_their_images_alone(plan, store, guess):
    scores, test = scores_of(plan(PLAIN, seeds=[0, 1], changes=["folds={count: 5, only: [1, 4]}"]), store)
    assert scores.image_ids == test.ids
    assert scores.folds.tolist() == [1] * 6 + [4] * 6
    assert scores.values["dice"].shape == (2, 12)
    assert scores.in_folds == " in 2 of 5 folds"


def test_some_folds_of_development_samples_say_so(plan, store, guess):
    folder = Engine(store, "cpu").run(plan(PLAIN, changes=["folds={count: 3, of: development, only: [0, 2]}"]))
    record, page = json.loads((folder / "report.json").read_text()), (folder / "report.html").read_text()
    assert record["title"] == "plain (3 folds of the development split)"
    assert record["test"]["images"] == 16
    assert record["provenance"]["scored on"] == (
        "16 development images, each once, in folds 0, 2 of 3; the test images were not scored"
    )
    assert "All scores are on folds of the development images" in page


def test_groups_are_scored_in_folds(plan, guess, monkeypatch, tmp_path):
    use(monkeypatch, photographs(halves(range(4))), photographs(halves([4, 5])))
    store, text = Store(tmp_path / "runs"), PLAIN.replace("train: 20", "train: 24") + "score_per: group\n"
    scores, _ = scores_of(plan(text, changes=["folds=3"]), store)
    assert sorted(scores.image_ids) == [f"patient-{i}" for i in range(6)]
    assert scores.folds.tolist() == [0, 0, 1, 1, 2, 2]


def test_no_verdict_is_foreseen_from_the_images_of_all_folds(plan, store):
    small = [text.replace("train: 20, test: 6, validation: 4", "train: 4, test: 2") for text in (RECIPE, PLAIN)]
    planned = plan(*small, seeds=range(6), changes=["folds=3"])
    forecast, start = Forecast(planned, store), RunStarted(("x",), 0, store.root)
    assert forecast.hear(start) == ()
    Engine(store, "cpu").build([arm.dataset for arm in planned.arms])
    (note,) = forecast.hear(start)
    assert "6 test images are too few to say anything about others" in note.text


EXTERNAL = "external: {overlapping: {phantom: {train: 22, test: 8, validation: 4, size: 32}}}\n"


def test_an_external_image_is_scored_by_every_fold_and_has_their_mean(plan, store, guess, monkeypatch):
    folds = []

    def opened(self, folder, device):
        folds.append(folder)
        return lambda images: np.full((len(images), 1, 32, 32), len(set(folds)) % 2, np.float32)

    monkeypatch.setattr("augkit_unet.segmenter.Unet.open", opened)
    seen = plan(PLAIN + EXTERNAL, changes=["folds=2"])
    folder = Engine(store, "cpu").run(seen)
    found = read_report(folder).external["overlapping"].arms[0]
    samples = read_image_set(
        Engine(store, "cpu").artifact(seen.arms[0].external["overlapping"].inputs["dataset"]) / "test"
    )
    everything = 2 * samples.masks.sum(axis=(1, 2)) / (32 * 32 + samples.masks.sum(axis=(1, 2)))
    assert found.values["dice"][0] == pytest.approx(everything / 2)  # one fold finds everything, the other nothing
    assert (found.design.folds, found.design.scored_on) == (0, "external overlapping images")


def test_copies_in_an_external_set_are_looked_for_in_all_that_any_fold_learns_from(plan, store):
    first, second = plan(PLAIN + EXTERNAL, changes=["folds=2"]).arms
    pooled = first.external["overlapping"].inputs["dataset"]
    assert pooled == second.external["overlapping"].inputs["dataset"]
    known = read_splits(Engine(store, "cpu").artifact(pooled.inputs["dataset"]))
    scored = read_image_set(Engine(store, "cpu").artifact(pooled) / "test")
    assert not {image.tobytes() for image in scored.images} & {
        image.tobytes() for part in (known.train, known.validation, known.test) for image in part.images
    }
    assert len(scored) == 4


def test_folds_of_development_samples_leave_external_sets_unseen(plan):
    (arm, _) = plan(PLAIN + EXTERNAL, changes=["folds={count: 2, of: development}"]).arms
    assert arm.external == {}

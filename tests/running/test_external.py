"""External sets: data that nothing is trained or chosen on, scored by the segmenters that were trained anyway."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augkit.contracts.registry import load_registry
from augkit.data.arrays import Splits
from augkit.data.encoding import encode_png
from augkit.data.stored import read_excluded, read_image_set, read_splits, write_splits
from augkit.errors import InputError, StageError
from augkit.face.result import Result
from augkit.planning.components import check_recipes
from augkit.planning.plan import everything_of, make_plan, make_quality
from augkit.planning.recipe import recipe_of
from augkit.report.comparison_page import write_comparison
from augkit.report.origin import read_origin
from augkit.report.recorded import merge, merge_external, read_report
from augkit.report.verdict.comparison import compare, compare_external
from augkit.running.engine import Engine
from augkit.running.job import Job
from augkit.running.stages.external import pool_external
from augkit.sharing.reproduce import compare_scores
from augkit.sharing.share import pack, write_shared
from augkit.sharing.zips import opened
from augkit.store import Digests, Store
from augkit_phantom import Phantom
from samples import checked_recipes

PLAIN = """\
name: plain
dataset: {phantom: {train: 6, validation: 1, test: 12, size: 32}}
segmenter: {unet: {width: 2, steps: 1, batch_size: 2}}
"""
EXTERNAL = """\
external:
  other-clinic: {phantom: {train: 5, validation: 2, test: 5, size: 32, seed: 7}}
  overlapping: {phantom: {train: 8, validation: 3, test: 2, size: 32}}
"""
NOISE = "synthesize:\n  - {generator: {noise: {}}, masks: {training: {}}, per_real: 1.0}\n"
WITH = PLAIN + EXTERNAL
NOISY = WITH.replace("plain", "noisy") + NOISE


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of two arms with four seeds on two external sets."""
    place = tmp_path_factory.mktemp("external")
    store = Store(place / "runs")
    plan = make_plan(checked_recipes(place, WITH, NOISY), range(4), Digests(store.root))
    return Engine(store, "cpu").run(plan), plan


def problems(plan, *texts):
    with pytest.raises(InputError) as error:
        plan(*texts)
    return [re.sub(r"/\S*/", "", str(problem)) for problem in error.value.problems]


def pooled(plan, text, name, store):
    stage = plan(text).arms[0].external[name].inputs["dataset"]
    folder = Engine(store, "cpu").artifact(stage)
    return read_image_set(folder / "test"), read_excluded(folder)


# Plans


def test_an_external_set_changes_no_stage_but_the_report(plan):
    alone, scored = plan(PLAIN + NOISE), plan(WITH + NOISE)
    usual, there = set(alone.stages()), set(scored.stages())
    assert {stage.address.kind for stage in usual - there} == {"report"}
    assert sorted(stage.title for stage in there - usual if stage.address.kind != "report") == [
        "dataset other-clinic · external set",
        "dataset overlapping · external set",
        "dataset phantom · external other-clinic",
        "dataset phantom · external overlapping",
        "evaluation unet · external other-clinic",
        "evaluation unet · external overlapping",
    ]


def test_all_arms_and_seeds_share_the_images_of_an_external_set(plan):
    arms = plan(WITH, NOISY + "training_share: 0.5\n", seeds=[0, 1]).arms
    assert len({arm.external["overlapping"].inputs["dataset"] for arm in arms}) == 1
    assert all(arm.external["overlapping"].inputs["segmenter"] == arm.segmenter for arm in arms)


def test_a_worker_finds_every_stage_in_the_recipe_of_an_arm(plan, store):
    made = plan(WITH + NOISE)
    stages = [stage for stage in made.stages() if stage.document is not None]
    again = check_recipes([recipe_of(stages[0].document, "recipe")], load_registry())[0]
    assert {stage.address for stage in stages} <= {stage.address for stage in everything_of(again, Digests(store.root))}


def test_quality_is_judged_without_external_sets(tmp_path, store):
    sets = [make_quality(checked_recipes(tmp_path, text), None, Digests(store.root)) for text in (PLAIN + NOISE, NOISY)]
    assert sets[0] == sets[1]


def test_development_leaves_external_sets_unseen(plan):
    made = plan(WITH + "development_share: 0.34\n")
    assert made.arms[0].external == {}
    assert not any("external" in stage.title for stage in made.stages())


def test_every_mistake_of_external_sets_is_told_with_its_line(plan):
    text = PLAIN + (
        "external:\n"
        "  other clinic: {phantom: {}}\n"
        "  typo: {phantm: {}}\n"
        "  option: {phantom: {sise: 3}}\n"
        "  Option: {phantom: {size: 32, seed: 3}}\n"
        "  text: phantom\n"
    )
    assert problems(plan, text) == [
        "0.yaml:5: found the name 'other clinic' of an external set; allowed: up to 64 letters, digits, '_', '.', "
        "'-', beginning with a letter or digit",
        "0.yaml:8: 'Option' and 'option' differ in capitals alone; allowed: names that are unlike",
        "0.yaml:9: text: found the text 'phantom'; allowed: one component as 'name: {options}'. Write 'phantom: {}'",
    ]
    assert problems(plan, PLAIN + "external:\n  typo: {phantm: {}}\n  option: {phantom: {sise: 3}}\n") == [
        "0.yaml:5: no dataset is called 'phantm'. Did you mean 'phantom'?",
        "0.yaml:6: phantom has no option 'sise'. Did you mean 'size'?",
    ]
    assert problems(plan, PLAIN + "externals: {}\n") == ["0.yaml:4: unknown key 'externals'. Did you mean 'external'?"]
    assert problems(plan, PLAIN + "external: [phantom]\n") == [
        "0.yaml:4: external: found a list; allowed: a mapping of names to data sets, '{}' for none. "
        "As in 'external: {other-clinic: {folder: {root: other_data}}}'"
    ]


def test_images_unlike_those_of_the_data_set_are_refused_before_anything_runs(plan):
    text = PLAIN + "external:\n  large: {phantom: {size: 64}}\n"
    (problem,) = problems(plan, text)
    assert problem == (
        "0.yaml:5: external set 'large': found 64 x 64 pixels; allowed: 32 x 32 pixels. Segmenters are trained on the "
        "images of data set 'phantom' (0.yaml:2)"
    )


def test_the_data_set_itself_is_no_external_set(plan):
    (problem,) = problems(plan, PLAIN + "external:\n  same: {phantom: {train: 6, validation: 1, test: 12, size: 32}}\n")
    assert problem == "0.yaml:5: external set 'same' is the data set itself (0.yaml:2); allowed: another one"


def test_arms_with_other_external_sets_are_not_compared(plan):
    other = PLAIN.replace("plain", "other")
    (problem,) = problems(plan, WITH, other)
    assert problem == (
        "recipe 'other': has other external sets (none) than 'plain' (other-clinic, overlapping); allowed: the same "
        "in every arm, with the same options"
    )
    assert problems(plan, WITH, other + EXTERNAL.replace("seed: 7", "seed: 8"))


def test_external_sets_cannot_be_swept(plan):
    (problem,) = problems(plan, WITH + "sweep: {external.other-clinic.phantom.seed: [1, 2]}\n")
    assert "'external.other-clinic.phantom.seed' cannot be swept" in problem


# Images


def test_the_samples_of_all_splits_are_scored(plan, store):
    samples, left_out = pooled(plan, WITH, "other-clinic", store)
    assert len(samples) == 12
    assert {name.split("-")[1] for name in samples.ids} == {"train", "validation", "test"}
    assert left_out == ()


def test_copies_of_training_and_validation_images_are_left_out_and_those_of_test_images_are_not(plan, store):
    samples, left_out = pooled(plan, WITH, "overlapping", store)
    assert left_out == (*(f"phantom-train-{i:06d}" for i in range(6)), "phantom-validation-000000")
    assert samples.ids == (
        "phantom-train-000006", "phantom-train-000007", "phantom-validation-000001", "phantom-validation-000002",
        "phantom-test-000000", "phantom-test-000001",
    )  # fmt: skip


def test_a_set_of_nothing_but_copies_is_refused(plan, store, tmp_path):
    stage = plan(WITH).arms[0].external["overlapping"].inputs["dataset"]
    engine = Engine(store, "cpu")
    splits = read_splits(engine.artifact(stage.inputs["dataset"]))
    names = (splits.train.ids, tuple(f"{name}-twin" for name in splits.train.ids))
    given = Splits(*(replace(splits.train, ids=ids) for ids in names), splits.validation)
    write_splits(tmp_path / "given", given)
    inputs = {"dataset": engine.artifact(stage.inputs["dataset"]), "external": tmp_path / "given"}
    with pytest.raises(StageError) as error:
        pool_external(stage.task, Job(stage, tmp_path / "out", "cpu", engine.log(stage), inputs, {}))
    assert str(error.value.problems[0]) == (
        "external set 'overlapping': all 13 images are copies of training or validation images; allowed: a set with "
        "others. Look whether it is the data set itself, under another name"
    )


def test_a_size_that_a_data_set_did_not_tell_is_refused_when_its_images_are_read(plan, store, monkeypatch):
    load = Phantom.load
    monkeypatch.setattr(Phantom, "load", lambda self: load(replace(self, size=48 if self.seed == 9 else self.size)))
    made = plan(PLAIN + "external: {large: {phantom: {train: 1, test: 1, size: 32, seed: 9}}}\n")
    with pytest.raises(StageError) as error:
        Engine(store, "cpu").artifact(made.arms[0].external["large"])
    assert str(error.value.problems[0]) == (
        "dataset large · external set: external set 'large': found 48 x 48 pixels; allowed: 32 x 32 pixels. "
        "Segmenters are trained on images like that"
    )


# Reports


def test_each_external_set_has_scores_a_comparison_and_what_was_left_out(report):
    folder, _ = report
    record = json.loads((folder / "report.json").read_text())
    sets = record["external"]
    assert list(sets) == ["other-clinic", "overlapping"]
    assert sets["other-clinic"]["test"]["images"] == 12
    assert len(sets["overlapping"]["left_out"]) == 7
    (contrast,) = sets["other-clinic"]["comparison"]["contrasts"]
    assert contrast["name"] == "noisy vs plain"
    assert "4 trainings per arm, 12 external other-clinic images)" in contrast["sentence"]
    assert contrast["sentence"].endswith("Nothing was trained or chosen on these images.")
    (few,) = sets["overlapping"]["comparison"]["contrasts"]
    assert few["sentence"] == (
        "noisy vs plain: no verdict. 6 external overlapping images are too few to say anything about others; at least "
        "10 are needed."
    )


def test_the_scores_of_external_images_are_in_a_file_of_their_own(report):
    folder, _ = report
    with (folder / "external" / "other-clinic" / "per_image.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * 4 * 12
    mean = json.loads((folder / "report.json").read_text())["external"]["other-clinic"]["arms"]["plain"]["metrics"]
    dice = np.mean([float(row["dice"]) for row in rows if row["arm"] == "plain"])
    assert dice == pytest.approx(mean["dice"]["mean"])
    names = {file.name for file in (folder / "external" / "other-clinic" / "figures").iterdir()}
    assert {"densities.svg", "effects.svg", "cases-highest.png", "cases-lowest.png"} <= names


def test_the_page_shows_each_external_set(report):
    page = (report[0] / "report.html").read_text()
    assert (
        "The same segmenters were scored on external images, on which nothing was trained or chosen: other-clinic (12 "
        "images), overlapping (6 images)."
    ) in page
    assert '<h2 id="external-other-clinic">External set other-clinic</h2>' in page
    title = "Mean ± standard error over the external other-clinic images (nothing was trained or chosen on them)"
    assert f"{title}; scores averaged over seeds." in page
    assert (
        "⚠ 7 of its 13 images are copies of training or validation images and left out: phantom-train-000000, " in page
    )


def test_a_report_without_external_sets_says_nothing_of_any(plan, store):
    folder = Engine(store, "cpu").run(plan(PLAIN))
    assert "external" not in (folder / "report.html").read_text()
    assert "external" not in (folder / "report.json").read_text()
    assert not (folder / "external").exists()


def test_the_internal_verdict_does_not_depend_on_external_sets(report, tmp_path):
    folder, _ = report
    store = Store(folder.parent.parent)
    texts = (PLAIN, PLAIN.replace("plain", "noisy") + NOISE)
    alone = Engine(store, "cpu").run(make_plan(checked_recipes(tmp_path, *texts), range(4), Digests(store.root)))
    assert read_report(alone).comparison == read_report(folder).comparison


def test_origin_has_the_hashes_of_external_sets(report):
    stages = read_origin(report[0]).runs()["plain", 0, None]
    assert stages["external set other-clinic"].components[0].options["seed"] == 7
    assert stages["external set other-clinic"].content
    assert stages["evaluation on overlapping"].facts == {}
    assert stages["external set overlapping without copies"].facts == {"name": "overlapping"}


def test_a_result_has_the_scores_of_each_external_set(report):
    result = Result(report[0])
    there = result.external["other-clinic"]
    assert len(there.scores) == 2 * 4 * 12
    assert there.table[0] == result.table[0]
    assert [verdict.contrast for verdict in there.verdicts] == ["noisy vs plain"]
    (said,) = result.external["overlapping"].remarks
    assert said == (
        "overlapping: 7 of its 13 images are copies of training or validation images and left out: "
        "phantom-train-000000, "
        "phantom-train-000001, phantom-train-000002, phantom-train-000003, phantom-train-000004 and 2 others."
    )
    assert "over the external other-clinic images" in repr(result)
    assert "over the external overlapping images" in result._repr_html_()


def test_reports_are_compared_on_the_external_sets_that_all_of_them_have(report):
    first = read_report(report[0])
    third = replace(
        first.external["other-clinic"], arms=(replace(first.external["other-clinic"].arms[0], arm="third"),)
    )
    merged, remarks = merge_external([first, replace(first, external={"other-clinic": third})], None)
    assert list(merged) == ["other-clinic"]
    assert {arm.arm for arm in merged["other-clinic"]} == {"plain", "noisy", "third"}
    assert remarks == (
        f"External set overlapping is left out: only {report[0]} has it, so arms cannot be compared on it.",
    )


def test_other_images_under_the_name_of_an_external_set_are_not_compared(report):
    first = read_report(report[0])
    other = {name: replace(found, folder=Path("elsewhere"), test="others") for name, found in first.external.items()}
    with pytest.raises(InputError) as error:
        merge_external([first, replace(first, external=other)], None)
    assert [str(problem) for problem in error.value.problems] == [
        f"external set '{name}': elsewhere: was scored on other images than {report[0]}; allowed: the same"
        for name in ("other-clinic", "overlapping")
    ]


def test_a_comparison_of_reports_shows_each_external_set(report, tmp_path):
    first = read_report(report[0])
    sets, _ = merge_external([first], None)
    found = {name: (sets[name], one) for name, one in compare_external(sets).items()}
    folder = write_comparison([first], merge([first], None), compare(first.arms), tmp_path, found)
    page, record = (folder / "comparison.html").read_text(), json.loads((folder / "comparison.json").read_text())
    assert '<h2 id="external-overlapping">External set overlapping</h2>' in page
    assert record["external"]["other-clinic"]["contrasts"][0]["name"] == "noisy vs plain"
    assert (folder / "external" / "other-clinic" / "per_image.csv").read_text() == (
        report[0] / "external" / "other-clinic" / "per_image.csv"
    ).read_text()


def test_a_report_with_external_sets_is_shared_without_pictures_of_images_and_read_again(report, tmp_path):
    write_shared(pack(report[0], pictures=False), tmp_path / "shared.zip")
    with opened(tmp_path / "shared.zip") as folder:
        again, known = read_report(folder), read_report(report[0])
        names = {file.name for file in (folder / "external" / "other-clinic" / "figures").iterdir()}
        for name, found in known.external.items():
            assert again.external[name].test == found.test
            assert all(one.equal for one in compare_scores(found.arms, again.external[name].arms))
    assert {"densities.png", "densities.svg", "effects.png", "effects.svg"} <= names
    assert not any(name.startswith("cases") for name in names)


@pytest.mark.slow
def test_points_of_a_sweep_have_a_curve_on_each_external_set(plan, store):
    text = WITH.split("  overlapping")[0].replace("plain", "more") + NOISE + "sweep: {synthesize.0.per_real: [0, 1]}\n"
    folder = Engine(store, "cpu").run(plan(text))
    place = folder / "external" / "other-clinic"
    assert (place / "figures" / "curves.svg").is_file()
    with (place / "curves.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["arm"] for row in rows} == {"more-0", "more-1"}


@pytest.fixture
def folders(tmp_path):
    """Two folders of images with masks of 64 x 64 pixels; two images make a group."""
    for root, shade in (("here", 1), ("there", 90)):
        for part in ("images", "masks"):
            (tmp_path / root / part).mkdir(parents=True)
        for i in range(16):
            mask = np.zeros((64, 64), bool)
            mask[:, : 24 + i] = True
            noise = np.random.Generator(np.random.Philox([shade, i])).integers(0, 90, (64, 64, 3))
            image = np.where(mask[..., None], noise, 255 - noise).astype(np.uint8)
            (tmp_path / root / "images" / f"{i:02d}.png").write_bytes(encode_png(image))
            (tmp_path / root / "masks" / f"{i:02d}.png").write_bytes(encode_png(mask))
        lines = [f"{i:02d},patient{i // 2}" for i in range(16)]
        (tmp_path / root / "groups.csv").write_text("\n".join(["id,group", *lines]))
    return tmp_path


def test_external_sets_are_scored_at_native_size_and_per_group_as_the_data_set_is(plan, folders, tmp_path):
    options = f"size: 32, test_fraction: 0.5, groups: {folders}"
    text = (
        f"name: arm\ndataset: {{folder: {{root: {folders}/here, {options}/here/groups.csv}}}}\n"
        f"external: {{there: {{folder: {{root: {folders}/there, {options}/there/groups.csv}}}}}}\n"
        "score_at: native\nscore_per: group\nsegmenter: {unet: {width: 2, steps: 1, batch_size: 2}}\n"
    )
    made, store = plan(text), Store(tmp_path / "runs")
    engine = Engine(store, "cpu")
    found = read_report(engine.run(made)).external["there"].arms[0]
    assert sorted(found.image_ids) == [f"patient{i}" for i in range(8)]
    assert found.design.scored == "external there groups"
    counts = np.load(engine.artifact(made.arms[0].external["there"]) / "counts.npy")
    assert set(counts.sum(axis=-1).ravel().tolist()) == {64 * 64}


def test_an_external_set_without_native_masks_cannot_be_scored_at_native_size(plan, folders):
    data = f"folder: {{root: {folders}/here, size: 32, test_fraction: 0.5}}"
    found = problems(
        plan,
        f"name: a\ndataset: {{{data}}}\nexternal: {{drawn: {{phantom: {{size: 32}}}}}}\nscore_at: native\n"
        "segmenter: {unet: {}}\n",
    )
    assert len(found) == 1
    assert "data set 'phantom' has no native masks; allowed with it: score_at: training" in found[0]

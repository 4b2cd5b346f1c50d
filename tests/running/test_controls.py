"""Recipe keys for controls and shares: who sees which images, and what a shuffled pair is."""

import csv
from pathlib import Path

import numpy as np
import pytest

from augkit.cli import app
from augkit.contracts.registry import load_registry
from augkit.data.draws import Draws
from augkit.data.stored import read_image_set
from augkit.errors import InputError, StageError
from augkit.planning.components import check_recipes
from augkit.planning.plan import make_plan
from augkit.planning.recipe import load_recipes
from augkit.report.gather import _kept
from augkit.running.engine import Engine
from augkit.running.session import How, Session
from augkit.running.stages.synthesis import other_masks
from augkit.sharing.card import data_card
from augkit.sharing.export import gather_export, write_export
from augkit.store import Digests
from samples import checked_recipes, image_draws

RECIPES = Path(__file__).parents[2] / "recipes"
RECIPE = """\
name: arm
dataset: {phantom: {train: 16, test: 4, validation: 3, size: 32}}
synthesize:
  - {generator: {noise: {}}, masks: {training: {}}, per_real: 1.0}
segmenter: {unet: {width: 2, steps: 1, batch_size: 2}}
"""


@pytest.fixture
def build(store):
    engine = Engine(store, "cpu")
    return lambda stage: read_image_set(engine.artifact(stage))


@pytest.fixture
def seen(monkeypatch):
    """What a segmenter is given to train on; nothing is trained."""
    shown = []
    monkeypatch.setattr("augkit_unet.segmenter.Unet.fit", lambda self, train, *rest: shown.append(train))
    return shown


def train_on(arm, store):
    Engine(store, "cpu").artifact(arm.segmenter)


def test_a_segmenter_without_real_images_sees_synthetic_ones_only(plan, store, seen, tmp_path):
    (arm,) = plan(RECIPE + "real_images: false\n").arms
    train_on(arm, store)
    assert set(seen[0].origins) == {"noise/training"}
    assert len(seen[0]) == 16


def test_a_generator_still_learns_from_real_images_then(plan):
    without, usual = plan(RECIPE + "real_images: false\n").arms[0], plan(RECIPE).arms[0]
    assert without.generators == usual.generators
    assert without.syntheses == usual.syntheses
    assert without.segmenter != usual.segmenter


@pytest.mark.parametrize("synthesize", ["synthesize: []", None])
def test_nothing_to_train_on_is_refused(plan, synthesize):
    text = RECIPE.replace("per_real: 1.0", "per_real: 0")
    if synthesize:
        text = text.replace(text[text.index("synthesize") : text.index("segmenter")], synthesize + "\n")
    with pytest.raises(InputError, match=r"0.yaml:6: real_images is false and nothing is synthesized|0.yaml:5: real_"):
        plan(text + "real_images: false\n")


def test_a_source_of_no_images_is_left_out(plan):
    (none,) = plan(RECIPE.replace("per_real: 1.0", "per_real: 0")).arms
    (plain,) = plan(RECIPE.replace(RECIPE[RECIPE.index("synthesize") : RECIPE.index("segmenter")], "")).arms
    assert none.generators == none.syntheses == ()
    assert none.segmenter == plain.segmenter


def test_shares_are_nested_whole_groups_and_keep_the_test_images(plan, build, store):
    trains = []
    for share in (0.25, 0.5, 0.75):
        (arm,) = plan(f"{RECIPE}training_share: {share}\n").arms
        folder = Engine(store, "cpu").artifact(arm.training)
        trains.append(set(read_image_set(folder / "train").groups))
        whole = Engine(store, "cpu").artifact(arm.dataset)
        assert read_image_set(folder / "test").ids == read_image_set(whole / "test").ids
        assert read_image_set(folder / "validation").ids == read_image_set(whole / "validation").ids
    assert [len(train) for train in trains] == [4, 8, 12]
    assert trains[0] < trains[1] < trains[2]


def test_another_seed_is_another_share(plan, store):
    arms = plan(f"{RECIPE}training_share: 0.5\n", seeds=[0, 1]).arms
    sets = [read_image_set(Engine(store, "cpu").artifact(arm.training) / "train").ids for arm in arms]
    assert sets[0] != sets[1]


def test_with_a_share_no_component_sees_the_other_training_images(plan, store, seen, monkeypatch):
    fitted = []
    monkeypatch.setattr("augkit_controls.noise.Noise.fit", lambda self, train, space: fitted.append(train))
    monkeypatch.setattr("augkit_controls.noise.Noise.open", lambda *a: lambda m, d: np.zeros((*m.shape, 3), np.uint8))
    (arm,) = plan(f"{RECIPE.replace('noise: {}', 'noise: {spread: 0.7}')}training_share: 0.25\n").arms
    train_on(arm, store)
    share = read_image_set(Engine(store, "cpu").artifact(arm.training) / "train")
    assert fitted[0].ids == share.ids
    assert set(seen[0].groups) == set(share.groups)
    assert len(seen[0]) == 4 + 4
    assert arm.evaluation.inputs["dataset"] == arm.dataset


def test_a_whole_share_is_the_data_set_itself(plan):
    assert plan(f"{RECIPE}training_share: 1\n").arms[0].segmenter == plan(RECIPE).arms[0].segmenter


def test_shuffled_pairs_are_the_same_images_each_with_another_s_mask(plan, build):
    own, shuffled = (
        build(plan(text).arms[0].syntheses[0])
        for text in (RECIPE, RECIPE.replace("per_real: 1.0", "per_real: 1.0, pair: shuffled"))
    )
    assert np.array_equal(own.images, shuffled.images)
    assert own.groups == shuffled.groups
    assert not (own.masks == shuffled.masks).all(axis=(1, 2)).any()
    assert sorted(m.tobytes() for m in own.masks) == sorted(m.tobytes() for m in shuffled.masks)
    assert set(shuffled.origins) == {"noise/training shuffled"}


@pytest.mark.parametrize("repeats", [[1] * 9, [3, 3, 3], [4, 2, 1, 1], [2, 2], [5, 1, 1, 1, 1, 1]])
def test_nobody_gets_an_equal_mask_even_where_masks_repeat(repeats):
    kinds = np.repeat(np.arange(len(repeats)), repeats)
    masks = np.array([np.arange(16).reshape(4, 4) == kind for kind in kinds])
    for seed in range(20):
        partner = other_masks(masks, image_draws(len(masks), seed))
        assert sorted(partner) == list(range(len(masks)))
        assert (kinds[partner] != kinds).all()


def test_masks_of_which_most_are_equal_cannot_be_shuffled():
    masks = np.zeros((5, 4, 4), bool)
    masks[3:] = np.eye(4, dtype=bool)
    masks[4, 0] = True
    with pytest.raises(StageError, match="3 of 5 are equal; allowed: up to half"):
        other_masks(masks, image_draws(5, 3))


@pytest.mark.parametrize("name", ["repeat", "synthonly", "noise", "shuffled"])
def test_a_control_differs_from_its_arm_in_one_thing(name):
    control = load_recipes([RECIPES / "controls" / f"{name}.yaml"])[0].document
    arm = load_recipes([RECIPES / "mask2lesionaug.yaml"])[0].document
    differing = {key for key in {*control, *arm} if control.get(key) != arm.get(key)} - {"name"}
    expected = {"synthonly": {"real_images"}}.get(name, {"synthesize"})
    assert differing == expected
    if name != "synthonly":
        (one,), (other,) = control["synthesize"], arm["synthesize"]
        changed = {key for key in {*one, *other} if one.get(key) != other.get(key)}
        assert changed == ({"pair"} if name == "shuffled" else {"generator"})


def test_a_sweep_over_the_ratio_trains_one_generator_and_shares_of_one_stage_each():
    checked = check_recipes(load_recipes([RECIPES / "sweeps" / "ratio.yaml"]), load_registry())
    arms = make_plan(checked, None, Digests(Path("unused"))).arms
    assert [arm.sweep.value for arm in arms] == [0, 0.5, 1, 2]
    assert len({generator for arm in arms for generator in arm.generators}) == 1
    assert len({arm.segmenter for arm in arms}) == 4


FILTERED = RECIPE.replace("per_real: 1.0", "per_real: 1.0, min_adherence: 0.5")


def follows_even(painted):
    """A segmenter that finds the mask of a painted image where the first pixel is even, and nothing elsewhere."""
    truth = {image.tobytes(): mask for image, mask in zip(painted.images, painted.masks, strict=True)}
    nothing = np.zeros(painted.size, np.bool_)

    def predict(images):
        found = [truth.get(image.tobytes(), nothing) * (image[0, 0, 0] % 2 == 0) for image in np.array(images)]
        return np.array(found, np.float32)[:, None]

    return predict


def test_images_that_do_not_follow_their_mask_are_left_out(plan, store, build, seen, monkeypatch):
    (arm,) = plan(FILTERED).arms
    painted = build(arm.syntheses[0])
    monkeypatch.setattr("augkit_unet.segmenter.Unet.open", lambda self, folder, device: follows_even(painted))
    kept = build(arm.selected[0])
    even = np.asarray(painted.images)[:, 0, 0, 0] % 2 == 0
    assert 0 < even.sum() < len(painted)
    assert kept.ids == tuple(np.array(painted.ids)[even])
    train_on(arm, store)
    assert len(seen[-1]) == 16 + even.sum()
    assert len(seen[0]) == 16, "the judge has seen real images only"


def test_an_export_holds_the_images_that_the_segmenter_is_given_with_their_own_facts(
    plan, store, build, seen, monkeypatch, tmp_path
):
    (arm,) = plan(FILTERED).arms
    painted = build(arm.syntheses[0])
    monkeypatch.setattr("augkit_unet.segmenter.Unet.open", lambda self, folder, device: follows_even(painted))
    (recipe,) = checked_recipes(tmp_path, FILTERED)
    session = Session(How(store.root, "cpu"))
    assert session.plan_supply(recipe).selected == arm.selected
    export = gather_export(recipe, 0, session)
    (source,) = export.sources
    even = np.flatnonzero(np.asarray(painted.images)[:, 0, 0, 0] % 2 == 0)
    assert source.samples.ids == tuple(np.array(painted.ids)[even])
    assert source.painted == 16
    assert [record["parent"] for record in source.records] == even.tolist()
    assert source.per_image["adherence"] == [1.0] * len(even)
    assert source.keys.tolist() == Draws.of(arm.syntheses[0].task.seed, "synthesis", even).keys.tolist()
    card = data_card(export, "folder", "png")
    assert f"Of all 16 images that were painted; `min_adherence` left out {16 - len(even)} of them." in card


def test_a_report_says_of_which_images_an_arm_is_given_some_only(plan):
    (arm,), (all_of_them,) = plan(FILTERED).arms, plan(RECIPE).arms
    assert _kept(arm, arm.syntheses[0]) == "keeps those of adherence 0.5 or more"
    assert _kept(all_of_them, all_of_them.syntheses[0]) == ""


def test_without_a_threshold_the_painted_images_are_the_selected_ones(plan):
    (arm,) = plan(RECIPE).arms
    assert arm.selected == arm.syntheses


def test_the_judge_is_the_segmenter_of_the_plain_arm(plan):
    plain = RECIPE.replace(RECIPE[RECIPE.index("synthesize") : RECIPE.index("segmenter")], "")
    (arm,), (control,) = plan(FILTERED).arms, plan(plain).arms
    assert arm.selected[0].inputs == {"synthesis": arm.syntheses[0], "segmenter": control.segmenter}


def test_a_threshold_that_no_image_reaches_is_an_error_that_says_the_best(plan, store, build, seen, monkeypatch):
    (arm,) = plan(FILTERED.replace("0.5", "0.6")).arms
    nothing = lambda images: np.zeros((len(images), 1, *images.shape[1:3]), np.float32)  # noqa: E731
    monkeypatch.setattr("augkit_unet.segmenter.Unet.open", lambda self, folder, device: nothing)
    with pytest.raises(StageError, match=r"no image of 16 reaches 0\.6; the best has 0\.000"):
        build(arm.selected[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("min_adherence: 1", "min_adherence: found the number 1; allowed: 0 <= number < 1"),
        ("min_adherence: high", "min_adherence: found the text 'high'; allowed"),
        ("min_adherence: 0.5, pair: shuffled", "shuffled masks fit no image; allowed: 'pair: own'"),
    ],
)
def test_a_threshold_that_cannot_be_is_refused(change, message, plan):
    with pytest.raises(InputError) as caught:
        plan(RECIPE.replace("per_real: 1.0", f"per_real: 1.0, {change}"))
    assert message in str(caught.value)


# Recipes that only make images


WITHOUT_SEGMENTER = RECIPE[: RECIPE.index("segmenter")]


def test_runs_and_comparisons_say_that_they_need_a_segmenter(plan):
    with pytest.raises(InputError) as caught:
        plan(WITHOUT_SEGMENTER)
    assert str(caught.value).endswith(
        "0.yaml: names no segmenter, and arms are compared by theirs. Add one, as in 'segmenter: {unet: {}}'"
    )


def test_without_a_segmenter_the_same_images_are_made_judged_and_exported(plan, tmp_path):
    (recipe,) = checked_recipes(tmp_path, WITHOUT_SEGMENTER)
    session = Session(How(tmp_path / "own", "cpu"))
    assert session.plan_supply(recipe).syntheses == plan(RECIPE).arms[0].syntheses
    export = gather_export(recipe, None, session)
    assert {path.name for path in (tmp_path / "own").iterdir()} == {
        ".augkit", "dataset", "generator", "masks", "synthesis", "quality"
    }  # fmt: skip
    (source,) = export.sources
    assert len(source.samples) == 16
    assert "adherence" not in source.quality
    assert "memorisation" in source.quality
    card = data_card(export, "folder", "png")
    assert "`adherence` is empty: the recipe names no segmenter" in card
    assert "mask adherence" not in card
    assert write_export(export, tmp_path / "out", "folder", "png")
    rows = list(csv.DictReader((tmp_path / "out" / "manifest.csv").read_text().splitlines()))
    assert [row["adherence"] for row in rows] == [""] * 16
    assert all(row["nearest_real"] for row in rows)


def test_preview_draws_what_a_recipe_without_a_segmenter_makes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images.yaml").write_text(WITHOUT_SEGMENTER + "augment: [{geometry: {}}]\n")
    for command, code, said in (
        ("validate", 0, "images.yaml: ok for making images; it names no segmenter, which run and compare need\n"),
        ("preview", 0, ""),
        ("run", 2, ""),
        ("compare", 2, ""),
    ):
        with pytest.raises(SystemExit) as ended:
            app([command, "images.yaml"])
        assert (ended.value.code or 0) == code
        assert said in capsys.readouterr().out
    panels = {file.stem for file in (tmp_path / "runs" / "preview" / "arm").glob("*.png")}
    assert panels == {"data", "source-1", "augment"}

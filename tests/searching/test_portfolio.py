"""Who takes part: the portfolio of a folder, of a recipe's data set, and one's own recipes; how data are divided."""

import numpy as np
import pytest
from PIL import Image

from augkit.errors import InputError
from augkit.planning.components import CheckedRecipe
from augkit.searching.field import control_of, read_field
from augkit.searching.portfolio import Numbers, portfolio, segmenter
from augkit.searching.scheme import CONFIRMING, RACING, choose_scheme

ALL = [entry.name for entry in portfolio(Numbers(60, 64, 1))]

PLAIN = "name: plain\ndataset: {phantom: {train: 20, test: 12, size: 32}}\nsegmenter: {unet: {width: 2, steps: 3}}\n"
PAPER = PLAIN.replace("name: plain", "name: paper") + "augment: [{classical-paper: {}}]\n"


@pytest.fixture
def folder(tmp_path):
    """Thirty pairs of 80 x 70 pixels."""
    for name in ("images", "masks"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for i in range(30):
        mask = np.zeros((70, 80), np.uint8)
        mask[20 : 40 + i % 5, 20:45] = 255
        Image.fromarray(np.where(mask[..., None] > 0, 90, 200).repeat(3, 2).astype(np.uint8)).save(
            tmp_path / "data" / "images" / f"{i}.png"
        )
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{i}.png")
    return tmp_path / "data"


def write(folder, **texts):
    """Write recipes and return their files."""
    files = [folder / f"{name}.yaml" for name in texts]
    for file, text in zip(files, texts.values(), strict=True):
        file.write_text(text)
    return files


def test_a_folder_meets_the_whole_portfolio_at_a_size_that_its_images_have(folder):
    field = read_field([folder], [], [], "cpu")
    assert list(field.names) == ALL
    assert field.left_out == {}
    for entry in field.entries:
        assert entry.recipe.document["dataset"] == {"folder": {"root": str(folder), "size": 64, "test_fraction": 0.3}}


def test_all_candidates_train_the_same_segmenter_with_the_same_steps(folder):
    field = read_field([folder], ["segmenter.unet.steps=7"], [], "cpu")
    assert {entry.segmenter.instance.steps for entry in field.entries} == {7}


def test_a_change_holds_for_the_candidates_that_have_what_it_changes(folder):
    field = read_field([folder], ["synthesize.0.generator.flow.steps=9"], [], "cpu")
    (flow,) = (entry for entry in field.entries if entry.recipe.name == "strong-flow")
    assert flow.sources[0].generator.instance.steps == 9


def test_what_no_candidate_has_is_refused(folder):
    with pytest.raises(InputError, match=r"--set synthesize.0.generator.flaw.steps=9: there is no 'flaw'"):
        read_field([folder], ["synthesize.0.generator.flaw.steps=9"], [], "cpu")


def test_what_the_format_refuses_is_left_out_and_named(folder):
    for file in (folder / "masks").iterdir():
        mask = np.asarray(Image.open(file)) // 255
        mask[20:30] *= 2
        Image.fromarray(mask).save(file)
    field = read_field([folder], ["dataset.folder.classes={edge: 2, middle: 1}"], [], "cpu")
    assert list(field.left_out) == [name for name in ALL if "texture" in name]
    assert field.left_out["strong-texture-elastic-1"].startswith("generator 'texture': takes")
    assert {entry.segmenter.instance.width for entry in field.entries} == {16}


def test_a_recipe_lends_its_data_set_and_its_segmenter(tmp_path):
    (file,) = write(tmp_path, mine=PAPER)
    field = read_field([file], [], [], "cpu")
    assert list(field.names) == ALL
    assert {entry.segmenter.instance.steps for entry in field.entries} == {3}
    assert not field.drawn


def test_several_recipes_and_the_points_of_a_sweep_are_candidates_themselves(tmp_path):
    swept = PLAIN.replace("name: plain", "name: many") + (
        "synthesize: [{generator: {noise: {}}, masks: {training: {}}, per_real: 1}]\n"
        "sweep: {synthesize.0.per_real: [1, 2]}\n"
    )
    files = write(tmp_path, plain=PLAIN, many=swept)
    assert read_field(files, [], [], "cpu").names == ("plain", "many-1", "many-2")


def test_another_segmenter_is_no_candidate(tmp_path):
    files = write(tmp_path, plain=PLAIN, paper=PAPER.replace("steps: 3", "steps: 4"))
    with pytest.raises(InputError, match="recipe 'paper': has another segmenter or budget than 'plain'"):
        read_field(files, [], [], "cpu")


def test_recipes_with_folds_of_their_own_are_refused(tmp_path):
    files = write(tmp_path, plain=PLAIN + "folds: 3\n", paper=PAPER + "folds: 3\n")
    with pytest.raises(InputError, match="recipe 'plain': has 'folds' or 'development_share'"):
        read_field(files, [], [], "cpu")


def test_a_folder_comes_alone(folder, tmp_path):
    with pytest.raises(InputError, match="found 2 sources, among them this folder; allowed: one folder, or recipes"):
        read_field([folder, *write(tmp_path, plain=PLAIN)], [], [], "cpu")


def test_candidates_can_be_left_out_and_are_named(tmp_path):
    files = write(tmp_path, plain=PLAIN, paper=PAPER, other=PAPER.replace("name: paper", "name: other"))
    field = read_field(files, [], ["other"], "cpu")
    assert field.names == ("plain", "paper")
    assert field.left_out == {"other": "left out by --without"}


def test_an_unknown_name_to_leave_out_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"--without papr: is no candidate of this search\. Did you mean 'paper'\?"):
        read_field(write(tmp_path, plain=PLAIN, paper=PAPER), [], ["papr"], "cpu")


def test_one_candidate_is_no_race(tmp_path):
    with pytest.raises(InputError, match="found 1 candidate; allowed: two or more"):
        read_field(write(tmp_path, plain=PLAIN, paper=PAPER), [], ["paper"], "cpu")


def test_a_candidate_meets_the_same_without_its_images_and_that_the_same_without_augmentation(folder):
    field = read_field([folder], [], [], "cpu")
    entries = {entry.recipe.name: entry for entry in field.entries}

    def control(name):
        found = control_of(entries[name], field.entries)
        return found and found.recipe.name

    assert control("strong-gan") == "strong"
    assert control("strong") == "nothing"
    assert control("strong-paste") == "nothing"
    assert control("nothing") is None


def test_a_control_that_is_no_candidate_is_made(folder):
    field = read_field([folder], [], ["strong"], "cpu")
    gan = next(entry for entry in field.entries if entry.recipe.name == "strong-gan")
    control = control_of(gan, field.entries)
    assert isinstance(control, CheckedRecipe)
    assert control.recipe.name == "strong-gan-without"
    assert control.sources == ()
    assert [component.name for component in control.augment] == ["classical-strong"]
    assert "synthesize" not in control.recipe.document


def test_more_images_and_classes_train_longer_and_wider():
    small, large = segmenter(Numbers(20, 64, 1)), segmenter(Numbers(120, 128, 3))
    assert (small["unet"]["steps"], small["unet"]["width"]) == (600, 8)
    assert (large["unet"]["steps"], large["unet"]["width"]) == (2400, 32)


def test_few_images_are_divided_into_folds_to_race_on_and_others_to_confirm_on():
    scheme = choose_scheme(18, 42, True, "data")
    assert (scheme.racing, scheme.confirming, scheme.of) == (RACING, CONFIRMING, "all")
    assert not set(scheme.racing) & set(scheme.confirming)


def test_a_test_split_that_somebody_made_is_left_to_the_confirmation():
    scheme = choose_scheme(18, 42, False, "data")
    assert (scheme.racing, scheme.confirming, scheme.of) == ((0, 1, 2, 3, 4), (), "development")


def test_too_few_groups_to_confirm_on_are_refused():
    with pytest.raises(InputError, match=r"data: found 20 groups .*; allowed: 25 or more, so that 10 are left to conf"):
        choose_scheme(5, 15, True, "data")


def test_blocks_go_from_fold_to_fold_and_then_to_the_next_seed(tmp_path):
    field = read_field(write(tmp_path, plain=PLAIN, paper=PAPER), [], [], "cpu")
    scheme = choose_scheme(4, 56, False, "data")
    found = [scheme.block(field.entries[0], place) for place in range(4)]
    assert [(one.recipe.folds.only, seed) for one, seed in found] == [
        ((0,), 1000),
        ((1,), 1000),
        ((2,), 1000),
        ((0,), 1001),
    ]
    assert scheme.confirmation(field.entries[0]).recipe.folds.only == (3, 4)

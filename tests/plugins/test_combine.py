import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from augkit import InputError
from augkit.contracts.registry import Entry, Provider
from augkit.planning.options import build_component, canonical
from augkit.planning.recipe import Reference
from augkit_masks.combine import ATTEMPTS, Combine, Weighted
from augkit_masks.drawn import Drawn
from augkit_masks.drift import measure
from augkit_masks.elastic import Elastic
from augkit_masks.pca import Pca
from augkit_masks.shapes import Shapes
from augkit_masks.training import Training
from samples import mask_draws, workspace

Y, X = np.mgrid[:48, :48] + 0.5
REAL = np.array([((X - 24) / (6 + i)) ** 2 + ((Y - 24) / (12 - i)) ** 2 < 1 for i in range(6)])
"""Six ellipses in the middle of the frame."""


def draw(source, count, folder, masks=REAL, seed=0):
    space = workspace(folder)
    return source.draw(masks, count, mask_draws(count, seed), space), space.log


def build(options):
    places = {("mix", i): f"recipe.yaml:{i + 2}" for i in range(9)}
    problems = []
    entry = Entry("mask source", "combine", Combine, Provider("masks", "augkit", "0"))
    return build_component(entry, Reference("combine", options, "recipe.yaml:1", places), problems), problems


# Mixing.


def test_sources_are_used_in_proportion_to_their_weights(tmp_path):
    mix = (Weighted(weight=3, shapes=Shapes()), Weighted(training=Training()))
    drawn, _ = draw(Combine(mix), 400, tmp_path)
    used = Counter(record["source"] for record in drawn.records)
    assert 270 < used["shapes"] < 330
    assert used["shapes"] + used["training"] == 400


def test_a_record_says_what_its_source_says(tmp_path):
    drawn, _ = draw(Combine((Weighted(shapes=Shapes()), Weighted(training=Training()))), 40, tmp_path)
    for mask, record in zip(drawn.masks, drawn.records, strict=True):
        assert record["redraws"] == 0
        if record["source"] == "training":
            assert np.array_equal(mask, REAL[record["parent"]])
        else:
            assert abs(mask.mean() / record["area"] - 1) < 0.1


def test_every_kind_of_source_can_be_mixed_and_keeps_what_it_learnt_in_its_own_folder(tmp_path):
    (tmp_path / "drawings").mkdir()
    Image.fromarray(~REAL[0]).save(tmp_path / "drawings" / "a.png")
    mix = (
        Weighted(training=Training()),
        Weighted(shapes=Shapes()),
        Weighted(elastic=Elastic(degree=(2.0,), modes=5)),
        Weighted(pca=Pca()),
        Weighted(folder=Drawn(tmp_path / "drawings")),
    )
    drawn, _ = draw(Combine(mix, area=(0.01, 0.6), parts=(1, 1)), 60, tmp_path)
    assert {record["source"] for record in drawn.records} == {"training", "shapes", "elastic", "pca", "folder"}
    assert (tmp_path / "3-pca" / "pca.json").is_file()
    assert drawn.masks.any(axis=(1, 2)).all()


def test_the_same_source_twice_draws_different_masks(tmp_path):
    drawn, _ = draw(Combine((Weighted(shapes=Shapes()), Weighted(shapes=Shapes()))), 30, tmp_path)
    assert len(np.unique(drawn.masks.reshape(30, -1), axis=0)) == 30


# Limits.


def test_masks_are_drawn_again_until_they_keep_to_the_limits(tmp_path):
    source = Combine((Weighted(shapes=Shapes()),), area=(0.05, 0.12), border="forbidden")
    drawn, log = draw(source, 80, tmp_path)
    shares = drawn.masks.mean(axis=(1, 2))
    assert shares.min() >= 0.05
    assert shares.max() <= 0.12
    assert not any(mask[side].any() for mask in drawn.masks for side in (0, -1, np.s_[:, 0], np.s_[:, -1]))
    redrawn = sum(record["redraws"] > 0 for record in drawn.records)
    assert redrawn > 20
    assert log.notes[0] == f"80 masks from shapes, {redrawn} of them drawn again to keep to the limits"


def test_masks_that_keep_to_the_limits_are_what_they_are_without_limits(tmp_path):
    free, _ = draw(Combine((Weighted(shapes=Shapes()),)), 60, tmp_path)
    held, _ = draw(Combine((Weighted(shapes=Shapes()),), area=(0.05, 0.2)), 60, tmp_path)
    kept = [i for i, record in enumerate(held.records) if record["redraws"] == 0]
    assert len(kept) > 20
    assert np.array_equal(free.masks[kept], held.masks[kept])


def test_a_mask_depends_only_on_its_own_draws(tmp_path):
    source = Combine((Weighted(shapes=Shapes()), Weighted(elastic=Elastic(degree=(2.0,), modes=5))), area=(0.05, 0.2))
    space, draws = workspace(tmp_path), mask_draws(12)
    together = source.draw(REAL, 12, draws, space)
    for i in range(12):
        alone = source.draw(REAL, 1, draws[i : i + 1], space)
        assert np.array_equal(alone.masks[0], together.masks[i])
        assert alone.records[0] == together.records[i]


def test_the_number_of_parts_is_held_to_its_limits(tmp_path):
    masks = REAL.copy()
    masks[:4, :3, :3] = True
    drawn, _ = draw(Combine((Weighted(training=Training()),), parts=(1, 1)), 5, tmp_path, masks)
    assert {record["parent"] for record in drawn.records} <= {4, 5}


def test_limits_that_a_source_never_keeps_to_are_refused_by_name(tmp_path):
    source = Combine((Weighted(training=Training()),), area=(0.9, 1.0))
    with pytest.raises(
        ValueError, match=rf"7 of 7 masks from training still break .* {ATTEMPTS} .*: area \(7\); widen"
    ):
        draw(source, 7, tmp_path)


# Drift.


def test_the_drift_from_the_training_masks_is_kept_as_numbers_and_as_a_picture(tmp_path):
    _, log = draw(Combine((Weighted(shapes=Shapes(kinds=("circle",))),)), 100, tmp_path)
    drift = json.loads((tmp_path / "drift.json").read_text())
    assert set(drift) == {"area", "eccentricity", "solidity"}
    assert len(drift["area"]["drawn"]) == len(drift["area"]["training"]) == 21
    assert max(drift["eccentricity"]["drawn"]) < 0.4
    assert drift["eccentricity"]["distance"] > 0.5
    assert (tmp_path / "drift.png").read_bytes().startswith(b"\x89PNG")
    assert log.notes[-2].startswith("eccentricity of drawn masks: median 0.")


def test_training_masks_do_not_drift_from_themselves(tmp_path):
    draw(Combine((Weighted(training=Training()),)), 6, tmp_path)
    drift = json.loads((tmp_path / "drift.json").read_text())
    assert [fact["distance"] for fact in drift.values()] == [0, 0, 0]


def test_solidity_is_the_share_of_the_convex_hull():
    square, corner, line = np.zeros((3, 10, 10), np.bool_)
    square[2:8, 2:8] = True
    corner[0:4, 0:4] = True
    corner[2:4, 2:4] = False
    line[5, 1:9] = True
    solidity = measure(np.array([square, corner, line, np.zeros_like(line)]))["solidity"]
    # The hull of the corner cuts the missing 2 x 2 square from (2, 4) to (4, 2).
    assert solidity.tolist() == pytest.approx([1, 12 / 14, 1])


# Options.


def test_a_recipe_may_nest_the_options_of_each_source():
    component, problems = build({"mix": [{"weight": 2, "shapes": {"kinds": ["circle"]}}, {"pca": {"vary": "size"}}]})
    assert problems == []
    assert component == Combine((Weighted(weight=2, shapes=Shapes(kinds=("circle",))), Weighted(pca=Pca(vary="size"))))


def test_nested_options_are_part_of_the_fingerprint():
    one, other = (canonical(Combine((Weighted(pca=Pca(modes=modes)),))) for modes in (5, 6))
    assert json.dumps(one) != json.dumps(other)
    assert one["mix"][0]["pca"]["modes"] == 5
    assert one["mix"][0]["shapes"] is None


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (
            {"shapes": {"siz": 3}},
            "combine has no option 'mix.0.shapes.siz'. Allowed: area, aspect, centre, kinds, rotate",
        ),
        ({"shaped": {}}, "combine has no option 'mix.0.shaped'. Did you mean 'shapes'?"),
        (
            {"weight": "2", "shapes": {}},
            "combine.mix.0.weight: found the text '2'; allowed: a number. Remove the quotes",
        ),
        ({"pca": {"levels": 7}}, "combine.mix.0.pca: levels needs a range; write 'range: [-1, 1]'"),
        ({"folder": {}}, "combine needs the option 'mix.0.folder.root'"),
        ({}, "combine.mix.0: no source given; allowed: exactly one of training, shapes, elastic, pca, folder"),
        (
            {"shapes": {}, "pca": {}},
            "combine.mix.0: shapes and pca given; allowed: exactly one of training, shapes, elastic, pca, folder",
        ),
    ],
)
def test_a_mistake_in_a_nested_source_is_reported_where_it_is(one, said):
    component, problems = build({"mix": [one]})
    assert component is None
    assert [str(problem) for problem in problems] == [f"recipe.yaml:2: {said}"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mix": ()}, "mix is empty; allowed: one or more"),
        ({"area": (0.5, 0.1)}, r"area is \[0.5, 0.1\]; allowed: 0 <= smallest < largest <= 1"),
        ({"parts": (3, 2)}, r"parts is \[3, 2\]; allowed: 1 <= smallest <= largest"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Combine(**{"mix": (Weighted(training=Training()),), **options})


def test_the_drawings_of_a_mixture_are_its_sources_and_every_missing_folder_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").touch()
    folders = [Weighted(folder=Drawn(tmp_path / name)) for name in ("a", "b", "c")]
    assert Combine((folders[0], Weighted(training=Training()))).sources() == [tmp_path / "a" / "1.png"]
    with pytest.raises(InputError) as error:
        Combine(tuple(folders)).sources()
    assert [problem.where for problem in error.value.problems] == [str(tmp_path / "b"), str(tmp_path / "c")]

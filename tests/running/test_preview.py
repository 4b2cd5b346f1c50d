"""`augkit preview` shows what training will use, quickly, and trains nothing."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from augkit.contracts.registry import load_registry
from augkit.data.arrays import DrawnMasks
from augkit.data.draws import Draws
from augkit.errors import InputError, StageError
from augkit.planning.components import check_recipes
from augkit.planning.plan import make_supply
from augkit.planning.recipe import load_recipes
from augkit.running.engine import Engine
from augkit.running.preview import (
    _drawn_lines,
    _note,
    augment_panel,
    data_panel,
    figure_3_recipe,
    masks_panel,
    preview,
    write_page,
)
from augkit.store import Digests, Store
from augkit_classical.geometry import Geometry
from augkit_phantom import Phantom
from organs import Organs
from samples import checked_recipes


@pytest.fixture(scope="module")
def train():
    return Phantom(train=6, test=1, size=32).load().train


def drawn(train):
    return DrawnMasks(train.masks, tuple({"parent": i, "degree": 2.5} for i in range(len(train))))


def test_masks_are_shown_alone_until_a_generator_is_trained(train):
    panel = masks_panel("source-1", "gan/training", drawn(train), train.format, None, 0)
    assert panel.sentence == "All 6 masks; 'augkit run' trains the generator."


def test_a_trained_generator_paints_with_the_draws_of_the_run(train):
    seen = []

    def paint(masks, draws):
        seen.append(draws.keys)
        return np.repeat(masks[..., None], 3, axis=3).astype(np.uint8) * 255

    panel = masks_panel("source-1", "gan/training", drawn(train), train.format, paint, 7)
    assert len(seen[0]) == 6
    assert panel.sentence == "All 6 masks, and what the trained generator paints."
    assert panel.png.startswith(b"\x89PNG")


def test_variants_are_drawn_for_the_first_epochs_with_the_training_s_keys(train):
    epochs = []

    def watch(images, masks, draws):
        epochs.append(draws.keys.clone())
        return images, masks

    panel = augment_panel(train, [("watch", watch)], 3)
    *held_to_contract, _, _, _, _ = epochs
    assert len(held_to_contract) == 2
    assert len({tuple(keys.tolist()) for keys in epochs}) == 4
    assert "after watch" in panel.sentence
    still = augment_panel(train, [("geometry", Geometry(flip="none", rotate=0))], 3)
    turned = augment_panel(train, [("geometry", Geometry())], 3)
    assert still.png != turned.png


def test_what_was_drawn_stands_under_each_variant(train):
    drawn = Geometry(scale=(0.9, 1.1)).parameters(Draws.on_device(3, "batch", torch.arange(4)).fork("0.geometry"))
    assert set(drawn) == {"flip x", "flip y", "applied", "rotate", "scale"}
    first = {key: values.tolist()[0] for key, values in drawn.items()}
    lines = _drawn_lines(["geometry", "noise"], [first, {"sigma": 0.0, "weight": 1.0, "on": False}])
    assert lines[0] == "geometry:"
    assert "applied" not in lines
    assert _drawn_lines(["geometry"], [first]) == lines[1:]
    assert f"rotate {first['rotate']:.3g}" in lines
    assert not any(line.startswith(("sigma", "weight", "on")) for line in lines)
    shown = augment_panel(train, [("geometry", Geometry())], 3)
    silent = augment_panel(train, [("geometry", lambda *given: Geometry()(*given))], 3)
    assert len(shown.png) > len(silent.png)


def test_the_page_holds_every_picture_and_needs_no_network(train, tmp_path):
    panels = [data_panel(train), masks_panel("source-1", "<gan>/training", drawn(train), train.format, None, 0)]
    write_page("Preview of allaug", panels, tmp_path / "preview")
    page = (tmp_path / "preview" / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert "&lt;gan&gt;/training" in page
    assert "http" not in page.replace("http-equiv", "")
    assert sorted(path.name for path in (tmp_path / "preview").iterdir()) == ["data.png", "index.html", "source-1.png"]


def doubling(images, masks, draws):
    return images * 300, masks


def dividing(images, masks, draws):
    raise ZeroDivisionError("by none\nat all")


@pytest.mark.parametrize(
    ("failing", "said"),
    [
        (dividing, "ZeroDivisionError: by none"),
        (lambda images, masks, draws: sys.exit(0), "SystemExit: 0"),
        (doubling, "it broke its contract: augmentation 'late' returned image values"),
        (
            lambda images, masks, draws: (images[:-1], masks),
            "it broke its contract: augmentation 'late' returned images",
        ),
    ],
)
def test_an_augmentation_that_fails_is_named_on_the_page_in_place_of_its_picture(train, tmp_path, failing, said):
    panel = augment_panel(train, [("geometry", Geometry()), ("late", failing), ("colour", Geometry(flip="none"))], 3)
    assert panel.png is None
    package = __name__.partition(".")[0]
    assert panel.sentence.startswith(f"No picture: augmentation 'late' of {package} failed: {said}")
    write_page("Preview of arm", [data_panel(train), panel], tmp_path / "preview")
    page = (tmp_path / "preview/index.html").read_text()
    assert page.count("data:image/png;base64,") == 1
    assert "augmentation &#39;late&#39; of" in page
    assert sorted(path.name for path in (tmp_path / "preview").iterdir()) == ["data.png", "index.html"]


def test_the_command_writes_the_page_all_the_same_and_ends_with_the_sentence(augkit, tmp_path, monkeypatch):
    recipe = tmp_path / "arm.yaml"
    recipe.write_text(NOISE.replace("segmenter:", "augment: [{geometry: {}}]\nsegmenter:"))
    monkeypatch.setattr(Geometry, "__call__", lambda self, *given: dividing(*given))
    code, said, told = augkit("preview", str(recipe), "--out", str(tmp_path / "runs"), "--device", "cpu")
    page = tmp_path / "runs/preview/arm/index.html"
    assert (code, said.strip()) == (1, str(page))
    assert told.splitlines()[-1] == (
        "arm: No picture: augmentation 'geometry' of augkit_classical failed: ZeroDivisionError: by none"
    )
    assert "ZeroDivisionError: by none" in page.read_text()


RECIPES = Path(__file__).parents[2] / "recipes"


def test_figure_3_has_the_paper_s_panels_for_the_recipe_s_generator():
    (made,) = check_recipes(load_recipes([RECIPES / "allaug.yaml"]), load_registry())
    recipe, panels, left_out = figure_3_recipe(made, load_registry())
    assert left_out == ()
    counts = {}
    for source, panel in zip(recipe.synthesize, panels, strict=True):
        assert source.generator.name == "mask2lesion-spade"
        counts[panel[:3]] = counts.get(panel[:3], 0) + source.count
    assert counts == {"(a)": 7, "(b)": 7, "(c)": 14, "(d)": 7, "(e)": 7}
    (checked,) = check_recipes([recipe], load_registry())
    assert [source.masks.name for source in checked.sources][-2:] == ["pca", "pca"]


def test_figure_3_of_a_recipe_without_a_generator_is_refused():
    with pytest.raises(InputError, match="has no generator; allowed"):
        figure_3_recipe(*check_recipes(load_recipes([RECIPES / "noaug.yaml"]), load_registry()), load_registry())


def test_figure_3_leaves_out_the_mask_sources_that_take_one_class_only():
    (made,) = check_recipes(load_recipes([RECIPES / "allaug.yaml"]), load_registry())
    several = replace(made.dataset, instance=Organs(patients=2, size=32))
    _, panels, left_out = figure_3_recipe(replace(made, dataset=several), load_registry())
    assert {panel[:3] for panel in panels} == {"(a)", "(c)"}
    assert "left out: (b) simple shapes; the mask source shapes does not take 1 channel" in left_out[0]
    assert len(left_out) == 3


@pytest.mark.parametrize(
    ("record", "note"),
    [
        ({"parent": 3}, "parent 3"),
        ({"parent": 3, "degree": 2.0, "repaired": False}, "degree 2"),
        ({"shape": "circle", "area": 0.227}, "circle"),
        ({"weights": [0.0, -1.0, 0.0], "repaired": True}, "weights -1.00"),
        ({"weights": [0.1] * 10, "repaired": True}, "repaired"),
        ({}, ""),
    ],
)
def test_what_stands_under_a_mask_is_short_and_telling(record, note):
    assert _note(record) == note


@pytest.mark.parametrize(
    ("paint", "said"),
    [
        (
            lambda masks, draws: 1 // 0,
            "ZeroDivisionError in augkit 0.1.0 (controls): integer division",
        ),
        (lambda masks, draws: sys.exit(0), "SystemExit in augkit 0.1.0 (controls): 0"),
        (lambda masks, draws: masks, "the generator returned bool (4, 32, 32); return uint8 0..255 (4, 32, 32, 3)"),
    ],
)
def test_a_generator_that_fails_while_it_is_looked_at_is_named(tmp_path, monkeypatch, paint, said):
    (checked,) = checked_recipes(tmp_path, NOISE)
    supply, engine = make_supply(checked, None, Digests(tmp_path / "runs")), Engine(Store(tmp_path / "runs"), "cpu")
    engine.build(supply.generators)
    monkeypatch.setattr("augkit_controls.noise.Noise.open", lambda noise, folder, device: paint)
    with pytest.raises(StageError) as caught:
        preview(supply, engine)
    assert said in str(caught.value)


NOISE = """\
name: arm
seed: 0
dataset: {phantom: {train: 4, test: 2, size: 32}}
synthesize: [{generator: {noise: {}}, masks: {training: {}}, per_real: 1.0}]
segmenter: {unet: {width: 2, steps: 3}}
"""

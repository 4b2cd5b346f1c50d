"""Quality and copies of images that are not 8-bit RGB: as those of the pictures that people see."""

from dataclasses import replace

import numpy as np

from augkit import Channel, Draws, Format, ImageSet, Splits
from augkit.data.formats import as_shown
from augkit.quality.copies import find_copies, near_copies
from augkit.quality.judge import Material, _worst_grid, judge
from organs import FORMAT, Levels, Organs
from samples import workspace


def material(folder):
    splits = Organs(patients=3, slices=3).load()
    train = splits.train
    space = workspace(folder)
    Levels().fit(train, space)
    paint = Levels().open(space.folder, "cpu")
    painted = paint(train.masks, Draws.of(0, "synthesis", np.arange(len(train))))
    synthetic = replace(train, images=painted, origins=("levels/drawn",) * len(train))
    held_out = ImageSet.concatenate([splits.validation, splits.test])
    return Material(
        train, held_out, synthetic, lambda images: np.where(images[..., 0] > 0, 1, 0).astype(np.uint8), paint, 0
    )


def as_rgb(samples):
    shown = as_shown(samples.images, samples.format)
    return replace(samples, images=shown, masks=samples.masks == 1, format=Format())


def test_the_numbers_are_those_of_the_images_as_they_are_shown(tmp_path):
    made = material(tmp_path)
    found = judge(made).record
    shown = replace(
        made,
        train=as_rgb(made.train),
        held_out=as_rgb(made.held_out),
        synthetic=as_rgb(made.synthetic),
        segment=None,
        paint=lambda masks, draws: as_shown(made.paint(masks.view(np.uint8), draws), FORMAT),
    )
    rgb = judge(shown).record
    for part in ("kid_handcrafted", "coverage_handcrafted", "swd_patches", "memorisation"):
        assert found[part] == rgb[part]
    assert found["shown_as"] == "8-bit pictures"
    assert "shown_as" not in rgb


def test_adherence_is_the_mean_dice_over_the_classes_of_an_image(tmp_path):
    made = material(tmp_path)
    perfect = replace(made, segment=lambda images: _nearest_level(images))
    record = judge(perfect).record["adherence"]
    assert record["dice"] > 0.95
    blind = judge(replace(made, segment=lambda images: np.where(_nearest_level(images) == 1, 1, 0).astype(np.uint8)))
    # Liver alone of liver and kidney, and in every third slice a tumour.
    assert 0.3 < blind.record["adherence"]["dice"] < 0.55


def _nearest_level(images):
    levels = np.array([-100, 60, 180, 300])
    return np.abs(images[..., :1] - levels).argmin(axis=-1).astype(np.uint8)


def test_a_grid_in_one_of_many_channels_is_seen():
    many = Format("float32", tuple(Channel(f"c{i}", "other", 0, 1) for i in range(6)), ("a", "b"))
    real = np.random.default_rng(0).normal(0.5, 0.1, (12, 64, 64, 6)).astype(np.float32).clip(0, 1)
    painted = np.random.default_rng(1).normal(0.5, 0.1, (12, 64, 64, 6)).astype(np.float32).clip(0, 1)
    none = _worst_grid(painted, real, many)
    painted[..., 5] += 0.1 * (np.arange(64) % 4 == 0)
    assert none < 1.5
    assert _worst_grid(painted.clip(0, 1), real, many) > 3


def test_copies_of_slices_are_found_by_what_is_seen_and_equal_pixels_by_what_is_stored():
    splits = Organs(patients=3, slices=3).load()
    twin = splits.test.images.copy()
    twin[0] = splits.train.images[0]
    twin[1] = splits.train.images[1]
    twin[1, 0, 0] = -1001 if twin[1, 0, 0, 0] <= -200 else -100  # not to be seen, or hardly
    copies = find_copies(Splits(splits.train, splits.validation, replace(splits.test, images=twin)))
    crossing = {(one.first, one.second): one.equal_pixels for one in copies if one.second_split == "test"}
    assert crossing["train0/0", "test0/0"]
    assert not crossing["train0/1", "test0/1"]
    assert near_copies(twin[:2], splits.train.images, FORMAT).all()

"""Mask sources on label maps: several classes, and pixels that do not count."""

import json

import numpy as np
import pytest
from scipy import ndimage

from augkit import Channel, Format, InputError, SilentLog, Workspace, shows
from augkit.contracts.rules import check_masks, refusal_of
from augkit_masks.combine import Combine, Weighted
from augkit_masks.drawn import Drawn
from augkit_masks.elastic import Elastic
from augkit_masks.pca import Pca
from augkit_masks.shapes import Shapes
from augkit_masks.training import Training
from samples import mask_draws

HEART = Format("int16", (Channel("mr", "mr", 0, 900),), ("wall", "inside", "beside"), ignore=True)
Y, X = np.mgrid[:64, :80]


def heart(number):
    """A ring with its inside and a neighbour that touches it, uint8 (64, 80), and ignored pixels beside them."""
    mask = np.zeros((64, 80), np.uint8)
    away = np.hypot(Y - 30 - number, X - 28)
    mask[(np.abs(Y - 32) < 12) & (X > 28) & (X < 62)] = 3
    mask[away < 17] = 1
    mask[away < 11] = 2
    mask[50:58, 60:72] = 255
    return mask


HEARTS = np.stack([heart(number) for number in range(4)])
FIELDS = [Elastic(), Elastic(field="random"), Elastic(degree=(12.0,)), Elastic(field="variation", modes=3)]


def space(folder):
    return Workspace(folder, 0, "cpu", SilentLog())


def around(mask):
    """Pixels beside a mask, bool (H, W)."""
    return ndimage.binary_dilation(mask) & ~mask


@pytest.mark.parametrize("source", FIELDS, ids=lambda source: f"{source.field}{source.degree[0]}")
def test_classes_that_touch_or_enclose_each_other_still_do_after_a_warp(tmp_path, source):
    drawn = source.draw(HEARTS, 24, mask_draws(24), space(tmp_path))
    check_masks(drawn, 24, HEARTS.shape, HEART)
    moved = 0
    for mask, record in zip(drawn.masks, drawn.records, strict=True):
        assert set(np.unique(mask)) == {0, 1, 2, 3, 255}
        assert (mask[around(mask == 2)] == 1).all()  # nested
        assert (mask[around(mask == 1)] == 3).sum() >= 5  # touching
        assert not ndimage.binary_fill_holes(shows(mask))[mask == 0].any()  # no gap
        moved += (mask != HEARTS[record["parent"]]).any()
    assert moved > 12


def test_the_outline_of_all_classes_is_that_of_one_class(tmp_path):
    binary, labelled = tmp_path / "binary", tmp_path / "labelled"
    binary.mkdir()
    labelled.mkdir()
    hearts = np.where(HEARTS == 255, 0, HEARTS).astype(np.uint8)
    one = Elastic().draw(hearts > 0, 24, mask_draws(24), space(binary))
    all_ = Elastic().draw(hearts, 24, mask_draws(24), space(labelled))
    assert one.masks.dtype == bool
    assert np.array_equal(one.masks, all_.masks > 0)
    assert one.records == all_.records


def test_a_class_that_would_disappear_is_kept_by_a_weaker_field(tmp_path):
    speck = np.zeros((4, 64, 64), np.uint8)
    speck[:, 20:44, 20:44] = 1
    speck[:, 31, 30:32] = 2
    drawn = Elastic(degree=(12.0,)).draw(speck, 24, mask_draws(24), space(tmp_path))
    assert ((drawn.masks == 2).any(axis=(1, 2))).all()
    assert sum(record["shrinks"] > 0 for record in drawn.records) > 2


def test_training_masks_of_ignored_pixels_alone_are_left_out(tmp_path):
    masks = HEARTS.copy()
    masks[0] = np.where(masks[0] == 255, 255, 0)
    for source in (Training(), Elastic()):
        drawn = source.draw(masks, 12, mask_draws(12), space(tmp_path))
        assert {record["parent"] for record in drawn.records} == {1, 2, 3}
    with pytest.raises(InputError, match="training: 1 training masks, all empty; allowed: at least one with foregr"):
        Training().draw(masks[:1], 1, mask_draws(1), space(tmp_path))
    with pytest.raises(InputError, match=r"elastic: 1 training masks, all empty\. Use masks with foreground"):
        Elastic().draw(masks[:1], 1, mask_draws(1), space(tmp_path))


def test_a_mixture_keeps_labels_and_holds_all_classes_together_to_its_limits(tmp_path):
    shares = shows(HEARTS).mean(axis=(1, 2))
    mixture = Combine((Weighted(training=Training()), Weighted(elastic=Elastic())), area=(0.0, float(shares.max())))
    drawn = mixture.draw(HEARTS, 24, mask_draws(24), space(tmp_path))
    check_masks(drawn, 24, HEARTS.shape, HEART)
    assert shows(drawn.masks).mean(axis=(1, 2)).max() <= shares.max()
    assert set(np.unique(drawn.masks)) == {0, 1, 2, 3, 255}
    drift = json.loads((tmp_path / "drift.json").read_text())
    assert drift["area"]["training"][-1] == pytest.approx(shares.max(), abs=1e-4)


def test_what_draws_one_class_is_refused_for_several_and_a_mixture_is_what_its_sources_are(tmp_path):
    for source in (Pca(), Shapes(), Drawn(tmp_path), Combine((Weighted(training=Training()), Weighted(pca=Pca())))):
        assert refusal_of(source, None, HEART).startswith(
            "takes any number of channels with one class, no ignored pixels; found 1 channel (mr 0..900; int16) and 3"
        )
        assert refusal_of(source, None, Format("int16", HEART.channels)) == ""
    for source in (Training(), Elastic(), Combine((Weighted(training=Training()), Weighted(elastic=Elastic())))):
        assert refusal_of(source, None, HEART) == ""

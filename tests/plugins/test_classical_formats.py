"""Classical augmentations on channels that are no colours, numbers that are no bytes, and several classes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from augkit import Channel, Draws, Format
from augkit.authors.conformance.toy import KINDS, draw_masks, draw_set
from augkit.contracts.rules import refusal_of
from augkit.training.batches import Batch, Batches, with_background
from augkit.training.pipeline import Pipeline
from augkit_classical.blur import Blur
from augkit_classical.colour import Colour
from augkit_classical.cutout import Cutout
from augkit_classical.elastic import Elastic
from augkit_classical.geometry import Geometry
from augkit_classical.hair import Hair
from augkit_classical.mixing import Cutmix, Mixup, partners
from augkit_classical.noise import Noise
from augkit_classical.paste import Paste
from augkit_classical.presets import ClassicalPaper, ClassicalPaste, ClassicalStrong

CT = Format("int16", (Channel("ct", "ct", -160, 240),), ("liver", "kidney", "spleen"))
MR = Format("float32", tuple(Channel(name, "mr", 0, 1000) for name in ("t1", "t2", "flair")), ("tumour",))
RGB16 = Format("uint16", tuple(Channel(one, one, 0, 4095) for one in ("red", "green", "blue")), ("a", "b"), True)

PLAIN = Colour(saturation=0, hue=0, gamma=0.4)
ANY = [
    Geometry(scale=(0.7, 1.4), shear=9, translate=0.1),
    Geometry(padding="constant"),
    Geometry(rotate=0),
    Elastic(strength=1),
    PLAIN,
    Colour(),
    Blur(probability=1),
    Noise(probability=1),
    Cutout(probability=1),
    Cutmix(probability=1),
    Mixup(probability=1),
    Paste(probability=1),
    Paste(probability=1, margin=0),
    ClassicalPaper(),
    ClassicalStrong(),
    ClassicalPaste(),
]


def draws(n, epoch=0):
    return Draws.on_device(3, "batch", torch.arange(n), epoch)


def batch(channels, classes, n=8, height=40, width=48):
    """Images float32 (n, C, H, W) and masks uint8 (n, K, H, W), an ellipse cut into bands that touch."""
    ellipse = torch.from_numpy(draw_masks(n, "formats", height, width))
    band = torch.arange(width) * classes // width
    masks = torch.stack([ellipse & (band == k) for k in range(classes)], dim=1)
    grain = draws(n).uniform("grain", 0, 0.1, (channels, height, width))
    level = torch.arange(1, classes + 1)[:, None, None] * (0.5 / classes)
    images = 0.9 - (masks * level).sum(1, keepdim=True) * torch.linspace(1, 0.5, channels)[:, None, None] - grain
    return images.contiguous(memory_format=torch.channels_last), masks.to(torch.uint8)


@pytest.mark.parametrize("augmentation", ANY, ids=repr)
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("classes", [1, 3])
def test_any_number_of_channels_and_classes_is_changed_within_its_range(augmentation, channels, classes):
    images, masks = batch(channels, classes)
    changed, moved, _ = Batch(images, masks.float(), draws(8)).augmented(Pipeline([("it", augmentation)]))
    assert changed.shape == images.shape
    assert moved.shape == masks.shape
    assert changed.dtype == moved.dtype == torch.float32
    assert not torch.equal(changed, images)
    assert 0 <= changed.min() <= changed.max() <= 1
    assert moved.sum(dim=1).max() <= 1 + 1e-6
    if not isinstance(augmentation, Mixup):
        assert set(moved.unique().tolist()) <= {0.0, 1.0}
    floats = augmentation(images, masks.float(), draws(8).fork("0.it"))
    assert torch.equal(floats[0], changed)
    assert torch.equal(floats[1], moved)


@pytest.mark.parametrize("format", [format for row in KINDS for format in row], ids=str)
def test_batches_of_any_format_go_through_a_pipeline_of_all_that_takes_them(format):
    parts = [*ANY, Hair(probability=1)]
    taken = [(str(i), part) for i, part in enumerate(parts) if not refusal_of(part, None, format)]
    assert len(taken) > 8
    batch_ = Batches(draw_set(8, "train", format=format), 8, seed=1, device="cpu").at(0)
    images, masks, counts = batch_.augmented(Pipeline(taken, format.ignore), format.ignore)
    assert images.shape == (8, len(format.channels), 32, 32)
    assert masks.shape == (8, len(format.classes), 32, 32)
    assert 0 <= images.min() < images.max() <= 1
    assert masks.flatten(2).any(dim=2).any(dim=0).all()
    assert (counts is None) == (not format.ignore)
    if counts is not None:
        assert 0 < (counts == 0).float().mean() < 0.5


@pytest.mark.parametrize("augmentation", [Geometry(), Elastic(strength=1)])
def test_no_gap_opens_where_several_classes_meet(augmentation):
    images, masks = batch(1, 4, n=16)
    whole = torch.cat([masks.float(), 1 - masks.float().sum(1, keepdim=True)], dim=1)
    _, moved = augmentation(images, whole, draws(16))
    assert torch.equal(moved.sum(dim=1), torch.ones(16, 40, 48))
    _, outline = augmentation(images, masks.float().sum(1, keepdim=True), draws(16))
    _, apart = augmentation(images, masks.float(), draws(16))
    assert (apart.sum(dim=1) != outline[:, 0]).sum() == 0


def test_ignored_pixels_move_along_and_stay_ignored():
    images, masks = batch(1, 3)
    masks = with_background(masks)
    masks[:, :, :8] = 0  # ignored above
    _, moved, counts = Batch(images, masks.float(), draws(8)).augmented(
        Pipeline([("it", Geometry(flip="vertical", rotate=0))], ignore=True), ignore=True
    )
    assert moved.shape == (8, 3, 40, 48)
    flipped = counts[:, 0, 0, 0] > 0
    assert 0 < flipped.sum() < 8
    for sample, turned in enumerate(flipped.tolist()):
        ignored = counts[sample, 0] == 0
        assert ignored[-8:].all() if turned else ignored[:8].all()
        assert ignored.sum() == 8 * 48


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_colour_keeps_the_mean_of_each_channel_when_it_changes_contrast_alone(channels):
    images, masks = batch(channels, 1)
    images = images * 0.5 + 0.25  # nothing is clipped
    changed, _ = Colour(brightness=0, contrast=0.3, saturation=0, hue=0)(images, masks.float(), draws(8))
    assert torch.allclose(changed.mean((2, 3)), images.mean((2, 3)), atol=1e-5)
    ratios = changed.std((2, 3)) / images.std((2, 3))
    assert torch.allclose(ratios, ratios[:, :1].expand_as(ratios), atol=1e-4)
    assert ratios.max() > 1.05
    assert ratios.min() < 0.95


def test_colour_is_refused_where_its_options_turn_colours_that_are_none():
    said = refusal_of(Colour(), None, CT)
    assert said == (
        "saturation 0.2 and hue 5 change colours, and these are none: 1 channel (ct -160..240; int16) and 3 classes "
        "(liver, kidney, spleen); allowed: red, green and blue, or 'saturation: 0' and 'hue: 0'"
    )
    assert refusal_of(PLAIN, None, CT) == ""
    assert refusal_of(Colour(), None, RGB16) == ""


def test_the_strong_set_runs_on_grey_and_refuses_three_channels_that_are_no_colours():
    assert refusal_of(ClassicalStrong(), None, CT) == ""
    assert "saturation 0.25 and hue 10 change colours" in refusal_of(ClassicalStrong(), None, MR)
    assert refusal_of(ClassicalStrong(colour=PLAIN), None, MR) == ""
    assert refusal_of(ClassicalPaper(), None, MR) == ""
    two = replace(MR, channels=MR.channels[:2])
    assert refusal_of(ClassicalStrong(), None, two) == ""


def test_hair_is_drawn_on_colours_only():
    assert "takes 3 channels of red, green, blue with any number of classes" in refusal_of(Hair(), None, CT)
    assert refusal_of(Hair(), None, RGB16) == ""


def test_pasting_is_refused_where_pixels_are_ignored():
    assert refusal_of(Paste(), None, CT) == ""
    assert "no ignored pixels" in refusal_of(Paste(), None, RGB16)
    assert "no ignored pixels" in refusal_of(ClassicalPaste(), None, RGB16)


@pytest.mark.parametrize("stored", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_an_object_is_pasted_with_all_its_classes(channels, stored):
    images, masks = batch(channels, 3, n=12)
    changed, moved = Paste(probability=1, rotate=0, scale=(1, 1), count=1, hide=0)(images, masks.to(stored), draws(12))
    grown = moved.sum((2, 3)) - masks.sum((2, 3))
    pasted = grown.sum(1) > 0
    assert pasted.sum() > 6
    had = masks[partners(draws(12))].sum((2, 3))[pasted]
    assert (grown[pasted][had > 20] > 0.5 * had[had > 20]).all()  # but for what sampling takes from the outline
    assert (grown[pasted][had == 0] == 0).all()
    new = (moved.sum(1) > masks.sum(1))[:, None].expand_as(changed)
    assert (changed[new] < 0.85).float().mean() > 0.9  # and looks like what it was


def test_training_masks_of_ignored_pixels_alone_have_nothing_to_paste():
    masks = np.zeros((2, 16, 16), np.uint8)
    masks[:, 4:8, 4:8] = 255
    with pytest.raises(ValueError, match="found nothing to paste in 2 training masks, of which 0 fill the frame"):
        Paste().check_masks(masks)
    masks[1, 10:13, 10:13] = 2
    Paste().check_masks(masks)

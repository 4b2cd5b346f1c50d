import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

import augkit
from augkit import Draws, InputError
from augkit_classical.mixing import partners
from augkit_classical.paste import Paste
from augkit_classical.pasting import cutting, device, host
from augkit_classical.presets import ClassicalPaste, ClassicalStrong

SKIN, LESION = 0.6, 0.3
BOTH = pytest.mark.parametrize("paste", [host.paste, device.paste], ids=["host", "device"])
"""What a CPU does and what other devices do; both run on a CPU."""


def draws(n, epoch=0):
    return Draws.on_device(3, "batch", torch.arange(n), epoch)


def discs(n, height=64, width=80, radius=7.0, at=None):
    """Dark discs on even ground, in every sample another place: images, masks."""
    y, x = np.mgrid[:height, :width]
    middles = at or [(14 + 3 * (i % 5), 16 + 5 * (i % 7)) for i in range(n)]
    found = torch.tensor(np.array([(y - v) ** 2 + (x - u) ** 2 < radius**2 for v, u in middles]))[:, None]
    return torch.where(found, LESION, SKIN).expand(-1, 3, -1, -1).clone(), found.float()


def done(paste, options, images, masks, epoch=0):
    """What one way of pasting makes of a batch."""
    return paste(images, masks, options._plan(draws(len(images), epoch), min(images.shape[2:])))


def pieces(mask):
    return ndimage.label(mask.numpy() > 0.5)[1]


@BOTH
@pytest.mark.parametrize("margin", [0.0, 0.015, 0.05])
def test_a_mask_is_exactly_where_the_pixels_of_an_object_have_more_than_half_of_the_weight(paste, margin):
    images, masks = discs(12)
    changed, moved = done(paste, Paste(probability=1, margin=margin), images, masks)
    assert set(moved.unique().tolist()) == {0.0, 1.0}
    assert (moved != masks).flatten(1).any(1).sum() >= 10
    assert torch.equal((changed < (SKIN + LESION) / 2).all(1, keepdim=True), moved > 0.5)
    faded = (moved == 0) & ((changed - SKIN).abs() > 1e-3).any(1, keepdim=True)
    assert faded.any() == (margin > 0)


@BOTH
def test_inputs_are_left_as_they_were_and_what_is_not_pasted_over_stays_to_the_bit(paste):
    images, masks = discs(12)
    before = images.clone(), masks.clone()
    changed, moved = done(paste, Paste(probability=0.5), images, masks)
    assert torch.equal(images, before[0])
    assert torch.equal(masks, before[1])
    same = (moved == masks).flatten(1).all(1)
    assert 2 < same.sum() < 10
    assert torch.equal(changed[same], images[same])
    near = torch.nn.functional.max_pool2d((moved > masks).float(), 5, 1, 2) > 0
    assert torch.equal(changed[~near.expand_as(changed)], images[~near.expand_as(images)])


@pytest.mark.parametrize("size", [(33, 48), (64, 64)])
@pytest.mark.parametrize(("classes", "channels"), [(1, 3), (3, 3), (3, 1), (1, 2)])
def test_other_devices_paste_the_same_objects_to_the_same_places_as_a_cpu(size, classes, channels):
    noise = np.random.default_rng(0).standard_normal((12, 4, *size))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 2.5, 2.5))
    rough = torch.tensor(smooth / smooth.std(axis=(1, 2, 3), keepdims=True)).float()
    images = (0.5 + 0.1 * rough[:, :channels]).clamp(0, 1)
    filled = rough[:, 3:] > 1
    stripes = torch.arange(size[1]) // 7 % classes
    masks = torch.cat([filled & (stripes == k) for k in range(classes)], dim=1).float()
    options = Paste(probability=1, count=4, scale=(0.6, 1.6), hide=0.3)
    (one, one_mask), (other, other_mask) = (done(way.paste, options, images, masks) for way in (host, device))
    assert (one_mask != masks).flatten(1).any(1).sum() > 6
    # Where two classes have equally much of a pixel, or an object half of it, rounding decides.
    assert (one_mask != other_mask).float().mean() < 1e-4
    assert ((one - other).abs() > 1 / 255).float().mean() < 1e-3


def test_other_devices_find_the_pieces_that_a_cpu_finds_in_its_order():
    masks = np.random.default_rng(1).random((20, 24, 30)) < 0.4
    roots, ranks, counts = device._objects(torch.tensor(masks))
    for i, mask in enumerate(masks):
        found = list(cutting.objects(mask.view(np.uint8), 0.0, 99))
        assert len(found) == counts[i] > 3
        for number, one in enumerate(found, 1):
            root = (ranks[i] == number).nonzero().item()
            here = np.zeros((24, 30), np.uint8)
            here[one.top : one.top + one.height, one.left : one.left + one.width] = one.inside[1:-1, 1:-1]
            assert np.array_equal((roots[i] == root).numpy() & mask, here > 0)


def test_partners_depend_on_which_samples_share_a_batch_and_not_on_their_order():
    images, masks = discs(9)
    images = images + torch.arange(9)[:, None, None, None] / 100
    order = torch.tensor([4, 0, 8, 2, 7, 1, 3, 6, 5])
    options = Paste(probability=1)
    together = options(images, masks, draws(9))
    shuffled = options(images[order], masks[order], draws(9)[order])
    assert torch.equal(shuffled[0], together[0][order])
    assert torch.equal(shuffled[1], together[1][order])
    assert not torch.equal(options(images, masks, draws(9, epoch=1))[1], together[1])


@BOTH
def test_a_sample_gets_nothing_alone_or_from_masks_that_are_empty_full_or_cut_by_the_frame(paste):
    images, masks = discs(2)
    for mask in (torch.zeros_like(masks), torch.ones_like(masks), discs(2, at=[(3, 40), (30, 79)])[1]):
        changed, moved = done(paste, Paste(probability=1, hide=1), images, mask)
        assert torch.equal(changed, images)
        assert torch.equal(moved, mask)
    assert torch.equal(done(paste, Paste(probability=1), images[:1], masks[:1])[1], masks[:1])


@BOTH
def test_as_many_objects_are_pasted_as_are_drawn_and_the_other_sample_has(paste):
    y, x = np.mgrid[:96, :96]
    masks = torch.tensor(np.array([[(y % 32 - 16) ** 2 + (x % 48 - 24) ** 2 < 10, x < 0][i % 2] for i in range(8)]))
    masks = masks[:, None].float()  # six dots, or none
    images = torch.where(masks > 0, LESION, SKIN).expand(-1, 3, -1, -1)
    options = Paste(probability=1, count=5, scale=(1, 1), hide=0)
    _, moved = done(paste, options, images, masks)
    wanted, other = options.parameters(draws(8))["wanted"], partners(draws(8))
    for i in range(8):
        most = pieces(masks[i, 0]) + min(wanted[i], pieces(masks[other[i], 0]))
        assert pieces(moved[i, 0]) <= most
        if pieces(masks[i, 0]) == 0:
            assert moved[i].sum() >= 0.8 * masks[other[i]].sum() / 6 * min(wanted[i], pieces(masks[other[i], 0]))
    assert len({pieces(one[0]) for one in moved}) > 3


@BOTH
@pytest.mark.parametrize("hide", [0.0, 0.3])
def test_no_more_of_the_foreground_is_hidden_than_may_be(paste, hide):
    images, masks = discs(24, radius=11)
    classes = torch.cat([masks, torch.zeros_like(masks)], dim=1)
    classes[1::2] = classes[1::2].flip(1)  # what is pasted can be told from what was there, half of the time
    _, moved = done(paste, Paste(probability=1, hide=hide), images, classes)
    kept = (moved * classes).sum((1, 2, 3)) / classes.sum((1, 2, 3))
    other = partners(draws(24))
    apart = classes[other].sum((2, 3)).argmax(1) != classes.sum((2, 3)).argmax(1)
    assert (kept >= 1 - hide - 1e-6).all()
    assert (kept[apart].min() < 1) == (hide > 0)


@BOTH
def test_label_maps_move_along_with_their_objects(paste):
    images, outer = discs(10, radius=9)
    core = discs(10, radius=4)[1]
    classes = torch.cat([outer - core, core], dim=1)
    images = images - 0.2 * core
    changed, moved = done(paste, Paste(probability=1, margin=0), images, classes)
    assert (moved != classes).flatten(1).any(1).sum() >= 8
    assert moved.sum(1).max() == 1
    assert ((changed < 0.45).all(1) == moved.sum(1).bool()).float().mean() > 0.999
    new = moved[:, 1] * (classes.sum(1) == 0)
    assert new.sum() > 100
    assert changed.mean(1)[new > 0].median() < 0.15  # the core is the darkest


@BOTH
def test_objects_are_turned_and_scaled_as_recorded(paste):
    y, x = np.mgrid[:96, :96]
    bar = torch.tensor((abs(y - 30) < 4) & (abs(x - 40) < 14))[None, None].float().expand(8, -1, -1, -1)
    images = torch.where(bar > 0, LESION, SKIN).expand(-1, 3, -1, -1)
    options = Paste(probability=1, count=1, scale=(0.7, 1.4), hide=0)
    told = options.parameters(draws(8))
    _, moved = done(paste, options, images, bar)
    new, seen = (moved > bar).numpy()[:, 0], 0
    for i in range(8):
        if new[i].any():
            seen += 1
            assert new[i].sum() == pytest.approx(float(bar[0].sum() * told["size 1"][i] ** 2), rel=0.12)
            lie = np.argwhere(new[i]) - np.argwhere(new[i]).mean(0)
            v, u = np.linalg.svd(lie, full_matrices=False)[2][0]
            turned = np.rad2deg(np.arctan2(v, u)) + float(told["turn 1"][i])
            assert abs((turned + 90) % 180 - 90) < 4
    assert seen > 4


@BOTH
def test_an_object_takes_the_colour_of_its_new_ground(paste):
    masks = discs(2, at=[(16, 20), (40, 50)])[1]
    colours = torch.tensor([[0.8, 0.6, 0.5], [0.6, 0.5, 0.4]])[:, :, None, None]
    images = torch.where(masks > 0, colours * 0.5, colours).expand(-1, -1, 64, 80)
    for match, wanted in ((1.0, colours * 0.5), (0.0, colours[[1, 0]] * 0.5)):
        options = Paste(probability=1, count=1, hide=0, margin=0, match=match)
        changed, moved = done(paste, options, images, masks)
        new = torch.nn.functional.max_pool2d(1 - (moved > masks).float(), 5, 1, 2) == 0
        assert new.flatten(1).any(1).all()
        assert ((changed - wanted).abs() * new).max() < 1e-5, match


@BOTH
def test_bright_objects_of_dark_pictures_are_not_pasted_into_bright_ones_where_they_could_not_be_seen(paste):
    masks = discs(2, at=[(16, 20), (40, 50)])[1]
    ground = torch.tensor([0.05, 0.35])[:, None, None, None]
    alike = torch.where(masks > 0, ground + 0.3, ground).expand(-1, 3, -1, -1)
    assert (done(paste, Paste(probability=1, hide=0), alike, masks)[1] != masks).flatten(1).any(1).all()
    ground = torch.tensor([0.05, 0.75])[:, None, None, None]
    unlike = torch.where(masks > 0, ground + 0.2, ground).expand(-1, 3, -1, -1)
    assert torch.equal(done(paste, Paste(probability=1, hide=0), unlike, masks)[1], masks)


def test_nothing_is_told_of_samples_that_get_nothing():
    told = Paste(probability=0.4, count=2).parameters(draws(200))
    assert set(told) == {"wanted", "turn 1", "turn 2", "size 1", "size 2"}
    assert sorted(told["wanted"].unique().tolist()) == [0, 1, 2]
    assert 0.3 < (told["wanted"] > 0).float().mean() < 0.5
    assert torch.equal(told["turn 1"] != 0, told["wanted"] > 0)
    assert torch.equal(told["size 2"] != 1, told["wanted"] > 1)
    assert told["size 1"].min() >= 0.8
    assert told["size 1"].max() <= 1.25


@pytest.mark.parametrize("scale", [(0.1, 1.0), (1.2, 0.8), (1.0, 6.0)])
def test_an_impossible_scale_is_refused(scale):
    with pytest.raises(ValueError, match=r"scale is \[.*\]; allowed: 0.2 <= smallest <= largest <= 5"):
        Paste(scale=scale)


def test_the_preset_is_paste_and_then_the_strong_set_with_the_same_draws():
    images, masks = discs(8)
    preset = ClassicalPaste(paste=Paste(probability=1))
    changed, moved = preset(images, masks, draws(8))
    pasted = preset.paste(images, masks, draws(8).fork("paste"))
    assert not torch.equal(pasted[1], masks)
    strong = ClassicalStrong()(*pasted, draws(8))
    assert torch.equal(changed, strong[0])
    assert torch.equal(moved, strong[1])
    told, wanted = preset.parameters(draws(8)), ClassicalStrong().parameters(draws(8))
    assert len(told) == len(wanted) + 7
    assert all(torch.equal(told[name], value) for name, value in wanted.items())


RECIPE = """
name: pasted
dataset: {{folder: {{root: {root}, size: 32, test_fraction: 0.5}}}}
augment: [{{paste: {{}}}}]
segmenter: {{unet: {{width: 4, steps: 2, batch_size: 2}}}}
"""


def test_a_run_is_refused_in_one_sentence_where_no_training_mask_has_an_object(tmp_path):
    for i in range(8):
        for kind, picture in (
            ("images", np.full((32, 32, 3), 20 * i, np.uint8)),
            ("masks", np.ones((32, 32), np.uint8)),
        ):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(picture).save(tmp_path / kind / f"{i}.png")
    file = tmp_path / "r.yaml"
    file.write_text(RECIPE.format(root=tmp_path))
    with pytest.raises(InputError) as refused:
        augkit.run(file, out=tmp_path / "out")
    assert "augmentation 'paste'" in str(refused.value)
    assert "found nothing to paste in" in str(refused.value)
    assert "allowed: masks with an object that the frame does not cut and that has ground around it" in str(
        refused.value
    )


def test_masks_are_looked_at_until_one_has_an_object():
    masks = discs(3)[1][:, 0].numpy() > 0.5
    Paste().check_masks(masks)
    for paste in (Paste(), ClassicalPaste()):
        with pytest.raises(ValueError, match="in 3 training masks, of which 3 fill the frame;"):
            paste.check_masks(masks | True)
    with pytest.raises(ValueError, match="in 3 training masks, of which 0 fill the frame;"):
        Paste().check_masks(masks & False)

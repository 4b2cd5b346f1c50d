import numpy as np
import pytest
import torch
from scipy import ndimage

from augkit import Draws
from augkit_classical.colour import Colour
from augkit_classical.geometry import Geometry


def draws(n, epoch=0):
    return Draws.on_device(3, "batch", torch.arange(n), epoch)


def blobs(n, height=48, width=64):
    """Images whose three channels are the mask, smooth enough to interpolate."""
    y, x = np.mgrid[:height, :width]
    masks = [((y - 20 - 2 * i) ** 2 / 100 + (x - 25 - i) ** 2 / 250 < 1) for i in range(n)]
    mask = torch.from_numpy(np.array(masks)[:, None]).float()
    return mask.repeat(1, 3, 1, 1), mask


WILD = Geometry(rotate=180, scale=(0.7, 1.4), shear=10, translate=0.1)
EVERY = [Geometry(), WILD, Geometry(padding="constant"), Colour(), Colour(hue=90, gamma=0.5)]


@pytest.mark.parametrize("augmentation", EVERY)
def test_shapes_types_and_ranges_are_kept_and_inputs_left_alone(augmentation):
    images, masks = blobs(6)
    before = images.clone(), masks.clone()
    changed, moved = augmentation(images, masks, draws(6))
    assert torch.equal(images, before[0])
    assert torch.equal(masks, before[1])
    assert changed.shape == images.shape
    assert moved.shape == masks.shape
    assert changed.dtype == moved.dtype == torch.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert set(moved.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("augmentation", EVERY)
def test_a_sample_gets_the_same_augmentation_alone_as_in_a_batch(augmentation):
    images, masks = blobs(5)
    together = augmentation(images, masks, draws(5))
    for i in range(5):
        alone = augmentation(images[i : i + 1], masks[i : i + 1], draws(5)[i : i + 1])
        assert torch.allclose(alone[0][0], together[0][i], atol=1e-6)
        assert torch.equal(alone[1][0], together[1][i])


@pytest.mark.parametrize("augmentation", EVERY)
def test_another_epoch_draws_anew_and_the_same_epoch_does_not(augmentation):
    images, masks = blobs(6)
    images = images * 0.5 + 0.2
    first, again, later = (augmentation(images, masks, draws(6, epoch))[0] for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


def test_image_and_mask_move_together():
    images, masks = blobs(32)
    moved_images, moved_masks = WILD(images, masks, draws(32))
    assert torch.equal((moved_images[:, :1] > 0.5).float(), moved_masks)


def test_flips_alone_are_exact_mirror_images():
    images, masks = blobs(16)
    images = images * torch.linspace(0, 1, images.shape[3])
    flipped, _ = Geometry(rotate=0)(images, masks, draws(16))
    kinds = set()
    for image, result in zip(images, flipped, strict=True):
        mirrored = {"none": image, "x": image.flip(2), "y": image.flip(1), "both": image.flip(1, 2)}
        kinds |= {name for name, expected in mirrored.items() if torch.allclose(expected, result, atol=1e-5)}
    assert kinds == {"none", "x", "y", "both"}


def test_the_warp_agrees_with_scipy_on_smooth_images():
    size = 64
    y, x = np.mgrid[:size, :size] / size
    smooth = (0.5 + 0.3 * np.sin(4 * x + 1) * np.cos(3 * y)).astype(np.float32)
    image = torch.from_numpy(smooth)[None, None].repeat(1, 3, 1, 1)
    geometry = Geometry(rotate=40, scale=(0.8, 1.3), shear=5, translate=0.05)
    warped, _ = geometry(image, image[:, :1], draws(1))
    a = geometry.compose(geometry.parameters(draws(1)))[0].numpy().astype(np.float64)
    swapped = a[::-1, [1, 0, 2]]  # (x, y) -> (row, column)
    centre = (size - 1) / 2
    offset = swapped[:, 2] * size / 2 + centre - swapped[:, :2] @ [centre, centre]
    reference = ndimage.affine_transform(smooth, swapped[:, :2], offset, order=1)
    inside = ndimage.affine_transform(np.ones_like(smooth), swapped[:, :2], offset, order=0) > 0.5
    inside = ndimage.binary_erosion(inside, iterations=2)
    assert inside.sum() > 1000
    assert np.abs(warped[0, 0].numpy() - reference)[inside].max() < 1 / 255


def test_reflection_leaves_no_black_corners_and_constant_padding_does():
    white = torch.ones(8, 3, 32, 32)
    for padding, black in (("reflect", False), ("border", False), ("constant", True)):
        rotated, _ = Geometry(rotate=180, padding=padding)(white, white[:, :1], draws(8))
        assert bool((rotated < 0.5).any()) is black


def test_a_rotation_keeps_a_disc_round_on_an_image_that_is_not_square():
    y, x = np.mgrid[:40, :80]
    disc = torch.from_numpy(((y - 19.5) ** 2 + (x - 39.5) ** 2 < 150)[None, None]).float().repeat(16, 1, 1, 1)
    _, moved = Geometry(rotate=180, padding="constant")(disc.repeat(1, 3, 1, 1), disc, draws(16))
    assert (moved != disc).float().mean() < 0.005


def test_probability_zero_leaves_only_flips():
    images, masks = blobs(4)
    changed, _ = Geometry(flip="none", probability=0)(images, masks, draws(4))
    assert torch.allclose(changed, images, atol=1e-5)


def test_no_colour_change_is_the_identity_and_grey_stays_grey_under_hue():
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    still, _ = Colour(brightness=0, contrast=0, saturation=0, hue=0)(images, images[:, :1], draws(4))
    assert torch.allclose(still, images, atol=1e-5)
    grey = images[:, :1].repeat(1, 3, 1, 1)
    turned, _ = Colour(brightness=0, contrast=0, saturation=0, hue=120)(grey, grey[:, :1], draws(4))
    assert torch.allclose(turned, grey, atol=1e-5)


def test_an_impossible_scale_is_refused():
    with pytest.raises(ValueError, match=r"scale is \[1.2, 0.8\]; allowed: 0.2 <= smallest <= largest <= 5"):
        Geometry(scale=(1.2, 0.8))

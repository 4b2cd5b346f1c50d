import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from augkit import Draws
from augkit.training.batches import Batch, as_floats
from augkit.training.pipeline import Pipeline
from augkit_classical import warp
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
from augkit_classical.warp import affine_grid, warp_affine, warp_free_form


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


FLIPS = [Geometry(flip=flip, rotate=0) for flip in ("none", "horizontal", "vertical", "both")]


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize("augmentation", [*FLIPS, WILD, ClassicalPaper(), Elastic(probability=0.5), ClassicalStrong()])
def test_stored_pixels_are_changed_as_their_floats_to_the_bit(augmentation, classes):
    assert augmentation.takes_stored_pixels()
    images = torch.randint(256, (16, 3, 24, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    masks = images[:, :classes] // 128
    stored, floats = augmentation(images, masks, draws(16)), augmentation(*as_floats(images, masks), draws(16))
    assert stored[0].dtype == (torch.uint8 if augmentation in FLIPS else torch.float32)
    for one, other in zip(as_floats(*stored), floats, strict=True):
        assert torch.equal(one, other)


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


def sampled_as_on_a_gpu(images, masks, at, padding):
    return warp._sampled(images, masks, at, padding)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("padding", ["reflect", "border", "constant", "ignore"])
def test_cpu_and_gpu_paths_read_the_same_positions(padding, classes):
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(56.0), indexing="ij")
    images = torch.stack([0.5 + 0.4 * torch.sin(x / 9 + c) * torch.cos(y / 7) for c in range(3)])[None].repeat(
        6, 1, 1, 1
    )
    masks = (images[:, :1] * torch.arange(1, classes + 1)[:, None, None] > 0.8).float()
    still, moved = torch.zeros(6, 2, dtype=torch.bool), torch.ones(6, dtype=torch.bool)

    geometry = Geometry(flip="none", rotate=180, scale=(0.5, 2), shear=20, translate=0.3)
    matrices = geometry.compose(geometry.parameters(draws(6)), 56 / 40)
    ours = warp_affine(images, masks, matrices, padding, moved, still)
    theirs = sampled_as_on_a_gpu(images, masks, affine_grid(matrices, 40, 56), padding)
    assert_close_but_for_edges(ours, theirs, padding)

    elastic = Elastic(spacing=0.25, strength=1)
    points, splines = elastic.control_points(draws(6)), elastic.splines(40, 56, "cpu")
    ours = warp_free_form(images, masks, points, splines, padding, moved)
    at = splines[0] @ points @ splines[1].T
    at[:, 0] += (torch.arange(56) * 2 + 1) / 56 - 1
    at[:, 1] += ((torch.arange(40) * 2 + 1) / 40 - 1)[:, None]
    assert_close_but_for_edges(ours, sampled_as_on_a_gpu(images, masks, at, padding), padding)


def assert_close_but_for_edges(ours, theirs, padding):
    """Images within 1/255, and masks within what lies a rounding from one half.

    OpenCV reads more than four channels at steps of 1/32 of a pixel, which shows where constant padding begins.
    """
    coarse = padding in ("constant", "ignore") and ours[1].shape[1] > 1
    assert (ours[0] - theirs[0]).abs().max() < (1 / 32 if coarse else 1 / 255), padding
    assert (ours[1] != theirs[1]).float().mean() < 1e-3, padding
    assert set(ours[1].unique().tolist()) <= {0.0, 1.0}


def test_the_number_of_threads_changes_no_bit():
    images, masks = blobs(9)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.append(ClassicalStrong()(images, masks, draws(9)))
    finally:
        torch.set_num_threads(before)
    for changed, moved in found[1:]:
        assert torch.equal(changed, found[0][0])
        assert torch.equal(moved, found[0][1])


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


def test_a_shift_is_a_share_of_each_side_on_an_image_that_is_not_square():
    geometry = Geometry(flip="none", rotate=0, translate=0.25, padding="constant")
    drawn = geometry.parameters(draws(8))
    images = torch.ones(8, 3, 40, 80)
    moved, _ = geometry(images, images[:, :1], draws(8))
    kept_rows, kept_columns = (moved[:, 0] > 0.99).any(2).sum(1), (moved[:, 0] > 0.99).any(1).sum(1)
    assert ((40 - kept_rows) - drawn["translate y"].abs() * 40).abs().max() <= 1
    assert ((80 - kept_columns) - drawn["translate x"].abs() * 80).abs().max() <= 1


def test_a_crop_is_part_of_the_image_enlarged_and_never_leaves_it():
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64).repeat(16, 1, 1, 1)
    geometry = Geometry(flip="none", rotate=0, crop=0.5, padding="constant")
    cropped, _ = geometry(ramp, ramp[:, :1], draws(16))
    drawn = geometry.parameters(draws(16))
    seen = cropped[:, 0, 32, 63] - cropped[:, 0, 32, 0]
    assert (seen - drawn["crop"]).abs().max() < 0.03
    assert (cropped[:, 0, 32, 1:] >= cropped[:, 0, 32, :-1]).all()
    assert 0.5 <= drawn["crop"].min() < drawn["crop"].max() <= 1


def test_samples_that_only_flip_are_exact_copies_beside_samples_that_turn():
    images = torch.rand(32, 3, 20, 28, generator=torch.Generator().manual_seed(0))
    geometry = ClassicalPaper()
    drawn = geometry.parameters(draws(32))
    still = ~drawn["applied"]
    assert 4 < still.sum() < 28
    changed, _ = geometry(images, images[:, :1], draws(32))
    flips, _ = Geometry(rotate=0)(images, images[:, :1], draws(32))
    assert torch.equal(changed[still], flips[still])
    assert not torch.equal(changed[~still], flips[~still])


def test_the_affine_grid_agrees_with_torch_s():
    geometry = Geometry(rotate=170, scale=(0.5, 2), shear=30, translate=0.3, crop=0.4)
    matrices = geometry.compose(geometry.parameters(draws(6)), 1.5)
    expected = torch.nn.functional.affine_grid(matrices, [6, 1, 32, 48], align_corners=False)
    assert torch.allclose(affine_grid(matrices, 32, 48).permute(0, 2, 3, 1), expected, atol=1e-5)


@pytest.mark.parametrize("spacing", [0.06, 0.2, 0.5])
def test_the_strongest_elastic_deformation_does_not_fold(spacing):
    size, n = 96, 24
    elastic = Elastic(spacing=spacing, strength=1)
    worst = elastic.control_points(draws(n)).abs().amax((1, 2, 3)) / 2 / spacing
    assert worst.max() > 0.4  # of the 0.4887 allowed
    y, x = torch.meshgrid(*[(torch.arange(size) + 0.5) / size] * 2, indexing="ij")
    ramps = torch.stack([x, y, x])[None].repeat(n, 1, 1, 1)
    moved, _ = Elastic(spacing=spacing, strength=1, padding="border")(ramps, ramps[:, :1], draws(n))
    inside = (moved[:, :2] > 1 / size) & (moved[:, :2] < 1 - 1 / size)
    along_x, along_y = torch.diff(moved[:, :2], dim=3)[:, :, :-1], torch.diff(moved[:, :2], dim=2)[:, :, :, :-1]
    area = along_x[:, 0] * along_y[:, 1] - along_x[:, 1] * along_y[:, 0]
    quiet = inside.all(1)
    whole = quiet[:, :-1, :-1] & quiet[:, 1:, :-1] & quiet[:, :-1, 1:]
    assert whole.float().mean() > 0.5
    assert (area[whole] > 0).all()


def test_blur_is_a_gaussian_of_the_drawn_width():
    size = 65
    point = torch.zeros(4, 3, size, size)
    point[:, :, 32, 32] = 1
    blur = Blur(sigma=(0.03, 0.06), probability=1)
    blurred, _ = blur(point, point[:, :1], draws(4))
    at = torch.arange(size) - 32.0
    spread = ((blurred[:, 0].sum(1) * at**2).sum(1) / blurred[:, 0].sum((1, 2))).sqrt() / size
    assert torch.allclose(spread, blur.parameters(draws(4))["blur sigma"], rtol=0.03)
    assert torch.allclose(blurred.sum((2, 3)), torch.ones(4, 3), atol=1e-3)


def test_noise_has_the_drawn_deviation_and_differs_between_colours_and_samples():
    grey = torch.full((6, 3, 64, 64), 0.5)
    noise = Noise(sigma=(0.02, 0.05), probability=1)
    noisy, _ = noise(grey, grey[:, :1], draws(6))
    grain = (noisy - 0.5).flatten(2)
    assert torch.allclose(grain.flatten(1).std(1), noise.parameters(draws(6))["noise sigma"], rtol=0.03)
    assert torch.corrcoef(grain.flatten(0, 1)).fill_diagonal_(0).abs().max() < 0.08


def test_cutout_hides_a_square_of_the_drawn_size_in_the_mean_colour():
    images = torch.rand(8, 3, 50, 50, generator=torch.Generator().manual_seed(0))
    cutout = Cutout(size=(0.2, 0.3), probability=1)
    drawn = cutout.parameters(draws(8))
    changed, _ = cutout(images, images[:, :1], draws(8))
    hidden = (changed != images).any(1)
    for i in range(8):
        inside = all(drawn["size"][i] / 2 < drawn[axis][i] < 1 - drawn["size"][i] / 2 for axis in "xy")
        if inside:
            assert abs(hidden[i].sum() ** 0.5 - drawn["size"][i] * 50) < 1.1
        colours = changed[i][:, hidden[i]]
        assert torch.allclose(colours, images[i].mean((1, 2))[:, None].expand_as(colours), atol=1e-5)


def test_mixup_blends_image_and_mask_with_the_same_partner_and_weight():
    value = torch.arange(6).float()[:, None, None, None] / 6
    images, masks = value.expand(6, 3, 4, 4), value.expand(6, 1, 4, 4)
    mixup = Mixup(probability=1)
    changed, soft = mixup(images, masks, draws(6))
    own = mixup.parameters(draws(6))["own weight"]
    assert (own >= 0.5).all()
    other = partners(draws(6))
    assert sorted(other.tolist()) == list(range(6))
    assert (other != torch.arange(6)).all()
    expected = own * value.flatten() + (1 - own) * value.flatten()[other]
    assert torch.allclose(changed[:, 0, 0, 0], expected)
    assert torch.allclose(soft[:, 0, 0, 0], expected)


def test_the_mixing_weight_follows_the_beta_distribution():
    weight = Mixup(alpha=2.0, probability=1).parameters(draws(20_000))["own weight"].numpy()
    assert stats.kstest(weight, lambda w: stats.beta.cdf(w, 2, 2) - stats.beta.cdf(1 - w, 2, 2)).pvalue > 1e-4


def test_cutmix_takes_image_and_mask_of_one_rectangle_from_one_partner():
    images, masks = blobs(6)
    images = torch.cat([masks * 0.5 + torch.arange(6)[:, None, None, None] * 0.01] * 3, dim=1)
    changed, moved = Cutmix(probability=1, size=(0.1, 0.4))(images, masks, draws(6))
    other = partners(draws(6))
    pasted = (changed == images[other]).all(1, keepdim=True)
    assert torch.equal(moved, torch.where(pasted, masks[other], masks))
    share = pasted.float().mean((1, 2, 3))
    assert torch.allclose(share, Cutmix(probability=1, size=(0.1, 0.4)).parameters(draws(6))["area"], atol=0.04)


def test_hair_is_thin_dark_lines_and_a_ruler_keeps_to_one_side():
    white = torch.ones(12, 3, 96, 96)
    hairy, _ = Hair(probability=1, ruler=0)(white, white[:, :1], draws(12))
    dark = (hairy.mean(1) < 0.9).float().mean((1, 2))
    assert (dark > 0).sum() >= 10  # a lone hair may lie outside the image
    assert 0.01 < dark.max() < 0.3
    ruled, _ = Hair(probability=0, ruler=1)(white, white[:, :1], draws(12))
    assert ((ruled < 0.9).any(1).float().mean((1, 2)) > 0.005).all()
    assert torch.equal(ruled[:, :, 20:-20, 20:-20], white[:, :, 20:-20, 20:-20])


def test_the_strong_preset_is_its_parts_in_order_each_with_its_own_draws():
    images, masks = blobs(6)
    images = images * 0.5 + 0.25
    strong = ClassicalStrong()
    changed, moved = strong(images, masks, draws(6))
    for name in ("geometry", "elastic", "colour", "blur", "noise"):
        images, masks = getattr(strong, name)(images, masks, draws(6).fork(name))
    assert torch.equal(changed, images)
    assert torch.equal(moved, masks)
    drawn = strong.parameters(draws(6))
    parts = [getattr(strong, name).parameters(draws(6)) for name in ("geometry", "elastic", "colour", "blur", "noise")]
    assert len(drawn) == sum(map(len, parts))
    assert torch.equal(drawn["noise sigma"], strong.noise.parameters(draws(6).fork("noise"))["noise sigma"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Blur(sigma=(0.2, 0.1)), r"sigma is \[0.2, 0.1\]; allowed: 0 <= smallest <= largest <= 0.1"),
        (lambda: Noise(sigma=(0.1, 0.6)), r"sigma is \[0.1, 0.6\]; allowed: 0 <= smallest <= largest <= 0.5"),
        (lambda: Cutout(size=(0, 0.6)), r"size is \[0, 0.6\]; allowed: 0 < smallest <= largest <= 1"),
        (lambda: Cutmix(size=(0.5, 0.4)), r"size is \[0.5, 0.4\]; allowed: 0 < smallest <= largest <= 1"),
        (lambda: Hair(width=(0.1, 0.2)), r"width is \[0.1, 0.2\]; allowed: 0.001 <= smallest <= largest <= 0.05"),
    ],
)
def test_an_impossible_range_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_impossible_scale_is_refused():
    with pytest.raises(ValueError, match=r"scale is \[1.2, 0.8\]; allowed: 0.2 <= smallest <= largest <= 5"):
        Geometry(scale=(1.2, 0.8))


SHIFTED = Geometry(flip="none", rotate=0, translate=0.3, padding="ignore")
IGNORING = [SHIFTED, Elastic(strength=1, padding="ignore"), ClassicalStrong(geometry=SHIFTED)]


@pytest.mark.parametrize("augmentation", IGNORING)
def test_what_ignored_padding_makes_up_is_black_and_does_not_count(augmentation):
    images = torch.full((8, 3, 32, 48), 200, dtype=torch.uint8)
    masks = torch.zeros((8, 1, 32, 48), dtype=torch.uint8)
    masks[:, :, 8:24, 12:36] = 1
    batch = Batch(images, masks, draws(8))
    changed, moved, counts = batch.augmented(Pipeline([("first", augmentation), ("second", Noise(sigma=(0, 0)))]))
    assert counts is not None
    assert set(counts.unique().tolist()) == {0.0, 1.0}
    assert set(moved.unique().tolist()) == {0.0, 1.0}
    assert moved.shape == counts.shape == (8, 1, 32, 48)
    if augmentation is SHIFTED:
        assert torch.equal((changed > 0.4).all(dim=1, keepdim=True).float(), counts)


@pytest.mark.parametrize("padding", ["reflect", "border", "constant"])
def test_other_padding_counts(padding):
    batch = Batch(*(part.to(torch.uint8) for part in blobs(4)), draws(4))
    assert batch.augmented(Pipeline([("shift", Geometry(translate=0.3, padding=padding))])).counts is None


def test_ignored_padding_moves_what_is_inside_as_black_padding_does():
    batch = Batch(*(part.to(torch.uint8) for part in blobs(4)), draws(4))
    black, ignored = (
        batch.augmented(Pipeline([("turn", Geometry(padding=padding))])) for padding in ("constant", "ignore")
    )
    assert (black.images - ignored.images).abs().mean() < 1e-3  # OpenCV reads five channels in steps of 1/32 pixel
    assert (black.masks != ignored.masks).float().mean() < 1e-3


def test_paste_before_ignored_padding_pastes_as_before_any_other():
    batch = Batch(*(part.to(torch.uint8) for part in blobs(6)), draws(6))
    ignored, black = (
        batch.augmented(Pipeline([("paste", Paste(probability=1)), ("turn", Geometry(padding=padding, probability=0))]))
        for padding in ("ignore", "constant")
    )
    assert not torch.equal(ignored.masks, batch.masks)
    assert torch.equal(ignored.images, black.images)
    assert torch.equal(ignored.masks, black.masks)
    assert ignored.counts is not None
    assert ignored.counts.min() == 1


def test_paste_in_one_preset_with_ignored_padding_is_refused():
    with pytest.raises(ValueError, match="padding is ignore, which makes the background a class"):
        ClassicalPaste(geometry=SHIFTED)

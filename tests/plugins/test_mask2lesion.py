import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import binary_cross_entropy_with_logits, instance_norm

from augkit import Draws, Frame, ImageSet
from augkit.contracts.registry import load_registry
from augkit_mask2lesion.generator import Mask2Lesion
from augkit_mask2lesion.learner import PixToPix
from augkit_mask2lesion.losses import discriminator_loss, generator_loss, share_right
from augkit_mask2lesion.networks import (
    EachNormalised,
    PatchDiscriminator,
    UnetGenerator,
    dropout_blocks,
    normalise_each,
)
from augkit_mask2lesion.presets import Fast128, Released256
from augkit_mask2lesion.resampling import enlarge_and_crop, resize_images, resize_masks, resize_painted
from samples import image_draws, lesions, workspace

TINY = {"width": 4, "epochs": 1, "decay_epochs": 0, "batch_size": 4, "patch_layers": 1}


def parameters(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("size", "norm", "channels", "count"),
    [
        (128, "batch", 1, 41_826_947),
        (128, "batch", 3, 41_828_995),
        (128, "instance", 1, 41_823_619),
        (128, "instance", 3, 41_825_667),
        (256, "batch", 1, 54_411_907),
        (256, "batch", 3, 54_413_955),
        (256, "instance", 1, 54_407_555),
        (256, "instance", 3, 54_409_603),
    ],
)
def test_the_generator_has_pix2pix_s_parameter_count(size, norm, channels, count):
    with torch.device("meta"):
        assert parameters(UnetGenerator(size, 64, norm, channels)) == count


@pytest.mark.parametrize(
    ("layers", "norm", "channels", "count"),
    [
        (3, "batch", 1, 2_766_657),
        (3, "batch", 3, 2_768_705),
        (3, "instance", 1, 2_765_761),
        (3, "instance", 3, 2_767_809),
        (2, "batch", 1, 664_385),
        (2, "batch", 3, 666_433),
    ],
)
def test_the_discriminator_has_pix2pix_s_parameter_count(layers, norm, channels, count):
    with torch.device("meta"):
        assert parameters(PatchDiscriminator(64, layers, norm, channels)) == count


@pytest.mark.parametrize(
    ("layers", "field", "map128", "map256"), [(1, 16, 62, 126), (2, 34, 30, 62), (3, 70, 14, 30), (4, 142, 6, 14)]
)
def test_the_discriminator_s_patches_have_the_published_sizes(layers, field, map128, map256):
    network = PatchDiscriminator(4, layers, "none", 1)
    for size, expected in ((128, map128), (256, map256)):
        image = torch.zeros(1, 3, size, size, requires_grad=True)
        logits = network(torch.zeros(1, 1, size, size), image)
        assert logits.shape == (1, 1, expected, expected)
        if expected > 10 or layers == 3:
            logits[0, 0, expected // 2, expected // 2].backward()
            seen = image.grad[0].abs().sum(0).nonzero()
            extent = (seen.max(0).values - seen.min(0).values + 1).tolist()
            assert max(extent) <= field
            if size == 256:
                assert extent == [field, field]


@pytest.mark.parametrize(
    "generator",
    [
        Mask2Lesion(norm="batch", **TINY),
        Mask2Lesion(norm="instance", dropout="torch_port", mask_channels=3, adversarial="hinge", **TINY),
        Mask2Lesion(norm="none", **TINY),
    ],
    ids=lambda generator: generator.norm,
)
def test_an_image_depends_only_on_its_mask_and_key_whatever_the_batch(generator, tmp_path):
    assert_images_depend_only_on_mask_and_key(generator, lesions(70), tmp_path)


@pytest.mark.parametrize("preset", [Mask2Lesion, Released256, Fast128])
def test_the_presets_paint_each_image_from_its_mask_and_key_at_the_data_s_size(preset, tmp_path):
    assert_images_depend_only_on_mask_and_key(preset(**TINY), lesions(10), tmp_path)


def assert_images_depend_only_on_mask_and_key(generator, train, folder):
    n = len(train)
    generator.fit(train.take(range(8)), workspace(folder))
    paint = generator.open(folder, "cpu")
    draws = image_draws(n)
    together = paint(train.masks, draws)
    assert together.dtype == np.uint8
    assert together.shape == train.images.shape
    for size in {1, 7, min(n, 64)}:
        cuts = [slice(begin, begin + size) for begin in range(0, n, size)]
        parts = np.concatenate([paint(train.masks[cut], draws[cut]) for cut in cuts])
        assert np.array_equal(parts, together), f"batches of {size}"
    order = np.argsort(Draws.of(1, "order", np.arange(n)).bits("order"))
    assert np.array_equal(paint(train.masks[order], draws[order]), together[order])
    assert not np.array_equal(together[0], together[1])


def test_dropout_stays_on_at_synthesis_so_another_key_gives_another_image(tmp_path):
    generator = Mask2Lesion(**TINY)
    generator.fit(lesions(), workspace(tmp_path))
    paint = generator.open(tmp_path, "cpu")
    mask = lesions(1).masks
    first, second = (paint(mask, Draws.of(0, "synthesis", np.array([key]))) for key in (0, 1))
    assert not np.array_equal(first, second)


def test_the_learning_rate_is_constant_and_then_falls_linearly_as_in_pix2pix(tmp_path):
    options = Mask2Lesion(width=4, epochs=100, decay_epochs=100, batch_size=8)
    learner = PixToPix(options, lesions(8), workspace(tmp_path))
    assert learner.steps == 200
    rates = {}
    for epoch in (1, 100, 101, 200):
        learner._set_learning_rates(epoch - 1)
        rates[epoch] = learner.optimizers["G"].param_groups[0]["lr"] / 2e-4
    assert rates[1] == rates[100] == 1
    assert rates[101] == pytest.approx(100 / 101)
    assert rates[200] == pytest.approx(1 / 101)


@pytest.mark.parametrize(("how", "size"), [("nearest", 32), ("bicubic", 32), ("nearest", 128)])
def test_cropping_takes_image_and_mask_from_the_same_place(how, size):
    mask = torch.from_numpy(lesions(16).masks[:, None]).float()
    draws = Draws.on_device(0, "batch", torch.arange(16))
    images, masks = enlarge_and_crop(mask.repeat(1, 3, 1, 1), mask, draws, size, how)
    assert images.shape == (16, 3, size, size)
    assert masks.shape == (16, 1, size, size)
    assert float(masks.min()) >= 0
    assert float(masks.max()) <= 1
    assert (set(masks.unique().tolist()) <= {0.0, 1.0}) == (how == "nearest")
    disagreement = ((images[:, :1] > 0.5) != (masks > 0.5)).float().mean()
    assert disagreement < 0.02
    assert not torch.equal(masks[0], masks[1])


def test_images_are_resized_as_pillow_s_bicubic_does():
    y, x = np.mgrid[:128, :128]
    image = np.stack([120 + 60 * np.sin(x / 9), 120 + 60 * np.cos(y / 7), (x + y) / 2], axis=2).astype(np.uint8)
    expected = np.asarray(Image.fromarray(image).resize((286, 286), Image.Resampling.BICUBIC)).astype(float)
    batch = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    found = resize_images(batch, 286)[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(found - expected).max() < 1.1


def test_masks_painted_at_another_size_stay_binary_or_become_soft_as_asked():
    mask = torch.from_numpy(lesions(1).masks[:, None]).float()
    assert set(resize_masks(mask, 128, "nearest").unique().tolist()) == {0.0, 1.0}
    assert len(resize_masks(mask, 128, "bicubic").unique()) > 2
    assert resize_masks(mask, 32, "bicubic") is mask


def test_painted_images_return_by_the_pixel_under_the_centre_or_by_the_mean():
    big = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert resize_painted(big, 2, 2, "nearest").flatten().tolist() == [5, 7, 13, 15]
    assert resize_painted(big, 2, 2, "area").flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


@pytest.mark.parametrize(
    ("dropout", "at256", "at128", "at64", "at32"),
    [
        ("lua", [0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 2]),
        ("torch_port", [1, 2, 3], [1, 2], [1], []),
        ("none", [], [], [], []),
    ],
)
def test_dropout_is_in_the_blocks_of_each_release(dropout, at256, at128, at64, at32):
    assert [list(dropout_blocks(dropout, downs)) for downs in (8, 7, 6, 5)] == [at256, at128, at64, at32]


@pytest.mark.parametrize("blocks", ["lua", "torch_port", "none"])
def test_dropout_halves_the_features_of_its_blocks_and_no_others(blocks):
    network = UnetGenerator(64, 4, "none", 1, blocks)
    zeros = []
    for norm, up in zip(network.up_norm, network.up[1:], strict=True):
        norm.register_forward_hook(lambda module, inputs, output: torch.ones_like(output))
        up.register_forward_pre_hook(lambda module, inputs: zeros.append(share_of_zeros(inputs[0])))
    with torch.inference_mode():
        network(torch.ones(4, 1, 64, 64), Draws.on_device(0, "noise", torch.arange(4)))
    noisy = dropout_blocks(blocks, 6)
    assert zeros == [pytest.approx(0.5, abs=0.1) if level in noisy else 0 for level in range(5)]


def share_of_zeros(joined):
    """Return the share of zeros in the decoded half of what a decoder block is given."""
    return float((joined[:, : joined.shape[1] // 2] == 0).float().mean())


def test_each_coin_of_dropout_is_fair_and_independent_of_the_others():
    network = UnetGenerator(32, 8, "none", 1)
    seen = []
    network.up[1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][:, :64]))
    network.up_norm[0].register_forward_hook(lambda module, inputs, output: torch.ones_like(output))
    with torch.inference_mode():
        network(torch.ones(256, 1, 32, 32), Draws.on_device(0, "noise", torch.arange(256)))
    kept = seen[0]
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    per_element = (kept > 0).float().flatten(1)
    assert abs(float(per_element.mean()) - 0.5) < 0.01
    assert float((per_element.mean(0) - 0.5).abs().max()) < 0.15
    together = torch.corrcoef(per_element.T) - torch.eye(per_element.shape[1])
    assert float(together.abs().max()) < 0.35


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_normalising_each_sample_is_instance_normalisation_and_ignores_the_neighbours(training, kind, tolerance):
    numbers = np.random.Generator(np.random.Philox(key=1)).normal(3, 2, (5, 6, 8, 8))
    x = torch.from_numpy(numbers).to(kind).contiguous(memory_format=torch.channels_last).requires_grad_(training)
    weight, bias = torch.linspace(0.5, 2, 6), torch.linspace(-1, 1, 6)
    expected = instance_norm(x.float(), weight=weight, bias=bias)
    found = normalise_each(x, weight.to(kind), bias.to(kind))
    assert (found.float() - expected).abs().max() < tolerance
    assert torch.equal(normalise_each(x[2:3], weight.to(kind), bias.to(kind))[0], found[2])
    if training:
        gradients = [torch.autograd.grad((y.float() ** 3).sum(), x)[0].float() for y in (found, expected)]
        assert (gradients[0] - gradients[1]).abs().max() < 40 * tolerance


def test_what_normalises_each_sample_on_a_gpu_is_instance_normalisation_with_both_derivatives():
    numbers = np.random.Generator(np.random.Philox(key=1)).normal(3, 2, (2, 3, 4, 5))
    x = torch.from_numpy(numbers).contiguous(memory_format=torch.channels_last).requires_grad_()
    y, _ = EachNormalised.apply(x)
    assert torch.allclose(y, instance_norm(x), atol=1e-6)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert torch.autograd.gradcheck(EachNormalised.apply, x)
    assert torch.autograd.gradgradcheck(EachNormalised.apply, x)
    few = x.detach().bfloat16()
    assert (EachNormalised.apply(few)[0].float() - instance_norm(few.float())).abs().max() < 0.02


@pytest.mark.parametrize("kind", ["vanilla", "lsgan", "hinge"])
def test_the_adversarial_losses_are_those_of_the_literature(kind):
    real, fake = torch.tensor([2.0, -0.5, 0.3]), torch.tensor([-3.0, 0.4, 0.6])
    one, zero = torch.ones(3), torch.zeros(3)
    cross_entropy = binary_cross_entropy_with_logits
    expected_d, expected_g, right = {
        "vanilla": ((cross_entropy(real, one) + cross_entropy(fake, zero)) / 2, cross_entropy(fake, one), 3),
        "lsgan": ((1 + 2.25 + 0.49 + 9 + 0.16 + 0.36) / 6, (16 + 0.36 + 0.16) / 3, 3),
        "hinge": ((0 + 1.5 + 0.7 + 0 + 1.4 + 1.6) / 6, (3 - 0.4 - 0.6) / 3, 3),
    }[kind]
    assert float(discriminator_loss(kind, real, fake)) == pytest.approx(float(expected_d), abs=1e-6)
    assert float(generator_loss(kind, fake)) == pytest.approx(float(expected_g), abs=1e-6)
    assert float(share_right(kind, real, fake)) == pytest.approx(right / 6)


def test_presets_change_defaults_and_nothing_else():
    registered = load_registry().entries
    changed = {}
    for name, preset in (("mask2lesion-released256", Released256), ("mask2lesion-fast128", Fast128)):
        assert registered["generator", name].cls is preset
        assert [field.name for field in dataclasses.fields(preset)] == [f.name for f in dataclasses.fields(Mask2Lesion)]
        assert {key for key in vars(preset) if callable(getattr(preset, key)) and not key.startswith("__")} == set()
        plain, own = dataclasses.asdict(Mask2Lesion()), dataclasses.asdict(preset())
        changed[name] = {key: own[key] for key in own if own[key] != plain[key]}
    assert changed == {
        "mask2lesion-released256": {
            "norm": "instance",
            "dropout": "torch_port",
            "mask_channels": 3,
            "size": 256,
            "mask_resample": "bicubic",
        },
        "mask2lesion-fast128": {"norm": "instance", "size": 128, "batch_size": 16, "learning_rate": 8e-4},
    }


def test_the_published_command_trains_at_256_pixels_on_soft_three_channel_masks(tmp_path):
    learner = PixToPix(Released256(**TINY), lesions(4), workspace(tmp_path))
    batch = learner._batches.at(0)
    part = learner._prepare(batch)
    images, masks = part.images, part.masks
    assert images.shape == masks.shape == (4, 3, 256, 256)
    assert torch.equal(masks[:, 0], masks[:, 2])
    assert len(masks.unique()) > 100
    assert (float(masks.min()), float(masks.max())) == (-1.0, 1.0)


def test_images_of_any_shape_are_accepted_where_the_working_size_is_set(tmp_path):
    wide = lesions(4)
    wide = ImageSet(wide.ids, wide.images[:, 4:28], wide.masks[:, 4:28], wide.groups, wide.origins)
    generator = Fast128(**TINY)
    generator.fit(wide, workspace(tmp_path))
    painted = generator.open(tmp_path, "cpu")(wide.masks, image_draws(4))
    assert painted.shape == (4, 24, 32, 3)


def test_the_discriminator_is_not_changed_by_the_generator_s_update(tmp_path):
    learner = PixToPix(Mask2Lesion(norm="instance", **TINY), lesions(), workspace(tmp_path))
    learner.step(0)
    gradients_of_d_step = [p.grad.clone() for p in learner.discriminator.parameters()]
    assert all(p.requires_grad for p in learner.discriminator.parameters())
    assert any(bool(g.abs().sum() > 0) for g in gradients_of_d_step)


def test_the_generator_learns_which_colour_is_inside_the_mask(tmp_path):
    generator = Mask2Lesion(
        width=8, norm="instance", patch_layers=1, epochs=40, decay_epochs=0, batch_size=4, learning_rate=2e-3
    )
    train = lesions(8)
    generator.fit(train, workspace(tmp_path))
    painted = generator.open(tmp_path, "cpu")(train.masks, image_draws(8)).astype(int)
    inside, outside = painted[train.masks].mean(0), painted[~train.masks].mean(0)
    assert np.abs(inside - [120, 70, 50]).max() < 35
    assert np.abs(outside - [220, 180, 160]).max() < 35


@pytest.mark.parametrize(("height", "width"), [(48, 48), (32, 64)])
def test_images_of_another_size_are_refused(height, width):
    told = f"found images of {width} x {height} pixels; allowed: squares with a side of 32, 64.*option size"
    with pytest.raises(ValueError, match=told):
        Mask2Lesion().check_frame(Frame(height, width))


def test_images_of_any_size_are_taken_where_they_are_brought_to_one_or_a_file_of_weights_decides():
    Mask2Lesion(size=128).check_frame(Frame(48, 80))
    Mask2Lesion(weights=Path("generator.safetensors")).check_frame(Frame(48, 80))


def test_patches_larger_than_the_image_are_refused(tmp_path):
    options = Mask2Lesion(**{**TINY, "patch_layers": 4})
    told = "patch_layers: found 4, which leaves no patch of images of 32 pixels; allowed: up to 3"
    with pytest.raises(ValueError, match=told):
        options.check_frame(Frame(32, 32))
    PixToPix(Mask2Lesion(**{**TINY, "patch_layers": 3}), lesions(4), workspace(tmp_path)).step(0)

"""The preset `mask2lesion-spade` and the options it is made of."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, interpolate

from augkit import Draws, InputError
from augkit.store import read_json
from augkit_mask2lesion.convolutions import ResizeConv2d, SpectralConv2d, renew_spectra
from augkit_mask2lesion.diffaugment import differentiable
from augkit_mask2lesion.generator import Mask2Lesion
from augkit_mask2lesion.learner import PixToPix
from augkit_mask2lesion.losses import feature_distance, gradient_penalty
from augkit_mask2lesion.networks import PatchDiscriminator, UnetGenerator
from augkit_mask2lesion.presets import Spade
from augkit_mask2lesion.spade import SpadeDecoder, StyleTransfer, linear, owned
from samples import image_draws, image_set, lesions, workspace

TINY = {"width": 4, "style": 3, "patch_layers": 1, "epochs": 1, "decay_epochs": 0, "batch_size": 4}
EVERYTHING = {**TINY, "spectral_norm": True, "lambda_r1": 1.0, "diffaugment": ("translation", "cutout", "colour")}


def coloured(n=16):
    """Lesions on skins of every tone; each lies a little further to the right than the one before."""
    plain = lesions(n)
    tone = np.random.Generator(np.random.Philox(key=1)).integers(-60, 35, (n, 1, 1, 3))
    return image_set((plain.images.astype(int) + tone).clip(0, 255), plain.masks)


def trained(folder, generator, train=None):
    """Return the painter of a generator that was trained in `folder`."""
    generator.fit(train or coloured(), workspace(folder))
    return generator.open(folder, "cpu")


# Painting


@pytest.mark.parametrize(
    "generator",
    [
        Spade(**TINY),
        Spade(**{**TINY, "mask_channels": 3, "upsample": "transposed", "style_from": "prior", "ema": 0.0}),
        Spade(**{**TINY, "style": 0}),
        Mask2Lesion(norm="instance", upsample="nearest", ema=0.9, width=4, epochs=1, decay_epochs=0, patch_layers=1),
    ],
    ids=["preset", "prior", "no style", "unet"],
)
def test_an_image_depends_only_on_its_mask_and_key_whatever_the_batch(generator, tmp_path):
    train = coloured(70)
    paint = trained(tmp_path, generator, train.take(range(8)))
    draws, n = image_draws(70), 70
    together = paint(train.masks, draws)
    for size in (1, 7, 64):
        cuts = [slice(begin, begin + size) for begin in range(0, n, size)]
        parts = np.concatenate([paint(train.masks[cut], draws[cut]) for cut in cuts])
        assert np.array_equal(parts, together), f"batches of {size}"
    order = np.argsort(Draws.of(1, "order", np.arange(n)).bits("order"))
    assert np.array_equal(paint(train.masks[order], draws[order]), together[order])
    assert not np.array_equal(paint(train.masks[:1], image_draws(1, 1))[0], together[0])


@pytest.mark.slow
def test_a_generator_has_learnt_to_paint_one_mask_in_the_colours_of_several_training_images(tmp_path):
    train = coloured(32)
    generator = Spade(width=8, style=4, patch_layers=1, epochs=50, decay_epochs=10, learning_rate=2e-3, sample_every=0)
    paint = trained(tmp_path, generator, train)
    mask = train.masks[:1]
    painted = paint(np.repeat(mask, 40, axis=0), image_draws(40)).astype(float)
    skin, of_real = painted[:, ~mask[0]].mean(1), train.images[:, ~mask[0]].astype(float).mean(1)
    assert skin.std(0).mean() > 0.5 * of_real.std(0).mean()
    assert (painted[:, mask[0]].mean(1) < skin).all(), "the lesion is darker than its skin in every image"
    health = read_json(tmp_path / "health.json")
    assert health["values"]["style"] > 0.3


def test_the_codes_of_all_training_images_are_part_of_the_weights_and_no_others(tmp_path):
    train = coloured(70)
    generator = Spade(**TINY)
    learner = PixToPix(generator, train, workspace(tmp_path))
    learner.step(0)
    network, architecture = learner.trained(train)
    assert network.styles.shape == (70, 2, 3)
    assert architecture.styles == 70
    assert bool((network.styles[:, 1] > 0).all()), "a deviation of each"
    few, _ = learner.trained(train.take([69]))
    assert torch.allclose(few.styles[0], network.styles[69], atol=1e-5)


def test_what_paints_is_the_average_of_the_weights(tmp_path):
    learner = PixToPix(Spade(**{**TINY, "ema": 0.9}), coloured(), workspace(tmp_path))
    for number in range(3):
        learner.step(number)
    network, _ = learner.trained(coloured())
    last, average = learner.generator.decoder.head.weight, learner.networks["average"].network.decoder.head.weight
    assert torch.equal(network.decoder.head.weight, average)
    assert not torch.equal(last, average)


# Networks and losses


def test_resize_convolution_is_nearest_enlargement_and_a_3x3_convolution():
    layer = ResizeConv2d(5, 7, bias=True)
    x = torch.randn(2, 5, 6, 8)
    expected = conv2d(interpolate(x, scale_factor=2), layer.weight, layer.bias, padding=1)
    assert torch.allclose(layer(x), expected, atol=1e-5)


def test_spectral_convolutions_have_the_norm_one_and_change_by_renewal_alone():
    layer = SpectralConv2d(6, 8, 4, 2, 1)
    nn.init.normal_(layer.weight, 0, 3)
    for _ in range(500):
        renew_spectra(layer)
    before = layer.left.clone()
    x = torch.randn(1, 6, 8, 8)
    found = layer(x)
    assert torch.equal(layer.left, before)
    largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
    assert torch.allclose(found, conv2d(x, layer.weight / largest, layer.bias, 2, 1), atol=1e-3)


def test_rows_of_a_linear_map_do_not_depend_on_their_place():
    x, weight = torch.randn(32, 16), torch.randn(40, 16)
    assert torch.allclose(linear(x, weight), x @ weight.T, atol=1e-5)
    assert torch.equal(linear(x.roll(5, 0), weight), linear(x, weight).roll(5, 0))


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_the_decoder_grows_to_every_size_and_sees_mask_style_and_noise(size):
    network = SpadeDecoder(size, 4, 1, 3, "nearest")
    masks, codes = torch.ones(2, 1, size, size), torch.zeros(2, 3)
    masks[1, :, : size // 2] = -1
    draws = Draws.on_device(0, "noise", torch.arange(2))
    image = network(masks, codes, draws)
    assert image.shape == (2, 3, size, size)
    assert not torch.equal(image, network(-masks, codes, draws))
    assert not torch.equal(image, network(masks, codes + 1, draws))
    assert not torch.equal(image, network(masks, codes, Draws.on_device(1, "noise", torch.arange(2))))
    alone = network(masks[:1], codes[:1], draws[:1])
    assert torch.allclose(image[:1], alone, atol=1e-5), "no sample depends on another"


def test_half_of_a_batch_has_its_own_styles_and_the_others_have_those_of_the_first_half():
    network = StyleTransfer(32, 4, 1, 3, "nearest")
    images, masks = torch.rand(5, 3, 32, 32), torch.ones(5, 1, 32, 32)
    draws = Draws.on_device(0, "batch", torch.arange(5))
    painted, divergence = network(images, masks, draws)
    assert owned(5) == len(divergence) == 3
    changed = images.clone()
    changed[0] += 0.5
    again, _ = network(changed, masks, draws)
    differs = [not torch.equal(one, other) for one, other in zip(painted, again, strict=True)]
    assert differs == [True, False, False, True, False]
    changed[3:] += 0.5
    assert torch.equal(network(changed, masks, draws)[0], again), "images of the second half are no style"


def test_the_feature_distance_is_the_mean_of_the_layers_and_the_penalty_that_of_the_gradients():
    one, two = (
        [torch.zeros(1, 2, 3, 3), torch.zeros(1, 1, 2, 2)],
        [torch.ones(1, 2, 3, 3), torch.full((1, 1, 2, 2), 3.0)],
    )
    assert float(feature_distance(one, two)) == 2.0
    pairs = torch.randn(4, 2, 3, 3)
    assert float(gradient_penalty(lambda x: (3 * x).sum((1, 2, 3), keepdim=True), pairs)) == pytest.approx(81.0)


# What the discriminator sees


@pytest.mark.parametrize("kinds", [("translation",), ("mirror",), ("cutout",), ("colour",), ("translation", "mirror")])
def test_the_discriminator_sees_mask_and_image_changed_alike_and_derivatives_reach_the_image(kinds):
    n, size = 40, 16
    change = differentiable(kinds, Draws.on_device(0, "batch", torch.arange(n)), size)
    pairs = torch.rand(n, 4, size, size).mul(2).sub(1).requires_grad_()
    with torch.no_grad():
        pairs[:, 0] = pairs[:, 3]
    seen = change(pairs)
    assert torch.equal(seen, change(pairs)), "the same for all that is shown of a step"
    assert not torch.equal(seen, pairs)
    if "colour" in kinds:
        assert torch.equal(seen[:, 0], pairs[:, 0])
    else:
        assert torch.equal(seen[:, 0], seen[:, 3])
        values = set(pairs.detach().flatten().tolist()) | {0.0}
        assert set(seen.detach().flatten().tolist()) <= values, "pixels are moved or hidden, and not mixed"
    seen.sum().backward()
    assert bool((pairs.grad.abs().sum((1, 2, 3)) > 0).all())


def test_pairs_are_moved_by_up_to_an_eighth_in_both_directions_and_mirrored_in_both():
    n, size = 400, 16
    draws = Draws.on_device(0, "batch", torch.arange(n))
    along = torch.arange(size).float()
    image = torch.stack([along[:, None].expand(size, size), along.expand(size, size)])[None].expand(n, -1, -1, -1) + 1
    moved = differentiable(("translation",), draws, size)(image)
    middle = moved[:, :, 8, 8] - 9
    assert middle.min(0).values.tolist() == [-2, -2]
    assert middle.max(0).values.tolist() == [2, 2]
    mirrored = differentiable(("mirror",), draws, size)(image)[:, :, 0, 0]
    shares = [float((mirrored[:, axis] > 1).float().mean()) for axis in (0, 1)]
    assert shares == pytest.approx([0.5, 0.5], abs=0.1)


def test_without_changes_the_discriminator_sees_the_pairs_themselves():
    pairs = torch.randn(2, 4, 8, 8)
    assert differentiable((), Draws.on_device(0, "batch", torch.arange(2)), 8)(pairs) is pairs


# Training


def test_every_option_trains_together_and_the_first_step_is_penalised(tmp_path, monkeypatch):
    penalties = []

    def penalty(*given):
        penalties.append(gradient_penalty(*given))
        return penalties[-1]

    monkeypatch.setattr("augkit_mask2lesion.learner.gradient_penalty", penalty)
    learner = PixToPix(Spade(**EVERYTHING), coloured(), workspace(tmp_path))
    values = [learner.step(number) for number in range(17)]
    assert len(penalties) == 2
    assert float(penalties[0].detach()) > 0
    assert set(values[0]) == {"D", "G", "L1", "D right", "KL"}
    assert all(bool(torch.isfinite(value).all()) for row in values for value in row.values())


def test_the_u_net_takes_every_option_but_the_style(tmp_path):
    options = {**EVERYTHING, "style": 0, "network": "unet", "lambda_features": 5.0, "ema": 0.9}
    generator = Mask2Lesion(
        norm="instance", upsample="nearest", **{k: v for k, v in options.items() if k != "upsample"}
    )
    learner = PixToPix(generator, coloured(), workspace(tmp_path))
    before = learner.generator.up[0].weight.detach().clone()
    learner.step(0)
    assert isinstance(learner.generator, UnetGenerator)
    assert isinstance(learner.generator.up[0], ResizeConv2d)
    assert not torch.equal(before, learner.generator.up[0].weight)


def test_features_are_what_the_layers_before_the_logits_find():
    network, features = PatchDiscriminator(4, 2, "instance", 1, spectral=True), []
    pairs = torch.randn(2, 4, 32, 32)
    assert torch.equal(network.judge(pairs, features), network(pairs[:, :1], pairs[:, 1:]))
    assert [tuple(found.shape) for found in features] == [(2, 4, 16, 16), (2, 8, 8, 8), (2, 16, 7, 7)]


def test_two_learning_rates_stay_in_proportion_while_they_fall(tmp_path):
    options = Spade(**{**TINY, "epochs": 1, "decay_epochs": 1, "learning_rate": 1e-3, "discriminator_rate": 3.0})
    learner = PixToPix(options, coloured(8), workspace(tmp_path))
    rates = []
    for number in (0, learner.steps - 1):
        learner.step(number)
        rates.append([learner.optimizers[name].param_groups[0]["lr"] for name in ("G", "D")])
    assert rates == [[1e-3, 3e-3], [pytest.approx(5e-4), pytest.approx(1.5e-3)]]


# Options and weights that contradict each other


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style": 8}, "style is 8 and network is unet, which has no place for a style code; allowed: a style above 0"),
        (
            {"style": 8, "network": "spade"},
            "style is 8 and batch_size 1, with reduction fast; allowed: at least 2, so that images can exchange",
        ),
        (
            {"style": 8, "network": "spade", "batch_size": 4, "reduction": "ordered"},
            "style is 8 and batch_size 4, with reduction ordered; allowed: at least 8, so that",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Mask2Lesion(**options)


def test_processes_that_would_be_left_with_one_image_each_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("augkit.training.ranks.world", lambda: 4)
    message = "batch_size is 4, which leaves parts of 1 image, and style is 3; allowed: two images or more"
    with pytest.raises(InputError, match=message):
        PixToPix(Spade(**TINY), coloured(), workspace(tmp_path))


def test_weights_without_a_style_code_are_refused_before_anything_runs(tmp_path):
    file = tmp_path / "latest_net_G.pth"
    file.write_bytes(b"")
    message = (
        r"net_G.pth: is a generator without a style code, and style is 16; allowed: one trained with a style.*style: 0"
    )
    with pytest.raises(InputError, match=message):
        Spade(weights=file).sources()
    with pytest.raises(InputError, match=message):
        Spade(weights=file).fit(coloured(), workspace(tmp_path / "work"))
    assert list(Spade(weights=file, style=0).sources()) == [file]
    own = tmp_path / "own"
    Mask2Lesion(width=4, epochs=1, decay_epochs=0, batch_size=4, patch_layers=1).fit(lesions(4), workspace(own))
    with pytest.raises(InputError, match=r"safetensors: is a generator without a style code, and style is"):
        Spade(weights=own).sources()


def test_a_generator_with_styles_can_be_used_again_under_either_name(tmp_path):
    train, draws = coloured(8), image_draws(8)
    first = trained(tmp_path / "first", Spade(**TINY), train)(train.masks, draws)
    for name, preset in (("again", Spade), ("plain", Mask2Lesion)):
        generator = preset(weights=tmp_path / "first")
        assert len(generator.sources()) == 2
        space = workspace(tmp_path / name)
        generator.fit(lesions(4), space)
        assert np.array_equal(generator.open(space.folder, "cpu")(train.masks, draws), first)
        assert "it paints with style codes of 3 numbers, of 8 images it was trained on" in space.log.notes


def test_every_field_of_the_preset_is_a_field_of_the_plain_one():
    assert [field.name for field in dataclasses.fields(Spade)] == [
        field.name for field in dataclasses.fields(Mask2Lesion)
    ]
    assert Mask2Lesion().network == "unet"
    assert Spade().style > 0

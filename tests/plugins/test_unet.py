import json

import numpy as np
import pytest
import torch

from augkit import Format, Frame, ImageSet
from augkit_unet.network import UnetNetwork, _enlarged
from augkit_unet.segmenter import Unet
from augkit_unet.training import UnetLearner
from samples import lesions, no_change, workspace


@pytest.mark.parametrize(("width", "count"), [(64, 31_043_521), (32, 7_765_985), (16, 1_944_049)])
def test_the_network_has_the_published_parameters_but_for_the_biases_that_a_norm_takes_away(width, count):
    biases = 92 * width  # two in each of nine blocks, of width * (2 * (1 + 2 + 4 + 8) + 16) channels
    with torch.device("meta"):
        assert sum(p.numel() for p in UnetNetwork(width, Format()).parameters()) == count - biases


@pytest.mark.parametrize("loss", ["bce", "bce_dice"])
def test_it_learns_to_find_a_dark_disc(loss, tmp_path):
    unet = Unet(width=4, steps=60, batch_size=8, optimizer="adamw", learning_rate=1e-2, loss=loss)
    train = lesions()
    unet.fit(train, ImageSet.empty((32, 32)), no_change, workspace(tmp_path))
    scores = unet.open(tmp_path, "cpu")(train.images)
    assert scores.shape == (8, 1, 32, 32)
    assert scores.dtype == np.float32
    predicted = scores[:, 0] > 0.5
    assert 2 * (predicted & train.masks).sum() / (predicted.sum() + train.masks.sum()) > 0.95


def test_a_score_does_not_depend_on_the_other_images_of_the_batch(tmp_path):
    unet = Unet(width=4, steps=3, batch_size=4)
    train = lesions()
    unet.fit(train, ImageSet.empty((32, 32)), no_change, workspace(tmp_path))
    predict = unet.open(tmp_path, "cpu")
    alone = np.concatenate([predict(train.images[i : i + 1]) for i in range(8)])
    assert np.allclose(alone, predict(train.images), atol=1e-5)


def test_the_augmentation_of_the_recipe_reaches_every_batch(tmp_path):
    seen = []

    def watch(images, masks, draws):
        seen.append((tuple(images.shape), len(draws)))
        return images, masks

    Unet(width=2, steps=3, batch_size=4).fit(lesions(), ImageSet.empty((32, 32)), watch, workspace(tmp_path))
    assert seen == [((4, 3, 32, 32), 4)] * 3


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_enlarging_is_the_transposed_convolution_in_value_and_gradient(layout):
    generator = torch.Generator().manual_seed(0)
    up = torch.nn.ConvTranspose2d(6, 3, 2, stride=2, dtype=torch.float64)  # in float32, sums differ by their order
    for weights in up.parameters():
        torch.nn.init.normal_(weights, generator=generator)
    x = torch.randn(2, 6, 5, 7, generator=generator, dtype=torch.float64)
    x = x.contiguous(memory_format=layout).requires_grad_()
    found = []
    for layer in (up, lambda x: _enlarged(x, up)):
        y = layer(x)
        found.append(
            [y, *torch.autograd.grad((y * torch.arange(y[0].numel()).view_as(y[0])).sum(), [x, *up.parameters()])]
        )
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "steps", "epochs"), [({"steps": 5}, 5, 2.5), ({"budget": "epochs", "epochs": 3, "steps": 5}, 6, 3.0)]
)
def test_the_budget_is_optimiser_steps_or_epochs_and_is_written_down(options, steps, epochs, tmp_path):
    unet = Unet(width=2, batch_size=4, **options)
    unet.fit(lesions(), ImageSet.empty((32, 32)), no_change, workspace(tmp_path))
    budget = json.loads((tmp_path / "budget.json").read_text())
    kind = options.get("budget", "steps")
    assert budget == {"budget": kind, "steps": steps, "batch_size": 4, "images": 8, "epochs": epochs}
    assert json.loads((tmp_path / "training.json").read_text())["steps"] == steps


def test_arms_of_different_size_train_the_same_steps_unless_the_budget_is_epochs(tmp_path):
    def steps(count, budget):
        unet = Unet(width=2, batch_size=4, steps=7, budget=budget, epochs=2)
        return UnetLearner(unet, lesions(count), no_change, workspace(tmp_path)).budget.steps

    assert [steps(count, "steps") for count in (4, 9)] == [7, 7]
    assert [steps(count, "epochs") for count in (4, 9)] == [2, 6]


def half_synthetic():
    """Eight samples of which the last four are synthetic, and black."""
    real = lesions()
    images = np.array(real.images)
    images[4:] = 0
    return ImageSet(real.ids, images, real.masks, real.groups, ("real",) * 4 + ("toy/training",) * 4)


def fitted_weights(finetune, train, folder, watch=no_change):
    unet = Unet(width=2, steps=12, batch_size=4, finetune=finetune)
    unet.fit(train, ImageSet.empty((32, 32)), watch, workspace(folder))
    return (folder / "unet.safetensors").read_bytes()


def test_the_last_steps_see_real_images_only_where_finetuning_is_asked_for(tmp_path):
    black = []

    def watch(images, masks, draws):
        black.append(int((images.amax((1, 2, 3)) == 0).sum()))
        return images, masks

    fitted_weights(0.5, half_synthetic(), tmp_path / "finetuned", watch)
    fitted_weights(0.0, half_synthetic(), tmp_path / "mixed", watch)
    finetuned, mixed = black[:12], black[12:]
    assert finetuned[:6] == mixed[:6]
    assert finetuned[6:] == [0] * 6
    assert sum(mixed[6:]) > 0


def test_finetuning_changes_no_bit_where_all_images_are_of_one_kind(tmp_path):
    assert fitted_weights(0.5, lesions(), tmp_path / "a") == fitted_weights(0.0, lesions(), tmp_path / "b")


def test_sides_that_cannot_be_halved_four_times_are_refused():
    with pytest.raises(ValueError, match="found images of 24 x 32 pixels; allowed: sides that are multiples of 16"):
        Unet().check_frame(Frame(32, 24))
    Unet().check_frame(Frame(32, 48))

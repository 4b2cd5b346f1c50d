"""The U-Net's presets, and choosing weights on a development split."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from augkit import Format, ImageSet, InputError
from augkit.contracts.registry import load_registry
from augkit.errors import InterruptedRunError
from augkit_unet.network import UnetNetwork
from augkit_unet.options import WEIGHTS
from augkit_unet.presets import UnetPaper, UnetStrong
from augkit_unet.segmenter import Unet
from augkit_unet.selection import Best, cut_development
from augkit_unet.training import UnetLearner
from samples import lesions, no_change, workspace


def samples(n=12, synthetic=0):
    """Two images of each patient, and synthetic ones made from the first of them."""
    real = dataclasses.replace(lesions(n), groups=tuple(f"patient-{i // 2}" for i in range(n)))
    ids, origins = tuple(f"f{i}" for i in range(synthetic)), ("gan/training",) * synthetic
    fake = dataclasses.replace(real.take(range(synthetic)), ids=ids, origins=origins)
    return ImageSet.concatenate([real, fake]) if synthetic else real


def test_the_presets_change_defaults_and_nothing_else():
    registered = load_registry().entries
    for name, preset in (("unet-paper", UnetPaper), ("unet-strong", UnetStrong)):
        assert registered["segmenter", name].cls is preset
        assert [f.name for f in dataclasses.fields(preset)] == [f.name for f in dataclasses.fields(Unet)]
        assert preset.fit is Unet.fit
        assert preset.open is Unet.open


def test_the_paper_preset_is_the_paper_s_setting(tmp_path):
    paper = UnetPaper()
    assert (paper.width, paper.loss, paper.optimizer, paper.learning_rate) == (64, "bce", "sgd", 0.01)
    assert (paper.batch_size, paper.steps, paper.schedule, paper.development) == (
        32,
        100 * -(-2000 // 32),
        "constant",
        0,
    )
    optimizer = UnetLearner(dataclasses.replace(paper, width=2), samples(), no_change, workspace(tmp_path)).optimizer
    assert isinstance(optimizer, torch.optim.SGD)
    options = [optimizer.defaults[name] for name in ("momentum", "nesterov", "weight_decay")]
    assert options == [0.9, False, 0]


def test_the_strong_preset_trains_the_same_network_better():
    strong = UnetStrong()
    assert (strong.loss, strong.optimizer, strong.learning_rate, strong.schedule) == (
        "bce_dice",
        "adamw",
        1e-3,
        "cosine",
    )
    assert strong.steps == 200 * -(-2000 // 32)


@pytest.mark.parametrize("preset", [UnetPaper(), UnetStrong()])
def test_both_presets_have_the_original_network_s_parameters(preset):
    with torch.device("meta"):
        network = UnetNetwork(preset.width, Format())
    biases = 92 * 64  # which a norm takes away
    assert sum(p.numel() for p in network.parameters()) == 31_043_521 - biases
    assert sum(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules()) == 18


def test_a_development_split_takes_whole_groups_and_the_same_ones_whatever_is_synthetic():
    kept, development = cut_development(samples(), 0.34, seed=4)
    assert set(kept.groups) & set(development.groups) == set()
    assert len(development) == 4
    mixed, same = cut_development(samples(synthetic=12), 0.34, seed=4)
    assert same.ids == development.ids
    assert set(same.origins) == {"real"}
    assert set(mixed.groups) & set(same.groups) == set()
    assert len(mixed) == 2 * len(kept)


def test_a_larger_share_contains_a_smaller_one_and_another_seed_is_another_split():
    splits = [set(cut_development(samples(48), share, 4)[1].groups) for share in (0.1, 0.3, 0.5)]
    assert splits[0] < splits[1] < splits[2]
    assert set(cut_development(samples(48), 0.3, 5)[1].groups) != splits[1]


def test_where_all_is_synthetic_the_development_images_are_too():
    fake = samples()
    fake = ImageSet(fake.ids, fake.images, fake.masks, fake.groups, ("gan/training",) * len(fake))
    assert len(cut_development(fake, 0.5, 1)[1]) == 6


def test_a_share_that_leaves_nothing_is_refused():
    with pytest.raises(InputError, match="leaves none to train on"):
        cut_development(samples(2), 0.5, 1)


def test_development_images_never_reach_a_training_batch(tmp_path):
    train, seen = samples(), []
    _, development = cut_development(train, 0.34, 1)

    def watch(images, masks, draws):
        seen.extend((masks[:, 0] > 0.5).numpy())
        return images, masks

    unet = Unet(width=2, steps=6, batch_size=4, development=0.34)
    unet.fit(train, ImageSet.empty((32, 32)), watch, workspace(tmp_path, 1))
    assert len(seen) == 24
    assert not any(np.array_equal(mask, one) for mask in development.masks for one in seen)


def test_the_best_weights_are_kept_and_not_the_last(tmp_path):
    best, network = Best(UnetNetwork(2, Format())), UnetNetwork(2, Format())
    for steps, score in ((5, 0.3), (10, 0.7), (15, 0.7), (20, 0.5)):
        with torch.no_grad():
            network.head.bias.fill_(steps)
        best.offer(network, score, steps)
    assert best.network.head.bias.item() == 10
    assert (float(best.score), int(best.steps)) == (pytest.approx(0.7), 10)


def test_an_interrupted_training_chooses_the_same_weights(tmp_path):
    unet = Unet(width=2, steps=12, batch_size=4, optimizer="adamw", learning_rate=1e-2, development=0.3)
    train, none = samples(), ImageSet.empty((32, 32))
    unet.fit(train, none, no_change, workspace(tmp_path / "whole"))
    steps = iter(range(100))

    def interrupt(images, masks, draws):
        if next(steps) == 7:
            import signal

            signal.raise_signal(signal.SIGINT)
        return images, masks

    with pytest.raises(InterruptedRunError):
        unet.fit(train, none, interrupt, workspace(tmp_path / "halves"))
    unet.fit(train, none, no_change, workspace(tmp_path / "halves"))
    assert (tmp_path / "whole" / WEIGHTS).read_bytes() == (tmp_path / "halves" / WEIGHTS).read_bytes()


def test_without_a_development_split_the_last_weights_are_kept(tmp_path):
    train = samples()
    unet = Unet(width=2, steps=5, batch_size=4)
    unet.fit(train, ImageSet.empty((32, 32)), no_change, workspace(tmp_path))
    learner = UnetLearner(unet, train, no_change, workspace(tmp_path))
    for number in range(5):
        learner.step(number)
    kept = load_file(tmp_path / WEIGHTS)
    assert all(torch.equal(kept[key], value) for key, value in learner.network.state_dict().items())

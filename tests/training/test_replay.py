"""An augmented sample is a function of its key: training's own batches are replayed without training."""

import numpy as np
import pytest
import torch

from augkit import ImageSet
from augkit.training.batches import Batches
from augkit.training.pipeline import Pipeline, drawn_parameters
from augkit.training.replay import replay
from augkit_classical.colour import Colour
from augkit_classical.geometry import Geometry
from augkit_classical.mixing import Mixup
from augkit_classical.presets import ClassicalStrong
from augkit_phantom import Phantom

AUGMENT = [("geometry", Geometry(scale=(0.8, 1.2))), ("colour", Colour()), ("classical-strong", ClassicalStrong())]


@pytest.fixture(scope="module")
def train() -> ImageSet:
    return Phantom(train=10, test=1, size=32).load().train


def test_every_sample_of_a_training_batch_is_replayed_from_its_key_alone(train):
    batches = Batches(train, 4, 7, "cpu")
    order = torch.cat([batches._order(epoch) for epoch in range(2)]).tolist()
    for number in range(4):
        batch = batches.at(number)
        images, masks = Pipeline(AUGMENT)(batch.images, batch.masks, batch.draws)
        for place in range(4):
            position = number * 4 + place
            again = replay(AUGMENT, train.take([order[position]]), 7, position // 10)
            seen = (images[place] * 255).permute(1, 2, 0).numpy()
            assert np.abs(again.images[0] - seen).max() < 0.51
            assert (again.masks[0] == masks[place, 0].numpy()).all()


def test_what_is_recorded_of_a_sample_is_what_training_draws(train):
    batch = Batches(train, 4, 7, "cpu").at(1)
    recorded = drawn_parameters(AUGMENT, batch.draws)
    assert [set(one) >= keys for one, keys in zip(recorded, [{"rotate"}, {"hue"}, {"blur sigma"}], strict=True)]
    order = Batches(train, 4, 7, "cpu")._order(0).tolist()
    again = replay(AUGMENT, train.take([order[5]]), 7, 0).parameters[0]
    assert again[0]["rotate"] == recorded[0]["rotate"][1]
    assert again[2]["hue"] == recorded[2]["hue"][1]


def test_blended_samples_are_replayed_with_their_batch(train):
    augment = [("mixup", Mixup(probability=1))]
    batches = Batches(train, 4, 7, "cpu")
    batch = batches.at(0)
    _, masks = Pipeline(augment)(batch.images, batch.masks, batch.draws)
    again = replay(augment, train.take(batches._order(0)[:4].tolist()), 7, 0)
    assert np.allclose(again.masks, masks[:, 0].numpy())


def test_an_augmentation_that_records_nothing_is_replayed_too(train):
    def plain(images, masks, draws):
        return images * draws.uniform("x", 0.5, 1)[:, None, None, None], masks

    again = replay([("plain", plain)], train, 7, 0)
    assert again.parameters == (({},),) * 10
    assert (again.images <= train.images).all()

"""Control generators do what their names say, and nothing better."""

import json

import numpy as np
import pytest

from augkit import ImageSet, InputError
from augkit_controls import Noise, Repeat
from samples import image_draws, image_set, lesions, workspace


def samples(n=8):
    noise = np.random.Generator(np.random.Philox(key=5)).normal(0, 8, (n, 32, 32, 3))
    flat = lesions(n)
    return image_set(np.clip(flat.images + noise, 0, 255), flat.masks)


def opened(generator, train, folder):
    generator.fit(train, workspace(folder))
    return generator.open(folder, "cpu")


def test_noise_has_the_colours_of_skin_and_lesion_and_their_spread(tmp_path):
    train = samples()
    images = opened(Noise(), train, tmp_path)(train.masks, image_draws(8))
    assert images.dtype == np.uint8
    for where in (train.masks, ~train.masks):
        assert np.allclose(images[where].mean(0), train.images[where].mean(0), atol=1)
        assert np.allclose(images[where].std(0), train.images[where].std(0), rtol=0.1)


def test_noise_without_spread_is_two_flat_colours(tmp_path):
    train = samples()
    images = opened(Noise(spread=0), train, tmp_path)(train.masks, image_draws(8))
    assert len(np.unique(images.reshape(-1, 3), axis=0)) == 2


def test_noise_learns_twelve_numbers_and_keeps_nothing_else(tmp_path):
    opened(Noise(), samples(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["colours.json"]
    assert np.array(list(json.loads((tmp_path / "colours.json").read_text()).values())).shape == (2, 2, 3)


@pytest.mark.parametrize("generator", [Noise(), Repeat()])
def test_an_image_depends_on_its_mask_and_key_alone(generator, tmp_path):
    train = samples()
    paint = opened(generator, train, tmp_path)
    together = paint(train.masks, image_draws(8))
    alone = np.concatenate([paint(train.masks[i : i + 1], image_draws(8)[i : i + 1]) for i in range(8)])
    assert np.array_equal(together, alone)


def test_repeat_returns_the_image_of_each_training_mask(tmp_path):
    train = samples()
    images = opened(Repeat(), train, tmp_path)(train.masks[::-1], image_draws(8))
    assert np.array_equal(images, train.images[::-1])


def test_repeat_lets_the_draws_choose_among_images_of_one_mask(tmp_path):
    train = samples(6)
    same = ImageSet(train.ids, train.images, np.repeat(train.masks[:1], 6, axis=0), train.groups, train.origins)
    images = opened(Repeat(), same, tmp_path)(np.repeat(train.masks[:1], 100, axis=0), image_draws(100))
    assert len(np.unique(images.reshape(100, -1), axis=0)) == 6


def test_repeat_refuses_a_mask_that_has_no_image(tmp_path):
    train = samples()
    with pytest.raises(InputError, match=r"not a training mask; .* Write masks: \{training: \{\}\}"):
        opened(Repeat(), train, tmp_path)(~train.masks[:1], image_draws(1))

"""Generators on images that are not 8-bit RGB with one class."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from augkit import Channel, Format, ImageSet, InputError, Takes
from augkit.contracts.rules import check_images, refusal_of, takes_of
from augkit.data.formats import ANYTHING
from augkit.running.stages.synthesis import other_masks
from augkit_controls import Noise, Repeat
from augkit_flow import DistilledFlow, Flow
from augkit_mask2lesion import Fast128, Mask2Lesion, Released256, Spade
from augkit_texture import Texture
from tests.samples import image_draws, lesions, workspace

CT = Format("int16", (Channel("ct", "ct", -160, 240),), ("liver", "kidney", "spleen"))
PAIR = Format("float32", (Channel("t1", "mr", 0, 1000), Channel("flair", "mr", -1, 3)), ("tumour",))

TINY = {"width": 4, "epochs": 1, "decay_epochs": 0, "batch_size": 4}
PRESETS = {
    "paper": Mask2Lesion(**TINY),
    "released": Released256(**TINY, size=None),
    "fast": Fast128(**TINY, size=None),
    "spade": Spade(**TINY, style=4),
    "flow": Flow(width=8, steps=4, batch_size=4, solver_steps=2, guidance=2.0),
    "exponential": Flow(width=8, steps=4, batch_size=4, solver_steps=2, solver="exponential"),
    "distilled": DistilledFlow(width=8, steps=2, student_width=8, student_steps=2, batch_size=4),
}


def slices(format=CT, n=8, size=32):
    """Bands, one for each class, of a number of their own; with pixels that do not count, the first rows do not."""
    rng = np.random.Generator(np.random.Philox(key=3))
    low, high = format.windows
    rows = np.arange(size)[:, None] + np.arange(n)[:, None, None]
    labels = np.broadcast_to(rows * (len(format.classes) + 1) // (size + n), (n, size, size)).astype(np.uint8)
    unit = labels[..., None] / len(format.classes) * 0.8 + rng.uniform(0, 0.2, (n, size, size, len(low)))
    images = (unit * (high - low) + low).astype(format.dtype)
    if format.ignore:
        labels[:, :4] = 255
    ids = tuple(f"s{i}" for i in range(n))
    return ImageSet(ids, images, labels > 0 if format.binary else labels, ids, ("real",) * n, format)


def fitted(generator, samples, folder):
    """Return the folder of a generator that was fitted."""
    generator.fit(samples, workspace(folder))
    return folder


@pytest.mark.parametrize("name", PRESETS)
def test_a_generator_of_ct_slices_paints_their_numbers_within_the_window(name, tmp_path):
    samples, generator = slices(), PRESETS[name]
    assert refusal_of(generator, None, CT) == ""
    paint = generator.open(fitted(generator, samples, tmp_path), "cpu")
    painted = check_images(paint(samples.masks, image_draws(8)), samples.masks.shape, CT)
    assert painted.min() >= -160
    assert painted.max() <= 240
    assert len(np.unique(painted)) > 20


@pytest.mark.parametrize("name", ["paper", "spade", "flow", "distilled"])
def test_what_is_painted_of_a_label_map_depends_on_it_and_its_key_alone(name, tmp_path):
    samples, generator = slices(), PRESETS[name]
    paint = generator.open(fitted(generator, samples, tmp_path), "cpu")
    painted = paint(samples.masks, image_draws(8))
    order = np.array([5, 2])
    assert np.array_equal(paint(samples.masks[order], image_draws(8)[order]), painted[order])
    other = samples.masks.copy()
    other[other == 3] = 1
    changed = paint(other, image_draws(8)) != painted
    assert changed.any(axis=(1, 2, 3)).all(), "which class a pixel is of matters, not only that it is of one"
    assert (paint(samples.masks, image_draws(8, seed=1)) != painted).any(axis=(1, 2, 3)).all()


def test_generators_of_ct_slices_paint_the_same_in_a_fresh_process(tmp_path):
    samples, names = slices(), ["paper", "spade", "flow", "distilled"]
    np.save(tmp_path / "masks.npy", samples.masks)
    for name in names:
        painted = PRESETS[name].open(fitted(PRESETS[name], samples, tmp_path / name), "cpu")
        np.save(tmp_path / f"{name}.npy", painted(samples.masks, image_draws(8)))
    code = f"""
import sys; sys.path[:0] = {sys.path!r}
from pathlib import Path
import numpy as np
from tests.plugins.test_generators_of_any_format import PRESETS, image_draws
folder = Path({str(tmp_path)!r})
for name in {names}:
    found = PRESETS[name].open(folder / name, "cpu")(np.load(folder / "masks.npy"), image_draws(8))
    assert found.dtype == np.int16, name
    assert np.array_equal(found, np.load(folder / f"{{name}}.npy")), name
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["spade", "flow", "distilled"])
def test_two_channels_of_floats_are_painted_each_within_its_window(name, tmp_path):
    samples, generator = slices(PAIR), PRESETS[name]
    paint = generator.open(fitted(generator, samples, tmp_path), "cpu")
    painted = check_images(paint(samples.masks, image_draws(8)), samples.masks.shape, PAIR)
    low, high = PAIR.windows
    assert ((low <= painted) & (painted <= high)).all()
    assert (np.ptp(painted, axis=(0, 1, 2)) > 0.1 * (high - low)).all()


@pytest.mark.parametrize("name", ["paper", "flow", "distilled"])
def test_an_ignored_pixel_is_not_painted_as_background(name, tmp_path):
    samples, generator = slices(replace(CT, ignore=True)), PRESETS[name]
    paint = generator.open(fitted(generator, samples, tmp_path), "cpu")
    unknown, background = np.full((1, 32, 32), 255, np.uint8), np.zeros((1, 32, 32), np.uint8)
    assert (paint(unknown, image_draws(1)) != paint(background, image_draws(1))).any()


def test_progress_pictures_and_health_are_of_what_the_windows_show(tmp_path):
    samples = slices()
    fitted(PRESETS["spade"], samples, tmp_path)
    from augkit.images import read_image
    from augkit.store import read_json

    rows = read_image(tmp_path / "progress.png")
    masks = rows[:32, 56:]
    assert sorted(np.unique(masks)) == [0, 85, 170, 255]
    assert rows[32:64, 56:].max() > 200
    values = read_json(tmp_path / "health.json")["values"]
    assert values["diversity"] is not None
    assert values["one_mask"] is not None


def test_what_cannot_be_learnt_of_other_images_is_refused():
    recoloured = refusal_of(Spade(diffaugment=("colour",)), None, CT)
    assert recoloured.startswith("takes 3 channels of red, green, blue with any number of classes; found 1 channel (ct")
    published = refusal_of(Mask2Lesion(weights="latest_net_G.pth"), None, CT)
    assert published.startswith("takes 3 channels of red, green, blue (uint8) with one class, no ignored pixels; found")
    assert takes_of(Mask2Lesion) == ANYTHING
    assert takes_of(Mask2Lesion(weights="latest_net_G.pth")) == Takes()


def test_weights_of_other_images_are_refused_and_those_of_such_images_are_used(tmp_path):
    samples = slices()
    folder = fitted(PRESETS["paper"], samples, tmp_path / "trained")
    again = Mask2Lesion(weights=folder)
    assert [file.name for file in again.sources()] == ["generator.safetensors", "generator.json", "format.json"]
    space = workspace(tmp_path / "again")
    again.fit(samples, space)
    assert "it paints 1 channel (ct -160..240; int16) and 3 classes (liver, kidney, spleen)" in space.log.notes
    painted = again.open(tmp_path / "again", "cpu")(samples.masks, image_draws(8))
    assert np.array_equal(painted, PRESETS["paper"].open(folder, "cpu")(samples.masks, image_draws(8)))
    message = r"generator.safetensors: is a generator of 1 channel \(ct .* and 3 classes .*; the data set has 8-bit RGB"
    with pytest.raises(InputError, match=message):
        again.fit(lesions(8, 32), workspace(tmp_path / "other"))


@pytest.mark.parametrize("format", [CT, PAIR, replace(CT, ignore=True)], ids=str)
def test_noise_has_the_mean_of_every_class_within_the_windows(format, tmp_path):
    samples = slices(format)
    masks = np.tile(samples.masks, (8, 1, 1))
    paint = Noise().open(fitted(Noise(), samples, tmp_path), "cpu")
    painted = check_images(paint(masks, image_draws(64)), masks.shape, format)
    low, high = format.windows
    assert ((low <= painted) & (painted <= high)).all()
    for label in range(len(format.classes) + 1):
        real = samples.images[samples.labels == label].mean(axis=0)
        assert np.allclose(painted[masks == label].mean(axis=0), real, atol=0.01 * (high - low))


def test_repeat_tells_label_maps_of_the_same_foreground_apart(tmp_path):
    samples = slices()
    other = replace(samples, masks=np.where(samples.masks == 3, 1, samples.masks).astype(np.uint8))
    names = {"ids": tuple(f"o{i}" for i in range(8)), "images": samples.images[::-1]}
    both = ImageSet.concatenate([samples, replace(other, **names)])
    assert refusal_of(Repeat(), None, CT) == ""
    painted = Repeat().open(fitted(Repeat(), both, tmp_path), "cpu")(both.masks, image_draws(16))
    assert np.array_equal(painted, both.images)


def test_masks_of_the_same_foreground_and_other_classes_are_other_masks():
    masks = np.zeros((6, 4, 4), np.uint8)
    masks[:, 1:3, 1:3] = np.array([1, 1, 2, 2, 3, 3])[:, None, None]
    partners = masks[other_masks(masks, image_draws(6))]
    assert (partners.reshape(6, -1) != masks.reshape(6, -1)).any(axis=1).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_texture_paints_grey_images_of_their_own_numbers(dtype, tmp_path):
    most = np.iinfo(dtype).max
    format = Format(dtype, (Channel("grey", "grey", 0, most),))
    skin = lesions(12)
    grey = (skin.images[..., :1] / 255 * most).round().astype(dtype)
    samples = replace(skin, images=grey, format=format)
    assert refusal_of(Texture(), None, format) == ""
    masks = np.roll(samples.masks, 2, axis=1)
    painted = Texture().open(fitted(Texture(), samples, tmp_path), "cpu")(masks, image_draws(12))
    check_images(painted, masks.shape, format)
    dark, bright = (np.unique(grey).astype(float) / most)[[0, -1]]
    unit = painted[..., 0] / most
    assert abs(np.median(unit[masks]) - dark) < 0.02
    assert abs(np.median(unit[~masks]) - bright) < 0.02


def test_texture_is_for_images_of_light_with_one_class():
    said = "takes 1 or 3 channels of red, green, blue, grey (uint8, uint16) with one class, no ignored pixels; found"
    assert refusal_of(Texture(), None, CT).startswith(said)

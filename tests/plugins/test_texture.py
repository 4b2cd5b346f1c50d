import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from augkit import Draws, InputError
from augkit.contracts.registry import load_registry
from augkit_phantom import Phantom
from augkit_texture.filling import add_grain, fill_smoothly
from augkit_texture.generator import Texture
from augkit_texture.hair import find_hair, remove_hair
from augkit_texture.library import decode_density, encode_density, load_library
from augkit_texture.matching import Matcher
from augkit_texture.shapes import depth, objects, shape_of
from augkit_texture.warping import correspond, relief_of, sample
from samples import image_draws, image_set, workspace


def discs(n, size=64):
    y, x = np.mgrid[:size, :size]
    return np.array([(y - 30 - i % 5) ** 2 + ((x - 28 - i % 7) / (1 + 0.1 * i)) ** 2 < 100 + 15 * i for i in range(n)])


def red_on_blue(n):
    """Lesions darker than the skin in all colours, most in blue: red inside, blue outside."""
    grain = np.random.Generator(np.random.Philox(0)).normal(0, 3, (n, 64, 64, 1))
    return image_set(np.where(discs(n)[..., None], [110, 40, 40], [120, 120, 220]) + grain, discs(n))


@pytest.fixture(scope="module")
def phantom():
    return Phantom(train=24, test=20, size=64).load()


@pytest.fixture(scope="module")
def fitted(phantom, tmp_path_factory):
    folder = tmp_path_factory.mktemp("texture")
    Texture().fit(phantom.train, workspace(folder))
    return folder


def test_an_image_depends_only_on_its_mask_and_key_whatever_the_batch(phantom, fitted):
    masks = np.concatenate([phantom.test.masks, phantom.train.masks])
    n = len(masks)
    paint, draws = Texture().open(fitted, "cpu"), image_draws(n)
    together = paint(masks, draws)
    assert together.dtype == np.uint8
    assert together.shape == (n, 64, 64, 3)
    order = np.argsort(Draws.of(1, "order", np.arange(n)).bits("order"))
    again = Texture().open(fitted, "cpu")
    assert np.array_equal(again(masks[order], draws[order]), together[order])
    assert np.array_equal(np.concatenate([again(masks[i : i + 7], draws[i : i + 7]) for i in range(0, n, 7)]), together)


def test_another_key_gives_clearly_another_image_of_the_same_mask(phantom, fitted):
    masks = np.repeat(phantom.test.masks[:6], 2, axis=0)
    painted = Texture().open(fitted, "cpu")(masks, image_draws(12)).astype(float)
    assert np.abs(painted[::2] - painted[1::2]).mean(axis=(1, 2, 3)).min() > 3


def test_masks_are_left_as_they_were(phantom, fitted):
    masks = np.array(phantom.test.masks[:4])
    masks.flags.writeable = False
    before = masks.copy()
    Texture().open(fitted, "cpu")(masks, image_draws(4))
    assert np.array_equal(masks, before)


def test_the_object_is_where_the_mask_is_whatever_its_shape(tmp_path):
    Texture().fit(red_on_blue(8), workspace(tmp_path))
    unseen = np.zeros((4, 64, 64), bool)
    unseen[0, 10:50, 20:32] = True
    unseen[1, 8:20, 8:20] = unseen[1, 40:55, 30:60] = True  # two objects
    y, x = np.mgrid[:64, :64]
    angle, radius = np.arctan2(y - 32, x - 32), np.hypot(y - 32, x - 32)
    unseen[2] = radius < 18 + 7 * np.cos(5 * angle)  # a star
    unseen[3] = (x > 40) & (y < 50)  # touches the image's border
    painted = Texture().open(tmp_path, "cpu")(unseen, image_draws(4)).astype(int)
    red = painted[..., 0] > painted[..., 2]
    overlap = 2 * (red & unseen).sum((1, 2)) / (red.sum((1, 2)) + unseen.sum((1, 2)))
    assert overlap.min() > 0.9, overlap


def test_beyond_the_halo_of_the_mask_nothing_but_skin_is_seen(tmp_path):
    train = image_set(np.where(discs(6)[..., None], [110, 60, 50], [200, 160, 140]) * np.ones(1), discs(6))
    Texture().fit(train, workspace(tmp_path))
    mask = np.zeros((1, 64, 64), bool)
    mask[0, 24:40, 24:36] = True
    painted = Texture().open(tmp_path, "cpu")(mask, image_draws(1))[0].astype(int)
    away = depth(mask[0]) < -12
    assert np.abs(painted[away] - [200, 160, 140]).max() <= 2


def test_a_library_opens_in_a_fresh_process_and_paints_the_same_bytes(phantom, fitted, tmp_path):
    masks = phantom.test.masks[:3]
    np.save(tmp_path / "masks.npy", masks)
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "import numpy as np; from pathlib import Path; from augkit import Draws\n"
        "from augkit_texture.generator import Texture\n"
        f"folder = Path({str(tmp_path)!r})\n"
        f"paint = Texture().open(Path({str(fitted)!r}), 'cpu')\n"
        "images = paint(np.load(folder / 'masks.npy'), Draws.of(0, 'synthesis', np.arange(3)))\n"
        "np.save(folder / 'images.npy', images)\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert np.array_equal(np.load(tmp_path / "images.npy"), Texture().open(fitted, "cpu")(masks, image_draws(3)))


def test_fitting_twice_gives_the_same_bytes_and_two_files(phantom, fitted, tmp_path):
    Texture().fit(phantom.train, workspace(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["library.json", "library.safetensors"]
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (fitted / file.name).read_bytes()


def test_one_training_image_is_enough(phantom, tmp_path):
    Texture().fit(phantom.train.take([3]), workspace(tmp_path))
    painted = Texture().open(tmp_path, "cpu")(phantom.test.masks, image_draws(20))
    assert painted.shape == (20, 64, 64, 3)


def test_no_more_donors_are_kept_than_asked_for(phantom, tmp_path):
    Texture(donors=5).fit(phantom.train, workspace(tmp_path))
    assert len(load_library(tmp_path).skins) <= 5


def test_a_mask_of_the_very_shape_of_a_donor_is_painted_from_another(tmp_path):
    grey = np.linspace(20, 120, 8)[:, None, None, None]
    masks = discs(8)
    train = image_set(np.where(masks[..., None], grey, 200) * np.ones(3), masks)
    Texture(choices=8).fit(train, workspace(tmp_path))
    paint = Texture(choices=8).open(tmp_path, "cpu")
    levels = [paint(masks[:1], image_draws(1, seed))[0][30, 28, 0] for seed in range(40)]
    assert min(levels) > 24  # donor 0 has grey level 20 there
    assert len({int(level) // 5 for level in levels}) > 2


def test_bright_objects_such_as_nuclei_stay_bright_and_are_painted_one_by_one(tmp_path):
    grain = np.random.Generator(np.random.Philox(1)).normal(0, 2, (6, 64, 64, 1))
    y, x = np.mgrid[:64, :64]
    masks = np.array(
        [
            sum((y - cy) ** 2 + (x - cx) ** 2 < 30 + 5 * i for cy, cx in ((16, 16), (20, 46), (48, 30)))
            for i in range(6)
        ],
    ).astype(bool)
    train = image_set(np.where(masks[..., None], 150, 20) * np.ones(3) + grain, masks)
    Texture().fit(train, workspace(tmp_path))
    target = np.roll(masks[:2], 5, axis=1)
    painted = Texture().open(tmp_path, "cpu")(target, image_draws(2)).astype(float).mean(3)
    assert painted[target].mean() > 110
    assert painted[~ndimage.binary_dilation(target, np.ones((1, 7, 7)))].mean() < 30


def test_an_object_that_was_dropped_is_no_donor(fitted):
    library = load_library(fitted)
    labels = library.labels.copy()
    labels[0] = np.where(discs(1)[0], 3, 0)
    labels[0, 20:24, 20:24] = 1
    with np.errstate(all="raise"):
        matcher = Matcher(replace(library, labels=labels), 4)
    assert [label for frame, label, _ in matcher.donors if frame == 0] == [1, 3]
    assert np.isfinite(matcher._features).all()


@pytest.mark.parametrize("fill", [True, False], ids=["all inside", "all outside"])
def test_training_images_without_object_or_surroundings_are_refused(fill, tmp_path):
    train = image_set(np.full((3, 64, 64, 3), 100), np.full((3, 64, 64), fill))
    with pytest.raises(InputError) as caught:
        Texture().fit(train, workspace(tmp_path))
    assert "none of 3 training images shows an object of 12 pixels and what surrounds it" in str(caught.value)


def test_masks_of_another_size_than_the_donors_are_refused(fitted):
    paint = Texture().open(fitted, "cpu")
    with pytest.raises(InputError, match=r"masks are \(32, 32\) pixels; the library's images are \(64, 64\)"):
        paint(np.ones((1, 32, 32), bool), image_draws(1))


def test_a_hole_is_filled_by_what_a_membrane_would_show():
    y, x = np.mgrid[:64, :64].astype(np.float32)
    ramp = np.stack([2 * x + y, 100 + x, 200 - y], axis=2)
    known = np.ones((64, 64), bool)
    known[20:44, 15:50] = False
    broken = np.where(known[..., None], ramp, 0).astype(np.float32)
    filled = fill_smoothly(broken, known)
    assert np.array_equal(filled[known], ramp[known])
    assert np.abs(filled - ramp).max() < 2.5


def test_filled_skin_has_the_grain_of_the_skin_around_it():
    rng = np.random.Generator(np.random.Philox(2))
    skin = (150 + rng.normal(0, 6, (64, 64, 3))).astype(np.float32)
    known = np.ones((64, 64), bool)
    known[22:42, 22:42] = False
    filled = add_grain(fill_smoothly(skin, known), known)
    inner = filled[26:38, 26:38]
    assert 3 < inner.std() < 9
    assert np.array_equal(filled[known], skin[known])


def test_a_long_thin_dark_line_is_hair_and_a_lesion_is_not():
    y, x = np.mgrid[:64, :64]
    mask = (y - 32) ** 2 + (x - 32) ** 2 < 120
    bald = np.where(mask[..., None], [110, 70, 60], [200, 160, 140]).astype(np.float32)
    hairy = bald.copy()
    line = np.abs(y - 10 - 0.4 * x) < 0.8
    hairy[line] = 30
    found = find_hair(hairy, mask)
    assert found[line].mean() > 0.9
    assert found[ndimage.binary_dilation(line, iterations=3) == 0].sum() == 0
    without, layer = remove_hair(hairy, mask)
    assert np.abs(without - bald)[~mask].mean() < 2
    assert layer[line].mean() < 120
    assert (layer[~found] == 255).all()
    assert not find_hair(bald, mask).any()


def test_hair_runs_over_the_painted_lesion_and_can_be_left_out(tmp_path):
    mask = discs(1)
    pixels = np.where(mask[..., None], [110, 70, 60], [200, 160, 140])
    y, x = np.mgrid[:64, :64]
    pixels[0][np.abs(y - 12 - 0.5 * x) < 0.8] = 20
    Texture().fit(image_set(pixels, mask), workspace(tmp_path))
    painters = (Texture(hair=hair).open(tmp_path, "cpu") for hair in (True, False))
    with_hair, without = (paint(mask, image_draws(1)).astype(int) for paint in painters)
    darker = (without - with_hair).sum(3)
    assert (darker >= 0).all()
    assert darker[mask].max() > 60
    assert darker[~mask].max() > 200


def test_every_pixel_of_a_mask_finds_its_place_on_the_right_side_of_the_donor_s_border():
    y, x = np.mgrid[:96, :96]
    donor = ((y - 50) / 20) ** 2 + ((x - 45) / 30) ** 2 < 1
    angle, radius = np.arctan2(y - 48, x - 48), np.hypot(y - 48, x - 48)
    target = radius < 22 + 8 * np.cos(4 * angle)
    below = depth(target)
    near = np.abs(below) < 6
    points = np.stack(np.nonzero(near)).astype(np.float32)
    there = correspond(points, below[near], shape_of(target), shape_of(donor), relief_of(donor), np.ones(2))
    found = sample(depth(donor)[..., None], there)[:, 0]
    clear = np.abs(below[near]) >= 1
    assert ((found > 0) == target[near])[clear].mean() > 0.99
    assert np.abs(found - below[near])[np.abs(below[near]) <= 2].mean() < 0.5


def test_a_shape_is_its_ellipse():
    y, x = np.mgrid[:96, :96]
    shape = shape_of(((y - 40) / 12) ** 2 + ((x - 50) / 30) ** 2 < 1)
    assert shape.centre == pytest.approx([40, 50], abs=0.2)
    assert np.linalg.norm(shape.axes, axis=0) == pytest.approx([30, 12], rel=0.03)
    assert abs(shape.axes[1, 0]) > 29
    assert shape.touches == 0


def test_depth_is_the_distance_to_the_border_with_its_sign():
    mask = np.zeros((9, 9), bool)
    mask[3:6, 3:6] = True
    assert depth(mask)[4, 2:7].tolist() == [-0.5, 0.5, 1.5, 0.5, -0.5]


def test_objects_are_the_connected_pieces_corners_included():
    mask = np.zeros((8, 8), bool)
    mask[1, 1] = mask[2, 2] = mask[5, 5] = True
    assert [int(piece.sum()) for piece in objects(mask)] == [2, 1]


def test_densities_survive_storage_within_half_a_hundredth():
    density = np.linspace(-0.5, 2.05, 1000, dtype=np.float32)
    assert np.abs(decode_density(encode_density(density).astype(np.float32)) - density).max() < 0.0051


def test_texture_is_registered_as_a_generator():
    assert load_registry().entries["generator", "texture"].cls is Texture

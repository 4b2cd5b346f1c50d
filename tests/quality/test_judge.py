"""Features, distances between sets of images, memorisation, and the quality of a synthetic set as a whole."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from augkit import ImageSet
from augkit.quality.distribution import _pyramid, density_and_coverage, kernel_distance, sliced_wasserstein
from augkit.quality.features import COUNT, Scale, describe
from augkit.quality.judge import Material, judge, some_of
from augkit.quality.memorisation import Memorisation, Nearest, Sides, nearest_in_features, nearest_in_pixels
from augkit.quality.pictures import rows_of_adherence
from augkit.report.quality import quality_rows, quality_section
from augkit_phantom import Phantom

KEY = np.random.Philox(3)


@lru_cache(maxsize=1)
def real():
    return Phantom(train=60, test=40, size=64).load()


@lru_cache(maxsize=1)
def worsened():
    """Ways to spoil held-out real images, each worse than the one before."""
    held_out = real().test.images
    noise = np.random.Generator(KEY).integers(0, 256, held_out.shape, dtype=np.uint8)
    return {
        "real": held_out,
        "blurred": gaussian_filter(held_out, (0, 1.2, 1.2, 0)),
        "mean": np.broadcast_to(real().train.images.mean(axis=0).astype(np.uint8), held_out.shape),
        "noise": noise,
    }


def distances(images):
    known = describe(real().train.images)
    scale = Scale.of(known)
    return kernel_distance(scale.apply(known), scale.apply(describe(images)))


# Features.


def test_features_are_finite_numbers_that_depend_on_their_own_image_only():
    images = real().test.images[:5]
    features = describe(images)
    assert features.shape == (5, COUNT)
    assert np.isfinite(features).all()
    assert np.allclose(describe(images[3:4]), features[3:4], atol=1e-5)
    assert describe(images[:0]).shape == (0, COUNT)
    assert np.isfinite(describe(np.zeros((1, 64, 64, 3), np.uint8))).all()


def test_features_rank_real_blurred_mean_and_noise_images():
    values = [distances(images).value for images in worsened().values()]
    assert values == sorted(values)
    assert values[1] > 3 * max(values[0], distances(worsened()["real"]).error)


def test_features_see_a_shift_of_colour():
    shifted = np.clip(real().test.images.astype(np.int64) + np.array([14, 0, -14]), 0, 255).astype(np.uint8)
    before, after = distances(real().test.images), distances(shifted)
    assert after.value - before.value > 3 * before.error


def test_features_see_a_collapse_to_a_few_images():
    collapsed = real().test.images[np.arange(40) % 3]
    assert distances(collapsed).value > distances(real().test.images).value + 3 * distances(real().test.images).error
    known = describe(real().train.images[:40])
    scale = Scale.of(known)
    coverage = [density_and_coverage(scale.apply(known), scale.apply(describe(x)))[1]
                for x in (collapsed, real().test.images)]  # fmt: skip
    assert coverage[0] < 0.5 * coverage[1]


# Distances between sets.


def gaussian(count, key, dimensions=6, shift=0.0):
    return np.random.Generator(np.random.Philox(key)).normal(shift, 1, (count, dimensions))


def test_the_kernel_distance_is_the_unbiased_discrepancy_written_out():
    a, b = gaussian(5, 1, dimensions=2), gaussian(4, 2, dimensions=2)

    def kernel(x, y):
        return (float(x @ y) / 2 + 1) ** 3

    within_a = np.mean([kernel(a[i], a[j]) for i in range(5) for j in range(5) if i != j])
    within_b = np.mean([kernel(b[i], b[j]) for i in range(4) for j in range(4) if i != j])
    across = np.mean([kernel(x, y) for x in a for y in b])
    assert kernel_distance(a, b).value == pytest.approx(within_a + within_b - 2 * across)


def test_the_kernel_distance_of_equal_distributions_is_zero_on_average_and_its_error_is_right():
    found = [kernel_distance(gaussian(120, 2 * k), gaussian(60, 2 * k + 1)) for k in range(200)]
    values, errors = np.array(found).T
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(200)
    # Where the distance is zero the jackknife is known to be on the cautious side, by the root of two.
    assert 0.9 < errors.mean() / values.std() < 1.7


def test_the_kernel_distance_grows_with_a_shift():
    values = [kernel_distance(gaussian(200, 1), gaussian(200, 2, shift=shift)).value for shift in (0, 0.2, 0.4, 0.8)]
    assert values == sorted(values)


def test_density_and_coverage_of_equal_distributions_are_as_published():
    pairs = [density_and_coverage(gaussian(300, 2 * k), gaussian(300, 2 * k + 1)) for k in range(20)]
    density, coverage = np.mean(pairs, axis=0)
    assert density == pytest.approx(1, abs=0.05)
    assert coverage == pytest.approx(1 - 2**-5, abs=0.01)


def test_density_and_coverage_of_a_hand_computed_case():
    line = np.arange(7.0)[:, None]
    # k = 5. Neighbourhoods reach 5, 4, 3, 3 ... from either end; 0.5 lies in those of 0 .. 3.
    radius = [5, 4, 3, 3, 3, 4, 5]
    inside = sum(abs(x - 0.5) < r for x, r in zip(range(7), radius, strict=True))
    density, coverage = density_and_coverage(line, np.array([[0.5]]))
    assert density == pytest.approx(inside / 5)
    assert coverage == pytest.approx(inside / 7)


def test_a_constant_image_has_no_energy_in_the_fine_levels_of_its_pyramid():
    *fine, coarse = _pyramid(np.full((2, 64, 64, 3), 200, np.uint8), 64)
    assert [level.shape[1] for level in fine] == [64, 32]
    assert all(np.abs(level).max() < 1e-6 for level in fine)
    assert np.allclose(coarse, 200 / 255)


def test_the_frame_of_a_pyramid_s_level_has_not_much_more_energy_than_its_share_of_the_pixels():
    for level in _pyramid(real().train.images[:40], 64)[:-1]:
        energy, side = level.astype(np.float64) ** 2, level.shape[1]
        frame = 1 - energy[:, 2:-2, 2:-2].sum() / energy.sum()
        share = 1 - ((side - 4) / side) ** 2
        assert frame < 2 * share, "without mirroring it has 0.84 to 0.91 of all"


def test_the_sliced_wasserstein_distance_is_zero_for_the_same_images_and_grows_with_their_faults():
    held_out = real().test.images
    assert set(sliced_wasserstein(held_out, held_out, 0)) == {64, 32, 16}
    assert max(sliced_wasserstein(held_out, held_out, 0).values()) == 0
    found = [sliced_wasserstein(real().train.images[:40], images, 0) for images in worsened().values()]
    assert found[0][64] < found[1][64] < found[3][64]
    with pytest.raises(ValueError, match="2 real and 3 fake images; allowed: equal numbers"):
        sliced_wasserstein(held_out[:2], held_out[:3], 0)


# Memorisation.


def memory_of(images):
    train, held_out = real().train.images, real().test.images
    known = describe(train)
    scale = Scale.of(known)
    features, others = scale.apply(describe(images)), scale.apply(describe(held_out))
    known = scale.apply(known)
    oneself = np.eye(len(held_out), dtype=bool)
    pixels = Sides(
        nearest_in_pixels(images, train),
        nearest_in_pixels(images, held_out),
        nearest_in_pixels(held_out, train),
        nearest_in_pixels(held_out, held_out, oneself),
    )
    in_features = Sides(
        nearest_in_features(features, known),
        nearest_in_features(features, others),
        nearest_in_features(others, known),
        nearest_in_features(others, others, oneself),
    )
    return Memorisation(pixels, in_features, len(train))


def z_of(memory):
    return memory.pixels.copying_z(memory.training), memory.features.copying_z(memory.training)


@lru_cache(maxsize=1)
def fresh_images():
    return Phantom(train=40, test=2, size=64, seed=9).load().train.images


def test_planted_copies_are_found_mirrored_and_noisy_ones_too():
    fresh = fresh_images()[:24]
    noise = np.random.Generator(np.random.Philox(8)).normal(0, 4, real().train.images[:6].shape)
    noisy = np.clip(real().train.images[:6] + noise, 0, 255).astype(np.uint8)
    planted = [real().train.images[20], real().train.images[30][:, ::-1], np.rot90(real().train.images[40]), *noisy]
    memory = memory_of(np.concatenate([fresh, np.stack(planted)]))
    assert memory.suspicious[24:].all()
    assert memory.suspicious[:24].mean() < 0.2
    assert memory.pixels.train.index[24:27].tolist() == [20, 30, 40]
    assert memory.pixels.train.distance[24:27].max() < 0.5
    assert memory.expected < 0.1


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images,
        lambda images: images[:, :, ::-1],
        lambda images: gaussian_filter(images, (0, 2, 2, 0)),
        lambda images: gaussian_filter(images, (0, 6, 6, 0)),
    ],
    ids=["copies", "mirrored", "blurred", "very blurred"],
)
def test_copying_shows_in_the_statistic_however_the_copies_are_changed(change):
    memory = memory_of(change(real().train.images[:40]))
    assert max(z_of(memory)) > 6
    assert memory.suspicious.mean() > 0.7


def half_mean(images):
    return ((images.astype(int) + real().train.images.mean(axis=0).astype(int)) // 2).astype(np.uint8)


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images,
        lambda images: gaussian_filter(images, (0, 1.2, 1.2, 0)),
        lambda images: gaussian_filter(images, (0, 6, 6, 0)),
        half_mean,
        lambda images: np.broadcast_to(real().train.images.mean(axis=0).astype(np.uint8), images.shape),
        lambda images: np.random.Generator(KEY).integers(0, 256, images.shape, dtype=np.uint8),
    ],
    ids=["fresh", "blurred", "very blurred", "half the mean", "the mean", "noise"],
)
def test_images_that_are_smooth_or_faulty_are_not_called_copies(change):
    memory = memory_of(change(fresh_images()))
    assert max(z_of(memory)) < 3
    assert memory.suspicious.mean() < 0.2


def test_smooth_images_are_nearer_to_training_images_than_real_ones_are_and_that_proves_nothing():
    smooth = memory_of(gaussian_filter(fresh_images(), (0, 6, 6, 0))).pixels
    assert np.median(smooth.train.distance) < np.median(smooth.real_train.distance)
    assert np.median(smooth.ratios) == pytest.approx(np.median(smooth.real_ratios), abs=0.05)


def nearest(*pairs):
    index, distance = np.array(pairs).T
    return Nearest(index.astype(np.int64), distance)


def test_ratios_and_the_statistic_are_those_computed_by_hand():
    # Three training and two held-out images; four synthetic ones, of which three lie nearest to a training image:
    # two to the first and one to the third. The other lies nearest to the second held-out image.
    sides = Sides(
        train=nearest((0, 1), (0, 1), (2, 3), (1, 4)),
        held_out=nearest((0, 2), (0, 4), (1, 6), (1, 2)),
        real_train=nearest((0, 3), (2, 5)),
        real_held_out=nearest((1, 6), (0, 5)),
    )
    assert sides.ratios.tolist() == [0.5, 0.25, 0.5, 2]
    assert sides.real_ratios.tolist() == [0.5, 1]
    assert sides.thresholds == pytest.approx((3.02, 0.505))
    assert sides.suspicious.tolist() == [True, True, True, False]
    assert sides.real_suspicious.tolist() == [True, False]
    assert sides.nearer_to_training.tolist() == [True, True, True, False]
    # Counts 2, 0, 1, 0, 1 have the mean 0.8 and the squares 1.44 + 0.64 + 0.04 + 0.64 + 0.04 = 2.8; dealt out anew,
    # 4 x 3 / 5 = 2.4 would be nearest to a training image, with the variance 3 x 2 / (5 x 4) x 2.8 = 0.84.
    assert sides.copying_z(3) == pytest.approx((3 - 2.4) / np.sqrt(0.84))


def test_the_statistic_has_the_spread_of_dealing_out_the_real_images_anew():
    rng = np.random.Generator(np.random.Philox(5))
    distance = rng.uniform(size=(30, 20)) + rng.uniform(size=20)  # some real images are near to many
    values = []
    for _ in range(400):
        order = rng.permutation(20)
        train, held_out = distance[:, order[:12]], distance[:, order[12:]]
        parts = [Nearest(part.argmin(axis=1), part.min(axis=1)) for part in (train, held_out)]
        of_real = Nearest(np.zeros(8, np.int64), np.ones(8))
        values.append(Sides(*parts, of_real, of_real).copying_z(12))
    assert abs(np.mean(values)) < 0.15
    assert np.std(values) == pytest.approx(1, abs=0.1)


def test_one_held_out_image_accuses_nobody():
    lone = Nearest(np.zeros(1, np.int64), np.ones(1))
    beyond = Nearest(np.zeros(1, np.int64), np.full(1, np.inf))
    sides = Sides(nearest((0, 0.0), (1, 5.0)), nearest((0, 1.0), (0, 1.0)), lone, beyond)
    assert not Memorisation(sides, sides, 2).suspicious.any()


# The whole.


@pytest.fixture
def no_pictures(monkeypatch):
    """Drawing takes longer than judging."""
    for name in ("adherence", "closest", "diversity"):
        monkeypatch.setattr(f"augkit.quality.judge.{name}_picture", lambda *given: b"")


def material(synthetic, paint, held_out=None):
    truth = {
        image.tobytes(): mask for s in (synthetic, real().test) for image, mask in zip(s.images, s.masks, strict=True)
    }
    return Material(
        train=real().train,
        held_out=held_out or real().test,
        synthetic=synthetic,
        segment=lambda images: np.stack([truth.get(np.asarray(i).tobytes(), np.zeros((64, 64), bool)) for i in images]),
        paint=paint,
        seed=1,
    )


def synthetic_set(images, masks, groups):
    ids = tuple(f"s-{i}" for i in range(len(images)))
    return ImageSet(ids, images, masks, tuple(groups), ("fake/training",) * len(images))


def fresh_set(samples):
    return synthetic_set(samples.images, samples.masks, [f"fresh {i}" for i in range(len(samples))])


def flat(masks, draws):
    return np.repeat(np.where(masks, 90, 180).astype(np.uint8)[..., None], 3, axis=3)


def speckled(masks, draws):
    return np.clip(flat(masks, draws) + draws.normal("noise", std=20, shape=(*masks.shape[1:], 3)), 0, 255).astype(
        np.uint8
    )


@lru_cache(maxsize=1)
def fresh_quality():
    fresh = Phantom(train=30, test=2, size=64, seed=9).load().train
    return judge(material(fresh_set(fresh), speckled))


def test_images_that_follow_their_masks_have_full_adherence_and_shuffled_masks_do_not():
    record = fresh_quality().record["adherence"]
    assert record["dice"] == 1
    assert record["held_out"] == 1
    assert record["shuffled_masks"] < 0.7
    assert min(fresh_quality().per_image["adherence"]) == 1


def test_fresh_images_of_the_same_kind_are_near_their_floors():
    record = fresh_quality().record
    kid = record["kid_handcrafted"]
    assert abs(kid["value"] - kid["held_out"]) < 4 * max(kid["error"], kid["held_out_error"])
    assert record["compared"] == 30
    assert record["coverage_handcrafted"]["value"] > 0.7
    assert record["memorisation"]["suspicious_share"] < 0.2
    assert record["memorisation"]["drawn_from_training_masks"] == 0


def test_no_number_is_called_fid():
    assert "fid" not in str(fresh_quality().record).lower()
    assert all("handcrafted" in key or "fid" not in key for key in fresh_quality().record)


@pytest.mark.usefixtures("no_pictures")
def test_a_generator_that_repeats_its_training_images_is_caught():
    train = real().train
    copies = synthetic_set(np.asarray(train.images[:30]), np.asarray(train.masks[:30]), train.groups[:30])
    quality = judge(material(copies, flat))
    memory = quality.record["memorisation"]
    assert memory["suspicious"] == 30
    assert memory["nearest_is_own_image_share"] == 1
    assert memory["copying_z_pixels"] > 5
    assert all(quality.per_image["suspicious"])
    assert quality.per_image["nearest_real"] == list(train.ids[:30])


@pytest.mark.usefixtures("no_pictures")
def test_a_generator_that_ignores_its_draws_has_no_diversity():
    train = real().train
    copies = synthetic_set(np.asarray(train.images[:12]), np.asarray(train.masks[:12]), train.groups[:12])
    still = judge(material(copies, flat)).record["diversity"]
    assert (still["pixels"], still["handcrafted"], still["share_of_real"]) == (0, 0, 0)
    lively = fresh_quality().record["diversity"]
    assert lively["pixels"] > 10
    assert lively["share_of_real"] > 0


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.usefixtures("no_pictures")
def test_a_generator_that_leaves_a_grid_is_caught():
    fresh = fresh_set(Phantom(train=30, test=2, size=64, seed=9).load().train)
    board = 4 * (np.indices((64, 64)).sum(0) % 2).astype(np.uint8)[..., None]
    dim = np.minimum(fresh.images, 251)
    gridded = synthetic_set(dim + board, fresh.masks, fresh.groups)
    found = judge(material(gridded, speckled)).record["grid"]
    assert found["value"] > 2
    assert found["held_out"] == pytest.approx(1, abs=0.2)
    assert fresh_quality().record["grid"]["value"] == pytest.approx(1, abs=0.2)


def test_held_out_images_with_a_training_copy_do_not_calibrate():
    leaked = real().test
    images = np.concatenate([leaked.images, real().train.images[:4]])
    masks = np.concatenate([leaked.masks, real().train.masks[:4]])
    more = synthetic_set(images, masks, [f"g{i}" for i in range(len(images))])
    fresh = Phantom(train=12, test=2, size=64, seed=9).load().train
    record = judge(material(synthetic_set(fresh.images, fresh.masks, fresh.ids), flat, more)).record
    assert record["images"]["held_out_copies_left_out"] == 4
    assert record["memorisation"]["threshold_pixels"] > 0.3


def test_quality_is_the_same_every_time_and_has_three_pictures():
    fresh = Phantom(train=30, test=2, size=64, seed=9).load().train
    again = judge(material(fresh_set(fresh), speckled))
    assert again == fresh_quality()
    assert all(png.startswith(b"\x89PNG") for png in again.pictures.values())
    assert set(again.pictures) == {"adherence", "closest", "diversity"}


@pytest.mark.usefixtures("no_pictures")
def test_two_images_are_judged_without_distances_between_sets():
    few = Phantom(train=2, test=2, size=64, seed=9).load().train
    record = judge(material(fresh_set(few), speckled)).record
    assert (record["compared"], record["adherence"]["dice"]) == (2, 1)
    assert not any(name.startswith("kid") for name in record)
    assert len(quality_rows(record)) == 10


def test_the_table_has_a_reference_for_every_measure_that_has_one():
    rows = {row[0]: row for row in quality_rows(fresh_quality().record)}
    assert rows["mask adherence (Dice)"][1:3] == ("1.000 ± 0.000", "1.000 ± 0.000")
    assert "kid_handcrafted" in rows
    assert all(rows[name][2] for name in rows if name.startswith(("kid", "density", "coverage", "swd", "suspicious")))


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (1, ["the only image"]),
        (5, ["all 5 images, worst first"]),
        (8, ["all 8 images, worst first"]),
        (19, [f"{some} of all 19 images, worst first" for some in ("1 to 8", "9 to 16", "17 to 19")]),
        (24, ["worst", "median", "best"]),
        (101, ["worst", "median", "best"]),
    ],
)
def test_the_picture_of_adherence_shows_no_image_twice_and_all_where_there_are_few(images, labels):
    adherence = np.random.Generator(KEY).permutation(images) / images
    rows = rows_of_adherence(adherence)
    shown = np.concatenate([index for _, index in rows])
    assert [label for label, _ in rows] == labels
    assert len(set(shown.tolist())) == len(shown) == min(images, 24)
    values = adherence[shown]
    assert (np.diff(values) > 0).all()
    assert (values[0], values[-1]) == (adherence.min(), adherence.max())


def test_of_a_large_set_some_images_evenly_chosen_are_judged_and_it_says_of_how_many(monkeypatch, no_pictures):
    monkeypatch.setattr("augkit.quality.judge.JUDGED", 5)
    many = fresh_set(real().test)
    assert len(many) > 5
    chosen = some_of(many)
    assert chosen.ids == tuple(many.ids[i * len(many) // 5] for i in range(5))
    assert some_of(chosen) is chosen
    found = judge(replace(material(chosen, flat), painted=len(many)))
    assert (found.record["images"]["synthetic"], found.record["images"]["painted"]) == (5, len(many))
    assert found.per_image["ids"] == chosen.ids
    section = quality_section(1, found.record, {"arm": ""}, {})
    assert f"5 synthetic images of the first seed, evenly chosen of {len(many)}, used by arm." in section.text[0]
    assert "painted" not in judge(material(chosen, flat)).record["images"]

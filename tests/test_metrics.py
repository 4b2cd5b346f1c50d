import numpy as np
import pytest

from augkit import metrics
from augkit.metrics import GRID_SHOWS, METRICS, TABLE_1, confusion, scores, surface_distance, tolerance


def grid(*rows):
    return np.array([[cell == "#" for cell in row] for row in rows])[None]


FULL, EMPTY = grid("##", "##"), grid("..", "..")
ONE, OTHER = grid("#.", ".."), grid("..", ".#")


def of(predicted, truth):
    return {name: float(values[0]) for name, values in scores(confusion(predicted, truth)).items()}


def case(*values):
    """Return the five metrics without a threshold, and the thresholded Jaccard that follows from the last of them."""
    failed = values[4] < 0.65
    return dict(zip(METRICS[:6], (*values, 0 if failed else values[4]), strict=True))


@pytest.mark.parametrize(
    ("predicted", "truth", "expected"),
    [
        (EMPTY, EMPTY, case(1, 1, 1, 1, 1)),
        (FULL, FULL, case(1, 1, 1, 1, 1)),
        (EMPTY, FULL, case(0, 0, 0, 1, 0)),
        (FULL, EMPTY, case(0, 0, 1, 0, 0)),
        (ONE, EMPTY, case(0, 0.75, 1, 0.75, 0)),
        (EMPTY, ONE, case(0, 0.75, 0, 1, 0)),
        (ONE, ONE, case(1, 1, 1, 1, 1)),
        (ONE, OTHER, case(0, 0.5, 0, 2 / 3, 0)),
        (ONE, FULL, case(2 / 5, 1 / 4, 1 / 4, 1, 1 / 4)),
        (FULL, ONE, case(2 / 5, 1 / 4, 1, 0, 1 / 4)),
        # 3 right, 1 too many, 2 missed, 6 rightly left out
        (grid("##..", "##..", "...."), grid("#...", "##..", "##.."), case(6 / 9, 9 / 12, 3 / 5, 6 / 7, 3 / 6)),
    ],
)
def test_scores_equal_the_ones_computed_by_hand(predicted, truth, expected):
    assert of(predicted, truth) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(("predicted", "expected"), [(True, 1.0), (False, 0.0)])
def test_an_image_may_be_one_pixel(predicted, expected):
    assert of(np.array([[[predicted]]]), np.array([[[True]]]))["dice"] == expected


@pytest.fixture(scope="module")
def pairs():
    random = np.random.Generator(np.random.Philox(key=11))
    density = random.uniform(0, 1, (40, 1, 1))
    return random.uniform(size=(40, 9, 7)) < density, random.uniform(size=(40, 9, 7)) < density[::-1]


def test_counts_equal_a_loop_over_pixels(pairs):
    predicted, truth = pairs
    expected = []
    for p, t in zip(predicted, truth, strict=True):
        tally = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
        for y in range(9):
            for x in range(7):
                tally[bool(p[y, x]), bool(t[y, x])] += 1
        expected.append(list(tally.values()))
    found = confusion(predicted, truth)
    assert found.dtype == np.int64
    assert found.tolist() == expected


def test_dice_and_jaccard_obey_their_identity(pairs):
    values = scores(confusion(*pairs))
    j = values["jaccard"]
    np.testing.assert_allclose(values["dice"], 2 * j / (1 + j), rtol=1e-15)


def test_dice_and_jaccard_are_symmetric_and_exchanging_classes_exchanges_sensitivity_and_specificity(pairs):
    predicted, truth = pairs
    values, exchanged = scores(confusion(predicted, truth)), scores(confusion(truth, predicted))
    inverted = scores(confusion(~predicted, ~truth))
    assert (values["dice"] == exchanged["dice"]).all()
    assert (values["jaccard"] == exchanged["jaccard"]).all()
    assert (values["sensitivity"] == inverted["specificity"]).all()
    assert (values["accuracy"] == inverted["accuracy"]).all()


def test_every_score_is_a_finite_float64_between_0_and_1(pairs):
    values = scores(confusion(*pairs))
    assert (*values, "nsd") == METRICS
    assert TABLE_1 == ("dice", "accuracy", "sensitivity", "specificity")
    assert all(v.dtype == np.float64 and v.shape == (40,) and v.min() >= 0 and v.max() <= 1 for v in values.values())


def test_large_images_do_not_overflow():
    counts = np.array([[2**31, 2**31, 2**31, 2**31]])
    assert scores(counts)["dice"][0] == 0.5


def test_no_images_give_no_scores():
    nothing = np.zeros((0, 4, 4), np.bool_)
    assert scores(confusion(nothing, nothing))["dice"].shape == (0,)


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(
        ValueError, match=r"predicted masks are \(1, 2, 2\), true masks \(2, 2, 2\); allowed: equal shapes"
    ):
        confusion(FULL, np.concatenate([FULL, FULL]))


def test_the_counts_and_ratios_are_those_of_an_independent_scorer(pairs):
    """A scorer in plain Python over flat lists, written from the formulas and the rule for undefined cases."""
    for p, t, found in zip(*pairs, zip(*scores(confusion(*pairs)).values(), strict=True), strict=True):
        predicted, truth = p.ravel().tolist(), t.ravel().tolist()
        both = sum(a and b for a, b in zip(predicted, truth, strict=True))
        neither = sum(not a and not b for a, b in zip(predicted, truth, strict=True))
        union, size = len(truth) - neither, len(truth)
        jaccard = both / union if union else 1.0
        expected = (
            2 * both / (sum(predicted) + sum(truth)) if union else 1.0,
            (both + neither) / size,
            both / sum(truth) if any(truth) else 1.0,
            neither / (size - sum(truth)) if not all(truth) else 1.0,
            jaccard,
            jaccard if jaccard >= 0.65 else 0.0,
        )
        assert found == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(("hits", "expected"), [(64, 0.0), (65, 0.65), (66, 0.66)])
def test_a_jaccard_below_065_counts_as_nothing(hits, expected):
    counts = np.array([[hits, 0, 100 - hits, 900]])
    assert scores(counts)["thresholded_jaccard"][0] == expected


def square(size, top, left, side):
    mask = np.zeros((1, size, size), np.bool_)
    mask[0, top : top + side, left : left + side] = True
    return mask


def border(mask):
    """The mask's pixels with a four-neighbour, or the edge of the image, outside; one by one."""
    h, w = mask.shape
    inside = {(y, x) for y in range(h) for x in range(w) if mask[y, x]}
    return [(y, x) for y, x in inside if not {(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)} <= inside]


def plain_surface_distance(predicted, truth, reach):
    a, b = border(predicted), border(truth)
    if not a or not b:
        return float(not a and not b)
    near = sum(min((y - v) ** 2 + (x - u) ** 2 for v, u in b) <= reach**2 for y, x in a)
    near += sum(min((y - v) ** 2 + (x - u) ** 2 for v, u in a) <= reach**2 for y, x in b)
    return near / (len(a) + len(b))


def test_surface_distances_equal_a_loop_over_all_pairs_of_border_pixels(pairs):
    expected = [plain_surface_distance(p, t, 1.0) for p, t in zip(*pairs, strict=True)]
    assert surface_distance(*pairs).tolist() == pytest.approx(expected, abs=1e-15)
    assert np.std(expected) > 0.1


def test_surface_distances_of_squares_are_those_computed_by_hand():
    truth = square(64, 20, 20, 11)  # 40 border pixels
    moved = square(64, 20, 21, 11)
    assert surface_distance(truth, truth)[0] == 1
    assert surface_distance(moved, truth)[0] == 1  # one pixel is within the tolerance of one pixel
    # Moved by 3, each border keeps its two rows where they overlap (8 pixels) or touch the other's end (1 pixel), and
    # of its column inside the other the two pixels next to the other's rows: 2 x 9 + 2 = 20 of 40.
    assert surface_distance(square(64, 20, 23, 11), truth)[0] == 20 / 40
    assert surface_distance(square(64, 40, 45, 11), truth)[0] == 0


def test_surface_distances_of_empty_masks_follow_the_rule_of_dice():
    some, none = square(64, 20, 20, 11), np.zeros((1, 64, 64), np.bool_)
    assert [surface_distance(*pair)[0] for pair in ((none, none), (some, none), (none, some))] == [1, 0, 0]


def test_the_tolerance_grows_with_the_image():
    assert [tolerance(size) for size in ((32, 32), (64, 64), (128, 256), (256, 256))] == [1, 1, 2, 4]
    # Three pixels are beyond the tolerance at 128, within it at 256.
    assert surface_distance(square(128, 20, 20, 60), square(128, 20, 23, 60))[0] < 1
    assert surface_distance(square(256, 20, 20, 60), square(256, 20, 23, 60))[0] == 1


def test_surface_distances_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="allowed: equal shapes"):
        surface_distance(FULL, np.concatenate([FULL, FULL]))


# Grids


def photographs(count, key, side=64):
    """Images whose energy falls with the square of the frequency, as that of photographs does."""
    noise = np.random.Generator(np.random.Philox(key=key)).normal(0, 1, (count, side, side, 3))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))[None, :, :, None]
    smooth = np.fft.ifft2(np.fft.fft2(noise, axes=(1, 2)) / (frequency + 1 / side), axes=(1, 2)).real
    return (128 + 40 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)


def stripes(period, height, side=64):
    """A pattern of the period in both directions, of 0 and `height` grey levels."""
    along = (np.arange(side) // (period // 2)) % 2
    return (height * (along[:, None] ^ along)).astype(np.uint8)[..., None]


def test_photographs_have_no_grid_beside_photographs():
    assert metrics.grid(photographs(40, 1), photographs(60, 2)) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize(("period", "height"), [(2, 8), (4, 14), (8, 24)])
def test_a_pattern_of_few_grey_levels_is_a_grid(period, height):
    painted = np.minimum(photographs(40, 1), 255 - height) + stripes(period, height)
    assert metrics.grid(painted, photographs(60, 2)) > GRID_SHOWS


@pytest.mark.parametrize("axis", [1, 2])
def test_stripes_in_one_direction_are_a_grid(axis):
    along = (6 * (np.arange(64) % 2)).astype(np.uint8).reshape((-1, 1, 1) if axis == 1 else (1, -1, 1))
    assert metrics.grid(np.minimum(photographs(40, 1), 249) + along, photographs(60, 2)) > GRID_SHOWS


def test_neither_blur_nor_noise_nor_one_colour_is_a_grid():
    real, images = photographs(60, 2), photographs(40, 1)
    blurred = ((images.astype(int) + np.roll(images, 1, 1) + np.roll(images, 1, 2)) // 3).astype(np.uint8)
    noise = np.random.Generator(np.random.Philox(key=3)).integers(0, 256, images.shape, dtype=np.uint8)
    for one in (blurred, noise, np.full_like(images, 90)):
        assert metrics.grid(one, real) < GRID_SHOWS


def test_images_without_room_for_a_grid_have_no_number_and_other_sides_do():
    assert metrics.grid(photographs(4, 1, 12), photographs(4, 2, 12)) is None
    wide = photographs(8, 1)[:, :, :50]
    assert metrics.grid(wide, wide) == 1

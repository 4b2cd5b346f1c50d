from pathlib import Path

import numpy as np
import pytest

from augkit import Channel, Format, InputError
from augkit.data.resizing import resize_image, resize_labels, resize_pixels
from augkit.images import Series, Slice, draw_splits, load_series, native_slices, rgb_format, shown_as_rgb

CT = Format("int16", (Channel("ct", "ct"),), ("a", "b"))


def a_volume(name, count=2, most=3, label=1):
    """A volume whose slice i has the value i everywhere, i * 10 inside its label."""

    def read():
        for i in range(count):
            image = np.full((40, 48, 1), i, np.int16)
            labels = np.zeros((40, 48), np.uint8)
            labels[10:20, 10:20] = label
            image[10:20, 10:20] = 10 * i
            yield Slice(f"{name}-{i}", image, labels, (0.5, 2.0))

    return Series(Path(name), name, most, read)


def test_slices_of_volumes_become_splits_whose_windows_are_of_the_training_foreground():
    splits = load_series([[a_volume("p"), a_volume("q", 3)], [], [a_volume("r")]], CT, 32, "nearest")
    assert splits.train.ids == ("p-0", "p-1", "q-0", "q-1", "q-2")
    assert splits.train.groups == ("p", "p", "q", "q", "q")
    assert splits.test.ids == ("r-0", "r-1")
    assert len(splits.validation) == 0
    assert splits.train.images[1, 0, 0, 0] == 1  # not moved to a neighbour's place
    assert splits.train.images[4, 0, 0, 0] == 2
    low, high = splits.test.format.windows
    assert (low[0], high[0]) == (0, 20)
    np.testing.assert_allclose(splits.train.spacing[0], (0.5 * 40 / 32, 2.0 * 48 / 32))


def test_a_label_that_no_class_has_is_refused_with_its_place_and_every_bad_file_is_named():
    bad = [a_volume("p", label=7), a_volume("q", label=9), a_volume("r")]
    with pytest.raises(InputError) as caught:
        load_series([bad, [], []], CT, 32, "area")
    said = [str(problem) for problem in caught.value.problems]
    assert "p: holds the label 7 in p-0 at row 10, column 10; allowed: 0..2 (background, a, b)" in said[0]
    assert "holds the label 9" in said[1]
    assert len(said) == 2


def test_an_id_in_two_volumes_is_refused():
    twice = [a_volume("p"), Series(Path("other"), "p", 3, a_volume("p").read)]
    with pytest.raises(InputError, match="the id p-0 is already taken by p"):
        load_series([twice, [], []], CT, 32, "area")


def test_native_slices_come_in_the_order_that_is_asked_for():
    names = ["q-1", "p-0", "p-1"]
    assert [one.id for one in native_slices([a_volume("p"), a_volume("q")], names)] == names


def test_one_channel_is_shown_as_rgb_between_two_levels():
    (first, second) = shown_as_rgb(a_volume("p"), CT, 0, 10).read()
    assert first.image.dtype == np.uint8
    assert second.image[0, 0].tolist() == [26] * 3
    assert second.image[15, 15].tolist() == [255] * 3
    assert rgb_format(CT).rgb


def test_a_group_keeps_its_split_when_others_are_added():
    groups = [f"patient {i}" for i in range(40)]
    before = draw_splits(groups, 0.25, 0.25, 3)
    after = draw_splits([*groups, "one more"], 0.25, 0.25, 3)
    assert [set(part) - {40} for part in after] == [set(part) for part in before]
    assert all(before)


@pytest.mark.parametrize("how", ["nearest", "area"])
def test_other_pixels_are_resized_as_rgb_is(how):
    image = np.random.default_rng(0).integers(0, 255, (45, 70, 3), np.uint8)
    wanted = resize_image(image, 32, how).astype(int)
    found = resize_pixels(image.astype(np.int16), 32, how).astype(int)
    assert np.abs(found - wanted).max() <= 1
    labels = image[..., 0]
    assert (resize_labels(labels, 32) == resize_pixels(labels.astype(np.int16)[..., None], 32, "nearest")[..., 0]).all()

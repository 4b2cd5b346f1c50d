import numpy as np
import pytest

from augkit import ANYTHING, Channel, Format, ImageSet, Takes
from augkit.data.formats import as_shown, class_masks, decided, from_unit, in_unit, percentile_windows, shows
from augkit.data.stored import read_image_set, write_image_set

CT = Format("int16", (Channel("ct", "ct", -160, 240),), ("liver", "kidney"))


def a_set(format, n=3, size=4):
    images = np.zeros((n, size, size, len(format.channels)), format.dtype)
    masks = np.zeros((n, size, size), np.bool_ if format.binary else np.uint8)
    return ImageSet(tuple("abc"[:n]), images, masks, tuple("abc"[:n]), ("real",) * n, format)


def test_who_says_nothing_is_8_bit_rgb_with_one_class():
    assert str(Format()) == "8-bit RGB and 1 class"
    assert not Takes().refuses(Format())


@pytest.mark.parametrize(
    "found",
    [
        CT,
        Format(classes=("a", "b")),
        Format(ignore=True),
        Format("uint16"),
        Format(channels=(Channel("grey", "grey", 0, 255),)),
    ],
)
def test_what_says_nothing_takes_nothing_else_and_what_takes_anything_takes_it(found):
    assert Takes().refuses(found)
    assert not ANYTHING.refuses(found)


def test_formats_and_what_is_taken_are_spelt_for_people():
    assert str(CT) == "1 channel (ct -160..240; int16) and 2 classes (liver, kidney)"
    assert str(Takes()) == "3 channels of red, green, blue (uint8) with one class, no ignored pixels"
    assert str(Takes((1,), None, None, 4)) == "1 channel with up to 4 classes, no ignored pixels"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Channel("a", "ultrasound"), "allowed: red, green, blue, grey, ct, mr, other"),
        (lambda: Channel("a", "ct", 0), "one end of a window"),
        (lambda: Channel("a", "ct", 5, 5), "the window 5..5"),
        (lambda: Format("float64"), "found pixels of float64"),
        (lambda: Format(classes=("a", "a")), "of different names"),
        (lambda: Format(channels=()), "found no channel"),
    ],
)
def test_a_format_that_means_nothing_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_masks_are_bool_for_one_class_and_labels_for_more():
    assert a_set(Format()).masks.dtype == np.bool_
    assert a_set(CT).labels.dtype == np.uint8
    with pytest.raises(ValueError, match=r"masks are bool .* allowed: uint8"):
        ImageSet(("a",), np.zeros((1, 4, 4, 1), np.int16), np.zeros((1, 4, 4), bool), ("a",), ("real",), CT)


def test_a_window_becomes_0_to_1_and_back_within_the_numbers_of_the_format():
    stored = np.array([[-2000], [-160], [40], [240], [3000]], np.int16)
    assert in_unit(stored, CT).ravel().tolist() == [0, 0, 0.5, 1, 1]
    assert from_unit(np.array([[-1.0], [0.5], [2.0]], np.float32), CT).ravel().tolist() == [-160, 40, 240]
    assert from_unit(np.array([[0.5]], np.float32), Format()).dtype == np.uint8


def test_ignored_pixels_are_in_no_class_and_show_nothing():
    labels = np.array([[[0, 1, 2, 255]]], np.uint8)
    assert class_masks(labels, 2)[0, :, 0].tolist() == [[False, True, False, False], [False, False, True, False]]
    assert shows(labels)[0, 0].tolist() == [False, True, True, False]


def test_a_pixel_belongs_to_whatever_has_most():
    scores = np.array([[[0.2, 0.4, 0.3]], [[0.2, 0.3, 0.5]]], np.float32)
    assert decided(scores, CT).tolist() == [[0, 1, 2]]
    assert decided(scores[:1], Format()).tolist() == [[False, False, False]]
    ignoring = Format(ignore=True)
    assert decided(scores[:1] + 0.2, ignoring).dtype == np.uint8


def test_windows_that_are_not_given_are_percentiles_of_the_pixels():
    open_window = Format("int16", (Channel("ct", "ct"),))
    found = percentile_windows([np.arange(1001, dtype=np.int16)[:, None]], open_window, 0.5, 99.5)
    assert found.windows[0].tolist() == [5]
    assert found.windows[1].tolist() == [995]
    assert open_window.promises(found)
    assert not CT.promises(found)


def test_other_images_are_shown_in_grey_by_their_window():
    shown = as_shown(np.array([[[-160], [240]]], np.int16), CT)
    assert shown.tolist() == [[[0, 0, 0], [255, 255, 255]]]
    rgb = np.full((2, 2, 3), 7, np.uint8)
    assert as_shown(rgb, Format()) is rgb


def test_a_set_of_any_format_is_stored_with_it_and_a_plain_one_as_ever(tmp_path):
    write_image_set(tmp_path / "plain", a_set(Format()))
    assert sorted(path.name for path in (tmp_path / "plain").iterdir()) == ["images.npy", "masks.npy", "samples.json"]
    some = a_set(CT)
    spaced = ImageSet(*(getattr(some, name) for name in ("ids", "images", "masks", "groups", "origins", "format")),
                      np.full((3, 2), 0.7, np.float32))  # fmt: skip
    write_image_set(tmp_path / "ct", spaced)
    again = read_image_set(tmp_path / "ct")
    assert again.format == CT
    assert again.take([1]).spacing.tolist() == spaced.spacing[:1].tolist()


def test_sets_of_two_formats_are_not_put_together():
    with pytest.raises(ValueError, match="allowed: one format"):
        ImageSet.concatenate([a_set(CT), a_set(Format("int16", CT.channels, ("other", "classes")))])

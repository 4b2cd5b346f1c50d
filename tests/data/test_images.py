import io
import os
import resource
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile

from augkit import InputError, Problem
from augkit.data.encoding import encode_png
from augkit.data.pairs import Pair, load_pairs, load_splits, match_pairs, unfit_pairs
from augkit.data.reading import MAX_PIXELS, read_header, read_image, read_mask
from augkit.data.resizing import resize_image, resize_mask

RGB = np.random.Generator(np.random.Philox(1)).integers(0, 256, (20, 30, 3), dtype=np.uint8)
BLOB = np.zeros((20, 30), np.bool_)
BLOB[4:9, 7:25] = True
LEVELS = BLOB.astype(np.uint8)


def saved(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def palette(indices, *colours) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8)).convert("P")
    image.frombytes(indices.astype(np.uint8).tobytes())
    image.putpalette([value for colour in colours for value in colour])
    return image


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def deep_rgb_png(levels: np.ndarray) -> bytes:
    """A 48-bit RGB PNG, which Pillow can read but not write."""
    height, width = levels.shape
    rows = b"".join(b"\0" + np.repeat(row, 3).astype(">u2").tobytes() for row in levels)
    return png(width, height, 16, 2, rows)


def bomb(side: int) -> bytes:
    return png(side, side, 1, 0, bytes((side // 8 + 1) * side))


def refusal(read, path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].where == str(path)
    return caught.value.problems[0].what


# Images that are read.


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "A.PNG"])
def test_lossless_rgb_files_come_back_bit_for_bit(tmp_path, name):
    image = read_image(saved(tmp_path / name, Image.fromarray(RGB)))
    assert image.dtype == np.uint8
    assert np.array_equal(image, RGB)


def test_a_lossless_webp_comes_back_bit_for_bit(tmp_path):
    assert np.array_equal(read_image(saved(tmp_path / "a.webp", Image.fromarray(RGB), lossless=True)), RGB)


def test_a_jpeg_is_decoded_as_pillow_decodes_it(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.fromarray(RGB), quality=90)
    assert np.array_equal(read_image(path), np.asarray(Image.open(path)))


def test_the_content_decides_the_format_not_the_name(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(RGB), format="BMP")
    assert np.array_equal(read_image(path), RGB)


def test_grey_becomes_three_equal_channels(tmp_path):
    grey = RGB[..., 0]
    image = read_image(saved(tmp_path / "a.png", Image.fromarray(grey)))
    assert np.array_equal(image, np.repeat(grey[..., None], 3, axis=2))


def test_one_bit_becomes_black_and_white(tmp_path):
    image = read_image(saved(tmp_path / "a.png", Image.fromarray(BLOB)))
    assert np.array_equal(image, np.repeat(BLOB[..., None] * np.uint8(255), 3, axis=2))


def test_a_palette_image_shows_its_colours(tmp_path):
    image = read_image(saved(tmp_path / "a.png", palette(LEVELS, (10, 20, 30), (200, 100, 50))))
    assert np.array_equal(image, np.where(BLOB[..., None], [200, 100, 50], [10, 20, 30]))


def test_an_opaque_alpha_channel_is_dropped(tmp_path):
    rgba = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    assert np.array_equal(read_image(saved(tmp_path / "a.png", Image.fromarray(rgba))), RGB)


def test_a_bmp_whose_row_length_contains_16_is_not_taken_for_16_bits(tmp_path):
    wide = np.zeros((2, 160, 3), np.uint8)
    assert read_image(saved(tmp_path / "a.bmp", Image.fromarray(wide[..., 0]))).shape == (2, 160, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda a: np.rot90(a, 1)),
    ],
)
def test_exif_orientation_is_applied(tmp_path, suffix, orientation, upright):
    options = {"quality": 95} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    plain = read_image(saved(tmp_path / f"plain.{suffix}", Image.fromarray(RGB), **options))
    turned = read_image(
        saved(tmp_path / f"turned.{suffix}", Image.fromarray(RGB), exif=oriented(orientation), **options)
    )
    assert np.array_equal(turned, upright(plain))


# Images that are refused.


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_16_bit_grey_image_is_refused(tmp_path, name):
    path = saved(tmp_path / name, Image.fromarray(RGB[..., 0].astype(np.uint16) * 16))
    assert refusal(read_image, path) == "is a 16-bit image; allowed: 8 bits per channel"


def test_a_16_bit_colour_png_is_refused_though_pillow_would_cut_it_to_8_bits(tmp_path):
    (tmp_path / "a.png").write_bytes(deep_rgb_png(RGB[..., 0].astype(np.uint16) * 16))
    with Image.open(tmp_path / "a.png") as by_pillow:
        assert by_pillow.mode == "RGB"
    assert refusal(read_image, tmp_path / "a.png") == "is a 16-bit image; allowed: 8 bits per channel"


def test_a_floating_point_image_is_refused(tmp_path):
    path = saved(tmp_path / "a.tif", Image.fromarray(RGB[..., 0].astype(np.float32)))
    assert refusal(read_image, path) == "is a 32-bit image; allowed: 8 bits per channel"


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_a_cmyk_image_is_refused(tmp_path, name):
    path = saved(tmp_path / name, Image.fromarray(RGB).convert("CMYK"))
    assert "is a CMYK image, whose colours depend on a printing profile" in refusal(read_image, path)


def test_a_lab_image_is_refused(tmp_path):
    path = saved(tmp_path / "a.tif", Image.new("LAB", (30, 20)))
    assert refusal(read_image, path) == "has the pixel mode LAB; allowed: 8-bit RGB, grey or palette"


def test_transparent_pixels_are_refused(tmp_path):
    alpha = np.full(RGB.shape[:2], 255, np.uint8)
    alpha[3, 4] = 254
    rgba = saved(tmp_path / "rgba.png", Image.fromarray(np.dstack([RGB, alpha])))
    indexed = saved(tmp_path / "indexed.png", palette(LEVELS, (0, 0, 0), (9, 9, 9)), transparency=0)
    keyed = saved(tmp_path / "keyed.png", Image.fromarray(RGB), transparency=tuple(int(v) for v in RGB[0, 0]))
    for path in (rgba, indexed, keyed):
        assert refusal(read_image, path) == "has transparent pixels; allowed: opaque images"


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.webp"])
def test_several_pages_or_frames_are_refused(tmp_path, name):
    path = saved(tmp_path / name, Image.fromarray(RGB), save_all=True, append_images=[Image.fromarray(RGB[::-1])])
    assert refusal(read_image, path) == "holds 2 pages or frames; allowed: one"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (bytes(128) + b"DICM" + bytes(9), "DICOM"),
        (b"<!DOCTYPE html><p>Not found", "HTML"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "unknown"),
        (b"\x89PN", "unknown"),
    ],
)
def test_other_formats_are_refused_by_their_name(tmp_path, content, kind):
    (tmp_path / "a.png").write_bytes(content)
    what = f"is no image that can be read (content: {kind}); allowed: PNG, JPEG, TIFF, BMP, WEBP, GIF"
    assert refusal(read_image, tmp_path / "a.png") == what


def test_an_empty_file_a_folder_and_a_missing_file_are_refused(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").mkdir()
    assert refusal(read_image, tmp_path / "a.png") == "is empty (0 bytes)"
    assert refusal(read_image, tmp_path / "b.png") == "is not a file"
    assert refusal(read_image, tmp_path / "c.png") == "does not exist"


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp", "a.webp"])
def test_a_file_cut_anywhere_is_refused_or_complete(tmp_path, name):
    whole = saved(tmp_path / name, Image.fromarray(RGB)).read_bytes()
    expected = read_image(tmp_path / name)
    refused = 0
    for length in range(1, len(whole), max(1, len(whole) // 60)):
        (tmp_path / name).write_bytes(whole[:length])
        try:
            image = read_image(tmp_path / name)
        except InputError:
            refused += 1
        else:
            assert np.array_equal(image, expected), length
    assert refused > 50


def test_a_truncated_file_says_that_it_is_damaged(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.fromarray(RGB))
    path.write_bytes(path.read_bytes()[:-200])
    assert refusal(read_image, path) == "is damaged: the end of the image is missing"


@pytest.mark.parametrize("side", [9000, 13000, 14000])
def test_a_decompression_bomb_is_refused_from_its_header_without_a_warning(tmp_path, side):
    (tmp_path / "a.png").write_bytes(bomb(side))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        what = refusal(read_image, tmp_path / "a.png")
    assert what == f"has {side} x {side} pixels; allowed: 64 million"
    assert told == []


def test_reading_leaves_pillows_global_settings_alone(tmp_path):
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    read_image(saved(tmp_path / "a.png", Image.fromarray(RGB)))
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)) == before


def test_an_image_at_the_pixel_limit_is_read(tmp_path):
    side = int(MAX_PIXELS**0.5)
    (tmp_path / "a.png").write_bytes(bomb(side))
    assert read_mask(tmp_path / "a.png").shape == (side, side)


# Masks.


@pytest.mark.parametrize("foreground", [1, 2, 128, 255])
def test_any_level_but_zero_is_foreground(tmp_path, foreground):
    mask = read_mask(saved(tmp_path / "a.png", Image.fromarray(LEVELS * np.uint8(foreground))))
    assert mask.dtype == np.bool_
    assert np.array_equal(mask, BLOB)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("a.png", Image.fromarray(BLOB)),
        ("a.tif", Image.fromarray(BLOB)),
        ("a.bmp", Image.fromarray(LEVELS * np.uint8(255))),
        ("a.png", Image.fromarray(LEVELS.astype(np.uint16))),
        ("a.tif", Image.fromarray(LEVELS.astype(np.uint16) * np.uint16(256))),
        ("a.tif", Image.fromarray(LEVELS.astype(np.int32) * 70000)),
        ("a.png", palette(LEVELS, (0, 0, 0), (128, 0, 0))),
        ("a.png", palette(LEVELS * 7, *[(0, 0, 0)] * 7, (1, 1, 1))),
        ("a.png", Image.fromarray(np.repeat(LEVELS[..., None] * np.uint8(255), 3, axis=2))),
        ("a.png", Image.fromarray(np.dstack([LEVELS] * 3 + [np.full_like(LEVELS, 255)]))),
        ("a.png", Image.fromarray(np.dstack([LEVELS, np.full_like(LEVELS, 255)]), mode=None)),
    ],
    ids=["1-png", "1-tif", "bmp", "16-png", "16-tif", "32-tif", "palette", "index-7", "rgb", "rgba", "la"],
)
def test_masks_of_every_accepted_kind_give_the_same_array(tmp_path, name, image):
    assert np.array_equal(read_mask(saved(tmp_path / name, image)), BLOB)


def test_a_lossless_webp_mask_is_read(tmp_path):
    path = saved(tmp_path / "a.webp", Image.fromarray(LEVELS * np.uint8(255)), lossless=True)
    assert np.array_equal(read_mask(path), BLOB)


@pytest.mark.parametrize("level", [0, 255])
def test_a_mask_of_one_level_is_nothing_or_everything(tmp_path, level):
    mask = read_mask(saved(tmp_path / "a.png", Image.fromarray(np.full((5, 6), level, np.uint8))))
    assert mask.shape == (5, 6)
    assert (mask == (level > 0)).all()


def test_a_mask_is_turned_by_its_own_exif_orientation(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(LEVELS), exif=oriented(6))
    assert np.array_equal(read_mask(path), np.rot90(BLOB, -1))


def test_a_mask_with_three_levels_is_refused(tmp_path):
    levels = LEVELS.copy()
    levels[0, 0] = 2
    what = "holds 3 levels (0, 1, 2); allowed in a mask: 0 (background) and one other level (foreground)"
    for path in (
        saved(tmp_path / "grey.png", Image.fromarray(levels)),
        saved(tmp_path / "palette.png", palette(levels, (0, 0, 0), (128, 0, 0), (0, 128, 0))),
        saved(tmp_path / "deep.tif", Image.fromarray(levels.astype(np.uint16))),
    ):
        assert refusal(read_mask, path) == what


def test_a_mask_without_background_is_refused(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(LEVELS + np.uint8(1)))
    assert refusal(read_mask, path).startswith("holds 2 levels (1, 2); allowed in a mask: 0")


def test_a_mask_with_many_levels_lists_some_of_them(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)))
    assert refusal(read_mask, path).startswith("holds 256 levels (0, 1, 2, 3, 4, 5, ...); allowed in a mask")


def test_a_jpeg_mask_is_refused_even_when_it_holds_two_levels(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.fromarray(np.zeros((16, 16), np.uint8)))
    assert "is a JPEG, which blurs the edge of a mask; allowed: PNG" in refusal(read_mask, path)


def test_a_superpixel_map_is_refused(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(RGB))
    assert refusal(read_mask, path).startswith("is a colour image, such as a superpixel map")


def test_a_mask_with_transparent_pixels_is_refused(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(np.dstack([LEVELS] * 3 + [LEVELS * np.uint8(255)])))
    assert refusal(read_mask, path).startswith(
        "has transparent pixels, so its levels and its transparency may disagree"
    )


def test_a_palette_that_paints_the_background_white_and_the_foreground_black_is_refused(tmp_path):
    path = saved(tmp_path / "a.png", palette(LEVELS, (255, 255, 255), (0, 0, 0)))
    what = "paints index 0 as (255, 255, 255) and index 1 black: which of them is the background?"
    assert refusal(read_mask, path) == what


def test_a_16_bit_colour_mask_is_refused_because_its_low_levels_would_be_lost(tmp_path):
    (tmp_path / "a.png").write_bytes(deep_rgb_png(LEVELS.astype(np.uint16)))
    what = "has the pixel mode RGB at 16 bits; allowed in a mask: integer grey or palette"
    assert refusal(read_mask, tmp_path / "a.png") == what


def test_a_floating_point_mask_is_refused(tmp_path):
    path = saved(tmp_path / "a.tif", Image.fromarray(LEVELS.astype(np.float32)))
    assert refusal(read_mask, path) == "has the pixel mode F at 32 bits; allowed in a mask: integer grey or palette"


# Sizes.


def rows_and_columns(height: int, width: int) -> np.ndarray:
    """An image that says in its channels which pixel it shows: row, column, and the high bits of both."""
    row, column = np.indices((height, width))
    return np.dstack([row % 256, column % 256, row // 256 + 16 * (column // 256)]).astype(np.uint8)


@pytest.mark.parametrize("length", [31, 65, 193, 257, 767, 1023, 3889])
@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_nearest_takes_the_pixel_under_the_centre_of_each_output_pixel(length, size):
    small = resize_image(rows_and_columns(length, 3), size, "nearest").astype(int)
    rows = small[:, 0, 0] + 256 * (small[:, 0, 2] % 16)
    assert [int(np.floor((o + 0.5) * length / size)) for o in range(size)] == rows.tolist()


@pytest.mark.parametrize("shape", [(767, 1022), (540, 722), (100, 150), (33, 20)])
@pytest.mark.parametrize("size", [50, 64, 100, 128])
def test_nearest_is_pillows_nearest_for_images_and_masks(shape, size):
    image = rows_and_columns(*shape)
    by_pillow = Image.fromarray(image).resize((size, size), Image.Resampling.NEAREST)
    assert np.array_equal(resize_image(image, size, "nearest"), np.asarray(by_pillow))
    odd = image[..., 1] % 2 == 1
    assert np.array_equal(resize_mask(odd, size), np.asarray(by_pillow)[..., 1] % 2 == 1)


def test_a_mask_stays_boolean_and_squeezes_its_aspect_ratio():
    small = resize_mask(BLOB, 10)
    assert small.dtype == np.bool_
    assert np.array_equal(small, BLOB[1::2, 1::3])


def test_area_is_the_mean_of_the_pixels_underneath():
    small = resize_image(RGB, 10, "area")
    means = RGB.reshape(10, 2, 10, 3, 3).mean(axis=(1, 3))
    assert np.abs(small - means).max() < 1  # PIL rounds after each direction


def test_area_does_not_alias_where_nearest_does():
    checkers = np.repeat((np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    assert np.ptp(resize_image(checkers, 32, "area")) == 0
    assert set(np.unique(resize_image(checkers, 48, "nearest"))) == {0, 255}


@pytest.mark.parametrize("array", [RGB, RGB[..., 1], RGB[::2, ::3]])
def test_a_png_holds_the_array(array):
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(array)))), array)


def test_a_mask_becomes_a_black_and_white_png_that_reads_back(tmp_path):
    (tmp_path / "a.png").write_bytes(encode_png(BLOB))
    assert set(np.unique(np.asarray(Image.open(tmp_path / "a.png")))) == {0, 255}
    assert np.array_equal(read_mask(tmp_path / "a.png"), BLOB)


def test_an_array_that_is_no_image_is_not_encoded():
    with pytest.raises(ValueError, match=r"found float64 \(2, 2, 3\); allowed: uint8"):
        encode_png(np.zeros((2, 2, 3)))
    with pytest.raises(ValueError, match=r"found uint8 \(2, 2, 4\); allowed: uint8"):
        encode_png(np.zeros((2, 2, 4), np.uint8))


# Many files.


def good_pairs(folder: Path, count: int) -> list[Pair]:
    pairs = []
    for i in range(count):
        image = saved(folder / f"{i:04}.png", Image.fromarray(np.roll(RGB, i, axis=0)))
        mask = saved(folder / f"{i:04}_mask.png", Image.fromarray(np.roll(LEVELS, i, axis=0)))
        pairs.append(Pair(f"{i:04}", image, mask))
    return pairs


def test_pairs_are_loaded_in_the_order_given(tmp_path):
    pairs = good_pairs(tmp_path, 9)[::-1]
    samples = load_pairs(pairs, 32, "nearest")
    assert samples.ids == tuple(f"{i:04}" for i in range(8, -1, -1))
    assert samples.groups == samples.ids
    assert samples.origins == ("real",) * 9
    for position, pair in enumerate(pairs):
        assert np.array_equal(samples.images[position], resize_image(read_image(pair.image), 32, "nearest"))
        assert np.array_equal(samples.masks[position], resize_mask(read_mask(pair.mask), 32))


def test_a_given_group_is_kept(tmp_path):
    pairs = [pair._replace(group="patient") for pair in good_pairs(tmp_path, 2)]
    assert load_pairs(pairs, 32, "area").groups == ("patient", "patient")


def test_splits_are_the_pairs_given_and_may_be_empty(tmp_path):
    pairs = good_pairs(tmp_path, 5)
    splits = load_splits(pairs[:3], [], pairs[3:], 32, "area")
    assert (splits.train.ids, splits.validation.ids, splits.test.ids) == (
        ("0000", "0001", "0002"),
        (),
        ("0003", "0004"),
    )
    assert splits.validation.size == (32, 32)
    assert np.array_equal(splits.test.images, load_pairs(pairs[3:], 32, "area").images)


@pytest.mark.parametrize("count", [200, pytest.param(1030, marks=pytest.mark.slow)])
def test_30_bad_files_among_good_ones_are_all_named_in_one_pass_and_in_little_memory(tmp_path, count):
    pairs = good_pairs(tmp_path, count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    expected = {}
    for i in range(30):
        pair = pairs[6 * i]
        path = pair.mask if i % 2 else pair.image
        what = _spoil(path, i)
        expected[str(path)] = what
    with pytest.raises(InputError) as caught:
        load_pairs(pairs, 32, "nearest")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 * 1024  # in kB
    found = {problem.where: problem.what for problem in caught.value.problems}
    assert len(caught.value.problems) == 30
    assert found.keys() == expected.keys()
    for where, what in expected.items():
        assert what in found[where]


def _spoil(path: Path, number: int) -> str:
    kind = number % 10
    if kind in (0, 1):
        path.unlink()
        return "does not exist"
    if kind in (2, 3):
        path.write_bytes(b"")
        return "is empty (0 bytes)"
    if kind in (4, 5):
        path.write_bytes(path.read_bytes()[:60])
        return "is damaged: its chunk IDAT is cut off"
    if kind == 6:
        path.write_bytes(bomb(9000))
        return "has 9000 x 9000 pixels"
    if kind == 7:
        Image.fromarray(RGB[..., 0]).save(path)
        return "levels"
    if kind == 8:
        Image.fromarray(RGB).convert("CMYK").save(path, "TIFF")
        return "CMYK"
    Image.fromarray(LEVELS[:, :-1]).save(path)
    return "is 29 x 20 pixels, its image"


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_swapped_sides_of_an_image_that_exif_turns_name_the_tag_and_what_to_do(tmp_path, suffix):
    image = saved(tmp_path / f"a.{suffix}", Image.fromarray(RGB), exif=oriented(6))
    mask = saved(tmp_path / "a_mask.png", Image.fromarray(LEVELS))
    what = (
        f"is 30 x 20 pixels, its image (a.{suffix}) is 20 x 30 pixels (turned upright by its EXIF orientation 6); "
        "allowed: equal sizes"
    )
    hint = (
        "The EXIF orientation of the image is the likely cause. If the mask fits the image as both are stored, remove "
        "that tag from the image, with 'exiftool -Orientation= FILE'; otherwise export the mask again from the upright "
        "image"
    )
    assert unfit_pairs([Pair("a", image, mask)]) == [Problem(str(mask), what, hint)]
    with pytest.raises(InputError) as caught:
        load_pairs([Pair("a", image, mask)], 32, "area")
    assert caught.value.problems == (Problem(str(mask), what, hint),)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_swapped_sides_of_a_mask_that_exif_turns_name_the_tag_of_the_mask(tmp_path, suffix):
    image = saved(tmp_path / "a.png", Image.fromarray(RGB))
    mask = saved(tmp_path / f"m.{suffix}", Image.fromarray(LEVELS), exif=oriented(8))
    (problem,) = unfit_pairs([Pair("a", image, mask)])
    assert problem.what.startswith("is 20 x 30 pixels (turned upright by its EXIF orientation 8), its image (a.png) is")
    assert "EXIF orientation of the mask is the likely cause" in problem.hint


def test_many_masks_of_images_that_exif_turns_are_one_line(tmp_path):
    pairs = []
    for name in ("ada", "ben", "cleo", "dora", "emil", "fay", "gus", "hal", "ida", "jan", "kim", "leo"):
        image = saved(tmp_path / f"{name}.jpg", Image.fromarray(RGB), exif=oriented(6))
        mask = saved(tmp_path / f"{name}_mask.png", Image.fromarray(LEVELS))
        pairs.append(Pair(name, image, mask))
    with pytest.raises(InputError) as caught:
        load_pairs(pairs, 32, "area")
    (problem,) = caught.value.problems
    assert problem.what.startswith("12 files with one fault, such as ada_mask.png: it is 30 x 20 pixels")


def test_other_sizes_are_not_blamed_on_exif(tmp_path):
    image = saved(tmp_path / "a.jpg", Image.fromarray(RGB), exif=oriented(6))
    mask = saved(tmp_path / "a.png", Image.fromarray(LEVELS[:, :-1]))
    (problem,) = unfit_pairs([Pair("a", image, mask)])
    assert problem.hint == "Export the mask at that size"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_a_header_has_the_orientation_and_the_upright_size(tmp_path, suffix, orientation):
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(RGB), exif=oriented(orientation))
    header = read_header(path)
    assert header.orientation == orientation
    assert header.size == read_image(path).shape[1::-1]


@pytest.mark.parametrize("kind", ["eXIf", "XMP"])
def test_an_orientation_behind_the_pixels_of_a_png_is_found_by_header_and_reading(tmp_path, kind):
    xmp = b'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    late = (
        chunk(b"eXIf", oriented(6).tobytes()[6:])
        if kind == "eXIf"
        else chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    )
    path = saved(tmp_path / "a.png", Image.fromarray(RGB))
    end = chunk(b"IEND", b"")
    path.write_bytes(path.read_bytes().removesuffix(end) + late + end)
    assert (read_header(path).orientation, read_header(path).size) == (6, (20, 30))
    assert np.array_equal(read_image(path), np.rot90(RGB, -1))


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_exif_does_not_know_is_upright(tmp_path, orientation):
    path = saved(tmp_path / "a.png", Image.fromarray(RGB), exif=oriented(orientation))
    assert read_header(path).orientation == 1
    assert np.array_equal(read_image(path), RGB)


def test_a_bad_image_does_not_hide_its_bad_mask(tmp_path):
    with pytest.raises(InputError) as caught:
        load_pairs([Pair("a", tmp_path / "a.png", tmp_path / "b.png")], 32, "area")
    assert [problem.where for problem in caught.value.problems] == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]


def test_problems_found_before_are_raised_together_with_bad_files(tmp_path):
    earlier = Problem("somewhere", "something")
    with pytest.raises(InputError) as caught:
        load_pairs(
            [*good_pairs(tmp_path, 1), Pair("z", tmp_path / "z", tmp_path / "0000_mask.png")], 32, "area", [earlier]
        )
    assert [problem.where for problem in caught.value.problems] == ["somewhere", str(tmp_path / "z")]


def test_an_id_used_twice_is_a_problem(tmp_path):
    first, second = good_pairs(tmp_path, 2)
    with pytest.raises(InputError, match=f"0001.png: the id 0000 is already taken by {first.image}"):
        load_pairs([first, second._replace(id="0000")], 32, "area")


def test_no_pairs_give_an_empty_set():
    assert len(load_pairs([], 32, "area")) == 0


def test_files_are_matched_by_id_and_what_has_no_partner_is_reported():
    images = [("b", Path("b.jpg")), ("a", Path("a.jpg")), ("c", Path("c.jpg")), ("a", Path("a.png"))]
    pairs, problems = match_pairs(images, [("a", Path("m/a.png")), ("b", Path("m/b.png")), ("d", Path("m/d.png"))])
    assert pairs == [Pair("a", Path("a.jpg"), Path("m/a.png")), Pair("b", Path("b.jpg"), Path("m/b.png"))]
    assert [(problem.where, problem.what) for problem in problems] == [
        ("a.png", "is a second image with the id a, beside a.jpg"),
        ("c.jpg", "no mask has the id c"),
        ("m/d.png", "no image has the id d"),
    ]


def test_the_module_does_not_import_torch():
    code = "import sys, augkit.data.reading; sys.exit('torch' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        ).returncode
        == 0
    )


# Ways in which a decoder turns stored numbers into shown ones. A mask is what is stored.

SHAPE = np.zeros((12, 10), np.bool_)
SHAPE[2:5, 3:9] = True


def white_is_zero(path, array, **rest):
    """What ImageJ writes for an inverting look-up table, and tifffile for booleans."""
    tifffile.imwrite(path, array, photometric="miniswhite", **rest)


GREY = [SHAPE.astype(np.uint8), SHAPE.astype(np.uint8) * 255, SHAPE.astype(np.uint16) * 65535]


@pytest.mark.parametrize(
    ("stored", "compression"), [(SHAPE, None), *((grey, how) for grey in GREY for how in (None, "zlib"))]
)
def test_a_tiff_whose_zero_is_shown_white_is_the_mask_that_is_stored(stored, compression, tmp_path):
    white_is_zero(tmp_path / "mask.tif", stored, compression=compression)
    assert np.array_equal(read_mask(tmp_path / "mask.tif"), SHAPE)


def test_a_boolean_tiff_as_tifffile_writes_it_by_itself_is_the_mask_that_is_stored(tmp_path):
    tifffile.imwrite(tmp_path / "mask.tif", SHAPE)
    assert np.array_equal(read_mask(tmp_path / "mask.tif"), SHAPE)


def test_a_photograph_whose_zero_is_shown_white_is_read_as_it_is_shown(tmp_path):
    grey = np.arange(120, dtype=np.uint8).reshape(12, 10)
    white_is_zero(tmp_path / "image.tif", grey)
    assert np.array_equal(read_image(tmp_path / "image.tif")[..., 0], 255 - grey)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_grey_png_of_few_bits_is_the_mask_that_is_stored_whatever_its_levels_are_stretched_to(bits, tmp_path):
    (tmp_path / "mask.png").write_bytes(grey_png(SHAPE.astype(np.uint8), bits))
    assert np.array_equal(read_mask(tmp_path / "mask.png"), SHAPE)


def grey_png(levels, bits):
    """A PNG of this depth, which Pillow reads and does not write."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = levels.shape
    expanded = ((levels[..., None] >> np.arange(bits)[::-1]) & 1).reshape(height, -1).astype(np.uint8)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in expanded)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP"])
def test_a_palette_s_index_counts_and_not_the_colour_it_is_shown_in(form, tmp_path):
    image = Image.fromarray(SHAPE.astype(np.uint8), "P")
    image.putpalette([200, 200, 200, 30, 90, 30])
    image.save(tmp_path / "mask.x", form)
    assert np.array_equal(read_mask(tmp_path / "mask.x"), SHAPE)


def test_a_mark_of_transparency_on_a_level_does_not_change_a_mask(tmp_path):
    Image.fromarray(SHAPE.astype(np.uint8) * 255).save(tmp_path / "mask.png", transparency=0)
    assert np.array_equal(read_mask(tmp_path / "mask.png"), SHAPE)


def test_a_gamma_and_a_profile_do_not_change_a_mask(tmp_path):
    from PIL import ImageCms
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100000))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(SHAPE.astype(np.uint8) * 255).save(tmp_path / "mask.png", pnginfo=info, icc_profile=profile)
    assert np.array_equal(read_mask(tmp_path / "mask.png"), SHAPE)


# GIF, masks with grey levels, and what headers tell.


def gif(path: Path, frames: int = 1) -> Path:
    mask = palette(np.eye(9, dtype=np.uint8), (0, 0, 0), (255, 255, 255))
    others = [palette(np.full((9, 9), i % 2, np.uint8), (0, 0, 0), (255, 255, 255)) for i in range(frames - 1)]
    return saved(path, mask, save_all=True, append_images=others)


def test_a_gif_of_one_frame_is_read_as_it_was_saved(tmp_path):
    path = gif(tmp_path / "a.gif")
    assert np.array_equal(read_mask(path), np.eye(9, dtype=bool))
    assert np.array_equal(read_image(path)[..., 0], 255 * np.eye(9, dtype=np.uint8))


def test_a_gif_of_several_frames_is_refused(tmp_path):
    assert refusal(read_mask, gif(tmp_path / "a.gif", 2)) == "holds 2 pages or frames; allowed: one"


def blurred(path: Path) -> Path:
    """Write a mask whose left half is 255, whose column 4 is 100, and whose rest is 3."""
    levels = np.full((8, 9), 3, np.uint8)
    levels[:, :4], levels[:, 4] = 255, 100
    return saved(path, Image.fromarray(levels))


@pytest.mark.parametrize(("threshold", "columns"), [(101, 4), (100, 5), (1, 9)])
def test_a_threshold_cuts_the_grey_levels_of_a_mask(tmp_path, threshold, columns):
    mask = read_mask(blurred(tmp_path / "a.png"), threshold)
    assert mask.dtype == bool
    assert np.array_equal(mask, np.broadcast_to(np.arange(9) < columns, (8, 9)))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_threshold_reads_a_grey_jpeg_mask(tmp_path, mode):
    truth = np.zeros((40, 40), bool)
    truth[8:24, 8:32] = True
    path = saved(tmp_path / "a.jpg", Image.fromarray(np.uint8(truth) * 255).convert(mode))
    assert np.array_equal(read_mask(path, 128), truth)


def test_a_colour_jpeg_is_no_mask_even_with_a_threshold(tmp_path):
    path = saved(tmp_path / "a.jpg", Image.new("RGB", (16, 16), (200, 20, 20)))
    with pytest.raises(InputError, match="is a colour image, such as a superpixel map or an overlay"):
        read_mask(path, 128)


@pytest.mark.parametrize("level", [1, 127, 255])
def test_a_mask_of_two_levels_is_never_cut(tmp_path, level):
    path = saved(tmp_path / "a.png", Image.fromarray(np.eye(9, dtype=np.uint8) * np.uint8(level)))
    assert np.array_equal(read_mask(path, 128), np.eye(9, dtype=bool))


def test_palette_indices_are_no_grey_levels_to_cut(tmp_path):
    path = saved(tmp_path / "a.png", palette(np.arange(9).reshape(3, 3) % 3, (0, 0, 0), (9, 9, 9), (255, 255, 255)))
    with pytest.raises(InputError, match="holds 3 levels"):
        read_mask(path, 128)


def test_headers_tell_of_deep_images_jpeg_masks_pointers_dangling_links_and_sizes_that_differ(tmp_path):
    deep = saved(tmp_path / "deep.png", Image.fromarray(np.zeros((8, 8), np.uint16)))
    jpeg = saved(tmp_path / "mask.jpg", Image.new("L", (8, 8)))
    large = saved(tmp_path / "large.png", Image.new("L", (8, 9)))
    pointer, link = tmp_path / "lfs.png", tmp_path / "link.png"
    pointer.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n")
    link.symlink_to("elsewhere.png")
    pairs = [Pair("a", deep, jpeg), Pair("b", pointer, link), Pair("c", jpeg, large)]
    found = [str(problem) for problem in unfit_pairs(pairs)]
    assert found == [
        f"{deep}: is a 16-bit image; allowed: 8 bits per channel. "
        "Scale it to 0..255 yourself: which range is black and white is your choice",
        f"{jpeg}: is a JPEG, which blurs the edge of a mask; allowed: PNG, TIFF, BMP, GIF or lossless WEBP. "
        "Export the mask again in one of these; converting this file does not undo the blur",
        f"{pointer}: is a Git LFS pointer, not the image itself. Fetch the images with 'git lfs pull'",
        f"{link}: is a link to elsewhere.png, which does not exist. "
        "Copy the files themselves, or make the link lead to them",
        f"{large}: is 8 x 9 pixels, its image (mask.jpg) is 8 x 8 pixels; allowed: equal sizes. "
        "Export the mask at that size",
    ]
    assert [str(problem) for problem in unfit_pairs(pairs, 128)] == [found[0], *found[2:]]


def test_headers_tell_of_swapped_sides_that_no_tag_explains(tmp_path):
    image = saved(tmp_path / "image.png", Image.new("RGB", (8, 6)))
    mask = saved(tmp_path / "mask.png", Image.new("L", (6, 8)))
    (problem,) = unfit_pairs([Pair("a", image, mask)])
    assert str(problem) == (
        f"{mask}: is 6 x 8 pixels, its image (image.png) is 8 x 6 pixels; allowed: equal sizes. "
        "Export the mask at that size"
    )


def test_many_files_with_one_fault_are_one_line_with_an_example(tmp_path):
    pairs = good_pairs(tmp_path, 12)
    for pair in pairs:
        pair.mask.write_bytes(b"")
    with pytest.raises(InputError) as caught:
        load_pairs(pairs, 32, "area")
    (problem,) = caught.value.problems
    assert str(problem) == (
        f"{pairs[0].mask.parent}: 12 files with one fault, such as {pairs[0].mask.name}: it is empty (0 bytes). "
        "Copy or download it again"
    )

"""Folders of what is not 8-bit RGB with one class: grey, 16 bits, float, channels, label maps."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from augkit import InputError
from augkit.data.remarks import remarks_on
from augkit_folder import Folder

HALF = {"size": 32, "test_fraction": 0.5}
LABELS = {"classes": {"liver": 1, "spleen": 2}, **HALF}


def square(label: int = 1, dtype: type = np.uint8) -> np.ndarray:
    mask = np.zeros((40, 40), dtype)
    mask[10:20, 10:30] = label
    return mask


def deep(number: int) -> np.ndarray:
    """A grey image of 16 bits, brighter inside the square."""
    return (1000 + 20 * number + 3000 * square(dtype=np.uint16) + np.arange(40, dtype=np.uint16)).astype(np.uint16)


def write(
    root: Path, image_of=deep, mask=None, ending: str = ".tif", mask_ending: str = ".png", count: int = 6
) -> Path:
    """Write images, each with a mask, as TIFF by tifffile or otherwise by Pillow."""
    for name in ("images", "masks"):
        (root / name).mkdir(exist_ok=True)
    for number in range(count):
        save(root / "images" / f"case{number}{ending}", image_of(number))
        save(root / "masks" / f"case{number}{mask_ending}", square() if mask is None else mask)
    return root


def save(path: Path, pixels, **options) -> None:
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, **options)
    else:
        (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path)


def told(ask) -> list[str]:
    with pytest.raises(InputError) as caught:
        ask()
    return [str(problem) for problem in caught.value.problems]


def refusal_of(dataset: Folder) -> str:
    """What loading says of the one file that is bad."""
    (problem,) = told(dataset.load)
    return problem.partition(": ")[2]


def all_labels(dataset: Folder) -> np.ndarray:
    splits = dataset.load()
    return np.concatenate([splits.train.labels, splits.test.labels])


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_16_bit_grey_keeps_its_numbers_and_gets_a_window_from_the_training_foreground(tmp_path, ending):
    dataset = Folder(write(tmp_path, ending=ending), pixels="grey", resize="nearest", size=40, test_fraction=0.5)
    dataset.sources()
    splits = dataset.load()
    assert splits.train.images.dtype == np.uint16
    for name, image in zip(splits.train.ids, splits.train.images, strict=True):
        np.testing.assert_array_equal(image[..., 0], deep(int(name[-1])))
    (channel,) = splits.train.format.channels
    inside = splits.train.images[..., 0][splits.train.masks]
    assert (channel.low, channel.high) == tuple(np.percentile(inside.astype(float), [0.5, 99.5]))
    assert dataset.format().promises(splits.train.format)
    assert dataset.format().dtype == "uint16"
    assert dataset.format().channels[0].meaning == "grey"
    assert splits.train.masks.dtype == bool


def test_native_images_and_masks_are_those_of_the_files(tmp_path):
    dataset = Folder(write(tmp_path, mask=square(2)), pixels="grey", **LABELS)
    ids = dataset.load().train.ids
    for name, image, mask in zip(ids, dataset.native_images(ids), dataset.native_masks(ids), strict=True):
        np.testing.assert_array_equal(image[..., 0], deep(int(name[-1])))
        np.testing.assert_array_equal(mask, square(2))
    assert [one.dtype for one in Folder(tmp_path, pixels="grey", mask_threshold=1, **HALF).native_masks(ids[:1])] == [
        bool
    ]


def test_float_tiff_is_read_with_the_window_of_the_recipe(tmp_path):
    root = write(tmp_path, lambda number: (deep(number) / 1000 - 2).astype(np.float32))
    format = Folder(root, pixels="grey", window=(-1.5, 3), **HALF).load().train.format
    assert str(format) == "1 channel (grey -1.5..3; float32) and 1 class"


def test_a_window_that_clips_the_foreground_is_remarked_on(tmp_path):
    splits = Folder(write(tmp_path), pixels="grey", window=(0, 4030), **HALF).load()
    remark = remarks_on(splits)[0]
    assert remark.startswith("The window 0..4030 of the channel grey clips ")
    assert remark.endswith("are their 0.5 and 99.5 percentiles.")
    wide = remarks_on(Folder(tmp_path, pixels="grey", window=(0, 5000), **HALF).load())
    assert not any(sentence.startswith("The window") for sentence in wide)


def test_float_pixels_that_are_not_finite_are_refused_with_their_place(tmp_path):
    root = write(tmp_path, lambda number: deep(number).astype(np.float32))
    broken = deep(0).astype(np.float32)
    broken[3, 5] = np.nan
    save(root / "images" / "case2.tif", broken)
    assert refusal_of(Folder(root, pixels="grey", window=(0, 1), **HALF)).startswith(
        "holds nan at row 3, column 5; allowed: finite numbers"
    )


def test_grey_may_be_shown_as_rgb(tmp_path):
    dataset = Folder(write(tmp_path), pixels="grey", as_rgb=(1000, 4255), **HALF)
    assert dataset.format().rgb
    image = dataset.load().train.images[0]
    assert image.dtype == np.uint8
    assert image.shape == (32, 32, 3)
    assert (image == image[..., :1]).all()


def test_16_bit_colours_are_refused_without_a_window_and_whole_with_one(tmp_path):
    root = write(tmp_path, lambda number: np.stack([deep(number), deep(0), deep(1)], axis=-1))
    assert "is a 16-bit image; allowed: 8 bits per channel" in told(Folder(root, **HALF).sources)[0]
    dataset = Folder(root, window=(0, 5000), size=40, resize="nearest", test_fraction=0.5)
    dataset.sources()
    train = dataset.load().train
    np.testing.assert_array_equal(train.images[0, ..., 0], deep(int(train.ids[0][-1])))
    assert [channel.meaning for channel in train.format.channels] == ["red", "green", "blue"]


def test_a_png_of_16_bit_colours_is_refused_because_it_would_be_cut(tmp_path):
    cv2 = pytest.importorskip("cv2")
    root = write(tmp_path, lambda number: np.zeros((40, 40, 3), np.uint8), ending=".png")
    cv2.imwrite(str(root / "images" / "case1.png"), np.full((40, 40, 3), 300, np.uint16))
    what = (
        "is a PNG of 16 bits in the pixel mode RGB, which would be cut to 8. Save it as TIFF, which is read with all "
    )
    for options in ({"window": (0, 5000)}, {"pixels": "grey"}):
        dataset = Folder(root, **options, **HALF)
        assert told(dataset.sources) == [f"{root / 'images' / 'case1.png'}: {what}its bits"]
        assert refusal_of(dataset) == f"{what}its bits"


@pytest.mark.parametrize("layout", ["interleaved", "planar", "imagej"])
def test_tiff_with_several_channels_is_read_by_pixels_channels(tmp_path, layout):
    def save_channels(path, number):
        planes = np.stack([deep(number), deep(number) + 7, deep(0), deep(1)])
        if layout == "imagej":
            tifffile.imwrite(path, planes, imagej=True, metadata={"axes": "CYX"})
        elif layout == "planar":
            tifffile.imwrite(path, planes, photometric="minisblack", planarconfig="separate")
        else:
            tifffile.imwrite(path, np.moveaxis(planes, 0, -1), photometric="minisblack", planarconfig="contig")

    root = write(tmp_path)
    for number in range(6):
        save_channels(root / "images" / f"case{number}.tif", number)
    dataset = Folder(root, pixels="channels", size=40, resize="nearest", test_fraction=0.5)
    dataset.sources()
    train = dataset.load().train
    assert train.images.shape[1:] == (40, 40, 4)
    np.testing.assert_array_equal(train.images[0, ..., 1], deep(int(train.ids[0][-1])) + 7)
    assert [str(channel.meaning) for channel in dataset.format().channels] == ["other"] * 4
    (first, *_) = told(Folder(root, pixels="grey", **HALF).sources)
    assert first.endswith("has 4 channels; allowed with 'pixels: grey': one. Write 'pixels: channels'")


def test_pages_of_unknown_meaning_are_refused_and_listed(tmp_path):
    root = write(tmp_path)
    with tifffile.TiffWriter(root / "images" / "case1.tif") as file:
        for side in (40, 40, 20):
            file.write(deep(0)[:side, :side])
    (problem,) = told(Folder(root, pixels="grey", **HALF).sources)
    assert problem == (
        f"{root / 'images' / 'case1.tif'}: holds 3 pages or frames: 1 (40 x 40), 2 (40 x 40), 3 (20 x 20); allowed: "
        "one. Save the one that is meant: they may be slices, channels, times, or smaller copies of the first"
    )


def test_a_tiff_in_which_0_is_white_is_refused(tmp_path):
    root = write(tmp_path)
    save(root / "images" / "case1.tif", deep(0), photometric="miniswhite")
    assert told(Folder(root, pixels="grey", **HALF).sources)[0].endswith(
        "says that 0 is white and the largest number black (MINISWHITE); allowed: 0 as black. "
        "Turn its numbers over and save it as MINISBLACK, or as PNG"
    )


def test_the_numbers_of_a_label_map_count_whichever_of_them_is_white(tmp_path):
    root = write(tmp_path, mask_ending=".tif", mask=square(2))
    for number in range(6):
        save(root / "masks" / f"case{number}.tif", square(2), photometric="miniswhite")
    assert set(np.unique(all_labels(Folder(root, pixels="grey", **LABELS)))) == {0, 2}


@pytest.mark.parametrize(
    ("pixels", "what"),
    [
        (square().astype(bool), "is a 1-bit image; allowed: 8 or 16 bits, or float32"),
        (square().astype(np.float64), "holds float64 pixels; allowed: uint8, uint16, int16, float32"),
        (np.zeros((40, 40, 3), np.uint8), "has 3 channels; allowed with 'pixels: grey': one. Write 'pixels: rgb'"),
        (
            np.zeros((40, 40), np.int16),
            "is int16 with 1 channel; case0.tif is uint16 with 1 channel; allowed: one kind",
        ),
    ],
)
def test_a_tiff_of_other_pixels_than_promised_is_refused(tmp_path, pixels, what):
    root = write(tmp_path)
    save(root / "images" / "case1.tif", pixels)
    assert what in told(Folder(root, pixels="grey", **HALF).sources)[0]


def test_alpha_is_refused(tmp_path):
    root = write(tmp_path, lambda number: np.zeros((40, 40, 3), np.uint16))
    save(
        root / "images" / "case1.tif", np.zeros((40, 40, 4), np.uint16), photometric="rgb", extrasamples=["unassalpha"]
    )
    assert "has an alpha channel; allowed: opaque images" in told(Folder(root, window=(0, 9), **HALF).sources)[0]


def test_a_tiff_to_be_turned_is_refused(tmp_path):
    root = write(tmp_path)
    save(root / "images" / "case1.tif", deep(0), extratags=[(274, "H", 1, 6, True)])
    assert "is to be turned by its orientation tag (6)" in told(Folder(root, pixels="grey", **HALF).sources)[0]


def test_a_broken_tiff_is_refused(tmp_path):
    root = write(tmp_path)
    file = root / "images" / "case1.tif"
    file.write_bytes(file.read_bytes()[:500])
    assert "cannot be decoded" in refusal_of(Folder(root, pixels="grey", **HALF))


def test_colour_where_grey_was_promised_is_refused_with_its_place(tmp_path):
    root = write(tmp_path, lambda number: np.full((40, 40, 3), number, np.uint8), ending=".png")
    assert Folder(root, pixels="grey", **HALF).load().train.images.shape[3] == 1
    colour = np.zeros((40, 40, 3), np.uint8)
    colour[7, 9] = 1, 2, 3
    save(root / "images" / "case1.png", colour)
    assert refusal_of(Folder(root, pixels="grey", **HALF)) == (
        "has colours in 1 pixels, such as (1, 2, 3) at row 7, column 9; allowed with 'pixels: grey': grey. "
        "Leave 'pixels: grey' out, or save it as grey: how is your choice"
    )


def test_a_1_bit_image_is_refused(tmp_path):
    root = write(tmp_path, lambda number: Image.fromarray(square() > 0), ending=".png")
    assert "is a 1-bit image; allowed: 8 or 16 bits" in told(Folder(root, pixels="grey", **HALF).sources)[0]


def test_numbered_objects_are_one_class_with_mask_threshold_1(tmp_path):
    objects = square(dtype=np.uint16)
    objects[12:14, 12:14] = 700
    root = write(tmp_path, mask=objects)
    assert "holds 3 levels (0, 1, 700)" in told(Folder(root, pixels="grey", **HALF).load)[0]
    masks = all_labels(Folder(root, pixels="grey", mask_threshold=1, size=40, test_fraction=0.5))
    np.testing.assert_array_equal(masks, np.broadcast_to(square(), (6, 40, 40)))


def test_one_file_per_object_of_a_grey_image(tmp_path):
    for number in range(6):
        for name in ("images", "masks"):
            (tmp_path / f"case{number}" / name).mkdir(parents=True)
        save(tmp_path / f"case{number}" / "images" / "a.tif", deep(number))
        save(tmp_path / f"case{number}" / "masks" / "1.png", square())
        save(tmp_path / f"case{number}" / "masks" / "2.png", square().T.copy())
    options = {"layout": "folder-per-image", "join_masks": True, "pixels": "grey", "size": 40, "test_fraction": 0.5}
    dataset = Folder(tmp_path, **options)
    dataset.sources()
    np.testing.assert_array_equal(all_labels(dataset)[0], square() | square().T)


# Label maps


def palette(mask: np.ndarray) -> Image.Image:
    image = Image.fromarray(mask).convert("P")
    image.putdata(mask.ravel().tolist())
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    return image


def colours(mask: np.ndarray) -> np.ndarray:
    return np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0)], np.uint8)[mask]


RED_AND_GREEN = {"classes": {"liver": "#ff0000", "spleen": "#00FF00"}, **HALF}


@pytest.mark.parametrize(
    ("mask", "ending", "options"),
    [
        (square(2), ".png", LABELS),
        (square(2, np.uint16), ".png", LABELS),
        (square(2, np.float32), ".tif", LABELS),
        (palette(square(2)), ".png", LABELS),
        (palette(square(2)), ".png", RED_AND_GREEN),
        (colours(square(2)), ".png", RED_AND_GREEN),
    ],
    ids=["grey", "16 bits", "float", "palette indices", "colours of a palette", "colours"],
)
def test_labels_are_numbers_palette_indices_or_colours(tmp_path, mask, ending, options):
    dataset = Folder(write(tmp_path, mask=mask, mask_ending=ending), pixels="grey", **{**options, "size": 40})
    dataset.sources()
    labels = all_labels(dataset)
    np.testing.assert_array_equal(labels, np.broadcast_to(square(2), (6, 40, 40)))
    assert dataset.format().classes == ("liver", "spleen")


def test_rgb_images_take_label_maps_too(tmp_path):
    root = write(tmp_path, lambda number: np.full((40, 40, 3), number, np.uint8), mask=square(2), ending=".png")
    assert str(Folder(root, **LABELS).format()) == "8-bit RGB and 2 classes (liver, spleen)"


def test_one_class_with_a_name_is_a_binary_mask(tmp_path):
    dataset = Folder(write(tmp_path, mask=square(255)), pixels="grey", classes={"nucleus": 255}, **HALF)
    assert dataset.load().train.masks.dtype == bool
    assert dataset.format().classes == ("nucleus",)


def test_the_background_may_be_named_and_pixels_ignored(tmp_path):
    mask = square(3) + 1
    mask[0, 0] = 200
    root = write(tmp_path, mask=mask)
    dataset = Folder(root, pixels="grey", classes={"background": 1, "liver": 4}, ignore=200, size=40, test_fraction=0.5)
    labels = all_labels(dataset)[0]
    assert labels[0, 0] == 255
    assert labels[15, 15] == 1
    assert labels[1, 1] == 0
    assert dataset.format().ignore


def test_a_label_that_no_class_has_is_refused_with_count_and_place(tmp_path):
    root = write(tmp_path)
    wrong = square()
    wrong[4, 6:8] = 7
    save(root / "masks" / "case1.png", wrong)
    assert refusal_of(Folder(root, pixels="grey", **LABELS)) == (
        "holds 2 pixels of 1 label that no class has, such as 7 at row 4, column 6; allowed: 0 (background), "
        "1 (liver), 2 (spleen). Add a class for it, or correct the labels; where a resize has blurred edges, redo it "
        "with nearest neighbour"
    )


def test_smoothed_edges_of_colours_are_refused_with_count_and_place(tmp_path):
    root = write(tmp_path, mask=colours(square(2)))
    smooth = Image.fromarray(colours(square(1))).rotate(10, Image.Resampling.BILINEAR)
    save(root / "masks" / "case1.png", smooth)
    problem = refusal_of(Folder(root, pixels="grey", **RED_AND_GREEN))
    pixels = np.asarray(smooth)
    strange = ~((pixels == 0).all(-1) | (pixels == (255, 0, 0)).all(-1))
    row, column = np.argwhere(strange)[0]
    assert problem.startswith(
        f"holds {strange.sum()} pixels of {len(np.unique(pixels[strange], axis=0))} colours that "
    )
    assert f"at row {row}, column {column}; allowed: #000000 (background), #ff0000 (liver), #00ff00 (spleen)" in problem
    assert problem.endswith("export the labels without smoothed edges (anti-aliasing), best as numbers, not colours")


def test_fractional_labels_are_refused_with_their_place(tmp_path):
    root = write(tmp_path, mask=square(2, np.float32), mask_ending=".tif")
    wrong = square(2, np.float32)
    wrong[12, 11] = 1.5
    save(root / "masks" / "case1.tif", wrong)
    assert refusal_of(Folder(root, pixels="grey", **LABELS)) == (
        "holds 1.5 at row 12, column 11; allowed: whole numbers: 0 (background), 1 (liver), 2 (spleen). "
        "It was interpolated; resample with nearest neighbour"
    )


@pytest.mark.parametrize(
    ("mask", "options", "what"),
    [
        (colours(square(2)), LABELS, "is a colour image"),
        (Image.fromarray(np.zeros((40, 40, 4), np.uint8)), RED_AND_GREEN, "has transparent pixels"),
        (Image.fromarray(square(2)).resize((20, 40), 0), LABELS, "is 20 x 40 pixels, its image (case1.tif) is 40 x 40"),
    ],
)
def test_other_files_are_no_label_maps(tmp_path, mask, options, what):
    root = write(tmp_path, mask=colours(square(2)) if options is RED_AND_GREEN else square(2))
    save(root / "masks" / "case1.png", mask)
    assert what in refusal_of(Folder(root, pixels="grey", **options))


def test_jpeg_labels_are_refused(tmp_path):
    root = write(tmp_path, mask=square(2), mask_ending=".jpg")
    assert "is a JPEG, which blurs the edge of a mask" in told(Folder(root, pixels="grey", **LABELS).sources)[0]


def test_every_bad_file_is_named_in_one_pass(tmp_path):
    root = write(tmp_path, mask=square(2))
    save(root / "images" / "case1.tif", np.zeros((40, 40, 3), np.uint8))
    save(root / "masks" / "case1.png", square(9))
    save(root / "masks" / "case2.png", square(8))
    (root / "images" / "case3.tif").write_bytes(b"no image")
    found = [problem.split(": ")[0] for problem in told(Folder(root, pixels="grey", **LABELS).load)]
    paths = ("images/case1.tif", "masks/case1.png", "masks/case2.png", "images/case3.tif")
    assert sorted(found) == sorted(str(root / path) for path in paths)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"window": (5, 5)}, "window: found [5, 5]; allowed: two numbers, the lower one first"),
        ({"as_rgb": (0, 1)}, "as_rgb: found 'pixels: rgb'; allowed: with 'pixels: grey'"),
        (
            {"as_rgb": (0, 1), "window": (0, 1), "pixels": "grey"},
            "as_rgb and window: found both; allowed: one of the two",
        ),
        ({"ignore": 255}, "ignore: found without classes; allowed: with classes"),
        ({"classes": {}}, "classes: found 0; allowed: 1 to 254 beside background"),
        ({"classes": {"a": 1}, "join_masks": True}, "join_masks: found true beside classes"),
        ({"classes": {"a": 1}, "mask_threshold": 1}, "mask_threshold: found beside classes"),
        ({"classes": {"a": 1, "b": "#ffffff"}}, "classes and ignore: found numbers beside colours"),
        ({"classes": {"a": "red"}}, 'found a: red; allowed: whole numbers 0..65535, or colours such as "#ff0000"'),
        ({"classes": {"a": 1, "b": 1}}, "classes: found 1 for a and b; allowed: another number or colour for each"),
        ({"classes": {"a": 0}}, "classes: found 0 for background and a"),
        ({"classes": {"a": 1}, "ignore": 1}, "classes: found 1 for a and ignored"),
    ],
)
def test_options_that_say_nothing_sure_are_refused(options, what):
    with pytest.raises(ValueError, match="found") as caught:
        Folder("data", **options)
    assert what in str(caught.value)

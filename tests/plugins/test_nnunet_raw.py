"""The data set `nnunet_raw`: what dataset.json says, and what nnU-Net and augkit refuse."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from augkit.contracts.rules import check_format, check_native_image, check_native_mask, check_splits
from augkit.data.formats import Format
from augkit.errors import InputError

nib = pytest.importorskip("nibabel")

from augkit_nifti import NnunetRaw  # noqa: E402 - after the package that it needs

CT = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "tumour": 2}, "file_ending": ".nii.gz"}


def volumes(root, description=CT, count=6, part="Tr", start=0, **changes):
    """Write a raw folder of volumes with a file for each channel."""
    for number in range(start, start + count):
        labels = np.zeros((10, 10, 6), np.uint8)
        labels[2:8, 2:8, 1:5], labels[4:6, 4:6, 2:4] = 1, 2
        for channel in range(len(description["channel_names"])):
            voxels = (np.random.default_rng(number).integers(-50, 50, labels.shape) + 9 * labels).astype(np.int16)
            save(root / f"images{part}" / f"case{number}_{channel:04d}.nii.gz", voxels)
        save(root / f"labels{part}" / f"case{number}.nii.gz", labels)
    describe(root, {**description, "numTraining": count, **changes})
    return root


def save(path, voxels):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, np.diag([0.8, 0.8, 2.5, 1])), path)


def describe(root, description):
    root.mkdir(exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(description))


def pictures(root, images, masks, names, ending=".png", **changes):
    """Write a raw folder of pictures; `images` is a list of arrays, or of lists of arrays, a file each."""
    labels = {"background": 0, "nucleus": 1}
    described = {"channel_names": {str(i): name for i, name in enumerate(names)}, "labels": labels}
    describe(root, {**described, "numTraining": len(images), "file_ending": ending, **changes})
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir()
    for number, (several, mask) in enumerate(zip(images, masks, strict=True)):
        for channel, image in enumerate(several if isinstance(several, list) else [several]):
            put(root / "imagesTr" / f"n{number}_{channel:04d}{ending}", image)
        put(root / "labelsTr" / f"n{number}{ending}", mask)
    return root


def put(path, pixels):
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels)
    else:
        Image.fromarray(pixels).save(path)


def raw(root, **options):
    return NnunetRaw(root, **{"size": 32, "test_fraction": 0.4, "seed": 1, **options})


def refusal(data):
    def use():
        data.sources()
        data.load()

    with pytest.raises(InputError) as caught:
        use()
    return "\n".join(str(problem) for problem in caught.value.problems)


def boxes(count, shape=(40, 40)):
    masks = np.zeros((count, *shape), np.uint8)
    masks[:, 10:30, 8:20] = 1
    return masks


def test_a_folder_of_ct_volumes_is_read_with_its_classes(tmp_path):
    data = raw(volumes(tmp_path))
    splits = data.load()
    check_splits(splits)
    check_format(data.format(), splits.train.format)
    assert str(data.format()) == "1 channel (ct; int16) and 2 classes (liver, tumour)"
    assert set(np.unique(splits.train.masks)) == {0, 1, 2}
    assert splits.train.format.channels[0].low is not None  # percentiles of the training foreground
    assert data.sources()[0] == tmp_path / "dataset.json"
    assert data.remarks() == ["12 of 36 slices without any class are left out (empty: drop)"]
    [image], [mask] = (list(f(splits.test.ids[:1])) for f in (data.native_images, data.native_masks))
    check_native_image(image, check_native_mask(mask, splits.test.masks[0], 0), 0, data.format())


def test_names_of_channels_say_what_they_mean(tmp_path):
    names = {"0": "T1", "1": "FLAIR", "2": "PET"}
    data = raw(volumes(tmp_path, {**CT, "channel_names": names}))
    assert [(one.name, one.meaning) for one in data.format().channels] == [
        ("T1", "mr"),
        ("FLAIR", "mr"),
        ("PET", "other"),
    ]
    assert data.load().train.images.shape[-1] == 3


def test_the_ignore_label_does_not_count(tmp_path):
    labels = {"background": 0, "liver": 1, "ignore": 2}
    data = raw(volumes(tmp_path, {**CT, "labels": labels}))
    splits = data.load()
    assert data.format() == Format("int16", data.format().channels, ("liver",), ignore=True)
    assert set(np.unique(splits.train.masks)) == {0, 1, 255}


def test_labelled_test_cases_are_the_test_split(tmp_path):
    volumes(tmp_path, count=2, part="Ts", start=4)
    data = raw(volumes(tmp_path, count=4))
    splits = data.load()
    assert set(splits.train.groups) == {f"case{n}" for n in range(4)}
    assert set(splits.test.groups) == {"case4", "case5"}
    assert "imagesTs and labelsTs are the test split" in data.remarks()[0]
    held = raw(tmp_path, validation_fraction=0.5).load()
    assert 0 < len(set(held.validation.groups)) < 4
    for path in (tmp_path / "labelsTs").iterdir():
        path.unlink()
    assert "imagesTs has no labels in labelsTs and is not read" in raw(tmp_path).remarks()[0]


def test_cases_that_the_description_lists_are_read_from_where_they_lie(tmp_path):
    volumes(tmp_path / "elsewhere")
    listed = {
        f"a{n}": {
            "images": [f"../elsewhere/imagesTr/case{n}_0000.nii.gz"],
            "label": f"../elsewhere/labelsTr/case{n}.nii.gz",
        }
        for n in range(4)
    }
    (tmp_path / "raw").mkdir()
    describe(tmp_path / "raw", {**CT, "dataset": listed})
    assert {name[:2] for name in raw(tmp_path / "raw").load().train.ids} < set(listed)
    listed["a3"]["images"] *= 2
    describe(tmp_path / "raw", {**CT, "dataset": listed})
    assert "a3 has 2 images; allowed: 1, one for each channel" in refusal(raw(tmp_path / "raw"))


def test_regions_that_share_no_pixel_are_classes_and_others_are_refused_with_what_to_write(tmp_path):
    data = raw(volumes(tmp_path / "apart", {**CT, "labels": {"background": 0, "both": [1, 2]}}))
    assert data.format().classes == ("both",)
    assert data.load().train.masks.dtype == bool
    overlapping = {"background": 0, "whole": [1, 2], "core": 2}
    root = volumes(tmp_path / "nested", {**CT, "labels": overlapping}, regions_class_order=[1, 2])
    text = refusal(raw(root))
    assert (
        "has regions that overlap: whole and core both hold the value 2; allowed: classes that share no pixel" in text
    )
    assert "Name the values one by one in the recipe: 'classes: {class 1: 1, class 2: 2}'" in text
    named = raw(root, classes={"edema": 1, "core": 2})
    assert named.format().classes == ("edema", "core")
    assert set(np.unique(named.load().train.masks)) == {0, 1, 2}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"labels": {"background": 0, "a": 1, "b": 3}},
            "has labels with the values 0, 1, 3; allowed: 0, 1, 2 and so on",
        ),
        (
            {"labels": {"background": 0, "a": 1, "ignore": 1}},
            "the label ignore with the value 1; allowed: 2, the highest",
        ),
        ({"labels": {"a": 1}}, "has labels without 'background': 0"),
        ({"labels": {"background": 0}}, "has no class besides the background"),
        ({"labels": {"background": 0, "a": "1"}}, "has labels of which a is '1'; allowed: names with a whole number"),
        ({"channel_names": {"1": "CT"}}, "has the channel_names {'1': 'CT'}; allowed: a name for 0, 1 and so on"),
        ({"file_ending": ".nrrd"}, "has the file_ending '.nrrd'; allowed: .nii.gz, .nii, .png"),
        ({"dataset": {"a": {"image": "x"}}}, "has an entry 'dataset' that cannot be read (KeyError: 'images')"),
    ],
)
def test_descriptions_that_nnunet_refuses_are_refused(tmp_path, changes, told):
    assert told in refusal(raw(volumes(tmp_path, count=2, **changes)))


def test_a_description_of_the_decathlon_is_told_how_to_convert(tmp_path):
    describe(tmp_path, {"modality": {"0": "CT"}, "labels": {"0": "background"}})
    text = refusal(raw(tmp_path))
    assert "has no channel_names, file_ending. It is of nnU-Net 1 or the Decathlon; convert it with" in text


def test_a_folder_without_a_description_is_told_where_one_is(tmp_path):
    volumes(tmp_path / "Dataset001_Liver", count=2)
    assert "holds no dataset.json" in refusal(raw(tmp_path))
    assert "It lies in Dataset001_Liver; write one of them in root" in refusal(raw(tmp_path))
    assert "is not a folder" in refusal(raw(tmp_path / "none"))


def test_labels_beyond_the_description_are_refused(tmp_path):
    text = refusal(raw(volumes(tmp_path, {**CT, "labels": {"background": 0, "liver": 1}})))
    assert "holds the label 2 at [4, 4, 2]; allowed: whole numbers 0..1 (background, liver)" in text
    assert "Correct the labels, or dataset.json" in text


def test_colour_pictures_with_one_class_are_what_every_component_takes(tmp_path):
    images = list(np.random.default_rng(0).integers(0, 255, (6, 40, 40, 3), np.uint8))
    data = raw(pictures(tmp_path, images, boxes(6), "RGB", labels={"background": 0, "foreground": 1}))
    assert data.format() == Format()
    splits = data.load()
    assert splits.train.masks.dtype == bool
    assert splits.train.ids[0].startswith("n")


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_grey_pictures_of_16_bits_keep_them(tmp_path, ending):
    images = list(np.random.default_rng(0).integers(0, 60000, (6, 40, 40)).astype(np.uint16))
    data = raw(pictures(tmp_path, images, boxes(6), ["DAPI"], ending))
    assert str(data.format()) == "1 channel (grey; uint16) and 1 class"
    assert data.load().train.images.max() > 255
    name = data.load().test.ids[0]
    assert (next(data.native_images([name]))[..., 0] == images[int(name[1:])]).all()


def test_a_file_for_each_channel_of_a_picture_is_joined(tmp_path):
    images = [[np.full((40, 40), fill, np.uint8) for fill in (7, 9)] for _ in range(6)]
    data = raw(pictures(tmp_path, images, boxes(6), ["DAPI", "actin"]))
    assert data.load().train.images[0, 0, 0].tolist() == [7, 9]


def test_pictures_that_do_not_fit_are_refused(tmp_path):
    grey = list(np.zeros((6, 40, 40), np.uint8))
    assert "n0 has 1 channels in 1 files; allowed: 3, as in channel_names" in refusal(
        raw(pictures(tmp_path / "a", grey, boxes(6), "RGB"))
    )
    assert "is 40 x 39 pixels, its image n0_0000.png 40 x 40; allowed: equal sizes" in refusal(
        raw(pictures(tmp_path / "b", grey, boxes(6, (39, 40)), ["grey"]))
    )
    colours = [np.zeros((40, 40, 3), np.uint8)] * 6
    assert "n0.png: holds 3 channels; allowed: one, the number of the class" in refusal(
        raw(pictures(tmp_path / "c", grey, colours, ["grey"]))
    )
    assert (
        "n0.png: holds the label 255 at row 10, column 8; allowed: whole numbers 0..1 (background, nucleus)"
        in refusal(raw(pictures(tmp_path / "d", grey, boxes(6) * 255, ["grey"])))
    )
    stack = [np.zeros((5, 40, 40), np.uint16)] * 6
    text = refusal(raw(pictures(tmp_path / "e", stack, boxes(6), ["z"], ".tif")))
    assert "holds 1 images of 5 x 40 x 40; allowed: one, (height, width) or (height, width, 3)" in text


def test_colour_of_16_bits_is_not_cut_to_8_without_a_word(tmp_path):
    import cv2

    root = pictures(tmp_path, [np.zeros((40, 40, 3), np.uint8)] * 6, boxes(6), "RGB")
    cv2.imwrite(str(root / "imagesTr/n2_0000.png"), np.full((40, 40, 3), 700, np.uint16))
    assert "n2_0000.png: is a PNG of 16-bit colour, of which 8 would be read" in refusal(raw(root))


def test_options_are_refused_with_what_is_allowed(tmp_path):
    with pytest.raises(ValueError, match=r"test_fraction: found 0; allowed: above 0"):
        raw(tmp_path, test_fraction=0.0)
    with pytest.raises(ValueError, match=r"classes.b: found 1, which is a; allowed: one class per value"):
        raw(tmp_path, classes={"a": 1, "b": (1, 2)})

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augkit import InputError
from augkit_isic import Isic, augkit_datasets

FOLDERS = {
    (2016, "train"): ("ISBI2016_ISIC_Part1_Training_Data", "ISBI2016_ISIC_Part1_Training_GroundTruth"),
    (2016, "test"): ("ISBI2016_ISIC_Part1_Test_Data", "ISBI2016_ISIC_Part1_Test_GroundTruth"),
    (2017, "train"): ("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth"),
    (2017, "validation"): ("ISIC-2017_Validation_Data", "ISIC-2017_Validation_Part1_GroundTruth"),
    (2017, "test"): ("ISIC-2017_Test_v2_Data", "ISIC-2017_Test_v2_Part1_GroundTruth"),
    (2018, "train"): ("ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"),
    (2018, "validation"): ("ISIC2018_Task1-2_Validation_Input", "ISIC2018_Task1_Validation_GroundTruth"),
    (2018, "test"): ("ISIC2018_Task1-2_Test_Input", "ISIC2018_Task1_Test_GroundTruth"),
}
NUMBERS = {"train": (2, 0, 5), "validation": (11, 12), "test": (21,)}


def lesion(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A grey square of its own level on white, 48 x 36 pixels, and its mask."""
    mask = np.zeros((36, 48), np.bool_)
    mask[9:27, 12 : 24 + number % 12] = True
    return np.where(mask[..., None], 40 + number, 250).astype(np.uint8).repeat(3, axis=2), mask


def publish(root: Path, year: int, sets=("train", "validation", "test")) -> Path:
    """Write the challenge's folders as unzipped: with superpixels, a metadata CSV and licence texts."""
    for name in sets:
        if (year, name) not in FOLDERS:
            continue
        images, masks = (root / folder for folder in FOLDERS[year, name])
        images.mkdir(parents=True)
        masks.mkdir()
        (images / f"{images.name}_metadata.csv").write_text("image_id,age_approximate,sex\n")
        (masks / "LICENSE.txt").write_text("CC0")
        for number in NUMBERS[name]:
            image, mask = lesion(number)
            Image.fromarray(image).save(images / f"ISIC_{number:07}.jpg", quality=95)
            Image.fromarray(image).save(images / f"ISIC_{number:07}_superpixels.png")
            spelling = "Segmentation" if year == 2016 else "segmentation"
            Image.fromarray(mask.astype(np.uint8) * 255).save(masks / f"ISIC_{number:07}_{spelling}.png")
    return root


def problems_of(dataset: Isic) -> dict[str, str]:
    with pytest.raises(InputError) as caught:
        dataset.load()
    assert len({problem.where for problem in caught.value.problems}) == len(caught.value.problems)
    return {problem.where: str(problem) for problem in caught.value.problems}


def test_the_data_set_is_registered_as_isic():
    assert augkit_datasets() == {"isic": Isic}


@pytest.mark.parametrize(
    ("year", "test"), [(2016, "test"), (2017, "validation"), (2017, "test"), (2018, "validation"), (2018, "test")]
)
def test_the_folders_of_every_year_are_read_as_published(tmp_path, year, test):
    dataset = Isic(publish(tmp_path, year), year=year, size=32, test=test)
    splits = dataset.load()
    assert splits.train.ids == ("ISIC_0000000", "ISIC_0000002", "ISIC_0000005")
    assert splits.test.ids == tuple(f"ISIC_{number:07}" for number in NUMBERS[test])
    assert len(splits.validation) == 0
    assert splits.validation.size == (32, 32)
    assert splits.train.groups == splits.train.ids
    assert splits.train.origins == ("real",) * 3
    assert len(dataset.sources()) == 2 * (3 + len(NUMBERS[test]))


def test_every_image_meets_its_own_mask(tmp_path):
    train = Isic(publish(tmp_path, 2017), size=48, resize="area").load().train
    for position, number in enumerate(sorted(NUMBERS["train"])):
        mask = np.asarray(Image.fromarray(lesion(number)[1]).resize((48, 48), Image.Resampling.NEAREST))
        assert np.array_equal(train.masks[position], mask)
        assert np.abs(train.images[position][20, 20].astype(int) - (40 + number)).max() <= 3


def test_nearest_is_the_default_and_area_differs(tmp_path):
    root = publish(tmp_path, 2017)
    path = root / "ISIC-2017_Training_Data" / "ISIC_0000000.jpg"
    by_pillow = Image.open(path).convert("RGB").resize((32, 32), Image.Resampling.NEAREST)
    nearest = Isic(root, size=32).load().train.images[0]
    assert np.array_equal(nearest, np.asarray(by_pillow))
    assert not np.array_equal(nearest, Isic(root, size=32, resize="area").load().train.images[0])


def test_sources_are_the_image_and_mask_files_in_use_sorted(tmp_path):
    sources = Isic(publish(tmp_path, 2017)).sources()
    assert list(sources) == sorted(sources)
    assert {path.parent.name for path in sources} == {*FOLDERS[2017, "train"], *FOLDERS[2017, "validation"]}
    assert not [path for path in sources if "superpixels" in path.name or path.suffix in (".csv", ".txt")]


def test_the_test_folders_need_not_exist_when_the_validation_set_is_used(tmp_path):
    root = publish(tmp_path, 2017, ["train", "validation"])
    assert len(Isic(root, size=32).load().test) == 2
    with pytest.raises(InputError, match="has no folder ISIC-2017_Test_v2_Data, ISIC-2017_Test_v2_Part1_GroundTruth"):
        Isic(root, test="test").sources()


def test_names_match_in_any_case(tmp_path):
    publish(tmp_path, 2017)
    images, masks = (tmp_path / folder for folder in FOLDERS[2017, "train"])
    (images / "ISIC_0000000.jpg").rename(images / "isic_0000000.JPG")
    (masks / "ISIC_0000000_segmentation.png").rename(masks / "ISIC_0000000_SEGMENTATION.PNG")
    assert Isic(tmp_path, size=32).load().train.ids[0] == "ISIC_0000000"


def test_2016_has_no_validation_set():
    with pytest.raises(ValueError, match="the 2016 challenge has no validation set; write 'test: test'"):
        Isic(year=2016)


def test_a_missing_root_says_what_to_download_and_where_to_put_it(tmp_path):
    with pytest.raises(InputError) as caught:
        Isic(tmp_path / "nowhere").sources()
    assert str(caught.value) == (
        f"{tmp_path / 'nowhere'}: does not exist (looked for ISIC-2017_Training_Data, "
        "ISIC-2017_Training_Part1_GroundTruth, ISIC-2017_Validation_Data, ISIC-2017_Validation_Part1_GroundTruth). "
        "Download ISIC-2017_Training_Data.zip, ISIC-2017_Training_Part1_GroundTruth.zip, "
        "ISIC-2017_Validation_Data.zip, ISIC-2017_Validation_Part1_GroundTruth.zip "
        "from https://challenge.isic-archive.com/data/#2017 and unzip them there, or correct the option root"
    )


def test_without_a_root_every_candidate_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("AUGKIT_DATA", str(tmp_path / "shared"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        Isic(year=2018).load()
    assert [problem.where for problem in caught.value.problems] == [
        str(tmp_path / "shared" / "isic2018"),
        str(Path("data/isic2018")),
    ]
    for problem in caught.value.problems:
        assert "ISIC2018_Task1-2_Training_Input.zip" in problem.hint
        assert "https://challenge.isic-archive.com/data/#2018" in problem.hint
        assert "or set AUGKIT_DATA to the folder that holds isic2018, or the option root" in problem.hint


def test_the_data_is_found_under_augkit_data_first_then_in_the_current_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUGKIT_DATA", "")
    publish(Path("data/isic2017"), 2017)
    assert Isic().sources()[0].parts[0] == "data"
    monkeypatch.setenv("AUGKIT_DATA", str(tmp_path / "shared"))
    assert Isic().sources()[0].parts[0] == "data"
    publish(tmp_path / "shared" / "isic2017", 2017)
    assert Isic().sources()[0].is_relative_to(tmp_path / "shared")


def test_a_relative_root_is_relative_to_the_current_directory(tmp_path, monkeypatch):
    publish(tmp_path / "here", 2017)
    monkeypatch.chdir(tmp_path)
    assert len(Isic(Path("here"), size=32).load().train) == 3


def test_missing_masks_missing_images_and_bad_files_of_both_sets_are_reported_at_once(tmp_path):
    publish(tmp_path, 2017)
    images, masks = (tmp_path / folder for folder in FOLDERS[2017, "train"])
    test_images, test_masks = (tmp_path / folder for folder in FOLDERS[2017, "validation"])
    (masks / "ISIC_0000000_segmentation.png").unlink()
    (images / "ISIC_0000002.jpg").unlink()
    (test_images / "ISIC_0000099.jpg").write_bytes(b"")
    (test_images / "ISIC_0000011.jpg").write_bytes(b"")
    Image.fromarray(np.arange(36 * 48, dtype=np.uint8).reshape(36, 48)).save(
        test_masks / "ISIC_0000012_segmentation.png"
    )
    with pytest.raises(InputError) as listed:
        Isic(tmp_path).sources()
    assert len(listed.value.problems) == 4  # levels are in the pixels, which listing does not read
    found = problems_of(Isic(tmp_path, size=32))
    assert found.keys() == {
        str(images / "ISIC_0000000.jpg"),
        str(masks / "ISIC_0000002_segmentation.png"),
        str(test_images / "ISIC_0000011.jpg"),
        str(test_images / "ISIC_0000099.jpg"),
        str(test_masks / "ISIC_0000012_segmentation.png"),
    }
    assert "no mask has the id ISIC_0000000. Add the mask" in found[str(images / "ISIC_0000000.jpg")]
    assert "no mask has the id ISIC_0000099" in found[str(test_images / "ISIC_0000099.jpg")]
    assert "no image has the id ISIC_0000002" in found[str(masks / "ISIC_0000002_segmentation.png")]
    assert "is empty (0 bytes)" in found[str(test_images / "ISIC_0000011.jpg")]
    assert "holds 256 levels" in found[str(test_masks / "ISIC_0000012_segmentation.png")]


def test_an_image_in_both_sets_is_refused(tmp_path):
    publish(tmp_path, 2017)
    for train, test in zip(FOLDERS[2017, "train"], FOLDERS[2017, "validation"], strict=True):
        for path in (tmp_path / train).glob("ISIC_0000002*"):
            (tmp_path / test / path.name).write_bytes(path.read_bytes())
    where = tmp_path / "ISIC-2017_Validation_Data" / "ISIC_0000002.jpg"
    assert "the id ISIC_0000002 is already taken by" in problems_of(Isic(tmp_path, size=32))[str(where)]


def test_an_image_in_two_formats_is_refused(tmp_path):
    images = publish(tmp_path, 2017) / "ISIC-2017_Training_Data"
    Image.fromarray(lesion(0)[0]).save(images / "ISIC_0000000.png")
    what = "is a second image with the id ISIC_0000000, beside ISIC_0000000.jpg"
    assert what in problems_of(Isic(tmp_path, size=32))[str(images / "ISIC_0000000.png")]


def test_folders_without_images_or_masks_are_reported(tmp_path):
    publish(tmp_path, 2017)
    images, masks = (tmp_path / folder for folder in FOLDERS[2017, "train"])
    for path in [*images.glob("ISIC_???????.jpg"), *masks.glob("*.png")]:
        path.unlink()
    found = problems_of(Isic(tmp_path, size=32))
    assert "holds no ISIC_0000000.jpg" in found[str(images)]
    assert "holds no ISIC_0000000_segmentation.png" in found[str(masks)]


@pytest.mark.skipif(not os.environ.get("AUGKIT_DATA"), reason="AUGKIT_DATA is not set: the ISIC 2017 data is not here")
def test_the_real_training_and_validation_sets_of_2017_are_read():
    splits = Isic(size=64).load()
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (2000, 0, 150)
    assert splits.train.ids[0] == "ISIC_0000000"
    assert not set(splits.train.ids) & set(splits.test.ids)
    assert 0.18 < splits.train.masks.mean() < 0.26
    assert splits.train.masks.any(axis=(1, 2)).all()
    inside = splits.train.images[splits.train.masks].mean()
    assert inside < splits.train.images[~splits.train.masks].mean(), "lesions are darker than skin"


@pytest.mark.parametrize(("year", "test"), [(2016, "test"), (2017, "validation"), (2018, "validation")])
def test_archives_unzipped_into_folders_of_their_names_are_read(tmp_path, year, test):
    once = Isic(publish(tmp_path / "once", year), year=year, size=32, test=test)
    twice = Isic(publish(tmp_path / "twice", year), year=year, size=32, test=test)
    for folder in list(twice.root.iterdir()):
        inner = folder.rename(tmp_path / "moving")
        folder.mkdir()
        inner.rename(folder / folder.name)
    assert len(twice.sources()) == len(once.sources())
    assert np.array_equal(twice.load().train.masks, once.load().train.masks)
    assert len(list(twice.native_masks(["ISIC_0000000"]))) == 1


def replaced(folder: Path, name: str, kind: str) -> None:
    file = folder / name
    image = Image.open(file).copy()
    file.unlink()
    if kind == "jpeg mask":
        image.save(file, "JPEG")
    elif kind == "deep":
        Image.fromarray(np.zeros((36, 48), np.uint16)).save(file, "PNG")
    elif kind == "pointer":
        file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    elif kind == "link":
        file.symlink_to("gone")
    elif kind == "other size":
        image.resize((40, 36)).save(file)


@pytest.mark.parametrize(
    ("folder", "kind", "told"),
    [
        (1, "jpeg mask", "is a JPEG, which blurs the edge of a mask"),
        (0, "deep", "is a 16-bit image; allowed: 8 bits per channel"),
        (0, "pointer", "is a Git LFS pointer, not the image itself. Fetch the images with 'git lfs pull'"),
        (1, "link", "is a link to gone, which does not exist"),
        (1, "other size", "is 40 x 36 pixels, its image (ISIC_0000002.jpg) is 48 x 36 pixels; allowed: equal sizes"),
    ],
)
def test_what_headers_tell_is_refused_when_files_are_listed(tmp_path, folder, kind, told):
    root = publish(tmp_path, 2017)
    name = "ISIC_0000002_segmentation.png" if folder else "ISIC_0000002.jpg"
    replaced(root / FOLDERS[2017, "train"][folder], name, kind)
    with pytest.raises(InputError) as caught:
        Isic(root).sources()
    assert [Path(problem.where).name for problem in caught.value.problems] == [name]
    assert told in str(caught.value)


def test_images_that_exif_turns_and_masks_that_it_does_not_are_remarked_on(tmp_path):
    root = publish(tmp_path, 2017)
    assert Isic(root).remarks() == ()
    path = root / FOLDERS[2017, "train"][0] / "ISIC_0000002.jpg"
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(path).save(path, exif=exif)
    (remark,) = Isic(root).remarks()
    assert "images are turned upright by their EXIF orientation and their masks are not, such as ISIC_0000002" in remark

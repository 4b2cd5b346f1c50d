"""Layouts in which people have their data: each is read with the options that its refusal names."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augkit import InputError
from augkit_folder import Folder
from augkit_folder.names import Names, better_names


def image(path: Path, level: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((32, 32, 3), level, np.uint8)).save(path)


def mask(path: Path, column: int = 4) -> None:
    """Write a mask of one column."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.zeros((32, 32), np.uint8)
    levels[:, column] = 255
    Image.fromarray(levels).save(path)


def refusal(dataset: Folder) -> str:
    """Return what `sources` refuses, which `load` refuses as well."""
    with pytest.raises(InputError) as caught:
        dataset.sources()
    with pytest.raises(InputError) as again:
        dataset.load()
    assert str(caught.value) == str(again.value)
    return str(caught.value)


def read(dataset: Folder) -> dict[str, np.ndarray]:
    """Return the masks by id; what `sources` lists is read."""
    assert all(path.is_file() for path in dataset.sources())
    splits = dataset.load()
    return {
        name: mask
        for samples in (splits.train, splits.validation, splits.test)
        for name, mask in zip(samples.ids, samples.masks, strict=True)
    }


# Names.


@pytest.mark.parametrize(
    ("image_name", "mask_name", "options", "spelt"),
    [
        ("{}_0000", "{}", {"image_suffix": "_0000"}, "'image_suffix: \"_0000\"'"),
        (
            "{}_training",
            "{}_manual1",
            {"image_suffix": "_training", "mask_suffix": "_manual1"},
            "'image_suffix: \"_training\"', 'mask_suffix: \"_manual1\"'",
        ),
        (
            "img_{}",
            "mask_{}",
            {"image_prefix": "img_", "mask_prefix": "mask_"},
            "'image_prefix: \"img_\"', 'mask_prefix: \"mask_\"'",
        ),
    ],
)
def test_names_are_read_with_the_options_that_the_refusal_proposes(tmp_path, image_name, mask_name, options, spelt):
    names = [f"{i}" for i in range(21, 41)]
    for name in names:
        image(tmp_path / "images" / f"{image_name.format(name)}.png")
        mask(tmp_path / "masks" / f"{mask_name.format(name)}.png")
    first = image_name.format(21)
    assert refusal(Folder(tmp_path, size=32)) == (
        f"{tmp_path / 'masks'}: none of 20 images has a mask: {first}.png needs one named {first} with any ending. "
        f"Write {spelt}, with which 20 images have one"
    )
    assert sorted(read(Folder(tmp_path, size=32, **options))) == names


def test_no_options_are_proposed_for_names_that_have_nothing_in_common():
    assert better_names(["a1", "b2", "c3"], ["x1", "y7", "z8"]) == (Names(), 0)


def test_images_without_the_prefix_or_suffix_are_named(tmp_path):
    names = [str(i) for i in range(20)]
    for name in (*(f"img_{name}_0000" for name in names), "2_0000", "img_3"):
        image(tmp_path / "images" / f"{name}.png")
    for name in names:
        mask(tmp_path / "masks" / f"{name}.png")
    assert refusal(Folder(tmp_path, size=32, image_prefix="img_", image_suffix="_0000")).splitlines() == [
        f"{tmp_path / 'images/2_0000.png'}: does not begin with 'img_', the option image_prefix. Rename or remove it",
        f"{tmp_path / 'images/img_3.png'}: does not end in '_0000', the option image_suffix. Rename or remove it",
    ]


def test_a_prefix_is_no_path():
    with pytest.raises(ValueError, match=r"mask_prefix: found 'a/b'; allowed: the beginning of a file name"):
        Folder(Path("x"), mask_prefix="a/b")


# Sub-folders.


def patients(root: Path, images: str = "images", masks: str = "masks", ending: str = "") -> list[str]:
    """Write three images of each of eight patients, whose names begin anew for each patient."""
    ids = [f"patient{patient}/{i}" for patient in range(8) for i in range(3)]
    for number, name in enumerate(ids):
        image(root / images / f"{name}.png", number)
        mask(root / masks / f"{name}{ending}.png", number)
    return ids


def groups_of(dataset: Folder) -> dict[str, tuple[str, str]]:
    """Return (group, split) by id."""
    splits = dataset.load()
    return {
        name: (group, part)
        for part, samples in (("train", splits.train), ("validation", splits.validation), ("test", splits.test))
        for name, group in zip(samples.ids, samples.groups, strict=True)
    }


def test_sub_folders_are_read_with_the_option_that_the_refusal_names(tmp_path):
    ids = patients(tmp_path)
    lines = refusal(Folder(tmp_path)).splitlines()
    assert len(lines) == 2
    assert lines[0].endswith(
        "there: 24 .png. The files lie in sub-folders, such as patient0/0.png; write 'sub_folders: groups' where each "
        "sub-folder is a patient, 'sub_folders: ids' where not"
    )
    files = Folder(tmp_path, size=32, sub_folders="ids")
    found = read(files)
    assert sorted(found) == ids
    assert [np.flatnonzero(found[name].any(axis=0)).tolist() for name in ids] == [[i] for i in range(24)]
    assert len(files.sources()) == 48
    assert files.remarks() == []
    assert {name: group for name, (group, _) in groups_of(files).items()} == {name: name for name in ids}
    assert np.array_equal(next(files.native_masks(["patient3/1"])), found["patient3/1"])


def test_a_sub_folder_is_a_group_when_asked_and_in_one_split(tmp_path):
    ids = patients(tmp_path)
    image(tmp_path / "images/patient2/second visit/0.png", 60)
    mask(tmp_path / "masks/patient2/second visit/0.png")
    image(tmp_path / "images/loose.png", 61)
    mask(tmp_path / "masks/loose.png")
    found = groups_of(Folder(tmp_path, size=32, sub_folders="groups", test_fraction=0.4))
    assert {name: group for name, (group, _) in found.items()} == {
        **{name: name.split("/")[0] for name in ids},
        "patient2/second visit/0": "patient2",
        "loose": "loose",
    }
    assert len({(group, part) for group, part in found.values()}) == 9
    assert {part for _, part in found.values()} == {"train", "test"}


def test_ids_of_sub_folders_are_those_of_a_groups_file(tmp_path):
    ids = patients(tmp_path)
    rows = "".join(f"{name},ward{int(name[7]) // 2}\n" for name in ids)
    (tmp_path / "groups.csv").write_text(f"id,group\n{rows}")
    found = groups_of(Folder(tmp_path, size=32, sub_folders="ids", groups=tmp_path / "groups.csv"))
    assert {group for group, _ in found.values()} == {"ward0", "ward1", "ward2", "ward3"}


def test_images_and_masks_may_lie_together_in_sub_folders(tmp_path):
    ids = patients(tmp_path, "scans", "scans", "_mask")
    options = {"images": "scans", "masks": "scans", "size": 32, "sub_folders": "groups"}
    assert sorted(read(Folder(tmp_path, mask_suffix="_mask", **options))) == ids


def test_several_masks_in_sub_folders_are_joined(tmp_path):
    patients(tmp_path, ending="_mask")
    mask(tmp_path / "masks/patient1/2_mask_1.png", 30)
    files = {"root": tmp_path, "mask_suffix": "_mask", "size": 32, "sub_folders": "ids"}
    assert "1 image has several masks, such as 2_mask.png and 2_mask_1.png" in refusal(Folder(**files))
    found = read(Folder(**files, join_masks=True))
    assert np.flatnonzero(found["patient1/2"].any(axis=0)).tolist() == [5, 30]


def test_a_mask_in_another_sub_folder_is_no_partner(tmp_path):
    patients(tmp_path)
    (tmp_path / "masks/patient1/2.png").rename(tmp_path / "masks/patient2/7.png")
    assert refusal(Folder(tmp_path, size=32, sub_folders="ids")).splitlines() == [
        f"{tmp_path / 'images/patient1/2.png'}: no mask has the id patient1/2. Add the mask or remove the image",
        f"{tmp_path / 'masks/patient2/7.png'}: no image has the id patient2/7. Add the image or remove the mask",
    ]


def test_endings_of_masks_in_sub_folders_are_proposed(tmp_path):
    patients(tmp_path, ending="_seg")
    assert refusal(Folder(tmp_path, sub_folders="ids")) == (
        f"{tmp_path / 'masks'}: none of 24 images has a mask: patient0/0.png needs one named patient0/0 with any "
        "ending. Write 'mask_suffix: \"_seg\"', with which 24 images have one"
    )


def test_masks_in_other_sub_folders_than_images_are_told(tmp_path):
    patients(tmp_path)
    (tmp_path / "masks").rename(tmp_path / "old")
    (tmp_path / "masks").mkdir()
    for folder in sorted((tmp_path / "old").iterdir()):
        folder.rename(tmp_path / "masks" / f"{folder.name}_masks")
    assert refusal(Folder(tmp_path, sub_folders="groups")) == (
        f"{tmp_path / 'masks'}: none of 24 images has a mask: patient0/0.png needs one named patient0/0 with any "
        "ending. The first mask there is patient0_masks/0.png; rename the masks or set mask_suffix"
    )


def test_what_is_not_read_in_sub_folders_is_told_by_its_ending(tmp_path):
    patients(tmp_path)
    (tmp_path / "images/patient1/notes.txt").write_text("x")
    assert Folder(tmp_path, sub_folders="ids").remarks() == [
        f"{tmp_path / 'images'}: 1 file is not read beside 24: 1 .txt, such as patient1/notes.txt"
    ]


def test_linked_sub_folders_are_read_and_circles_of_links_end(tmp_path):
    ids = patients(tmp_path)
    for kind in ("images", "masks"):
        (tmp_path / kind / "patient5").rename(tmp_path / f"far {kind}")
        (tmp_path / kind / "patient5").symlink_to(tmp_path / f"far {kind}", target_is_directory=True)
        (tmp_path / kind / "patient6" / "round").symlink_to(tmp_path / kind, target_is_directory=True)
    assert sorted(read(Folder(tmp_path, size=32, sub_folders="groups"))) == ids


@pytest.mark.parametrize("place", ["{part}/{kind}", "{kind}/{part}"])
def test_sub_folders_of_a_split_are_groups_and_no_group_is_in_two_splits(tmp_path, place):
    for part, folders in (("train", "abc"), ("test", "de")):
        for folder in folders:
            image(tmp_path / place.format(part=part, kind="images") / folder / "1.png")
            mask(tmp_path / place.format(part=part, kind="masks") / folder / "1.png")
    files = Folder(tmp_path, size=32, split="folders", sub_folders="groups")
    assert groups_of(files) == {
        **{f"train-{folder}/1": (folder, "train") for folder in "abc"},
        **{f"test-{folder}/1": (folder, "test") for folder in "de"},
    }
    image(tmp_path / place.format(part="test", kind="images") / "b" / "1.png")
    mask(tmp_path / place.format(part="test", kind="masks") / "b" / "1.png")
    assert refusal(files) == (
        f"{tmp_path}: 1 group is in two splits, such as b in train and test; allowed: each in one. Move the images of "
        "a group into one split, or write 'sub_folders: ids' if equal names are not one patient"
    )
    assert len(read(Folder(tmp_path, size=32, split="folders", sub_folders="ids"))) == 6


def test_a_groups_file_that_puts_a_group_into_two_parts_of_a_split_is_told_before_a_run(tmp_path):
    for name in ("train/images/1", "train/images/2", "test/images/3", "test/images/4"):
        image(tmp_path / f"{name}.png")
        mask(tmp_path / f"{name.replace('images', 'masks')}.png")
    groups = tmp_path / "groups.csv"
    groups.write_text("id,group\ntrain-1,ada\ntrain-2,ben\ntest-3,ada\ntest-4,ben\n")
    assert refusal(Folder(tmp_path, size=32, split="folders", groups=groups)) == (
        f"{tmp_path}: 2 groups are in two splits, such as ada in train and test; allowed: each in one. "
        "Move the images of a group into one split"
    )


def test_groups_without_sub_folders_are_refused(tmp_path):
    for name in "abcdef":
        image(tmp_path / "images" / f"{name}.png")
        mask(tmp_path / "masks" / f"{name}.png")
    assert refusal(Folder(tmp_path, size=32, sub_folders="groups")) == (
        f"{tmp_path / 'images'}: holds no sub-folders with images; allowed with 'sub_folders: groups': one for each "
        "group. Leave sub_folders out, or write a CSV file in the option groups"
    )


def test_sub_folders_go_with_two_folders_and_one_source_of_groups():
    with pytest.raises(ValueError, match=r"sub_folders: found ids; allowed: unread with 'layout: folder-per-image'"):
        Folder(Path("x"), layout="folder-per-image", sub_folders="ids")
    with pytest.raises(ValueError, match=r"sub_folders: found groups beside a file of groups; allowed: one of the two"):
        Folder(Path("x"), groups=Path("groups.csv"), sub_folders="groups")


# Images and masks in one folder.


def one_folder(root: Path) -> list[str]:
    names = [f"benign ({i})" for i in range(1, 21)]
    for i, name in enumerate(names):
        image(root / "benign" / f"{name}.png", i)
        mask(root / "benign" / f"{name}_mask.png", 4)
    return names


def test_images_and_masks_may_lie_in_one_folder(tmp_path):
    names = one_folder(tmp_path)
    files = Folder(tmp_path, images="benign", masks="benign", mask_suffix="_mask", size=32)
    assert sorted(read(files)) == sorted(names)
    assert len(files.sources()) == 40
    assert files.remarks() == []


def test_one_folder_for_both_needs_what_tells_masks_from_images():
    with pytest.raises(ValueError, match=r"images and masks: found 'benign' twice; allowed: one folder for both where"):
        Folder(Path("x"), images="benign", masks="benign")


def test_one_folder_without_masks_is_one_sentence(tmp_path):
    one_folder(tmp_path)
    assert refusal(Folder(tmp_path, images="benign", masks="benign", mask_suffix="_seg")) == (
        f"{tmp_path / 'benign'}: holds 40 images and 0 masks in one folder with 'mask_suffix: \"_seg\"'; "
        "allowed: at least one of each. Write what the names of masks, and of no image, begin or end with in "
        "mask_prefix or mask_suffix"
    )


def test_several_masks_of_an_image_are_joined_when_asked(tmp_path):
    one_folder(tmp_path)
    mask(tmp_path / "benign" / "benign (4)_mask_1.png", 9)
    mask(tmp_path / "benign" / "benign (4)_mask_2.png", 11)
    files = {"root": tmp_path, "images": "benign", "masks": "benign", "mask_suffix": "_mask", "size": 32}
    assert refusal(Folder(**files)) == (
        f"{tmp_path / 'benign'}: 1 image has several masks, such as benign (4)_mask.png and benign (4)_mask_1.png; "
        "allowed: one. Write 'join_masks: true' to make them one mask, or remove all but one"
    )
    joined = Folder(**files, join_masks=True)
    found = read(joined)
    assert len(found) == 20
    assert np.flatnonzero(found["benign (4)"].any(axis=0)).tolist() == [4, 9, 11]
    assert np.flatnonzero(found["benign (5)"].any(axis=0)).tolist() == [4]
    assert np.array_equal(next(joined.native_masks(["benign (4)"])), found["benign (4)"])
    assert len(joined.sources()) == 42


def test_a_root_that_holds_the_files_itself_says_what_to_write(tmp_path):
    one_folder(tmp_path)
    assert refusal(Folder(tmp_path / "benign")) == (
        f"{tmp_path / 'benign'}: holds 40 images itself and no folders. Write 'root: {tmp_path}', 'images: benign', "
        "'masks: benign' and what masks' names end with in mask_suffix, such as '_mask'"
    )


# A folder per image.


def test_a_folder_per_image_is_read_with_the_options_that_the_refusal_names(tmp_path):
    for i in range(20):
        folder = tmp_path / f"{i:02}"
        image(folder / "images" / f"{i:02}.png", i)
        for column in (4, 9):
            mask(folder / "masks" / f"object{i}{column}.png", column)
    assert refusal(Folder(tmp_path)) == (
        f"{tmp_path}: holds 20 folders with images and masks in each, such as 00. "
        "Write 'layout: folder-per-image', and 'join_masks: true' if an image has a mask per object"
    )
    assert refusal(Folder(tmp_path, layout="folder-per-image")) == (
        f"{tmp_path}: 20 images have several masks, such as object04.png and object09.png; allowed: one. "
        "Write 'join_masks: true' to make them one mask, or remove all but one"
    )
    found = read(Folder(tmp_path, layout="folder-per-image", join_masks=True, size=32))
    assert sorted(found) == [f"{i:02}" for i in range(20)]
    assert np.flatnonzero(found["07"].any(axis=0)).tolist() == [4, 9]


def test_sub_folders_may_begin_with_the_id(tmp_path):
    for i in range(20):
        name = f"IMD{i:03}"
        image(tmp_path / name / f"{name}_Dermoscopic_Image" / f"{name}.bmp")
        mask(tmp_path / name / f"{name}_lesion" / f"{name}_lesion.bmp")
    assert refusal(Folder(tmp_path)) == (
        f"{tmp_path}: holds 20 folders with IMD000_Dermoscopic_Image, IMD000_lesion and the like in each. "
        "Write 'layout: folder-per-image', and which of _Dermoscopic_Image, _lesion is which in images and masks"
    )
    files = Folder(tmp_path, layout="folder-per-image", images="_Dermoscopic_Image", masks="_lesion", size=32)
    assert len(read(files)) == 20


def test_folders_without_an_image_or_a_mask_are_named(tmp_path):
    image(tmp_path / "a" / "images" / "a.png")
    (tmp_path / "b").mkdir()
    assert refusal(Folder(tmp_path, layout="folder-per-image")).splitlines() == [
        f"{tmp_path / name}: holds {images} images in images and 0 masks in masks; allowed: one image and at least one "
        "mask. Correct the options images and masks, or remove the folder"
        for name, images in (("a", 1), ("b", 0))
    ]


def test_a_folder_per_image_goes_with_no_other_layout():
    with pytest.raises(ValueError, match=r"layout: found folder-per-image; allowed: without 'split: folders'"):
        Folder(Path("x"), layout="folder-per-image", split="folders")


# Sets that are split already.


def split_set(root: Path, part_first: bool) -> None:
    for part, count in (("train", 5), ("val", 3), ("test", 2)):
        for kind, write in (("images", image), ("masks", mask)):
            folder = root / part / kind if part_first else root / kind / part
            for i in range(count):
                write(folder / f"{i}.png")


@pytest.mark.parametrize(("part_first", "place"), [(True, "."), (False, "images")])
def test_a_split_that_is_there_is_used_when_asked(tmp_path, part_first, place):
    split_set(tmp_path, part_first)
    assert refusal(Folder(tmp_path)) == (
        f"{tmp_path / place}: is split already, into train, val, test. Write 'split: folders' to use that split"
    )
    files = Folder(tmp_path, split="folders", size=32)
    splits = files.load()
    assert splits.train.ids == tuple(f"train-{i}" for i in range(5))
    assert splits.validation.ids == tuple(f"validation-{i}" for i in range(3))
    assert splits.test.ids == ("test-0", "test-1")
    assert len(files.sources()) == 20
    assert files.remarks() == []
    fraction = Folder(tmp_path, split="folders", size=32, test_fraction=0.3)
    assert fraction.remarks() == [f"{tmp_path}: split by its folders; test_fraction unused"]


def test_a_split_needs_train_and_test(tmp_path):
    image(tmp_path / "train" / "images" / "a.png")
    assert refusal(Folder(tmp_path, split="folders")) == (
        f"{tmp_path}: holds train; allowed with 'split: folders': train and test. "
        "Folders there: train. Rename them, or leave split out"
    )


def test_a_part_without_masks_is_named(tmp_path):
    split_set(tmp_path, True)
    (tmp_path / "val" / "masks").rename(tmp_path / "val" / "labels")
    assert refusal(Folder(tmp_path, split="folders")) == (
        f"{tmp_path / 'val' / 'masks'}: is not a folder. Correct images or masks"
    )


# Folders of other names, and none.


def test_usual_names_of_folders_are_proposed(tmp_path):
    image(tmp_path / "img" / "a.png")
    mask(tmp_path / "label" / "a.png")
    assert refusal(Folder(tmp_path)).splitlines() == [
        f"{tmp_path / 'images'}: is not a folder. Write 'images: img'",
        f"{tmp_path / 'masks'}: is not a folder. Write 'masks: label'",
    ]


def test_outlines_in_json_are_told_from_masks(tmp_path):
    image(tmp_path / "images" / "a.png")
    (tmp_path / "coco.json").write_text("{}")
    assert refusal(Folder(tmp_path)) == (
        f"{tmp_path / 'masks'}: is not a folder. "
        "If coco.json holds outlines, draw them into one PNG per image first, 255 on 0, in that folder"
    )


def test_a_file_as_root_is_told(tmp_path):
    image(tmp_path / "a.png")
    assert refusal(Folder(tmp_path / "a.png")) == (
        f"{tmp_path / 'a.png'}: is a file, not a folder. Write the folder with all images in root"
    )


def test_headers_are_looked_at_before_a_run(tmp_path):
    names = ("deep", "good", "link", "pointer")
    for name in names:
        image(tmp_path / "images" / f"{name}.png")
        mask(tmp_path / "masks" / f"{name}.png")
    Image.fromarray(np.zeros((32, 32), np.uint16)).save(tmp_path / "images" / "deep.png")
    (tmp_path / "images" / "link.png").unlink()
    (tmp_path / "images" / "link.png").symlink_to("gone.png")
    (tmp_path / "masks" / "pointer.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InputError) as caught:
        Folder(tmp_path).sources()
    assert [str(problem) for problem in caught.value.problems] == [
        f"{tmp_path / 'images/deep.png'}: is a 16-bit image; allowed: 8 bits per channel. "
        "Scale it to 0..255 yourself: which range is black and white is your choice",
        f"{tmp_path / 'images/link.png'}: is a link to gone.png, which does not exist. "
        "Copy the files themselves, or make the link lead to them",
        f"{tmp_path / 'masks/pointer.png'}: is a Git LFS pointer, not the image itself. "
        "Fetch the images with 'git lfs pull'",
    ]


# A folder per patient.


def patient_folders(root, count=6):
    for i in range(count):
        for name in "ab":
            image(root / f"p{i}" / "images" / f"{name}.png", i)
            mask(root / f"p{i}" / "masks" / f"{name}.png", 4 + i)


def test_a_folder_per_patient_is_read_with_the_layout_that_the_refusal_names_and_no_patient_is_split(tmp_path):
    patient_folders(tmp_path)
    assert refusal(Folder(tmp_path)) == (
        f"{tmp_path}: holds 6 folders with several images and masks in each. Write 'layout: folder-per-patient' if a "
        "folder is a patient, all of whose images are in one split"
    )
    data = Folder(tmp_path, layout="folder-per-patient", test_fraction=0.4, size=32)
    assert len(data.sources()) == 24
    splits = data.load()
    ids = [set(part.ids) for part in (splits.train, splits.validation, splits.test)]
    assert set.union(*ids) == {f"p{i}/{name}" for i in range(6) for name in "ab"}
    owners = [{name.split("/")[0] for name in part} for part in ids]
    assert owners[0] & owners[2] == set()
    assert set(splits.train.groups) == owners[0]


def test_a_patient_without_masks_is_named_and_so_is_an_image_without_one(tmp_path):
    patient_folders(tmp_path)
    (tmp_path / "p2" / "masks" / "b.png").unlink()
    assert "p2" in refusal(Folder(tmp_path, layout="folder-per-patient"))
    (tmp_path / "notes").mkdir()
    assert refusal(Folder(tmp_path, layout="folder-per-patient")).splitlines() == [
        f"{tmp_path / 'notes' / name}: is not a folder. Correct the options images and masks, or move the folder that "
        "is no patient's elsewhere"
        for name in ("images", "masks")
    ]


def test_a_folder_per_patient_is_its_own_grouping():
    for option in ({"split": "folders"}, {"groups": Path("g.csv")}):
        with pytest.raises(ValueError, match="layout: found folder-per-patient; allowed: without"):
            Folder(Path("x"), layout="folder-per-patient", **option)
    with pytest.raises(ValueError, match="sub_folders: found ids; allowed: unread with 'layout: folder-per-patient'"):
        Folder(Path("x"), layout="folder-per-patient", sub_folders="ids")

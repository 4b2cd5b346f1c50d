import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augkit import InputError
from augkit_folder import Folder, augkit_datasets


def write(root: Path, names, suffix: str = "", ending: str = ".png") -> Path:
    """Write one image and mask per name; their sizes vary."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    (root / "masks").mkdir(exist_ok=True)
    for i, name in enumerate(names):
        shape = (20 + i % 7, 30 - i % 5)
        mask = np.zeros(shape, np.uint8)
        mask[5:15, 5 : 10 + i % 10] = 1
        Image.fromarray(np.full((*shape, 3), i % 256, np.uint8)).save(root / "images" / f"{name}.png")
        Image.fromarray(mask).save(root / "masks" / f"{name}{suffix}{ending}")
    return root


def names(count: int) -> list[str]:
    return [f"case{i:03}" for i in range(count)]


def split_of(dataset: Folder) -> dict[str, str]:
    splits = dataset.load()
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    return {name: part for part, samples in parts.items() for name in samples.ids}


def problems_of(dataset: Folder) -> list[str]:
    with pytest.raises(InputError) as caught:
        dataset.load()
    return [str(problem) for problem in caught.value.problems]


def test_the_data_set_is_registered_as_folder():
    assert augkit_datasets() == {"folder": Folder}


def test_every_pair_is_read_once_and_resized(tmp_path):
    splits = Folder(write(tmp_path, names(40)), size=32).load()
    ids = splits.train.ids + splits.test.ids
    assert sorted(ids) == names(40)
    assert splits.train.size == splits.test.size == splits.validation.size == (32, 32)
    assert len(splits.validation) == 0
    assert splits.train.groups == splits.train.ids
    for samples in (splits.train, splits.test):
        for name, image in zip(samples.ids, samples.images, strict=True):
            assert (image == int(name.removeprefix("case"))).all()


@pytest.mark.parametrize("ending", [".png", ".tif", ".BMP"])
def test_a_mask_may_have_another_ending_than_its_image(tmp_path, ending):
    assert len(split_of(Folder(write(tmp_path, names(20), ending=ending), size=32))) == 20


def test_the_mask_suffix_follows_the_image_name(tmp_path):
    root = write(tmp_path, ["a", "b", "a_b", "c", "d", "e"], suffix="_segmentation")
    assert len(split_of(Folder(root, mask_suffix="_segmentation", size=32, test_fraction=0.5))) == 6


@pytest.mark.parametrize(("written", "asked"), [("_segmentation", ""), ("_mask", "_segmentation"), ("", "_mask")])
def test_a_wrong_mask_suffix_is_one_problem_that_proposes_the_right_one(tmp_path, written, asked):
    root = write(tmp_path, ["1", "10", "100"], suffix=written)
    assert problems_of(Folder(root, mask_suffix=asked, size=32)) == [
        f"{root / 'masks'}: none of 3 images has a mask: 1.png needs one named 1{asked} with any ending. "
        f"Write 'mask_suffix: \"{written}\"', with which 3 images have one"
    ]


def test_names_that_do_not_fit_together_are_told_before_a_run(tmp_path):
    files = Folder(write(tmp_path, ["1"], suffix="_mask"), size=32)
    with pytest.raises(InputError, match="with which 1 images have one"):
        files.sources()


def test_the_shorter_of_two_possible_suffixes_is_proposed(tmp_path):
    root = write(tmp_path, ["1", "10"], suffix="_m")
    (root / "masks" / "1_m.png").unlink()
    (problem,) = problems_of(Folder(root, size=32))
    assert problem.endswith("Write 'mask_suffix: \"_m\"', with which 1 images have one")


def test_masks_that_resemble_no_image_are_one_problem(tmp_path):
    root = write(tmp_path, ["a"])
    (root / "masks" / "a.png").rename(root / "masks" / "x.png")
    assert problems_of(Folder(root)) == [
        f"{root / 'masks'}: none of 1 images has a mask: a.png needs one named a with any ending. "
        "The first mask there is x.png; rename the masks or set mask_suffix"
    ]


def test_every_bad_file_is_named_at_once(tmp_path):
    root = write(tmp_path, names(12), suffix="_m")
    images, masks = root / "images", root / "masks"
    (masks / "case000_m.png").unlink()
    (images / "case001.png").unlink()
    (images / "case002.png").write_bytes(b"")
    Image.fromarray(np.full((22, 28, 3), [1, 2, 3], np.uint8)).save(masks / "case003_m.png")
    (masks / "odd.png").write_bytes(b"")
    found = problems_of(Folder(root, mask_suffix="_m", test_fraction=0.5, size=32))
    assert [problem.split(". ")[0] for problem in found] == [
        f"{images / 'case000.png'}: no mask has the id case000",
        f"{masks / 'case001_m.png'}: no image has the id case001",
        f"{masks / 'odd.png'}: does not end in '_m', the option mask_suffix",
        f"{images / 'case002.png'}: is empty (0 bytes)",
        f"{masks / 'case003_m.png'}: is a colour image, such as a superpixel map or an overlay; "
        "allowed in a mask: grey or palette",
    ]


def told_before_a_run(dataset: Folder) -> list[str]:
    with pytest.raises(InputError) as caught:
        dataset.sources()
    return [str(problem) for problem in caught.value.problems]


def test_jpeg_masks_are_refused_in_one_line_that_names_the_option(tmp_path):
    files = Folder(write(tmp_path, names(20), ending=".jpg"), size=32)
    line = (
        f"{tmp_path / 'masks'}: 20 files with one fault, such as case000.jpg: it is a JPEG, which blurs the edge of a "
        "mask; allowed: PNG, TIFF, BMP, GIF or lossless WEBP. Write 'mask_threshold: 128' to count grey levels from "
        "128 on as the structure, or export the masks again as PNG"
    )
    assert told_before_a_run(files) == problems_of(files) == [line]


def write_grey(root: Path, count: int, ending: str) -> dict[str, np.ndarray]:
    """Write masks of 255 on 0 as files with levels between the two; returns them."""
    write(root, names(count))
    truth = {}
    for i, name in enumerate(names(count)):
        mask = np.zeros((32, 32), bool)
        mask[8:16, 8 : 16 + i % 8] = True
        levels = np.where(mask, 250, 4).astype(np.uint8)
        levels[0, 0] = 0
        (root / "masks" / f"{name}.png").unlink()
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(root / "images" / f"{name}.png")
        Image.fromarray(levels).save(root / "masks" / f"{name}{ending}")
        truth[name] = mask
    return truth


@pytest.mark.parametrize(("ending", "are"), [(".jpg", "20 of 20 masks are JPEG; "), (".png", "")])
def test_a_mask_threshold_reads_grey_masks_and_says_so(tmp_path, ending, are):
    truth = write_grey(tmp_path, 20, ending)
    files = Folder(tmp_path, size=32, mask_threshold=128)
    splits = files.load()
    for samples in (splits.train, splits.test):
        for name, mask in zip(samples.ids, samples.masks, strict=True):
            assert np.array_equal(mask, truth[name])
    assert np.array_equal(next(files.native_masks(["case003"])), truth["case003"])
    assert len(files.sources()) == 40
    assert files.remarks() == [
        f"{tmp_path}: {are}in JPEG masks and in those with more than two levels, grey levels from 128 on are "
        "the structure (mask_threshold)"
    ]


def test_masks_of_many_levels_are_one_line_that_names_the_option(tmp_path):
    write_grey(tmp_path, 20, ".png")
    assert problems_of(Folder(tmp_path, size=32)) == [
        f"{tmp_path / 'masks'}: 20 files with one fault, such as case000.png: it holds 3 levels (0, 4, 250); allowed "
        "in a mask: 0 (background) and one other level (foreground). Write 'mask_threshold: 128' to count grey levels "
        "from 128 on as the structure if the edges are blurred, 'mask_threshold: 1' if every level is the structure"
    ]


def test_gif_masks_are_read(tmp_path):
    assert len(split_of(Folder(write(tmp_path, names(20), ending=".gif"), size=32))) == 20


def move_down(folder: Path, count: int) -> None:
    for path in sorted(folder.iterdir())[-count:]:
        (folder / "ward").mkdir(exist_ok=True)
        path.rename(folder / "ward" / path.name)


def test_pairs_in_sub_folders_are_refused_where_they_are_more_than_a_tenth(tmp_path):
    root = write(tmp_path, names(20))
    for folder in (root / "images", root / "masks"):
        move_down(folder, 3)
    line = (
        "3 files are not read beside 17: 3 in sub-folders, such as ward/case017.png; allowed: up to a tenth of the "
        "images. To read sub-folders, write 'sub_folders: groups' where each sub-folder is a patient, "
        "'sub_folders: ids' where not; 'skip_unread: true' leaves out what is not read"
    )
    assert told_before_a_run(Folder(root)) == [f"{root / name}: {line}" for name in ("images", "masks")]
    skipping = Folder(root, size=32, skip_unread=True)
    assert len(skipping.sources()) == 34
    assert len(split_of(skipping)) == 17
    assert skipping.remarks() == [
        f"{root / name}: 3 files are not read beside 17: 3 in sub-folders, such as ward/case017.png"
        for name in ("images", "masks")
    ]


def test_a_tenth_that_is_not_read_is_told(tmp_path):
    root = write(tmp_path, names(20))
    move_down(root / "images", 2)
    move_down(root / "masks", 2)
    assert len(Folder(root).sources()) == 36
    assert len(Folder(root).remarks()) == 2


def test_other_files_are_told_by_kind_and_never_refused(tmp_path):
    root = write(tmp_path, names(5))
    for name in ("case000.json", "case001.json", "README", ".hidden", "Thumbs.db"):
        (root / "images" / name).write_bytes(b"x")
    assert len(Folder(root).sources()) == 10
    assert Folder(root).remarks() == [
        f"{root / 'images'}: 3 files are not read beside 5: 2 .json, 1 without an ending, such as README"
    ]


def test_nothing_is_told_where_all_files_are_read(tmp_path):
    assert Folder(write(tmp_path, names(5))).remarks() == []


@pytest.mark.parametrize(
    ("name", "there", "hint"),
    [
        ("a.nii.gz", "there: 1 .nii", "Save them as PNG under the same names, such as a.png"),
        ("a.npy", "there: 1 .npy", "Save them as PNG under the same names, such as a.png"),
        (
            "train/a.png",
            "there: 1 .png",
            "The files lie in sub-folders, such as train/a.png; write 'sub_folders: groups' where each sub-folder is a "
            "patient, 'sub_folders: ids' where not",
        ),
    ],
)
def test_a_folder_without_images_says_what_is_there(tmp_path, name, there, hint):
    root = write(tmp_path, ["a"])
    (root / "masks" / "a.png").unlink()
    (root / "masks" / name).parent.mkdir(exist_ok=True)
    (root / "masks" / name).write_bytes(b"x")
    assert told_before_a_run(Folder(root)) == [
        f"{root / 'masks'}: holds no file ending in .png, .jpg, .jpeg, .tif, .tiff, .bmp, .webp, .gif; {there}. {hint}"
    ]


def test_hidden_files_and_other_endings_are_ignored(tmp_path):
    root = write(tmp_path, names(20))
    for name in (".case000.png", "._case000.png", "Thumbs.db", "notes.txt"):
        (root / "images" / name).write_bytes(b"x")
    assert len(split_of(Folder(root, size=32))) == 20
    assert len(Folder(root).sources()) == 40


# Splits.


def test_a_sample_keeps_its_split_when_others_are_added(tmp_path):
    few = split_of(Folder(write(tmp_path, names(30)), size=32, validation_fraction=0.2))
    more = split_of(Folder(write(tmp_path, names(60)), size=32, validation_fraction=0.2))
    assert len(more) == 60
    assert {name: more[name] for name in few} == few
    assert set(few.values()) == {"train", "validation", "test"}


def test_the_validation_fraction_does_not_move_the_test_split(tmp_path):
    root = write(tmp_path, names(60))
    without = split_of(Folder(root, size=32))
    halved = split_of(Folder(root, size=32, validation_fraction=0.3))
    assert [name for name in without if without[name] == "test"] == [name for name in halved if halved[name] == "test"]


def test_another_seed_gives_another_split(tmp_path):
    root = write(tmp_path, names(60))
    assert split_of(Folder(root, size=32)) == split_of(Folder(root, size=32, seed=0))
    assert split_of(Folder(root, size=32)) != split_of(Folder(root, size=32, seed=1))


def test_the_fractions_are_met_on_average(tmp_path):
    parts = list(split_of(Folder(write(tmp_path, names(400)), size=32, validation_fraction=0.3)).values())
    assert abs(parts.count("test") - 80) < 4 * 8
    assert abs(parts.count("validation") - 120) < 4 * 9.2


def test_no_group_crosses_splits(tmp_path):
    root = write(tmp_path, names(60))
    lines = ["comment,id,group", *(f"x,{name},patient {i // 4}" for i, name in enumerate(names(60)))]
    (root / "groups.csv").write_text("\n".join(lines))
    splits = Folder(root, size=32, validation_fraction=0.2, groups=root / "groups.csv").load()
    parts = [set(splits.train.groups), set(splits.validation.groups), set(splits.test.groups)]
    assert sum(len(part) for part in parts) == len(set.union(*parts)) == 15
    assert all(parts)
    for name, group in zip(splits.train.ids, splits.train.groups, strict=True):
        assert group == f"patient {int(name.removeprefix('case')) // 4}"


def test_an_empty_split_is_refused(tmp_path):
    found = problems_of(Folder(write(tmp_path, ["only"]), size=32, test_fraction=0.5, validation_fraction=0.25))
    assert len(found) == 2
    assert told_before_a_run(Folder(tmp_path, test_fraction=0.5, validation_fraction=0.25)) == found
    assert all(
        f"{tmp_path}: the " in problem and "and none was drawn for it; allowed: at least one" in problem
        for problem in found
    )


# The groups file.


def group_problems(tmp_path: Path, text: str) -> list[str]:
    root = write(tmp_path, names(20))
    (root / "g.csv").write_text(text, encoding="utf-8")
    found = problems_of(Folder(root, size=32, groups=root / "g.csv"))
    return [problem.removeprefix(str(root)).lstrip(os.sep) for problem in found]


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (19, "case019.png. Add 'case019,<group>'"),
        (18, "case018.png, case019.png. Add 'case018,<group>' and the like"),
        (
            3,
            "case003.png, case004.png, case005.png, case006.png, case007.png and 12 others. "
            "Add 'case003,<group>' and the like",
        ),
    ],
)
def test_images_without_a_group_are_named_in_one_line(tmp_path, known, told):
    lines = ["id,group", *(f"{name},{name}" for name in names(known))]
    assert group_problems(tmp_path, "\n".join(lines)) == [f"g.csv: has no line for {told}"]


def test_bad_lines_of_the_groups_file_are_named_with_their_number(tmp_path):
    text = "\ufeffid,group\ncase000,a\ncase000,b\ncase001,\ncase002\n,c\n"
    assert group_problems(tmp_path, text) == [
        "g.csv:3: puts case000 in the group b, an earlier line in a; allowed: one group per id",
        "g.csv:4: has an empty id or group; allowed: both in every line",
        "g.csv:5: has an empty id or group; allowed: both in every line",
        "g.csv:6: has an empty id or group; allowed: both in every line",
    ]


@pytest.mark.parametrize(("text", "columns"), [("", "(none)"), ("id;group\na;b\n", "id;group"), ("ID,x\n", "ID, x")])
def test_a_groups_file_without_its_columns_is_refused(tmp_path, text, columns):
    what = f"g.csv:1: has the columns {columns}; allowed: id and group, separated by a comma"
    assert group_problems(tmp_path, text) == [f"{what}. Name them in the first line"]


def test_a_groups_file_that_is_not_text_is_refused(tmp_path):
    root = write(tmp_path, names(20))
    (root / "g.csv").write_bytes(b"\xff\xfe\x00id")
    (problem,) = problems_of(Folder(root, size=32, groups=root / "g.csv"))
    assert "g.csv: cannot be read (" in problem
    assert problem.endswith("Save it as a CSV file in UTF-8")


# Options and places.


def test_sources_are_the_files_and_the_groups_file(tmp_path):
    root = write(tmp_path, ["b", "a"])
    (root / "g.csv").write_text("id,group\na,1\nb,2\n")
    expected = [
        root / "images/a.png",
        root / "images/b.png",
        root / "masks/a.png",
        root / "masks/b.png",
        root / "g.csv",
    ]
    assert list(Folder(root, groups=root / "g.csv", seed=3).sources()) == expected


def test_missing_places_are_named_together(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(InputError) as caught:
        Folder(tmp_path, groups=tmp_path / "g.csv").sources()
    assert [str(problem) for problem in caught.value.problems] == [
        f"{tmp_path / 'images'}: is not a folder. Write the right one in the option images; folders there: pictures",
        f"{tmp_path / 'masks'}: is not a folder. Write the right one in the option masks; folders there: pictures",
        f"{tmp_path / 'g.csv'}: is not a file. Correct the option groups",
    ]
    with pytest.raises(InputError, match=r"nowhere: is not a folder. Correct the option root"):
        Folder(tmp_path / "nowhere").load()


def test_empty_folders_are_named(tmp_path):
    root = write(tmp_path, [])
    assert [problem.split(" ")[0] for problem in problems_of(Folder(root))] == [
        f"{root / 'images'}:",
        f"{root / 'masks'}:",
    ]


def test_sub_folders_may_have_other_names(tmp_path):
    root = write(tmp_path, names(20))
    (root / "images").rename(root / "photos 2")
    (root / "masks").rename(root / "truth")
    assert len(split_of(Folder(root, images="photos 2", masks="truth", size=32))) == 20


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc", "a\\b", "a\0b"])
def test_a_sub_folder_cannot_lead_out_of_the_root(name):
    with pytest.raises(ValueError, match=r"images: found '.*'; allowed: the name of a folder in root"):
        Folder(Path("x"), images=name)


def test_all_impossible_options_are_reported_together():
    with pytest.raises(ValueError, match=r"mask_suffix: found '/m'.*; test_fraction: found 0.*below 1"):
        Folder(Path("x"), mask_suffix="/m", test_fraction=0.0, validation_fraction=1.0)


@pytest.mark.skipif(not os.environ.get("AUGKIT_DATA"), reason="AUGKIT_DATA is not set: the nuclei data is not here")
def test_the_real_nuclei_are_read():
    root = Path(os.environ["AUGKIT_DATA"]) / "nuclei2018"
    splits = Folder(root, mask_suffix="_segmentation", size=64).load()
    assert len(splits.train) + len(splits.test) == 664
    assert abs(len(splits.test) - 133) < 4 * 10.3
    assert splits.train.masks.any(axis=(1, 2)).mean() > 0.99
    assert 0.05 < splits.train.masks.mean() < 0.35
    with pytest.raises(InputError, match="Write 'mask_suffix: \"_segmentation\"', with which 664 images have one"):
        Folder(root, size=64).load()


def test_an_empty_test_split_is_refused_with_the_share_and_what_it_gives(tmp_path):
    root = tmp_path
    for folder in ("images", "masks"):
        (root / folder).mkdir()
        for i in range(8):
            Image.new("L", (32, 32), i % 2).save(root / folder / f"IMD{i:03}.png")
    with pytest.raises(InputError) as caught:
        Folder(root, test_fraction=0.001).sources()
    assert (
        "the test split is empty: of 8 groups, its share of 0.001 gives 0.008 on average, and none was drawn for it; "
        "allowed: at least one. Add groups, choose another seed, or change test_fraction and validation_fraction"
    ) in str(caught.value)


def test_images_that_exif_turns_and_masks_that_it_does_not_are_told_before_a_run(tmp_path):
    write(tmp_path, names(20))
    assert Folder(tmp_path).remarks() == []
    exif = Image.Exif()
    exif[0x0112] = 3
    for name in ("case004", "case011"):
        path = tmp_path / "images" / f"{name}.png"
        Image.open(path).save(path, exif=exif)
    (remark,) = Folder(tmp_path).remarks()
    assert remark.startswith(
        "2 of 20 images are turned upright by their EXIF orientation and their masks are not, such as case004.png"
    )

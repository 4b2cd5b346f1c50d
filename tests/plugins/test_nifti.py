"""The data set `nifti`: what is read from headers and voxels, and what is refused with which words."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from augkit.contracts.rules import check_format, check_native_image, check_native_mask, check_splits
from augkit.errors import InputError

nib = pytest.importorskip("nibabel")

from augkit_nifti import Nifti  # noqa: E402 - after the package that it needs

SHAPE = (12, 10, 8)
SPACING = np.diag([2.0, 1.5, 3.0, 1.0])


def write(path, voxels, affine=SPACING, slope=None, inter=None, **changes):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(voxels, affine)
    for name, value in changes.items():
        image.header[name] = value
    if slope is not None:
        image.header.set_slope_inter(slope, inter)
    nib.save(image, path)
    return path


def squares(shape=SHAPE, value=1):
    """Labels in which all slices but the first and the last of each axis hold a class."""
    labels = np.zeros(shape, np.uint8)
    labels[2:-2, 2:-2, 1:-1] = value
    return labels


def volumes(root, count=6, dtype=np.int16, **changes):
    """Write volumes with their labels."""
    for number in range(count):
        voxels = np.random.default_rng(number).integers(0, 200, SHAPE).astype(dtype)
        write(root / "images" / f"p{number}.nii.gz", voxels, **changes)
        write(root / "labels" / f"p{number}.nii.gz", squares())
    return root


def nifti(root, **options):
    return Nifti(root, **{"classes": {"organ": 1}, "size": 32, "test_fraction": 0.4, "seed": 1, **options})


def refusal(data):
    def use():
        data.sources()
        data.load()

    with pytest.raises(InputError) as caught:
        use()
    return "\n".join(str(problem) for problem in caught.value.problems)


def test_slices_carry_format_group_spacing_and_the_files_values(tmp_path):
    data = nifti(volumes(tmp_path), meaning="ct", window=(0, 200))
    splits = data.load()
    check_splits(splits)
    check_format(data.format(), splits.train.format)
    assert str(data.format()) == "1 channel (ct 0..200; int16) and 1 class"
    assert splits.train.images.dtype == np.int16
    assert set(splits.train.groups) | set(splits.test.groups) == {f"p{n}" for n in range(6)}
    assert splits.train.ids[0].endswith("-001")  # the first slice shows nothing
    # Height is along y, 10 voxels of 1.5 mm in 32 pixels; width along x, 12 of 2 mm.
    assert splits.train.spacing[0].tolist() == pytest.approx([10 * 1.5 / 32, 12 * 2 / 32])
    assert data.frame().width == 32
    assert len(data.sources()) == 12


def test_native_slices_are_the_voxels_as_a_radiologist_sees_them(tmp_path):
    for axis, place in (("axial", 2), ("coronal", 1), ("sagittal", 0)):
        data = nifti(volumes(tmp_path), axis=axis)
        splits = data.load()
        name = splits.test.ids[0]
        [image], [mask] = list(data.native_images([name])), list(data.native_masks([name]))
        check_native_image(image, check_native_mask(mask, splits.test.masks[0], 0), 0, data.format())
        volume = np.asarray(nib.load(tmp_path / "images" / f"{name[:2]}.nii.gz").dataobj)
        plane = volume.take(int(name[3:]), place)
        # Right, or the front in sagittal slices, is on the left; the front or the head is at the top.
        assert (image[..., 0] == plane[::-1, ::-1].T).all()


@pytest.mark.parametrize("axes", ["LPS", "RAS", "PIR", "ASL"])
def test_however_the_file_lies_the_picture_is_the_same(tmp_path, axes):
    upright = volumes(tmp_path / "ras", 3)
    for path in sorted(upright.rglob("*.nii.gz")):
        image = nib.load(path)
        turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(axes))
        turned = image.as_reoriented(turn)
        write(tmp_path / "turned" / path.relative_to(upright), np.asarray(turned.dataobj), turned.affine)
    one, other = (nifti(tmp_path / name, axis="coronal").load() for name in ("ras", "turned"))
    assert one.train.ids == other.train.ids
    assert (one.train.images == other.train.images).all()
    assert (one.train.masks == other.train.masks).all()
    assert (one.train.spacing == other.train.spacing).all()


def test_slope_and_intercept_are_applied_and_decide_the_pixels_type_without_reading_a_voxel(tmp_path):
    cases = (
        (np.uint8, None, None, "uint8"),
        (np.uint16, None, None, "uint16"),
        (np.int16, None, None, "int16"),
        (np.uint8, 2, -100, "int16"),  # -100..410
        (np.int16, 1, -1024, "float32"),  # -33792 does not fit
        (np.uint8, 0.5, 0, "float32"),
        (np.int32, None, None, "float32"),
        (np.float64, None, None, "float32"),
    )
    for stored, slope, inter, expected in cases:
        root = tmp_path / f"{np.dtype(stored)}-{slope}-{inter}"
        volumes(root, 3)
        for number in range(3):
            path = root / "images" / f"p{number}.nii.gz"
            image = nib.Nifti1Image(np.full(SHAPE, 7, stored), SPACING)
            image.header.set_data_dtype(stored)
            nib.save(image, path)
            if slope is not None:
                rescale(path, slope, inter)
        data = nifti(root)
        assert data.format().dtype == expected
        assert set(np.unique(data.load().train.images)) == {7 * (slope or 1) + (inter or 0)}


def rescale(path, slope, inter):
    """Write slope and intercept into the header of a .nii.gz, and leave the numbers."""
    import gzip
    import struct

    content = bytearray(gzip.decompress(path.read_bytes()))
    content[112:120] = struct.pack("<ff", slope, inter)
    path.write_bytes(gzip.compress(bytes(content)))


def test_volumes_of_several_types_get_the_smallest_that_holds_all(tmp_path):
    root = volumes(tmp_path, 3)
    write(root / "images/p0.nii.gz", np.zeros(SHAPE, np.uint8))
    assert nifti(root).format().dtype == "int16"
    write(root / "images/p1.nii.gz", np.zeros(SHAPE, np.float32))
    assert nifti(root).format().dtype == "float32"


def test_labels_elsewhere_than_their_image_are_refused_with_both_values(tmp_path):
    root = volumes(tmp_path, 6)
    moved, wide, turned = SPACING.copy(), np.diag([2.0, 1.5, 3.5, 1.0]), SPACING.copy()
    moved[2, 3] = 4.5
    turned[:2, :2] = [[0, 1.5], [2.0, 0]]
    for number, affine in enumerate((moved, wide, turned)):
        write(root / f"labels/p{number}.nii.gz", squares(), affine)
    write(root / "labels/p3.nii.gz", squares((12, 10, 9)))
    rounded = SPACING.copy()
    rounded[0, 3] = 1e-4
    write(root / "labels/p4.nii.gz", squares(), rounded)  # is taken
    text = refusal(nifti(root))
    assert "p0.nii.gz: lies elsewhere than its image: origin [0, 0, 0] in p0.nii.gz, [0, 0, 4.5] in p0.nii.gz" in text
    assert "spacing [2, 1.5, 3] in p1.nii.gz, [2, 1.5, 3.5] in p1.nii.gz" in text
    assert "direction [[1, 0, 0], [0, 1, 0], [0, 0, 1]] in p2.nii.gz, [[0, 1, 0], [1, 0, 0], [0, 0, 1]]" in text
    assert "size 12 x 10 x 8 in p3.nii.gz, 12 x 10 x 9 in p3.nii.gz; allowed: one place" in text
    assert "p4" not in text
    assert "p5" not in text


def test_a_file_that_says_two_places_is_refused_unless_the_recipe_says_which_is_right(tmp_path):
    root = volumes(tmp_path, 3)
    other = SPACING.copy()
    other[0, 3] = -90
    for folder in ("images", "labels"):
        image = nib.load(root / folder / "p0.nii.gz")
        image = nib.Nifti1Image(np.asarray(image.dataobj), SPACING)
        image.set_sform(SPACING, 4)
        image.set_qform(other, 1)
        nib.save(image, root / folder / "p0.nii.gz")
    text = refusal(nifti(root))
    assert "says two places (codes 1 and 4): origin [-90, 0, 0] in qform, [0, 0, 0] in sform; allowed: one" in text
    assert "Write which one is right: 'affine: qform' or 'affine: sform'" in text
    assert len(nifti(root, affine="sform").load().train)


def test_an_affine_whose_code_is_0_does_not_count(tmp_path):
    root = volumes(tmp_path, 3)
    for folder in ("images", "labels"):
        image = nib.load(root / folder / "p0.nii.gz")
        image = nib.Nifti1Image(np.asarray(image.dataobj), SPACING)
        image.set_sform(SPACING, 4)
        image.set_qform(np.diag([9.0, 9.0, 9.0, 1.0]), 0)
        nib.save(image, root / folder / "p0.nii.gz")
    assert len(nifti(root).load().train)
    assert "has no qform (its code is 0)" in refusal(nifti(root, affine="qform"))


def test_fractional_labels_are_refused_with_their_place_and_what_to_do(tmp_path):
    root = volumes(tmp_path, 3)
    labels = squares().astype(np.float32)
    labels[4, 5, 6] = 1.5
    write(root / "labels/p1.nii.gz", labels)
    text = refusal(nifti(root, classes={"liver": 1, "kidney": 2, "spleen": 3}))
    assert text == (
        f"{root}/labels/p1.nii.gz: holds 1.5 at [4, 5, 6]; allowed: whole numbers 0..3 (background, liver, kidney, "
        "spleen). It was interpolated; resample with nearest neighbour"
    )


def test_whole_numbers_stored_as_floats_are_labels(tmp_path):
    root = volumes(tmp_path, 3)
    write(root / "labels/p1.nii.gz", squares().astype(np.float64))
    assert nifti(root).load().train.masks.any()


def test_values_that_are_no_class_are_refused_or_what_the_recipe_says(tmp_path):
    root = volumes(tmp_path, 3)
    labels = squares().astype(np.int16)
    labels[3, 4, 5], labels[3, 4, 6] = 700, -2
    write(root / "labels/p1.nii.gz", labels)
    text = refusal(nifti(root, classes={"organ": 1, "other": [5, 6, 7, 20]}))
    assert (
        "p1.nii.gz: holds the label 700 at [3, 4, 5]; allowed: whole numbers 0 (background), 1 (organ), 5..7, 20"
        in text
    )
    assert "Add a class for it, or write 'other_labels: background'" in text
    ignoring = nifti(root, other_labels="ignored", test_fraction=0.5)
    assert ignoring.format().ignore
    assert {255} < set(np.unique([m for part in (ignoring.load().train, ignoring.load().test) for m in part.masks]))
    quiet = nifti(root, other_labels="background").load()
    assert quiet.train.masks.dtype == bool


def test_several_values_may_be_one_class_and_labels_are_renumbered(tmp_path):
    root = volumes(tmp_path, 3)
    for number in range(3):
        labels = squares(value=41)
        labels[:6][labels[:6] > 0] = 7
        labels[4:7, 4:6, 2:6] = 9
        write(root / f"labels/p{number}.nii.gz", labels)
    splits = nifti(root, classes={"left": [7, 9], "right": 41}).load()
    assert splits.train.format.classes == ("left", "right")
    assert set(np.unique(splits.train.masks)) == {0, 1, 2}


def test_series_and_probabilities_are_refused_as_images_and_as_labels(tmp_path):
    root = volumes(tmp_path, 4)
    write(root / "images/p0.nii.gz", np.zeros((*SHAPE, 5), np.int16))
    write(root / "labels/p1.nii.gz", np.zeros((*SHAPE, 2), np.float32))
    write(root / "images/p2.nii.gz", np.ones((*SHAPE, 1), np.int16))  # an axis of length 1 says nothing
    text = refusal(nifti(root))
    assert "images/p0.nii.gz: has 4 axes of 12 x 10 x 8 x 5; allowed: 3. If it is a time series" in text
    assert (
        "labels/p1.nii.gz: has 4 axes of 12 x 10 x 8 x 2; allowed: 3. If it holds the probability of each class" in text
    )
    assert "p2" not in text


def test_numbers_that_are_no_grey_values_are_refused(tmp_path):
    root = volumes(tmp_path, 4)
    write(root / "images/p0.nii.gz", np.zeros(SHAPE, np.complex64))
    colours = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    write(root / "images/p1.nii.gz", colours)
    text = refusal(nifti(root))
    assert "p0.nii.gz: holds complex numbers; allowed: real numbers" in text
    assert "p1.nii.gz: holds colours, several numbers per voxel; allowed: one number per voxel" in text


def test_voxels_that_are_no_number_are_refused_with_their_place(tmp_path):
    root = volumes(tmp_path, 3, np.float32)
    voxels = np.ones(SHAPE, np.float32)
    voxels[1, 2, 3] = np.nan
    write(root / "images/p2.nii.gz", voxels)
    text = refusal(nifti(root))
    assert "images/p2.nii.gz: holds NaN at [1, 2, 3]; allowed: finite numbers" in text
    # Values are read at their scale only for slices that show a class: the labels of p2 are read and p2 is refused.
    assert "labels" not in text


def test_files_that_end_too_early_are_refused(tmp_path):
    root = volumes(tmp_path, 4)
    whole = root / "images/p0.nii.gz"
    voxels = np.random.default_rng(0).integers(0, 9999, (40, 40, 20)).astype(np.int16)
    write(whole, voxels)
    write(root / "labels/p0.nii.gz", squares((40, 40, 20)))
    whole.write_bytes(whole.read_bytes()[:2000])
    (root / "images/p1.nii.gz").unlink()
    plain = write(root / "images/p1.nii", np.zeros(SHAPE, np.int16))
    plain.write_bytes(plain.read_bytes()[:400])
    (root / "images/p2.nii.gz").write_bytes(b"no gzip")
    with pytest.raises(InputError) as caught:
        nifti(root).sources()
    text = str(caught.value)
    assert "p1.nii: ends too early: found 400 bytes; its header asks for 2272" in text
    assert "p2.nii.gz: cannot be read as NIfTI" in text
    for name in ("p1.nii", "p2.nii.gz"):
        (root / "images" / name).unlink()
    for name in ("p1.nii.gz", "p2.nii.gz"):
        (root / "labels" / name).unlink()
    data = nifti(root, test_fraction=0.5, seed=2)
    assert len(data.sources()) == 4  # the headers are whole
    with pytest.raises(InputError, match=r"p0\.nii\.gz: ends too early or is damaged .* Copy it again"):
        data.load()


def test_a_volume_without_a_voxel_is_refused(tmp_path):
    root = volumes(tmp_path, 3)
    nib.save(nib.Nifti1Image(np.zeros((4, 0, 4), np.int16), SPACING), root / "images/p0.nii.gz")
    assert "p0.nii.gz: has the size 4 x 0 x 4, no voxel" in refusal(nifti(root))


def test_slices_that_show_no_class_are_dropped_kept_or_kept_in_part_and_told(tmp_path):
    root = volumes(tmp_path, 3)
    for number in range(3):
        labels = np.zeros(SHAPE, np.uint8)
        labels[4:8, 4:8, 3:5] = 1
        write(root / f"labels/p{number}.nii.gz", labels)
    write(root / "labels/p2.nii.gz", np.zeros(SHAPE, np.uint8))
    counts = {}
    for empty in ("drop", "keep", 2):
        splits = nifti(root, empty=empty).load()
        ids = [*splits.train.ids, *splits.test.ids]
        counts[empty] = [sum(name.startswith(f"p{number}-") for name in ids) for number in range(3)]
    assert counts == {"drop": [2, 2, 0], "keep": [8, 8, 8], 2: [4, 4, 2]}
    assert nifti(root).remarks() == [
        "20 of 24 slices without any class are left out (empty: drop); nothing is left of 1 volumes, such as p2"
    ]
    assert nifti(root, empty="keep").remarks() == []


def test_a_file_that_says_no_place_is_told(tmp_path):
    root = volumes(tmp_path, 3)
    for folder in ("images", "labels"):
        image = nib.load(root / folder / "p1.nii.gz")
        image = nib.Nifti1Image(np.asarray(image.dataobj), SPACING)
        image.set_sform(None, 0)
        image.set_qform(None, 0)
        nib.save(image, root / folder / "p1.nii.gz")
    told = nifti(root, empty="keep").remarks()
    assert told == [
        "1 of 3 volumes, such as p1.nii.gz, do not say where they lie; their first axis is taken to run to the left, "
        "their second to the front, their third to the head"
    ]


def test_one_volume_is_refused_with_what_to_do_and_slabs_cut_it(tmp_path):
    write(tmp_path / "t1.nii.gz", np.zeros((12, 10, 40), np.uint8))
    write(tmp_path / "atlas.nii.gz", squares((12, 10, 40)))
    options = {"images": "t1", "labels": "atlas.nii.gz", "window": (0, 255)}
    text = refusal(nifti(tmp_path, **options))
    assert "holds 1 volume; allowed: two groups (patients) or more, as none may be in training and test" in text
    assert "Write 'split: slabs' to try out recipes on it, for its scores say nothing of other patients" in text
    data = nifti(tmp_path, **options, split="slabs", validation_fraction=0.1)
    splits = data.load()
    places = [[int(name.split("-")[1]) for name in part.ids] for part in (splits.train, splits.validation, splits.test)]
    assert places == [list(range(1, 10)), list(range(15, 19)), list(range(24, 39))]
    assert set(splits.train.groups) == {"volume/train"}
    assert "slices of one volume are in training and test (split: slabs)" in data.remarks()[-1]
    assert len(list(data.native_images(splits.test.ids))) == 15


def test_patterns_find_channels_and_groups(tmp_path):
    for who in ("anna", "ben", "cleo"):
        for visit in (1, 2):
            for kind, fill in (("t1", 5), ("t2", 9)):
                write(tmp_path / who / f"{who}_v{visit}_{kind}.nii.gz", np.full(SHAPE, fill, np.int16))
            write(tmp_path / who / f"{who}_v{visit}_seg.nii.gz", squares())
    patterns = {kind: f"{{group}}/{{id}}_{kind}" for kind in ("t1", "t2")}
    data = nifti(tmp_path, images=patterns, labels="{group}/{id}_seg", window=(0, 10), meaning="mr")
    splits = data.load()
    assert [one.name for one in data.format().channels] == ["t1", "t2"]
    assert splits.train.images[0, 0, 0].tolist() == [5, 9]
    assert {*splits.train.groups, *splits.test.groups} == {"anna", "ben", "cleo"}
    (tmp_path / "ben/ben_v2_t2.nii.gz").unlink()
    assert "there is no file of image (t2) for ben_v2" in refusal(data)


def test_a_csv_file_gives_the_groups(tmp_path):
    root = volumes(tmp_path, 6)
    table = tmp_path / "patients.csv"
    table.write_text("id,group\n" + "".join(f"p{n},patient{n // 2}\n" for n in range(6)))
    data = nifti(root, groups=table)
    splits = data.load()
    assert {*splits.train.groups, *splits.test.groups} == {"patient0", "patient1", "patient2"}
    assert data.sources()[-1] == table
    table.write_text("id,group\np0,a\n")
    assert "has no line for p1, p2, p3, p4, p5" in refusal(data)


def test_names_that_do_not_fit_are_told_with_what_is_there(tmp_path):
    root = volumes(tmp_path, 2)
    assert "is not a folder. Correct the option; folders there: images, labels" in refusal(
        nifti(root, images="scans/{id}")
    )
    text = refusal(nifti(root, images="images/{id}_0000"))
    assert "holds no NIfTI file that 'images/{id}_0000' fits; allowed: .nii.gz and .nii. There are p0.nii.gz" in text
    (root / "labels/p0.nii.gz").unlink()
    assert "labels/{id}: there is no file of labels for p0" in refusal(nifti(root))


def test_options_are_refused_with_what_is_allowed():
    for options, told in (
        ({"images": "images/{name}"}, "images: found {name} in 'images/{name}'; allowed: {id} and {group}"),
        ({"labels": "../labels"}, "labels: found '../labels'; allowed: a path within root"),
        ({"classes": {"a": 1, "b": [2, 1]}}, "classes.b: found 1, which is a; allowed: one class per value"),
        ({"classes": {"a": 0}}, "classes.a: found 0, which is the background"),
        ({"classes": {"a": []}}, "classes.a: found no value"),
        ({"classes": {}}, "found the classes []; allowed: 1 to 254"),
        ({"window": (5, 5)}, "window: found 5..5; allowed: the lower end first"),
        ({"test_fraction": 0.0}, "test_fraction: found 0; allowed: above 0"),
        ({"images": {"a": "a", "b": "b"}, "as_rgb": (0, 1)}, "as_rgb: found 2 channels; allowed: one"),
    ):
        with pytest.raises(ValueError, match=r"found") as caught:
            nifti(Path("x"), **options)
        assert told in str(caught.value)


def test_shown_as_rgb_it_is_what_every_component_takes(tmp_path):
    data = nifti(volumes(tmp_path), as_rgb=(0, 100))
    assert data.format().rgb
    images = data.load().train.images
    assert images.dtype == np.uint8
    assert images.shape[-1] == 3


def test_reading_a_thousand_slices_holds_less_than_twice_the_result(tmp_path):
    shape = (64, 64, 100)
    voxels = np.random.default_rng(0).integers(-1000, 1000, shape).astype(np.int16)
    for number in range(10):
        write(tmp_path / f"images/p{number}.nii", voxels)
        write(tmp_path / f"labels/p{number}.nii", squares(shape).astype(np.float64))
    data = nifti(tmp_path, size=64, empty="keep")
    tracemalloc.start()
    splits = data.load()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    parts = (splits.train, splits.validation, splits.test)
    assert sum(len(part) for part in parts) == 1000
    assert peak < 2 * sum(part.images.nbytes + part.masks.nbytes for part in parts)

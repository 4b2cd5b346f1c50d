import csv
import hashlib
import importlib
import io
import json
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from augkit import Channel, Format, ImageSet, Splits
from augkit.contracts.registry import load_registry
from augkit.data.encoding import encode_png, encode_tiff, encode_webp
from augkit.data.formats import GREY, RGB
from augkit.data.reading import read_image, read_mask
from augkit.errors import ContractError, InputError, StageError
from augkit.planning.loading import load_checked
from augkit.sharing.export import check_size, check_target, write_export
from augkit.sharing.files import Export, SyntheticSet
from augkit.sharing.layouts import coco_annotations, run_lengths
from augkit.store import find_damage, publish_whole, seal, write_unflushed
from augkit_folder import Folder
from organs import Organs

QUALITY = {
    "features": "handcrafted", "compared": 1,
    "adherence": {"dice": 0.9, "error": 0.01, "percentile_5": 0.7, "median": 0.9, "shuffled_masks": 0.3,
                  "held_out": 0.8, "held_out_error": 0.02},
    "grid": {"value": 1.1, "held_out": 1.0},
    "diversity": {"handcrafted": 0.2, "real_handcrafted": 1.3, "pixels": 4.0},
    "memorisation": {"copying_z_pixels": 0.1, "copying_z_handcrafted": 0.2, "ratio_pixels": 0.9,
                     "ratio_handcrafted": 0.9,
                     "held_out_ratio_pixels": 0.9, "held_out_ratio_handcrafted": 0.9,
                     "nearest_is_training_chance": 0.6, "nearest_is_training_share_pixels": 0.6,
                     "nearest_is_training_share_handcrafted": 0.6, "suspicious_share": 0.0, "held_out_share": 0.01,
                     "nearest_is_own_image_share": 0.1, "nearest_is_own_image_chance": 0.1,
                     "drawn_from_training_masks": 6},
}  # fmt: skip


def image_set(stem, count, origin="real", groups=None):
    numbers = np.random.Generator(np.random.Philox(len(stem)))
    images = numbers.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    masks = numbers.uniform(size=(count, 32, 32)) < 0.2
    ids = tuple(f"{stem}-{i:06d}" for i in range(count))
    return ImageSet(ids, images, masks, tuple(groups or ids), (origin,) * count)


def example(validation=0, count=6):
    train = image_set("../real train", 10, groups=[f"patient {i // 2}" for i in range(10)])
    groups = [train.groups[i] for i in range(count)] if count <= 10 else None
    samples = image_set("gan-training-0", count, "gan/training", groups)
    source = SyntheticSet(
        samples=samples,
        painted=len(samples),
        records=[{"parent": i % 10} if i != 4 else {} for i in range(count)],
        keys=np.arange(count, dtype=np.int64) - 1,
        quality=QUALITY,
        per_image={
            "ids": samples.ids,
            "adherence": [0.9] * count,
            "nearest_real": [train.ids[1]] * count,
            "nearest_real_pixels": [20.0] * count,
            "nearest_real_handcrafted": [0.8] * count,
            "suspicious": [i == 2 for i in range(count)],
        },
        hashes={"generator": "ab" * 32, "synthesis": "cd" * 32},
    )
    empty = ImageSet.empty((32, 32))
    held_out = image_set("validation", validation) if validation else empty
    return Export("allaug", "name: allaug\nseed: 3\n", 3, (source,), Splits(train, held_out, image_set("test", 4)))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_of(folder):
    return list(csv.DictReader(io.StringIO((folder / "manifest.csv").read_text())))


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_images_and_masks_are_written_without_loss_and_the_folder_plugin_reads_them_back(tmp_path, image_format):
    export = example()
    assert write_export(export, tmp_path / "out", "folder", image_format)
    samples = export.sources[0].samples
    for i, row in enumerate(rows_of(tmp_path / "out")):
        assert np.array_equal(read_image(tmp_path / "out" / row["image"]), samples.images[i])
        assert np.array_equal(read_mask(tmp_path / "out" / row["mask"]), samples.masks[i])
        assert row["image"] == f"images/{samples.ids[i]}.{image_format}"
    splits = Folder(root=tmp_path / "out", size=32).load()
    assert len(splits.train) + len(splits.test) == 6


@pytest.mark.parametrize("layout", ["folder", "nnunet", "coco", "webdataset"])
def test_an_export_has_the_same_bytes_every_time(tmp_path, layout):
    for name in ("first", "second"):
        write_export(example(count=70), tmp_path / name, layout, "png")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    assert find_damage(tmp_path / "first") == []


def samples_of(folder):
    """What WebDataset makes of tar files: of each sample in turn its files, by what follows the first point."""
    samples = {}
    for file in sorted(folder.glob("*.tar")):
        with tarfile.open(file) as tar:
            for member in tar:
                key, _, part = member.name.partition(".")
                samples.setdefault(key, {})[part] = tar.extractfile(member).read()
    return samples


def test_a_webdataset_holds_each_sample_in_one_place_and_tells_of_it_what_the_manifest_does(tmp_path, monkeypatch):
    monkeypatch.setattr("augkit.sharing.webdataset.SAMPLES_PER_TAR", 4)
    export = example()
    write_export(export, tmp_path / "out", "webdataset", "png")
    samples, rows = samples_of(tmp_path / "out"), rows_of(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tar")) == ["data-000000.tar", "data-000001.tar"]
    assert list(samples) == list(export.sources[0].samples.ids)
    for i, (found, row) in enumerate(zip(samples.values(), rows, strict=True)):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(found["png"]))), export.sources[0].samples.images[i])
        mask = np.asarray(Image.open(io.BytesIO(found["mask.png"])))
        assert np.array_equal(mask, export.sources[0].samples.masks[i] * 255)
        assert row["image"] == f"data-00000{i // 4}.tar/{row['id']}.png"
        assert row["sha256"] == hashlib.sha256(found["png"]).hexdigest()
        told = json.loads(found["json"])
        assert {name: row[name] for name in told} == told
    assert "`data-<number>.tar`, each with up to" in (tmp_path / "out" / "README.md").read_text()


def test_members_of_tar_files_have_no_time_and_no_owner(tmp_path):
    write_export(example(), tmp_path / "out", "webdataset", "png")
    with tarfile.open(tmp_path / "out" / "data-000000.tar") as tar:
        found = {(one.mtime, one.uid, one.gid, one.uname, one.gname, one.mode) for one in tar}
    assert found == {(0, 0, 0, "", "", 0o644)}


def test_images_that_were_not_judged_have_empty_cells(tmp_path):
    export = example()
    (source,) = export.sources
    judged = {name: [None, *values[1:]] for name, values in source.per_image.items()}
    write_export(replace(export, sources=(replace(source, per_image=judged),)), tmp_path / "out", "folder", "png")
    first, second, *_ = rows_of(tmp_path / "out")
    names = ("adherence", "nearest_real", "nearest_real_pixels", "nearest_real_handcrafted", "suspicious")
    assert [first[name] for name in names] == [""] * 5
    assert all(second[name] for name in names)


def test_the_manifest_tells_where_every_image_comes_from(tmp_path):
    write_export(example(), tmp_path / "out", "folder", "png")
    rows = rows_of(tmp_path / "out")
    first = rows[0]
    assert (first["generator"], first["mask_source"], first["seed"]) == ("gan", "training", "3")
    assert (first["generator_hash"], first["key"]) == ("ab" * 32, "f" * 16)
    assert (first["mask_from"], rows[4]["mask_from"]) == ("../real train-000000", "")
    assert (first["adherence"], first["nearest_real"], first["nearest_real_pixels"]) == (
        "0.9000", "../real train-000001", "20.00"
    )  # fmt: skip
    assert [row["suspicious"] for row in rows] == ["no", "no", "yes", "no", "no", "no"]


def test_the_data_card_tells_what_it_is_how_it_was_made_and_its_limits(tmp_path):
    write_export(example(), tmp_path / "out", "folder", "png")
    card = (tmp_path / "out" / "README.md").read_text()
    for part in ("# allaug: 6 synthetic images", "gan/training", "trained on 10 real training images", "## Quality",
                 "0.900 ± 0.010", "## Limits", "never evaluate on them", "## Licence", "name: allaug"):  # fmt: skip
        assert part in card


def test_nnunet_gets_real_and_synthetic_cases_with_labels_0_and_1(tmp_path):
    write_export(example(), tmp_path / "out", "nnunet", "png")
    folder = tmp_path / "out" / "Dataset900_allaug"
    described = json.loads((folder / "dataset.json").read_text())
    images, labels = sorted((folder / "imagesTr").iterdir()), sorted((folder / "labelsTr").iterdir())
    assert described["numTraining"] == len(images) == len(labels) == 16
    assert [path.name.removesuffix("_0000.png") for path in images] == [path.stem for path in labels]
    assert len(list((folder / "imagesTs").iterdir())) == 4
    levels = {level for path in labels for level in np.unique(Image.fromarray(read_levels(path)))}
    assert levels == set(described["labels"].values()) == {0, 1}
    assert not any(".." in str(path.relative_to(tmp_path)) for path in images)


def read_levels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_no_synthetic_case_validates_nnunet_and_none_trains_beside_the_case_that_gave_its_mask(tmp_path):
    export = example()
    write_export(export, tmp_path / "out", "nnunet", "png")
    folds = json.loads((tmp_path / "out" / "Dataset900_allaug" / "splits_final.json").read_text())
    real, synthetic = export.real.train, export.sources[0].samples
    group_of = {f"real_train_{i:06d}": group for i, group in enumerate(real.groups)}
    group_of |= dict(zip(synthetic.ids, synthetic.groups, strict=True))
    assert len(folds) == 5
    assert sorted(name for fold in folds for name in fold["val"]) == [f"real_train_{i:06d}" for i in range(10)]
    for fold in folds:
        assert not set(fold["train"]) & set(fold["val"])
        assert not {group_of[name] for name in fold["train"]} & {group_of[name] for name in fold["val"]}
    assert {name for fold in folds for name in fold["train"] if name.startswith("gan")} == set(synthetic.ids)


def test_nnunet_validates_on_the_data_sets_own_validation_split_where_there_is_one(tmp_path):
    write_export(example(validation=3), tmp_path / "out", "nnunet", "png")
    (fold,) = json.loads((tmp_path / "out" / "Dataset900_allaug" / "splits_final.json").read_text())
    assert fold["val"] == [f"real_validation_{i:06d}" for i in range(3)]
    assert len(fold["train"]) == 16


def decoded(segmentation):
    height, width = segmentation["size"]
    values = np.repeat(np.arange(len(segmentation["counts"])) % 2, segmentation["counts"]).astype(bool)
    return values.reshape(width, height).T


def test_coco_annotations_decode_to_the_masks(tmp_path):
    export = example()
    write_export(export, tmp_path / "out", "coco", "png")
    document = json.loads((tmp_path / "out" / "annotations" / "instances_train.json").read_text())
    samples = export.sources[0].samples
    assert [image["file_name"] for image in document["images"]] == [f"{name}.png" for name in samples.ids]
    ids = [one["id"] for one in document["annotations"]]
    assert ids == list(range(1, len(ids) + 1))
    for number, mask in enumerate(samples.masks, 1):
        own = [one for one in document["annotations"] if one["image_id"] == number]
        pieces = np.stack([decoded(one["segmentation"]) for one in own])
        assert (pieces.sum(axis=0) == mask).all()
        for one, piece in zip(own, pieces, strict=True):
            rows, columns = np.nonzero(piece)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert (one["area"], one["bbox"], one["category_id"]) == (piece.sum(), box, 1)


def test_run_lengths_begin_with_background_and_run_down_the_columns():
    assert run_lengths(np.array([[1, 0], [1, 0]], bool)) == [0, 2, 2]
    assert run_lengths(np.array([[0, 1], [0, 0]], bool)) == [2, 1, 1]
    assert coco_annotations(np.zeros((4, 4), bool), 1, 1) == []


def test_the_same_export_again_does_nothing_and_another_one_is_refused(tmp_path):
    target = tmp_path / "out"
    assert write_export(example(), target, "folder", "png")
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    assert not write_export(example(), target, "folder", "png")
    assert {path: path.stat().st_mtime_ns for path in target.rglob("*")} == before
    with pytest.raises(InputError, match="holds another export; allowed: a new or empty folder"):
        write_export(example(), target, "coco", "png")


def test_a_folder_with_other_files_or_a_changed_export_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match=r"holds other files; allowed: a new or empty folder\. Choose another folder"):
        write_export(example(), tmp_path / "out", "folder", "png")
    assert contents(tmp_path / "out") == {"mine.txt": b"precious"}
    write_export(example(), tmp_path / "two", "folder", "png")
    (tmp_path / "two" / "manifest.csv").write_text("")
    with pytest.raises(InputError, match=r"but it was changed: manifest.csv does not have the bytes"):
        write_export(example(), tmp_path / "two", "folder", "png")
    with pytest.raises(InputError, match="is a file; allowed: a new or empty folder"):
        check_target(tmp_path / "two" / "README.md", "folder", "png")


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    assert write_export(example(), tmp_path / "out", "folder", "png")


def test_nnunet_takes_png_only(tmp_path):
    with pytest.raises(InputError, match="found webp; allowed with --format nnunet: png"):
        write_export(example(), tmp_path / "out", "nnunet", "webp")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_export_leaves_nothing_and_the_same_call_completes_it(tmp_path, stop):
    def interrupt(done, of):
        raise stop

    with pytest.raises(stop):
        write_export(example(count=200), tmp_path / "out", "folder", "png", interrupt)
    assert list(tmp_path.iterdir()) == []
    assert write_export(example(count=200), tmp_path / "out", "folder", "png")


def test_a_file_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path, monkeypatch):
    def full(path, data):
        if path.name.endswith("000003.png"):
            raise StageError(*InputError().problems)
        return write_unflushed(path, data)

    monkeypatch.setattr("augkit.sharing.files.write_unflushed", full)
    with pytest.raises(StageError):
        write_export(example(), tmp_path / "out", "folder", "png")
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_not_read_again_are_sealed_as_if_they_were(tmp_path):
    names = ["images/a.png", "images/b.png"]
    written = {tmp_path / name: write_unflushed(tmp_path / name, name.encode() * 50) for name in names}
    write_unflushed(tmp_path / "README.md", b"read")
    seal(tmp_path, {"of": "these"}, written)
    sealed = (tmp_path / "artifact.json").read_bytes()
    assert find_damage(tmp_path) == []
    (tmp_path / "artifact.json").unlink()
    seal(tmp_path, {"of": "these"})
    assert (tmp_path / "artifact.json").read_bytes() == sealed
    (tmp_path / "images" / "a.png").write_bytes(b"cut short")
    assert find_damage(tmp_path) == ["images/a.png does not have the bytes that were written"]


def test_a_whole_folder_never_replaces_another(tmp_path):
    write_unflushed(tmp_path / "work" / "a", b"new")
    write_unflushed(tmp_path / "there" / "a", b"old")
    with pytest.raises(FileExistsError):
        write_unflushed_again(tmp_path / "work" / "a")
    with pytest.raises(StageError, match="cannot be written"):
        publish_whole(tmp_path / "work", tmp_path / "there")
    assert (tmp_path / "there" / "a").read_bytes() == b"old"
    publish_whole(tmp_path / "work", tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a"]


def write_unflushed_again(path):
    try:
        write_unflushed(path, b"again")
    except StageError as error:
        raise error.__cause__ from error


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 5, 3), (128, 96, 3), (33, 64)])
def test_fast_pngs_and_webps_decode_to_the_same_pixels(shape):
    array = np.random.Generator(np.random.Philox(1)).integers(0, 256, shape, dtype=np.uint8)
    with Image.open(io.BytesIO(encode_png(array))) as image:
        assert np.array_equal(np.asarray(image), array)
    if len(shape) == 3:
        with Image.open(io.BytesIO(encode_webp(array))) as image:
            assert np.array_equal(np.asarray(image), array)


def test_images_made_of_patients_pixels_are_said_to_be_that_in_card_and_manifest(tmp_path):
    painted = example()
    (source,) = painted.sources
    origins = ("texture/training",) * len(source.samples)
    real = replace(source, samples=replace(source.samples, ids=tuple(f"t{i}" for i in range(6)), origins=origins),
                   real_pixels=True)  # fmt: skip
    write_export(replace(painted, sources=(source, real)), tmp_path / "out", "folder", "png")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Images of texture/training are made of pixels of the real training images, which are patients'" in card
    assert "Images of gan/training are no photographs" in card
    with (tmp_path / "out" / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["pixels"] for row in rows] == ["painted"] * 6 + ["real"] * 6


def test_generators_that_give_real_pixels_declare_them():
    registry = load_registry()
    declared = {name: getattr(registry.entries["generator", name].cls, "pixels", "painted")
                for name in registry.names("generator")}  # fmt: skip
    assert {name for name, pixels in declared.items() if pixels == "real"} == {"texture", "repeat"}


def test_real_cases_of_nnunet_are_listed_with_the_ids_of_their_images(tmp_path):
    export = example(validation=2)
    write_export(export, tmp_path / "out", "nnunet", "png")
    with (tmp_path / "out" / "Dataset900_allaug" / "cases.csv").open(newline="") as stream:
        rows = {row["case"]: row for row in csv.DictReader(stream)}
    assert len(rows) == 10 + 2 + 4
    real = export.real
    for split, samples in (("train", real.train), ("validation", real.validation), ("test", real.test)):
        for i, (name, group) in enumerate(zip(samples.ids, samples.groups, strict=True)):
            case = f"real_{split}_{i:06d}"
            assert rows[case] == {"case": case, "id": name, "group": group, "split": split}


# Real cases at the size of their files


@pytest.fixture
def photographs(tmp_path):
    """Return a data set of files of many sizes, one of them turned by EXIF, one grey, and its pixels by id."""
    numbers = np.random.Generator(np.random.Philox(3))
    pixels = {}
    for i in range(6):
        size = 40 + 7 * i, 90 - 5 * i
        image = numbers.integers(0, 256, (*size, 3), dtype=np.uint8)
        mask = np.zeros(size, np.bool_)
        mask[5 + i : 30, 9:33] = True
        image = image if i != 4 else image[..., :1].repeat(3, axis=2)
        stored = Image.fromarray(image if i != 4 else image[..., 0])
        shown = Image.fromarray(mask.astype(np.uint8) * 255)
        exif = Image.Exif()
        exif[0x0112] = 6 if i == 2 else 1  # shown turned by a quarter, clockwise
        for folder, picture in (("images", stored), ("masks", shown)):
            (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
            picture.save(tmp_path / "data" / folder / f"case{i}.png", exif=exif)
        turns = -1 if i == 2 else 0
        pixels[f"case{i}"] = np.rot90(image, turns), np.rot90(mask, turns)
    return Folder(root=tmp_path / "data", size=32, test_fraction=0.4), pixels


def native_example(dataset):
    return replace(example(count=3), real=dataset.load(), native=dataset)


def test_nnunet_gets_the_very_pixels_and_masks_of_the_files_at_native_size(photographs, tmp_path):
    dataset, pixels = photographs
    assert write_export(native_example(dataset), tmp_path / "out", "nnunet", "png")
    root = tmp_path / "out" / "Dataset900_allaug"
    cases = list(csv.DictReader(io.StringIO((root / "cases.csv").read_text())))
    assert sorted(case["id"] for case in cases) == sorted(pixels)
    for case in cases:
        part = "Ts" if case["split"] == "test" else "Tr"
        image, mask = pixels[case["id"]]
        assert np.array_equal(read_image(root / f"images{part}" / f"{case['case']}_0000.png"), image)
        label = np.asarray(Image.open(root / f"labels{part}" / f"{case['case']}.png"))
        assert np.array_equal(label, mask.astype(np.uint8))
    painted = read_image(root / "imagesTr" / "gan-training-0-000000_0000.png")
    assert painted.shape == (32, 32, 3)
    assert find_damage(tmp_path / "out") == []
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Synthetic images are RGB, 32 x 32 pixels" in card
    assert "Real cases are their files' own pixels" in card
    assert "nnU-Net takes a pixel for a pixel" in card


def test_an_export_of_another_size_is_another_export(photographs, tmp_path):
    dataset, _ = photographs
    write_export(native_example(dataset), tmp_path / "out", "nnunet", "png")
    assert not write_export(native_example(dataset), tmp_path / "out", "nnunet", "png")
    with pytest.raises(InputError, match="holds another export"):
        write_export(replace(native_example(dataset), native=None), tmp_path / "out", "nnunet", "png")


def test_files_that_changed_since_they_were_read_are_not_exported(photographs, tmp_path):
    dataset, _ = photographs
    export = native_example(dataset)
    for mask in (tmp_path / "data" / "masks").iterdir():
        turned = Image.open(mask).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        turned.save(mask)
    with pytest.raises(ContractError, match="returned a native mask that differs from its mask of load"):
        write_export(export, tmp_path / "out", "nnunet", "png")
    assert not (tmp_path / "out").exists()


def test_native_size_is_refused_where_there_is_none(tmp_path):
    (tmp_path / "r.yaml").write_text(
        "name: a\ndataset: {phantom: {}}\nsynthesize: [{generator: {noise: {}}, masks: {training: {}}, count: 3}]\n"
    )
    ((checked,), _) = load_checked([tmp_path / "r.yaml"], ())
    with pytest.raises(InputError) as caught:
        check_size("native", "nnunet", checked)
    assert str(caught.value) == (
        "--size: found native; allowed with the data set 'phantom': training. "
        "It has no image files whose size real cases could have"
    )
    with pytest.raises(
        InputError, match="allowed with --format coco: training, because it holds synthetic images only"
    ):
        check_size("native", "coco", checked)
    check_size("training", "coco", checked)


INTEGRITY = "nnunetv2.experiment_planning.verify_dataset_integrity"

CT = (Channel("abdomen", "ct", -160, 240),)

FORMATS = {
    "ct with an ignored label": Format("int16", CT, ("liver", "tumour"), ignore=True),
    "two channels of float32": Format("float32", (Channel("T1", "mr", 0, 1), Channel("FLAIR", "mr", 0, 1)), ("core",)),
    "8-bit grey": Format("uint8", GREY, ("nucleus", "edge")),
    "RGB with classes": Format("uint8", RGB, ("nevus", "melanoma")),
}


def of_format(format, spacing=None, count=6):
    """The example with random pixels and labels of another format."""

    def changed(samples):
        numbers = np.random.Generator(np.random.Philox(7))
        shape = (*samples.images.shape[:3], len(format.channels))
        images = numbers.integers(0, 200, shape).astype(format.dtype)
        labels = numbers.integers(0, len(format.classes) + 1, shape[:3]).astype(np.uint8)
        if format.ignore:
            labels[:, :3] = 255
        masks = labels.astype(bool) if format.binary else labels
        sizes = None if spacing is None else np.tile(np.float32(spacing), (len(samples), 1))
        return replace(samples, images=images, masks=masks, format=format, spacing=sizes)

    export = example(count=count)
    real = Splits(*(changed(part) for part in (export.real.train, export.real.validation, export.real.test)))
    return replace(export, real=real, sources=tuple(replace(s, samples=changed(s.samples)) for s in export.sources))


@pytest.mark.parametrize("what", FORMATS)
def test_nnunet_gets_every_format_with_its_classes_and_spacing_and_nnunet_raw_reads_it_back(tmp_path, what):
    pytest.importorskip("nibabel")
    from augkit_nifti import NnunetRaw

    format = FORMATS[what]
    spacing = None if format.dtype == "uint8" else (0.5, 0.8)
    export = of_format(format, spacing)
    write_export(export, tmp_path / "out", "nnunet", "png")
    (raw,) = (tmp_path / "out").glob("Dataset900_*")
    described = json.loads((raw / "dataset.json").read_text())
    names = ["background", *format.classes, *(["ignore"] if format.ignore else [])]
    assert described["labels"] == {name: value for value, name in enumerate(names)}
    assert described["file_ending"] == (".png" if format.dtype == "uint8" else ".nii.gz")
    data = NnunetRaw(raw, size=32, resize="nearest", empty="keep", window=(-160, 240))
    splits = data.load()
    test, read = export.real.test, splits.test
    assert (read.format.dtype, read.format.classes, read.format.ignore) == (format.dtype, format.classes, format.ignore)
    assert [one.meaning for one in read.format.channels] == [one.meaning for one in format.channels]
    assert (read.images == test.images).all()
    assert (read.masks == test.masks).all()
    if spacing:
        assert read.spacing[0].tolist() == pytest.approx(spacing)
    assert len(splits.train) == len(export.real.train) + len(export.sources[0].samples)


def test_what_nnunet_is_told_of_a_ct_chooses_its_normalisation(tmp_path):
    write_export(of_format(FORMATS["ct with an ignored label"]), tmp_path / "out", "nnunet", "png")
    (described,) = (tmp_path / "out").glob("*/dataset.json")
    assert json.loads(described.read_text())["channel_names"] == {"0": "CT"}
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Labels are 0 background, 1 liver, 2 tumour, 3 ignored." in card
    assert "1 channel (ct -160..240) of int16, 32 x 32 pixels, lossless" in card


def test_coco_has_a_category_for_each_class(tmp_path):
    export = of_format(FORMATS["RGB with classes"])
    write_export(export, tmp_path / "out", "coco", "webp")
    document = json.loads((tmp_path / "out" / "annotations" / "instances_train.json").read_text())
    assert [(one["id"], one["name"]) for one in document["categories"]] == [(1, "nevus"), (2, "melanoma")]
    samples = export.sources[0].samples
    area = {k: sum(one["area"] for one in document["annotations"] if one["category_id"] == k) for k in (1, 2)}
    assert area == {k: int((samples.masks == k).sum()) for k in (1, 2)}
    levels = read_levels(tmp_path / "out" / "masks" / f"{samples.ids[0]}.png")
    assert (levels == samples.masks[0]).all()


def test_grey_of_16_bits_is_a_png_of_16_bits(tmp_path):
    export = of_format(Format("uint16", (Channel("DAPI", "grey", 0, 4095),), ("nucleus",)))
    write_export(export, tmp_path / "out", "folder", "png")
    samples = export.sources[0].samples
    with Image.open(tmp_path / "out" / "images" / f"{samples.ids[0]}.png") as image:
        assert (np.asarray(image) == samples.images[0, ..., 0]).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", FORMATS)
def test_nnunets_own_check_of_integrity_finds_nothing(tmp_path, what):
    try:
        check = importlib.import_module(INTEGRITY).verify_dataset_integrity
    except ImportError as error:
        pytest.skip(f"nnunetv2 is not installed: {error}")
    format = FORMATS[what]
    spacing = None if format.dtype == "uint8" else (0.5, 0.8)
    write_export(of_format(format, spacing), tmp_path / "out", "nnunet", "png")
    (raw,) = (tmp_path / "out").glob("Dataset900_*")
    check(str(raw), num_processes=1)
    if format.dtype != "uint8":
        from nibabel import load

        first = next((raw / "labelsTr").iterdir())
        voxels = np.full((32, 32, 1), 9, np.uint8)
        type(load(first))(voxels, load(first).affine).to_filename(first)
        with pytest.raises(RuntimeError, match="unexpected labels"):
            check(str(raw), num_processes=1)


def organs_export():
    """The example with slices of int16 in one channel, three classes and ignored pixels."""
    splits = Organs(patients=2, size=32).load()
    made = example()
    (source,) = made.sources
    samples = replace(splits.train.take(range(6)), ids=source.samples.ids, origins=source.samples.origins)
    real = Splits(ImageSet.concatenate([splits.train, splits.test]), splits.validation, splits.test)
    return replace(made, sources=(replace(source, samples=samples),), real=real)


def test_int16_slices_become_tiffs_with_label_maps_of_numbered_classes(tmp_path):
    export = organs_export()
    write_export(export, tmp_path / "out", "folder", "png")
    samples = export.sources[0].samples
    for i, name in enumerate(samples.ids):
        image = np.asarray(Image.open(tmp_path / "out" / "images" / f"{name}.tif"))
        assert np.array_equal(image, samples.images[i, ..., 0])
        assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "masks" / f"{name}.png")), samples.masks[i])
    card = (tmp_path / "out" / "README.md").read_text()
    assert "`images/<id>.tif` and `masks/<id>.png` (0 background, 1 liver, 2 kidney, 3 tumour, 255 ignored)." in card
    assert "1 channel (ct -200..400) of int16, 32 x 32 pixels, lossless" in card
    assert Format.of(json.loads((tmp_path / "out" / "format.json").read_text())) == samples.format


def test_the_classes_are_coco_s_categories(tmp_path):
    export = organs_export()
    write_export(export, tmp_path / "out", "coco", "png")
    document = json.loads((tmp_path / "out" / "annotations" / "instances_train.json").read_text())
    assert [(one["id"], one["name"]) for one in document["categories"]] == [(1, "liver"), (2, "kidney"), (3, "tumour")]
    area = sum(one["area"] for one in document["annotations"] if one["category_id"] == 2)
    assert area == (export.sources[0].samples.masks == 2).sum()


def test_webp_is_refused_for_what_is_not_8_bit_rgb(tmp_path):
    with pytest.raises(InputError, match=r"--image-format: found webp for 1 channel \(ct -200..400; int16\) and 3 cl"):
        write_export(organs_export(), tmp_path / "out", "folder", "webp")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_a_tiff_holds_the_numbers_of_any_pixels(dtype, channels):
    tifffile = pytest.importorskip("tifffile")
    values = np.random.Generator(np.random.Philox(2)).integers(0, 60000, (7, 5, channels)).astype(dtype)
    found = tifffile.imread(io.BytesIO(encode_tiff(values)))
    assert found.dtype == dtype
    assert np.array_equal(found.reshape(values.shape), values)


def test_a_png_of_16_bits_holds_the_numbers():
    values = np.random.Generator(np.random.Philox(3)).integers(0, 2**16, (9, 4)).astype(np.uint16)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(values)))), values)

"""COCO files: regions as label maps, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augkit import InputError
from augkit_coco import Coco
from augkit_coco.regions import draw

SIDE = 40
HALF = {"size": 40, "test_fraction": 0.5, "resize": "nearest"}
BOX = [[10, 8, 30, 8, 30, 20, 10, 20]]
"""x 10..30, y 8..20: columns 10 to 29, rows 8 to 19."""

BELOW = [[10, 24, 30, 24, 30, 30, 10, 30]]


def square(region=BOX) -> np.ndarray:
    (x0, y0, _, _, x1, y1, *_) = region[0]
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def runs(mask: np.ndarray) -> list[int]:
    """Plain run lengths of a mask, column by column, beginning with background."""
    flat = mask.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()
    return np.diff([0, *edges, flat.size]).tolist()


def compressed(counts: list[int]) -> str:
    text = ""
    for i, count in enumerate(counts):
        number = count - counts[i - 2] if i > 2 else count
        while True:
            low, number = number & 31, number >> 5
            more = number != (-1 if low & 16 else 0)
            text += chr(48 + (low | 32 if more else low))
            if not more:
                break
    return text


def region(number: int, image: int, category: int, shape, **more) -> dict:
    return {"id": number, "image_id": image, "category_id": category, "segmentation": shape, **more}


def write(root: Path, shape=BOX, annotations=None, count: int = 6) -> Path:
    """Write images 10, 11, ... of which every one but the last has a nucleus (category 7); 90 is a vessel."""
    (root / "images").mkdir(exist_ok=True)
    names = [f"case{number}.png" for number in range(count)]
    for number, name in enumerate(names):
        Image.fromarray(np.full((SIDE, SIDE, 3), 10 * number + 5, np.uint8)).save(root / "images" / name)
    images = [{"id": 10 + n, "file_name": name, "height": SIDE, "width": SIDE} for n, name in enumerate(names)]
    own = [region(n, 10 + n, 7, shape) for n in range(count - 1)]
    categories = [{"id": 90, "name": "vessel"}, {"id": 7, "name": "nucleus"}]
    content = {"images": images, "annotations": own + (annotations or []), "categories": categories}
    (root / "annotations.json").write_text(json.dumps(content))
    return root


def labels_of(dataset: Coco) -> dict[str, np.ndarray]:
    splits = dataset.load()
    return {
        name: labels for part in (splits.train, splits.test) for name, labels in zip(part.ids, part.labels, strict=True)
    }


def told(ask) -> list[str]:
    with pytest.raises(InputError) as caught:
        ask()
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    "shape",
    [
        BOX,
        {"size": [SIDE, SIDE], "counts": runs(square())},
        {"size": [SIDE, SIDE], "counts": compressed(runs(square()))},
    ],
    ids=["polygon", "run lengths", "compressed run lengths"],
)
def test_regions_become_labels(tmp_path, shape):
    dataset = Coco(write(tmp_path, shape), **HALF)
    assert len(dataset.sources()) == 7
    labels = labels_of(dataset)
    np.testing.assert_array_equal(labels["case0"], square())
    assert labels["case0"].dtype == np.uint8


def test_compressed_run_lengths_are_read_as_they_are_published():
    # Made by hand from the definition: 6 background, 1 object, 40 background, 4 object, 1549 background.
    counts = [6, 1, 40, 4, 1549]
    region = {"size": [SIDE, SIDE], "counts": compressed(counts)}
    assert compressed([6, 1, 40]) == "61X1"
    mask = draw(region, SIDE, SIDE)
    assert np.flatnonzero(mask.T.ravel()).tolist() == [6, 47, 48, 49, 50]


def test_images_without_annotation_are_background_and_may_be_dropped(tmp_path):
    dataset = Coco(write(tmp_path), **HALF)
    assert not labels_of(dataset)["case5"].any()
    assert dataset.remarks() == [f"{tmp_path / 'annotations.json'}: 1 of 6 images have no annotation: background"]
    assert "case5" not in labels_of(Coco(tmp_path, empty="drop", **HALF))


def test_categories_are_classes_in_the_order_of_their_ids_which_need_not_be_consecutive(tmp_path):
    dataset = Coco(write(tmp_path, annotations=[region(50, 10, 90, BELOW)]), **HALF)
    assert dataset.format().classes == ("nucleus", "vessel")
    np.testing.assert_array_equal(labels_of(dataset)["case0"], square() + 2 * square(BELOW))


def test_classes_are_chosen_by_the_names_of_categories(tmp_path):
    write(tmp_path, annotations=[region(50, 10, 90, BELOW)])
    dataset = Coco(tmp_path, classes={"any": ("vessel", "nucleus")}, **HALF)
    assert dataset.format().binary
    np.testing.assert_array_equal(labels_of(dataset)["case0"], square() | square(BELOW))
    only = Coco(tmp_path, classes={"nucleus": "nucleus"}, **HALF)
    assert told(only.sources) == [
        f"{tmp_path / 'annotations.json'}: has annotations of vessel; allowed: nucleus. Add classes for them, or write "
        "'other_labels: background'"
    ]
    others = Coco(tmp_path, classes={"nucleus": "nucleus"}, other_labels="background", **HALF)
    np.testing.assert_array_equal(labels_of(others)["case0"], square())
    (problem,) = told(Coco(tmp_path, classes={"a": "cell"}, other_labels="background", **HALF).sources)
    assert problem.endswith("has no category 'cell'; there: nucleus, vessel. Correct the option classes")


INNER = [[12, 10, 16, 10, 16, 14, 12, 14]]


def test_regions_of_two_classes_that_overlap_are_refused_or_ordered_as_told(tmp_path):
    root = write(tmp_path, INNER, annotations=[region(50, 10, 90, BOX)])
    (problem,) = told(Coco(root, **HALF).load)
    assert problem == (
        f"{root / 'images' / 'case0.png'}: annotation 50 (vessel) covers 16 pixels of another class, such as row 10, "
        "column 12, where annotation 0 (nucleus) is; allowed: one class for each pixel. Write 'overlap: later' or "
        "'overlap: smaller', or correct the annotations"
    )
    assert labels_of(Coco(root, overlap="later", **HALF))["case0"][12, 13] == 2
    assert labels_of(Coco(root, overlap="smaller", **HALF))["case0"][12, 13] == 1


def test_objects_of_one_class_may_overlap(tmp_path):
    root = write(tmp_path, annotations=[region(50, 10, 7, INNER)])
    np.testing.assert_array_equal(labels_of(Coco(root, **HALF))["case0"], square())


def test_holes_are_those_of_run_lengths_and_inner_polygons_are_remarked_on(tmp_path):
    ring = square() & ~square(INNER)
    counts = {"size": [SIDE, SIDE], "counts": runs(ring)}
    np.testing.assert_array_equal(labels_of(Coco(write(tmp_path, counts), **HALF))["case0"], ring)
    dataset = Coco(write(tmp_path, [*BOX, *INNER]), **HALF)
    np.testing.assert_array_equal(labels_of(dataset)["case0"], square())
    assert any("5 annotations, such as 0, have a polygon inside another one" in remark for remark in dataset.remarks())
    apart = Coco(write(tmp_path, [*BOX, *BELOW]), **HALF)
    assert not any("inside" in remark for remark in apart.remarks())


def test_a_crowd_is_refused_taken_or_ignored_as_told(tmp_path):
    root = write(tmp_path, annotations=[region(50, 15, 7, BELOW, iscrowd=1)])
    (problem,) = told(Coco(root, **HALF).sources)
    assert problem.endswith(
        "has 1 annotations of crowds (iscrowd), such as 50. Write 'crowd: class' or 'crowd: ignored'"
    )
    np.testing.assert_array_equal(labels_of(Coco(root, crowd="class", **HALF))["case5"], square(BELOW))
    ignored = Coco(root, crowd="ignored", **HALF)
    assert ignored.format().ignore
    np.testing.assert_array_equal(labels_of(ignored)["case5"], 255 * square(BELOW).astype(np.uint8))


@pytest.mark.parametrize(
    ("annotation", "what"),
    [
        (
            {"image_id": 10, "category_id": 7, "bbox": [1, 2, 3, 4]},
            "(nucleus in case0.png) has no segmentation, perhaps a box",
        ),
        (region(50, 10, 7, []), "has no segmentation, perhaps a box only; allowed: polygons or run lengths"),
        (region(50, 99, 7, BOX), "annotation 50 is of the image 99, which is not in the file"),
        (region(50, 10, 8, BOX), "annotation 50 is of the category 8, which is not in the file"),
        (region(50, 10, 7, [[1, 2, 3, 4]]), "has a polygon of 4 numbers; allowed: x, y of three points or more"),
        (region(50, 10, 7, [[1, 2, 80, 4, 5, 6]]), "has a point at 80, 4; allowed: within the image, 40 x 40 pixels"),
        (
            region(50, 10, 7, {"size": [40, 41], "counts": [1640]}),
            "run lengths of the size [40, 41]; allowed: [40, 40]",
        ),
        (region(50, 10, 7, {"size": [40, 40], "counts": [5]}), "run lengths of 5 pixels in total; allowed: 1600"),
        (region(50, 10, 7, {"size": [40, 40], "counts": "\x01"}), "has run lengths that cannot be read"),
    ],
)
def test_annotations_that_cannot_be_used_are_named(tmp_path, annotation, what):
    (problem,) = told(Coco(write(tmp_path, annotations=[annotation]), **HALF).sources)
    assert what in problem


def test_every_bad_image_is_named_in_one_pass(tmp_path):
    root = write(tmp_path)
    (root / "images" / "case0.png").unlink()
    Image.fromarray(np.zeros((SIDE, 20, 3), np.uint8)).save(root / "images" / "case1.png")
    for ask in (Coco(root, **HALF).sources, Coco(root, **HALF).load):
        assert sorted(told(ask)) == [
            f"{root / 'images' / 'case0.png'}: does not exist",
            f"{root / 'images' / 'case1.png'}: is 20 x 40 pixels, the annotations say 40 x 40 pixels; allowed: equal "
            "sizes",
        ]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("{", "is no JSON file"),
        ("[]", "has no list of images with id, file_name, height, width; allowed: COCO object segmentation"),
        ('{"images": [], "categories": [], "annotations": []}', "lists no image"),
    ],
)
def test_other_files_are_refused(tmp_path, content, what):
    (tmp_path / "annotations.json").write_text(content)
    assert what in told(Coco(tmp_path).sources)[0]
    assert "is not a file" in told(Coco(tmp_path, annotations="other.json").sources)[0]


def test_groups_keep_images_of_a_patient_together(tmp_path):
    root = write(tmp_path)
    groups = tmp_path / "groups.csv"
    groups.write_text("id,group\n" + "".join(f"case{n},p{n // 2}\n" for n in range(6)))
    splits = Coco(root, groups=groups, seed=1, **HALF).load()
    assert not set(splits.train.groups) & set(splits.test.groups)
    assert set(splits.train.groups) | set(splits.test.groups) == {"p0", "p1", "p2"}
    groups.write_text("id,group\ncase0,p0\n")
    assert "has no line for case1" in told(Coco(root, groups=groups, **HALF).sources)[0]


def test_native_images_and_masks_are_those_of_the_files(tmp_path):
    dataset = Coco(write(tmp_path, annotations=[region(50, 10, 90, BELOW)]), **{**HALF, "size": 32})
    (mask,), (image,) = list(dataset.native_masks(["case0"])), list(dataset.native_images(["case0"]))
    np.testing.assert_array_equal(mask, square() + 2 * square(BELOW))
    assert image.shape == (SIDE, SIDE, 3)
    assert (image == 5).all()


@pytest.mark.parametrize("name", ["../elsewhere.png", "/etc/elsewhere.png"])
def test_an_image_outside_the_folder_of_images_is_refused(tmp_path, name):
    root = write(tmp_path)
    document = json.loads((root / "annotations.json").read_text())
    document["images"][0]["file_name"] = name
    (root / "annotations.json").write_text(json.dumps(document))
    assert any("elsewhere.png; allowed: files in" in one for one in told(Coco(root, **HALF).sources))


def test_a_category_in_two_classes_is_refused():
    with pytest.raises(ValueError, match="found the category 'a' twice; allowed: in one class"):
        Coco("data", classes={"one": "a", "two": ("a", "b")})

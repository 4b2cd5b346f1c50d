"""Where files go in each export format. Every layout returns the image and mask path and the image hash of each sample.

File names are ids that augkit made itself (``mask2lesion-training-0-000000``) or numbers, never names from a data set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label

from augkit.contracts.components import HasNativePairs
from augkit.contracts.rules import check_native_count, check_native_image, check_native_mask, contract
from augkit.data.arrays import Images, ImageSet, Masks
from augkit.data.draws import sample_keys
from augkit.data.formats import Format as PixelFormat
from augkit.data.formats import class_masks
from augkit.data.tables import csv_text
from augkit.sharing.files import Encoder, Export, Format, ImageFormat, Sink
from augkit.sharing.webdataset import write_webdataset

FOLDS = 5
"""Cross-validation folds of nnU-Net."""

NNUNET_NUMBER = 900
"""The number in ``Dataset900_name``; nnU-Net leaves high numbers to its users."""

Places = list[tuple[str, str]]


class Layout(Protocol):
    """Fills a folder."""

    def __call__(self, export: Export, sink: Sink, image_format: ImageFormat) -> tuple[Places, list[str]]:
        """Write everything but manifest and card."""


def write_folder(export: Export, sink: Sink, image_format: ImageFormat) -> tuple[Places, list[str]]:
    """Write ``images/<id>`` and ``masks/<id>.png`` with masks of 0 and 255, or of labels."""
    return _write_pairs(export, sink, image_format, "images", "masks")


def write_coco(export: Export, sink: Sink, image_format: ImageFormat) -> tuple[Places, list[str]]:
    """Write ``images/``, ``masks/`` and ``annotations/instances_train.json``, one annotation per connected piece.

    Classes are categories, numbered as labels are.
    """
    places, digests = _write_pairs(export, sink, image_format, "images", "masks")
    classes = export.real.train.format.classes
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for source in export.sources:
        height, width = source.samples.size
        for mask in source.samples.masks:
            one_class = class_masks(mask[None], len(classes))[0]
            number = len(images) + 1
            name = places[number - 1][0].removeprefix("images/")
            images.append({"id": number, "file_name": name, "height": height, "width": width})
            for category, piece in enumerate(one_class, 1):
                annotations += coco_annotations(np.asarray(piece), number, len(annotations) + 1, category)
    document = {
        "info": {"description": f"Synthetic images of the recipe {export.name}, made by augkit", "version": "1"},
        "licenses": [{"id": 1, "name": "see README.md", "url": ""}],
        "categories": [{"id": k, "name": name, "supercategory": ""} for k, name in enumerate(classes, 1)],
        "images": [{**image, "license": 1} for image in images],
        "annotations": annotations,
    }
    sink.json("annotations/instances_train.json", document)
    return places, digests


def write_nnunet(export: Export, sink: Sink, image_format: ImageFormat) -> tuple[Places, list[str]]:
    """Write nnU-Net v2's raw format: real and synthetic training cases, real test cases, and the splits.

    ``splits_final.json`` keeps synthetic cases in training, and out of a fold whose validation cases gave their mask.
    ``cases.csv`` tells which real image each real case is, because an id need not be a name that a file may have.
    """
    folder = f"Dataset{NNUNET_NUMBER}_{export.name.replace('.', '-')}"
    encode = nnunet_encoder(export.real.train, image_format)
    ending = encode.ending

    def places_of(names: Sequence[str], part: str) -> Places:
        return [
            (f"{folder}/images{part}/{name}_0000.{ending}", f"{folder}/labels{part}/{name}.{ending}") for name in names
        ]

    def write_real(samples: ImageSet, names: Sequence[str], part: str) -> None:
        if export.native is None:
            sink.write_samples(samples, places_of(names, part).__getitem__, encode)
        else:
            sink.write_pairs(_native_pairs(export.native, samples), places_of(names, part), encode)

    real = {name: _case_names(f"real_{name}", len(getattr(export.real, name))) for name in ("train", "validation")}
    for name, cases in real.items():
        write_real(getattr(export.real, name), cases, "Tr")
    tests = _case_names("real_test", len(export.real.test))
    write_real(export.real.test, tests, "Ts")
    sink.text(f"{folder}/cases.csv", _cases_csv(export, {**real, "test": tests}))
    places: Places = []
    digests: list[str] = []
    for source in export.sources:
        some = places_of(source.samples.ids, "Tr")
        digests += sink.write_samples(source.samples, some.__getitem__, encode)
        places += some
    description = {
        "channel_names": _channel_names(encode.pixels),
        "labels": _label_values(encode.pixels),
        "numTraining": sum(map(len, real.values())) + len(places),
        "file_ending": f".{ending}",
        **({} if encode.volumes else {"overwrite_image_reader_writer": "NaturalImage2DIO"}),
    }
    sink.json(f"{folder}/dataset.json", description)
    sink.json(f"{folder}/splits_final.json", _nnunet_splits(export, real))
    return places, digests


def nnunet_encoder(samples: ImageSet, image_format: ImageFormat) -> Encoder:
    """Return how nnU-Net's files are written: PNG where that holds everything, NIfTI for other pixels and for spacing.

    A sample without a spacing gets the median of the real training images, because nnU-Net takes a missing one for 1.
    """
    format = samples.format
    known = None if samples.spacing is None else samples.spacing[np.isfinite(samples.spacing).all(axis=1)]
    volumes = not format.rgb and (format.dtype != "uint8" or known is not None)
    height, width = (1.0, 1.0) if known is None or not len(known) else np.median(known, axis=0).tolist()
    return Encoder(image_format, 1, format, volumes, len(format.classes) + 1, (height, width))


def _channel_names(format: PixelFormat) -> dict[str, str]:
    """Return nnU-Net's names of channels, which choose how it normalises: CT is a word of its."""
    names = "RGB" if format.rgb else ["CT" if one.meaning == "ct" else one.name for one in format.channels]
    return {str(place): name for place, name in enumerate(names)}


def _label_values(format: PixelFormat) -> dict[str, int]:
    """Return nnU-Net's labels; pixels that do not count have the highest number, which it asks for."""
    labels = {"background": 0, **{name: k for k, name in enumerate(format.classes, 1)}}
    return {**labels, "ignore": len(format.classes) + 1} if format.ignore else labels


def _native_pairs(
    dataset: HasNativePairs, samples: ImageSet
) -> Iterator[tuple[Images, Masks, NDArray[np.float32] | None]]:
    """Yield image, mask and spacing of each sample as they are in their files, held to their contract."""
    given = 0
    with contract("the data set", samples.ids):
        pairs = zip(dataset.native_images(samples.ids), dataset.native_masks(samples.ids), strict=False)
        for image, mask in islice(pairs, len(samples)):
            check_native_mask(mask, samples.masks[given], given)
            spacing = None
            if samples.spacing is not None:
                ratio = np.divide(samples.size, mask.shape).astype(np.float32)
                spacing = samples.spacing[given] * ratio
            yield check_native_image(image, mask, given, samples.format), mask, spacing
            given += 1
        check_native_count(given, len(samples))


LAYOUTS: Mapping[Format, Layout] = {
    "folder": write_folder,
    "nnunet": write_nnunet,
    "coco": write_coco,
    "webdataset": write_webdataset,
}


def _write_pairs(
    export: Export, sink: Sink, image_format: ImageFormat, images: str, masks: str
) -> tuple[Places, list[str]]:
    places: Places = []
    digests: list[str] = []
    for source in export.sources:
        encode = Encoder(image_format, pixels=export.real.train.format)
        some = [(f"{images}/{name}.{encode.ending}", f"{masks}/{name}.png") for name in source.samples.ids]
        digests += sink.write_samples(source.samples, some.__getitem__, encode)
        places += some
    return places, digests


def _case_names(stem: str, count: int) -> list[str]:
    return [f"{stem}_{i:06d}" for i in range(count)]


def _nnunet_splits(export: Export, real: Mapping[str, Sequence[str]]) -> list[dict[str, list[str]]]:
    """Return the folds: the data set's own validation split, or five folds of the training groups."""
    synthetic = [(name, group) for one in export.sources for name, group in _ids_and_groups(one.samples)]
    if real["validation"]:
        train = sorted([*real["train"], *(name for name, _ in synthetic)])
        return [{"train": train, "val": sorted(real["validation"])}]
    groups = sorted(set(export.real.train.groups), key=lambda group: (int(sample_keys([group])[0]), group))
    fold_of = {group: i % FOLDS for i, group in enumerate(groups)}
    cases = [*zip(real["train"], export.real.train.groups, strict=True), *synthetic]
    return [
        {
            "train": sorted(name for name, group in cases if fold_of.get(group) != fold),
            "val": sorted(
                name for name, group in zip(real["train"], export.real.train.groups, strict=True)
                if fold_of[group] == fold
            ),
        }
        for fold in range(min(FOLDS, len(groups)))
    ]  # fmt: skip


def _cases_csv(export: Export, cases: Mapping[str, Sequence[str]]) -> str:
    """Return one row per real case: its name here, the id of its image, its group, its split."""
    rows: list[tuple[str, ...]] = []
    for split, names in cases.items():
        samples: ImageSet = getattr(export.real, split)
        rows += zip(names, samples.ids, samples.groups, [split] * len(samples), strict=True)
    return csv_text(("case", "id", "group", "split"), rows)


def _ids_and_groups(samples: ImageSet) -> list[tuple[str, str]]:
    return list(zip(samples.ids, samples.groups, strict=True))


def coco_annotations(mask: Masks, image: int, first: int, category: int = 1) -> list[dict[str, Any]]:
    """Return one annotation per 8-connected piece of a class's mask, bool (H, W), numbered from `first`.

    The segmentation is COCO's uncompressed run-length code: run lengths down the columns, background first.
    """
    pieces, count = label(mask, structure=np.ones((3, 3), np.int64))
    annotations = []
    for number, box in zip(range(1, count + 1), find_objects(pieces), strict=True):
        piece = pieces == number
        rows, columns = box
        annotations.append(
            {
                "id": first + number - 1,
                "image_id": image,
                "category_id": category,
                "iscrowd": 0,
                "area": int(piece.sum()),
                "bbox": [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start],
                "segmentation": {"size": list(mask.shape), "counts": run_lengths(piece)},
            }
        )
    return annotations


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Return the lengths of runs down the columns, beginning with background, which may be 0 long."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs: list[int] = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else runs

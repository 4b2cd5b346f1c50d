"""Every registered component keeps its kind's contract, with options that make it small."""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augkit.authors.conformance.toy import formats_taken
from augkit.contracts.kinds import KINDS
from augkit.contracts.registry import load_registry
from augkit.errors import Problem
from augkit.planning.options import build_component
from augkit.planning.recipe import Reference
from augkit.testing import CONTRACT_OF_KIND

FILES = Path(tempfile.gettempdir()) / f"augkit-contract-{os.getpid()}"
"""Where the data sets and drawings that read files find some; made by `files`."""

IN_TURN = "documented: it balances over all masks of one call, so that each training mask or drawing is used as often"


@dataclass(frozen=True)
class Case:
    """How a registered component is held to its contract: small options, and the checks that it may break."""

    options: dict[str, object] = field(default_factory=dict)
    exceptions: dict[str, str] = field(default_factory=dict)


BLENDS = "it blends a sample with another one of its batch"

TINY_UNET = {"width": 4, "steps": 80, "batch_size": 4, "optimizer": "adamw", "learning_rate": 0.005}

TINY_GAN = {"width": 4, "patch_layers": 1, "epochs": 4, "decay_epochs": 0, "batch_size": 4}

CASES = {
    ("augmentation", "blur"): [Case()],
    ("augmentation", "classical-paper"): [Case()],
    ("augmentation", "classical-paste"): [Case(exceptions={"batch_independent": BLENDS})],
    ("augmentation", "classical-strong"): [Case()],
    ("augmentation", "cutmix"): [Case(exceptions={"batch_independent": BLENDS})],
    ("augmentation", "cutout"): [Case(exceptions={"image_and_mask_move_together": "it hides parts of the image only"})],
    ("augmentation", "elastic"): [Case()],
    ("augmentation", "hair"): [Case()],
    ("augmentation", "mixup"): [
        Case(exceptions={"batch_independent": BLENDS, "masks_stay_binary": "a blend of masks is soft"}),
    ],
    ("augmentation", "noise"): [Case()],
    ("augmentation", "paste"): [
        Case(exceptions={"batch_independent": BLENDS}),
        Case({"probability": 1.0, "count": 6, "margin": 0.0}, {"batch_independent": BLENDS}),
    ],
    ("augmentation", "colour"): [
        Case(),
        Case({"gamma": 0.5}),
    ],
    ("augmentation", "geometry"): [
        Case(),
        Case({"scale": [0.8, 1.2], "shear": 10, "translate": 0.1, "padding": "border"}),
        Case({"rotate": 20, "padding": "constant"}),
    ],
    ("dataset", "coco"): [Case({"root": str(FILES / "coco"), "size": 32})],
    ("dataset", "folder"): [
        Case({"root": str(FILES / "folder"), "size": 32, "validation_fraction": 0.2}),
        Case(
            {"root": str(FILES / "deep"), "size": 32, "pixels": "grey", "classes": {"core": 2, "rim": 1}, "ignore": 9}
        ),
    ],
    ("dataset", "isic"): [Case({"root": str(FILES / "isic"), "size": 32})],
    ("dataset", "phantom"): [Case({"train": 9, "test": 5, "validation": 2, "size": 32})],
    ("generator", "mask2lesion"): [
        Case({"width": 4, "norm": "instance", "patch_layers": 1, "epochs": 2, "decay_epochs": 1}),
    ],
    ("generator", "mask2lesion-fast128"): [Case({**TINY_GAN, "size": None})],
    ("generator", "mask2lesion-released256"): [Case({**TINY_GAN, "size": None})],
    ("generator", "mask2lesion-spade"): [Case({**TINY_GAN, "style": 4})],
    ("generator", "flow-distilled"): [
        Case(
            {
                "width": 8,
                "steps": 40,
                "batch_size": 4,
                "solver_steps": 2,
                "student_width": 8,
                "student_steps": 20,
                "learning_rate": 3e-3,
            }
        )
    ],
    ("generator", "flow"): [Case({"width": 8, "steps": 60, "batch_size": 4, "solver_steps": 4, "learning_rate": 3e-3})],
    ("generator", "texture"): [Case()],
    ("mask source", "combine"): [Case({"mix": [{"shapes": {}}, {"elastic": {"degree": [4]}}], "area": [0.01, 0.6]})],
    ("mask source", "elastic"): [Case({"modes": 4}), Case({"field": "random"}), Case({"field": "variation"})],
    ("mask source", "folder"): [Case({"root": str(FILES / "drawings")}, {"keyed": IN_TURN})],
    ("mask source", "pca"): [Case({"modes": 3}), Case({"modes": 3, "place": "training"})],
    ("mask source", "shapes"): [Case()],
    ("mask source", "training"): [Case(exceptions={"keyed": IN_TURN})],
    ("generator", "noise"): [Case()],
    ("generator", "repeat"): [
        Case(exceptions={"raises_nothing": "it gives back training images, so it takes training masks only"})
    ],
    ("segmenter", "unet"): [Case(TINY_UNET)],
    ("segmenter", "unet-paper"): [Case(TINY_UNET)],
    ("segmenter", "unet-strong"): [Case(TINY_UNET)],
}

TRAINED = ("generator", "segmenter")
"""Kinds that are fitted for every format: in a run of all tests for the first one, in the slow tests for all."""

PRESETS = ("mask2lesion-fast128", "mask2lesion-released256", "unet-paper", "unet-strong")
"""What differs in its defaults from another component, which is tried with every format."""

ALBUMENTATIONS = [
    {"HorizontalFlip": {"p": 0.5}},
    {"Affine": {"rotate": [-90, 90], "scale": [0.8, 1.2], "p": 1.0}},
    {"RandomBrightnessContrast": {"p": 0.5}},
]
TORCHVISION = [
    {"RandomHorizontalFlip": {"p": 0.5}},
    {"RandomRotation": {"degrees": 90, "fill": 0.25}},
    {"ColorJitter": {"brightness": 0.2}},
]

OPTIONAL = {
    "albumentations": {("augmentation", "albumentations"): [Case({"pipeline": ALBUMENTATIONS})]},
    "pydicom": {("dataset", "dicom"): [Case({"root": str(FILES / "dicom"), "size": 32, "classes": {"core": "Core"}})]},
    "torchvision": {("augmentation", "torchvision"): [Case({"pipeline": TORCHVISION})]},
    "nibabel": {
        ("dataset", "nifti"): [
            Case({"root": str(FILES / "nifti"), "classes": {"core": 2, "rim": [1, 3]}, "size": 32, "meaning": "ct"}),
            Case({"root": str(FILES / "nifti"), "classes": {"all": [1, 2, 3]}, "size": 32, "as_rgb": [-100, 100]}),
        ],
        ("dataset", "nnunet_raw"): [Case({"root": str(FILES / "nnunet"), "size": 32})],
    },
    "nnunetv2": {("segmenter", "nnunet"): [Case({"epochs": 4, "iterations": 20, "features": 8, "batch_size": 4})]},
    "segmentation_models_pytorch": {("segmenter", "smp"): [Case({"steps": 80, "batch_size": 4})]},
}
"""Components that wrap a package which need not be installed."""

for package, optional in OPTIONAL.items():
    if find_spec(package) is not None:
        CASES |= optional

ENTRIES = {key: entry for key, entry in load_registry().entries.items() if key[0] in KINDS}


def component_of(kind, name, case):
    problems: list[Problem] = []
    component = build_component(ENTRIES[kind, name], Reference(name, case.options, f"{kind} '{name}'", {}), problems)
    assert component is not None, problems
    return component


for (kind, name), cases in CASES.items():
    for number, case in enumerate(cases):
        if (kind, name) in ENTRIES:
            title = f"Test_{kind}_{name}_{number}".replace(" ", "_").replace("-", "_")
            component = component_of(kind, name, case)
            contents = {"component": component, "exceptions": case.exceptions, "every_format": kind not in TRAINED}
            globals()[title] = type(title, (CONTRACT_OF_KIND[kind],), contents)
            if kind in TRAINED and name not in PRESETS and len(formats_taken(component)) > 1:
                contents = {**contents, "every_format": True}
                globals()[f"{title}_every_format"] = type(f"{title}_every_format", (CONTRACT_OF_KIND[kind],), contents)


def test_every_registered_component_has_a_contract_case():
    cases = {*CASES, *(key for optional in OPTIONAL.values() for key in optional)}
    missing = sorted(f"{kind} '{name}'" for kind, name in ENTRIES if (kind, name) not in cases)
    assert missing == [], "write a case for each, here"


@pytest.fixture(scope="module", autouse=True)
def files():
    """Write the small data sets that some components read."""
    for folder, suffix in (("folder/images", "folder/masks"), (ISIC[0], ISIC[1]), (ISIC[2], ISIC[3])):
        (FILES / folder).mkdir(parents=True)
        (FILES / suffix).mkdir()
        for number in range(12):
            image, mask = lesion(number)
            ending = "_segmentation" if "ISIC" in folder else ""
            stem = f"ISIC_{number + 100 * ('Validation' in folder):07}" if ending else f"case-{number}"
            Image.fromarray(image).save(
                FILES / folder / f"{stem}.png" if not ending else FILES / folder / f"{stem}.jpg"
            )
            Image.fromarray(mask).save(FILES / suffix / f"{stem}{ending}.png")
    (FILES / "drawings").mkdir()
    if find_spec("nibabel") is not None:
        write_volumes(FILES / "nifti")
    for number in range(4):
        Image.fromarray(255 - lesion(number)[1]).save(FILES / "drawings" / f"{number}.png")
    write_deep_and_coco()
    if find_spec("pydicom") is not None:
        write_dicom()
    yield
    shutil.rmtree(FILES)


def write_deep_and_coco():
    """Grey images of 16 bits with label maps, and a COCO file for the images of the folder."""
    for name in ("deep/images", "deep/masks", "coco/images"):
        (FILES / name).mkdir(parents=True)
    images, annotations = [], []
    for number in range(12):
        image, mask = lesion(number)
        Image.fromarray(image).save(FILES / "coco" / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": 48, "width": 48})
        flat = mask.T.ravel() > 0
        counts = np.diff(np.flatnonzero(np.diff(flat, prepend=~flat[:1], append=~flat[-1:]))).tolist()
        runs = {"size": [48, 48], "counts": counts}
        annotations.append({"id": number, "image_id": number, "category_id": 5, "segmentation": runs})
        labels = np.where(mask > 0, 1, 0).astype(np.uint8)
        labels[12:20, 14:20], labels[0] = 2, 9
        Image.fromarray(image[..., 0].astype(np.uint16) * 200).save(FILES / "deep" / "images" / f"{number}.png")
        Image.fromarray(labels).save(FILES / "deep" / "masks" / f"{number}.png")
    content = {"images": images, "annotations": annotations, "categories": [{"id": 5, "name": "lesion"}]}
    (FILES / "coco" / "annotations.json").write_text(json.dumps(content))


def write_dicom():
    """MR images of one slice for each patient, each with a DICOM-SEG."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, SegmentationStorage, generate_uid

    def saved(one, path, kind):
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.SOPClassUID, one.Rows, one.Columns, one.SamplesPerPixel = kind, 48, 48, 1
        one.PhotometricInterpretation, one.PixelRepresentation = "MONOCHROME2", 0
        one.file_meta.MediaStorageSOPClassUID = kind
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
        one.save_as(path, enforce_file_format=True)

    def sequence(**values):
        item = Dataset()
        for name, value in values.items():
            setattr(item, name, value)
        return [item]

    for number in range(12):
        folder = FILES / "dicom" / str(number)
        folder.mkdir(parents=True)
        image, mask = lesion(number)
        mr, seg = Dataset(), Dataset()
        mr.SOPInstanceUID, mr.SeriesInstanceUID, seg.SOPInstanceUID = generate_uid(), generate_uid(), generate_uid()
        mr.PatientID, mr.Modality, seg.Modality = f"patient {number}", "MR", "SEG"
        mr.BitsAllocated, mr.BitsStored, mr.HighBit = 16, 16, 15
        mr.PixelData = image[..., 0].astype("<u2").tobytes()
        seg.BitsAllocated, seg.BitsStored, seg.HighBit, seg.SegmentationType = 1, 1, 0, "BINARY"
        seg.NumberOfFrames, seg.PixelData = 1, np.packbits(mask > 0, bitorder="little").tobytes()
        seg.SegmentSequence = sequence(SegmentNumber=1, SegmentLabel="Core")
        seg.ReferencedSeriesSequence = sequence(SeriesInstanceUID=mr.SeriesInstanceUID)
        source = sequence(SourceImageSequence=sequence(ReferencedSOPInstanceUID=mr.SOPInstanceUID))
        segment = sequence(ReferencedSegmentNumber=1)
        seg.PerFrameFunctionalGroupsSequence = sequence(
            DerivationImageSequence=source, SegmentIdentificationSequence=segment
        )
        saved(mr, folder / "image.dcm", MRImageStorage)
        saved(seg, folder / "seg.dcm", SegmentationStorage)


ISIC = (
    "isic/ISIC-2017_Training_Data",
    "isic/ISIC-2017_Training_Part1_GroundTruth",
    "isic/ISIC-2017_Validation_Data",
    "isic/ISIC-2017_Validation_Part1_GroundTruth",
)


def write_volumes(root):
    """Write six volumes with labels 1, 2 and 3."""
    import nibabel

    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    (FILES / "nnunet").mkdir()
    for kind in ("images", "labels"):
        (FILES / "nnunet" / f"{kind}Tr").mkdir()
    described = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "a": 1, "b": 2, "c": 3}}
    (FILES / "nnunet" / "dataset.json").write_text(json.dumps({**described, "file_ending": ".nii.gz"}))
    for number in range(6):
        labels = np.zeros((20, 20, 6), np.uint8)
        for value in (1, 2, 3):
            labels[value : 18 - value, 4 * value : 4 * value + 3, 1:5] = value
        values = np.random.default_rng(number).integers(-300, 300, labels.shape) + 200 * labels
        for folder, voxels in (("images", values.astype(np.int16)), ("labels", labels)):
            volume = nibabel.Nifti1Image(voxels, np.eye(4))
            nibabel.save(volume, root / folder / f"p{number}.nii.gz")
            name = f"p{number}{'_0000' if folder == 'images' else ''}.nii.gz"
            nibabel.save(volume, FILES / "nnunet" / f"{folder}Tr" / name)


def lesion(number):
    """A dark square on skin, 48 x 48 pixels, uint8 (H, W, 3), and its mask, uint8 0 or 255."""
    mask = np.zeros((48, 48), np.uint8)
    mask[9 : 25 + number, 12 : 24 + number] = 255
    image = np.where(mask[..., None] > 0, 40 + number, 220).astype(np.uint8).repeat(3, axis=2)
    return image, mask

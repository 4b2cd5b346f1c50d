"""Every registered component keeps its kind's contract, with options that make it small."""

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
    ("dataset", "folder"): [Case({"root": str(FILES / "folder"), "size": 32, "validation_fraction": 0.2})],
    ("dataset", "isic"): [Case({"root": str(FILES / "isic"), "size": 32})],
    ("dataset", "phantom"): [Case({"train": 9, "test": 5, "validation": 2, "size": 32})],
    ("generator", "mask2lesion"): [
        Case({"width": 4, "norm": "instance", "patch_layers": 1, "epochs": 2, "decay_epochs": 1}),
    ],
    ("generator", "mask2lesion-fast128"): [Case({**TINY_GAN, "size": None})],
    ("generator", "mask2lesion-released256"): [Case({**TINY_GAN, "size": None})],
    ("generator", "mask2lesion-spade"): [Case({**TINY_GAN, "style": 4})],
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
    "torchvision": {("augmentation", "torchvision"): [Case({"pipeline": TORCHVISION})]},
    "nibabel": {
        ("dataset", "nifti"): [
            Case({"root": str(FILES / "nifti"), "classes": {"core": 2, "rim": [1, 3]}, "size": 32, "meaning": "ct"}),
            Case({"root": str(FILES / "nifti"), "classes": {"all": [1, 2, 3]}, "size": 32, "as_rgb": [-100, 100]}),
        ],
    },
    "segmentation_models_pytorch": {("segmenter", "smp"): [Case({"steps": 80, "batch_size": 4})]},
}
"""Components that wrap a package which need not be installed."""

for package, optional in OPTIONAL.items():
    if find_spec(package) is not None:
        CASES |= optional

ENTRIES = load_registry().entries


def component_of(kind, name, case):
    problems: list[Problem] = []
    component = build_component(ENTRIES[kind, name], Reference(name, case.options, f"{kind} '{name}'", {}), problems)
    assert component is not None, problems
    return component


for (kind, name), cases in CASES.items():
    for number, case in enumerate(cases):
        if (kind, name) in ENTRIES:
            title = f"Test_{kind}_{name}_{number}".replace(" ", "_").replace("-", "_")
            contents = {"component": component_of(kind, name, case), "exceptions": case.exceptions}
            globals()[title] = type(title, (CONTRACT_OF_KIND[kind],), contents)


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
    yield
    shutil.rmtree(FILES)


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
    for number in range(6):
        labels = np.zeros((20, 20, 6), np.uint8)
        for value in (1, 2, 3):
            labels[value : 18 - value, 4 * value : 4 * value + 3, 1:5] = value
        values = np.random.default_rng(number).integers(-300, 300, labels.shape) + 200 * labels
        for folder, voxels in (("images", values.astype(np.int16)), ("labels", labels)):
            nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), root / folder / f"p{number}.nii.gz")


def lesion(number):
    """A dark square on skin, 48 x 48 pixels, uint8 (H, W, 3), and its mask, uint8 0 or 255."""
    mask = np.zeros((48, 48), np.uint8)
    mask[9 : 25 + number, 12 : 24 + number] = 255
    image = np.where(mask[..., None] > 0, 40 + number, 220).astype(np.uint8).repeat(3, axis=2)
    return image, mask

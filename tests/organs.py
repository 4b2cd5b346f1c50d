"""A data set of int16 in one channel with three classes and ignored pixels, and a generator for it.

A plugin of tests: `registry()` has it beside the built-ins.
"""

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

import numpy as np

from augkit import ANYTHING, Channel, DrawnMasks, Format, ImageSet, Splits, Workspace, hookimpl
from augkit.contracts.registry import Registry, load_registry

FORMAT = Format("int16", (Channel("ct", "ct", -200, 400),), ("liver", "kidney", "tumour"), ignore=True)


@dataclass(frozen=True)
class Organs:
    """Slices of made-up abdomens: two organs beside each other, and a tumour that every other slice has.

    slices: per patient.
    """

    patients: int = 6
    slices: int = 4
    size: int = 32

    def format(self) -> Format:
        """What its images are."""
        return FORMAT

    def sources(self):
        """No file."""
        return ()

    def load(self) -> Splits:
        """Half as many patients are tested as are trained on."""
        parts = {"train": self.patients, "validation": 1, "test": max(1, self.patients // 2)}
        return Splits(**{name: self._split(name, patients) for name, patients in parts.items()})

    def _split(self, name: str, patients: int) -> ImageSet:
        places = [(patient, z) for patient in range(patients) for z in range(self.slices)]
        masks = np.stack([_labels(patient + 10 * len(name), z, self.size) for patient, z in places])
        noise = np.random.default_rng(len(name)).normal(0, 15, masks.shape)
        levels = np.array([-100, 60, 180, 300], np.float64)
        images = np.where(masks == 255, -1000, levels[np.minimum(masks, 3)] + noise)[..., None].astype(np.int16)
        ids = tuple(f"{name}{patient}/{z}" for patient, z in places)
        groups = tuple(f"{name}{patient}" for patient, _ in places)
        spacing = np.full((len(places), 2), 1.5, np.float32)
        return ImageSet(ids, images, masks, groups, ("real",) * len(ids), FORMAT, spacing)


def _labels(patient, z, size):
    y, x = np.mgrid[:size, :size] * 32 / size
    labels = np.zeros((size, size), np.uint8)
    labels[(y - 12 - patient % 3) ** 2 + (x - 10) ** 2 < 45 + 4 * z] = 1
    labels[(y - 14) ** 2 + (x - 22 + patient % 2) ** 2 < 25 + 4 * z] = 2
    if z % 2:
        labels[(y - 13) ** 2 + (x - 10) ** 2 < 6 + z] = 3
    labels[-size // 8 :, -size // 4 :] = 255
    return labels


@dataclass(frozen=True)
class Levels:
    """Paints each label of a mask in its mean level, with noise."""

    takes = ANYTHING

    def fit(self, train: ImageSet, space: Workspace) -> None:
        """Measure the levels."""
        table = np.zeros(256)
        for label in np.unique(train.labels):
            table[label] = train.images[..., 0][train.labels == label].mean()
        np.save(space.folder / "levels.npy", table)

    def open(self, folder, device):
        """Return the painter."""
        table = np.load(folder / "levels.npy")

        def paint(masks, draws):
            noise = draws.normal("noise", shape=masks.shape[1:]) * 15
            return np.rint(table[masks] + noise)[..., None].astype(np.int16)

        return paint


@dataclass(frozen=True)
class Drawn:
    """The training masks, one after the other."""

    takes = ANYTHING

    def draw(self, masks, count, draws, space):
        """Return masks with their parents."""
        parents = [i % len(masks) for i in range(count)]
        return DrawnMasks(np.asarray(masks)[parents], tuple({"parent": i} for i in parents))


@hookimpl
def augkit_datasets():
    return {"organs": Organs}


@hookimpl
def augkit_generators():
    return {"levels": Levels}


@hookimpl
def augkit_mask_sources():
    return {"drawn": Drawn}


def registry() -> Registry:
    """Return the registry of the built-ins and of this plugin."""
    return load_registry([*entry_points(group="augkit"), EntryPoint("organs", "organs", "augkit")])

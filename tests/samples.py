"""What tests of several files start from: samples, draws, recipes, and listeners that remember what they are told."""

import json

import numpy as np

from augkit import Draws, ImageSet, Workspace
from augkit.contracts.registry import load_registry
from augkit.planning.components import check_recipes
from augkit.planning.recipe import load_recipes


def lesions(n=8, size=32):
    """Dark discs on skin; each lies a little further to the right than the one before."""
    y, x = np.mgrid[:size, :size] * 32 / size
    masks = np.array([(y - 16) ** 2 + (x - 10 - i) ** 2 < 60 for i in range(n)])
    return image_set(np.where(masks[..., None], [120, 70, 50], [220, 180, 160]), masks)


def image_set(images, masks, name="s"):
    """Real images of whole numbers 0..255, each of a patient of its own."""
    ids = tuple(f"{name}{i}" for i in range(len(masks)))
    return ImageSet(ids, images.astype(np.uint8), masks, ids, ("real",) * len(ids))


def image_draws(n, seed=0):
    """The draws that a generator is given."""
    return Draws.of(seed, "synthesis", np.arange(n))


def mask_draws(n, seed=0):
    """The draws that a mask source is given."""
    return Draws.of(seed, "masks", np.arange(n))


def file_hashes(root):
    """Hash of every file of every artifact in a store; reports hold times, and are left out."""
    return {
        f"{manifest.parent.parent.name}/{manifest.parent.name}/{name}": facts["sha256"]
        for manifest in root.glob("*/*/artifact.json")
        if manifest.parent.parent.name != "report"
        for name, facts in json.loads(manifest.read_text())["files"].items()
    }


def no_change(images, masks, draws):
    """The augmentation of a recipe that has none."""
    return images, masks


def checked_recipes(folder, *texts, changes=(), registry=None):
    """Write recipes as ``0.yaml``, ``1.yaml`` ... and check them."""
    files = [folder / f"{i}.yaml" for i in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return check_recipes(load_recipes(files, list(changes)), registry or load_registry())


class Log:
    """Remembers what a component tells."""

    def __init__(self):
        self.steps, self.notes = [], []

    def progress(self, step, total, values):
        self.steps.append((step, total, dict(values)))

    def note(self, text):
        self.notes.append(text)


def workspace(folder, seed=5):
    """A folder on the CPU, made where it is not there yet, with a log that remembers."""
    folder.mkdir(parents=True, exist_ok=True)
    return Workspace(folder, seed, "cpu", Log())


class Watcher:
    """Remembers the events of a run."""

    def __init__(self):
        self.events = []

    def __call__(self, event):
        self.events.append(event)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

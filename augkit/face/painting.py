"""A trained generator from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augkit.contracts.components import Synthesizer
from augkit.contracts.registry import Entry, load_registry
from augkit.contracts.rules import check_images, contract
from augkit.data.arrays import Images, Masks
from augkit.data.draws import Draws
from augkit.errors import InputError, Problem
from augkit.planning.alone import build_with
from augkit.store import MANIFEST, find_damage, read_json

CHUNK = 256
"""Masks that a generator is given at a time."""


@dataclass(frozen=True)
class Painter:
    """A trained generator, ready to paint."""

    name: str
    synthesizer: Synthesizer

    def paint(self, masks: Masks, seed: int = 0) -> Images:
        """Return uint8 (N, H, W, 3): an image for each mask, bool (N, H, W), a function of mask, place and seed.

        With the seed of a run's synthesis, masks painted in its order give its very images.
        """
        if getattr(masks, "dtype", None) != np.bool_ or masks.ndim != 3:
            found = f"{masks.dtype} {masks.shape}" if hasattr(masks, "shape") else type(masks).__name__
            raise InputError(Problem("masks", f"found {found}; allowed: a NumPy array, bool (N, H, W)"))
        draws = Draws.of(seed, "synthesis", np.arange(len(masks), dtype=np.int64))
        images = np.empty((*masks.shape, 3), np.uint8)
        for begin in range(0, len(masks), CHUNK):
            part = slice(begin, begin + CHUNK)
            with contract(f"generator '{self.name}'"):
                images[part] = check_images(self.synthesizer(masks[part], draws[part]), masks[part].shape)
        return images


def generator(folder: str | Path, device: str = "auto") -> Painter:
    """Return the generator that a run trained, or that ``augkit generator import`` made, from its folder.

    folder: such as ``runs/generator/mask2lesion-0f3a9c2d41be``. Its bytes are verified. Raises `InputError`.
    """
    from augkit.training.precision import choose_device

    place = Path(folder)
    damage = find_damage(place)
    if damage:
        hint = "Give the folder of a generator, such as runs/generator/mask2lesion-..."
        raise InputError(*(Problem(str(place), what, hint) for what in damage))
    name, options = _component(read_json(place / MANIFEST), place)
    entry = load_registry().find("generator", name, str(place))
    if not isinstance(entry, Entry):
        raise InputError(entry)
    return Painter(name, build_with(entry, options, str(place)).open(place, choose_device(device)))


def _component(manifest: Any, place: Path) -> tuple[str, dict[str, Any]]:
    if isinstance(manifest.get("generator"), str):  # imported weights
        return manifest["generator"], {}
    if manifest.get("kind") != "generator":
        found = manifest.get("kind", "something else")
        raise InputError(Problem(str(place), f"holds a {found}; allowed: a trained generator"))
    (component,) = manifest["identity"]["components"]
    return component["name"], component["options"]

"""A trained generator from its folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from augkit.contracts.components import Synthesizer
from augkit.contracts.registry import Entry, load_registry
from augkit.contracts.rules import check_images, contract
from augkit.data.arrays import Images, Masks
from augkit.data.draws import Draws
from augkit.data.formats import IGNORED, Format
from augkit.data.stored import read_format
from augkit.errors import InputError, Problem
from augkit.planning.alone import build_with
from augkit.store import MANIFEST, find_damage, read_json

CHUNK = 256
"""Masks that a generator is given at a time."""


@dataclass(frozen=True)
class Painter:
    """A trained generator, ready to paint.

    format: of the images that it was trained on, and paints; 8-bit RGB with one class unless it wrote another.
    """

    name: str
    synthesizer: Synthesizer
    format: Format = field(default_factory=Format)

    def paint(self, masks: Masks, seed: int = 0, numbers: Sequence[int] | None = None, draft: bool = False) -> Images:
        """Return an image for each mask, (N, H, W, C) of the format's dtype, a function of mask, place and seed.

        masks:   bool (N, H, W) where the format has one class; a label map uint8 (N, H, W) where it has several.
        numbers: the place of each mask, 0 .. N - 1 if not given.
        draft:   take a fraction of the time for a few masks; the last bits may then differ.

        With the seed of a run's synthesis, masks painted in its order give its very images.
        """
        self._refuse_other_than_masks(masks)
        places = np.arange(len(masks), dtype=np.int64) if numbers is None else np.array(numbers, dtype=np.int64)
        draws = Draws.of(seed, "synthesis", places)
        images = np.empty((*masks.shape, len(self.format.channels)), self.format.dtype)
        for begin in range(0, len(masks), CHUNK):
            part = slice(begin, begin + CHUNK)
            with contract(f"generator '{self.name}'"), self._computing(draft):
                painted = self.synthesizer(masks[part], draws[part])
                images[part] = check_images(painted, masks[part].shape, self.format)
        return images

    @contextmanager
    def _computing(self, draft: bool) -> Iterator[None]:
        """Compute as a run does, or as fast as can be."""
        from augkit.training.painting import drafting
        from augkit.training.precision import reproducible

        with drafting() if draft else nullcontext(), reproducible():
            yield

    def _refuse_other_than_masks(self, masks: Masks) -> None:
        dtype = "bool" if self.format.binary else "uint8"
        if getattr(masks, "dtype", None) != dtype or masks.ndim != 3:
            found = f"{masks.dtype} {masks.shape}" if hasattr(masks, "shape") else type(masks).__name__
            raise InputError(Problem("masks", f"found {found}; allowed: a NumPy array, {dtype} (N, H, W)"))
        labels = [*range(len(self.format.classes) + 1), *([IGNORED] if self.format.ignore else [])]
        if not self.format.binary and len(wrong := np.setdiff1d(masks, labels)):
            names = ", ".join(["background", *self.format.classes])
            what = f"found the label {wrong[0]}; allowed: 0 to {len(self.format.classes)} ({names})"
            raise InputError(Problem("masks", what + (f", or {IGNORED}" if self.format.ignore else "")))


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
    name, options = component_of(read_json(place / MANIFEST), place)
    entry = load_registry().find("generator", name, str(place))
    if not isinstance(entry, Entry):
        raise InputError(entry)
    synthesizer = build_with(entry, options, str(place)).open(place, choose_device(device))
    return Painter(name, synthesizer, read_format(place))


def component_of(manifest: Any, place: Path) -> tuple[str, dict[str, Any]]:
    """Return name and options of the generator in a folder. Raises `InputError` where it holds something else."""
    if isinstance(manifest.get("generator"), str):  # imported weights
        return manifest["generator"], {}
    if manifest.get("kind") != "generator":
        found = manifest.get("kind", "something else")
        raise InputError(Problem(str(place), f"holds a {found}; allowed: a trained generator"))
    (component,) = manifest["identity"]["components"]
    return component["name"], component["options"]

"""The `repeat` control: the training image itself, for its own mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from augkit import ANYTHING, Draws, Images, ImageSet, InputError, Masks, Problem, Synthesizer, Workspace
from augkit.store import read_array, write_array

IMAGES, MASKS = "images.npy", "masks.npy"


@dataclass(frozen=True)
class Repeat:
    """Control: gives every training mask its real image again, so that real data is repeated and nothing is new.

    With a fixed number of steps it must score as real data alone, up to the luck of training. Goes with
    ``masks: {training: {}}`` only: another mask has no real image. Where several images share a mask, the draws choose.
    """

    takes = ANYTHING
    pixels: ClassVar[str] = "real"

    def fit(self, train: ImageSet, space: Workspace) -> None:
        """Keep the training pairs."""
        write_array(space.folder / IMAGES, np.asarray(train.images))
        write_array(space.folder / MASKS, np.asarray(train.masks))

    def open(self, folder: Path, device: str) -> Synthesizer:
        """Return what looks images up; `device` is not used."""
        owners: dict[bytes, list[int]] = {}
        for i, mask in enumerate(read_array(folder / MASKS)):
            owners.setdefault(_key(mask), []).append(i)
        return _Finder(read_array(folder / IMAGES), owners)


@dataclass(frozen=True)
class _Finder:
    """Training images (N, H, W, C), and for each mask the indices of the images it belongs to."""

    images: Images
    owners: dict[bytes, list[int]]

    def __call__(self, masks: Masks, draws: Draws[NDArray[Any]]) -> Images:
        choices = draws.uniform("owner")
        found = [self._find(mask, float(choice)) for mask, choice in zip(masks, choices, strict=True)]
        images: Images = self.images[np.array(found, np.int64)]
        return images

    def _find(self, mask: Masks, choice: float) -> int:
        owners = self.owners.get(_key(mask))
        if owners is None:
            what = "was given a mask that is not a training mask; allowed: training masks as they are"
            raise InputError(Problem("repeat", what, "Write masks: {training: {}}"))
        return owners[int(choice * len(owners))]


def _key(mask: Masks) -> bytes:
    return (np.packbits(mask) if mask.dtype == np.bool_ else mask).tobytes()

"""The `noise` control: two colours and noise in the shape of the mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from augkit import Draws, Images, ImageSet, Masks, Synthesizer, Within, Workspace
from augkit.store import read_json, write_json

COLOURS = "colours.json"


@dataclass(frozen=True)
class Noise:
    """Control: the mean colours of skin and lesion, with independent noise per pixel and nothing else.

    An arm that gains as much from this as from a trained generator gains from more masks, not from synthetic images.

    spread: standard deviation of the noise, in those of the training pixels inside and outside; 0 paints flat colours.
    """

    spread: Annotated[float, Within(0, 4)] = 1.0

    def fit(self, train: ImageSet, space: Workspace) -> None:
        """Measure mean and standard deviation of every channel outside and inside the training masks."""
        inside = _moments(train, True)
        outside = _moments(train, False)
        write_json(space.folder / COLOURS, {"outside": outside, "inside": inside})

    def open(self, folder: Path, device: str) -> Synthesizer:
        """Return the painter; `device` is not used."""
        found = read_json(folder / COLOURS)
        colours = np.array([found["outside"], found["inside"]], np.float32)
        return _Painter(colours[:, 0], colours[:, 1] * np.float32(self.spread))


@dataclass(frozen=True)
class _Painter:
    """Colours and noise of skin and lesion, each float32 (2, 3) in 0..255."""

    colour: NDArray[np.float32]
    noise: NDArray[np.float32]

    def __call__(self, masks: Masks, draws: Draws[NDArray[Any]]) -> Images:
        where = masks.astype(np.int64)
        height, width = masks.shape[1:]
        noise = draws.normal("noise", shape=(height, width, 3))
        values = np.rint(self.colour[where] + self.noise[where] * noise)
        images: Images = np.clip(values, 0, 255).astype(np.uint8)
        return images


def _moments(train: ImageSet, inside: bool) -> list[list[float]]:
    """Return mean and standard deviation per channel, in 0..255, over the pixels inside or outside all masks.

    Where there is no such pixel, those of all pixels. Sums are of whole numbers, so their order does not matter.
    """
    count, total, squares = 0, np.zeros(3, np.int64), np.zeros(3, np.int64)
    for image, mask in zip(train.images, train.masks, strict=True):
        pixels = image[mask if inside else ~mask].astype(np.int64)
        count += len(pixels)
        total += pixels.sum(0)
        squares += (pixels * pixels).sum(0)
    if count == 0:
        return _moments(train, not inside)
    mean = total / count
    return [mean.tolist(), np.sqrt(np.maximum(squares / count - mean**2, 0)).tolist()]

"""The `noise` control: a colour for each class, and noise, in the shape of the mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from augkit import ANYTHING, Draws, Format, Images, ImageSet, Masks, Synthesizer, Within, Workspace
from augkit.images import IGNORED
from augkit.store import read_json, write_json

COLOURS = "colours.json"


@dataclass(frozen=True)
class Noise:
    """Control: the mean colours of skin and lesion, with independent noise per pixel and nothing else.

    An arm that gains as much from this as from a trained generator gains from more masks, not from synthetic images.
    Other images have the mean of each channel in the background and in each class, within the channel's window.

    spread: standard deviation of the noise, in those of the training pixels inside and outside; 0 paints flat colours.
    """

    takes = ANYTHING
    spread: Annotated[float, Within(0, 4)] = 1.0

    def fit(self, train: ImageSet, space: Workspace) -> None:
        """Measure mean and standard deviation of every channel outside the training masks and inside each class."""
        from augkit.training import write_format

        write_format(space.folder, train.format)
        measured = {name: _moments(train, label) for label, name in enumerate(_names(train.format))}
        write_json(space.folder / COLOURS, measured)

    def open(self, folder: Path, device: str) -> Synthesizer:
        """Return the painter; `device` is not used."""
        from augkit.training import read_format

        found, format = read_json(folder / COLOURS), read_format(folder)
        colours = np.array([found[name] for name in _names(format)], np.float32)
        return _Painter(colours[:, 0], colours[:, 1] * np.float32(self.spread), format)


@dataclass(frozen=True)
class _Painter:
    """Colours and noise of background and classes, each float32 (K + 1, C) in the numbers of the images."""

    colour: NDArray[np.float32]
    noise: NDArray[np.float32]
    format: Format

    def __call__(self, masks: Masks, draws: Draws[NDArray[Any]]) -> Images:
        where = np.where(masks == IGNORED, 0, masks.astype(np.int64))
        height, width = masks.shape[1:]
        noise = draws.normal("noise", shape=(height, width, self.colour.shape[1]))
        values = np.clip(self.colour[where] + self.noise[where] * noise, *self.format.windows)
        if self.format.dtype != "float32":
            limits = np.iinfo(self.format.dtype)
            values = np.clip(np.rint(values), limits.min, limits.max)
        images: Images = values.astype(self.format.dtype)
        return images


def _names(format: Format) -> list[str]:
    """Return what background and classes are called in the file of colours."""
    classes = len(format.classes)
    return ["outside", *(["inside"] if classes == 1 else [f"class {k}" for k in range(1, classes + 1)])]


def _moments(train: ImageSet, label: int | None) -> list[list[float]]:
    """Return mean and standard deviation per channel, within its window, over the pixels of a label; None for all.

    Where there is no such pixel, those of all pixels. Sums of whole numbers do not depend on their order.
    """
    low, high = train.format.windows
    kind = np.int64 if train.format.bytes_to_unit else np.float64
    count, total, squares = 0, np.zeros(len(low), kind), np.zeros(len(low), kind)
    for image, labels in zip(train.images, train.labels, strict=True):
        pixels = image[labels != IGNORED if label is None else labels == label]
        if not train.format.bytes_to_unit:
            pixels = np.clip(pixels, low, high)
        pixels = pixels.astype(kind)
        count += len(pixels)
        total += pixels.sum(0)
        squares += (pixels * pixels).sum(0)
    if count == 0 and label is not None:
        return _moments(train, None)
    mean = total / max(count, 1)
    return [mean.tolist(), np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0)).tolist()]

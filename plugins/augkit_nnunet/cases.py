"""Image sets as nnU-Net reads them: numbers as they are stored, labels without gaps, a dataset.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit import Format, Images, ImageSet, Masks

SPACING = (999.0, 1.0, 1.0)
"""Of pictures, as nnU-Net has it: one slice, and pixels of size 1."""

IGNORED = 255
"""The label of pixels that do not count, in augkit's masks."""


class Cases:
    """An image set in the role of nnU-Net's reader: the name of a case is its number."""

    def __init__(self, samples: ImageSet) -> None:
        self._samples = samples
        self.format = samples.format

    def __len__(self) -> int:
        return len(self._samples)

    def read_images(self, names: Sequence[str]) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Return the image of the case `names` has, float32 (C, 1, H, W), and its properties."""
        return as_case(self._samples.images[int(names[0])]), {"spacing": SPACING}

    def read_seg(self, name: str) -> tuple[NDArray[np.int16], dict[str, Any]]:
        """Return the labels of a case, int16 (1, 1, H, W): 0 background, k the k-th class, K + 1 does not count."""
        return as_labels(self._samples.masks[int(name)], self.format), {"spacing": SPACING}


def as_case(image: Images) -> NDArray[np.float32]:
    """Return a stored image (H, W, C) as float32 (C, 1, H, W), its numbers unchanged."""
    return np.ascontiguousarray(np.moveaxis(image, -1, 0)[:, None], np.float32)


def as_labels(mask: Masks, format: Format) -> NDArray[np.int16]:
    """Return a mask (H, W) as int16 (1, 1, H, W); nnU-Net's ignore label is the one after the last class."""
    labels = mask.astype(np.int16)
    if format.ignore:
        labels[labels == IGNORED] = len(format.classes) + 1
    return labels[None, None]


def described(format: Format, count: int) -> Mapping[str, Any]:
    """Return nnU-Net's dataset.json of `count` cases; its names of channels decide how they are normalised."""
    channels = ["CT" if channel.meaning == "ct" else channel.meaning for channel in format.channels]
    labels = {"background": 0, **{f"{k} {name}": k for k, name in enumerate(format.classes, 1)}}
    if format.ignore:
        labels["ignore"] = len(format.classes) + 1
    return {
        "channel_names": {str(i): name for i, name in enumerate(channels)},
        "labels": labels,
        "numTraining": count,
        "file_ending": ".png",
        "dataset": {},
    }

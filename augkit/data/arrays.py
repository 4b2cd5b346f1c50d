"""What flows between stages: images with their masks, and drawn masks.

Pixels at rest are NumPy arrays: images ``uint8 (N, H, W, 3)`` in 0..255, masks ``bool (N, H, W)``. Pixels in flight
(inside a training loop) are torch tensors on the run's device: images ``float32 (N, 3, H, W)`` in 0..1 and masks
``float32 (N, 1, H, W)`` in {0, 1} (0..1 after mixup). Augmentations take masks ``float32 (N, K, H, W)`` of any number
K >= 1 of foreground classes; what a run feeds them, and what a segmenter is scored by, has one class: K = 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    pass


Images = NDArray[np.uint8]

Masks = NDArray[np.bool_]

Scores = NDArray[np.float32]

Record = Mapping[str, "str | int | float | bool | list[float]"]


@dataclass(frozen=True)
class ImageSet:
    """Images with their masks; index i of every field belongs to one sample.

    ids:     unique names; random draws belong to them.
    images:  uint8 (N, H, W, 3), 0..255, RGB.
    masks:   bool (N, H, W), true inside the structure to segment.
    groups:  the patient or lesion a sample comes from; no group is in two splits.
    origins: ``real``, or which synthetic source made the sample (``mask2lesion/training``).
    """

    ids: tuple[str, ...]
    images: Images
    masks: Masks
    groups: tuple[str, ...]
    origins: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.ids)
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[3] != 3:
            raise ValueError(f"images are {self.images.dtype} {self.images.shape}; allowed: uint8 (N, H, W, 3)")
        if self.masks.dtype != np.bool_ or self.masks.shape != self.images.shape[:3]:
            raise ValueError(
                f"masks are {self.masks.dtype} {self.masks.shape}; allowed: bool {self.images.shape[:3]}, as the images"
            )
        if not n == len(self.images) == len(self.groups) == len(self.origins):
            raise ValueError(
                f"{n} ids, {len(self.images)} images, {len(self.groups)} groups, {len(self.origins)} origins; "
                "allowed: one of each per sample"
            )
        if len(set(self.ids)) != n:
            raise ValueError("ids are not unique")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.images.shape[1], self.images.shape[2]

    def take(self, index: Sequence[int] | NDArray[np.int64]) -> ImageSet:
        """Return the samples at `index`, in that order."""
        where = np.asarray(index, dtype=np.int64)
        return ImageSet(
            tuple(self.ids[i] for i in where),
            self.images[where],
            self.masks[where],
            tuple(self.groups[i] for i in where),
            tuple(self.origins[i] for i in where),
        )

    @staticmethod
    def concatenate(parts: Sequence[ImageSet]) -> ImageSet:
        """Return all samples of `parts`, in order; their sizes must agree."""
        if len(parts) == 1:
            return parts[0]
        return ImageSet(
            sum((part.ids for part in parts), ()),
            np.concatenate([part.images for part in parts]),
            np.concatenate([part.masks for part in parts]),
            sum((part.groups for part in parts), ()),
            sum((part.origins for part in parts), ()),
        )

    @staticmethod
    def empty(size: tuple[int, int]) -> ImageSet:
        """Return a set without samples, for a split that a data set does not have."""
        return ImageSet((), np.zeros((0, *size, 3), np.uint8), np.zeros((0, *size), np.bool_), (), ())


@dataclass(frozen=True)
class Splits:
    """The three parts of a data set. `validation` may be empty; no group is in two parts."""

    train: ImageSet
    validation: ImageSet
    test: ImageSet


@dataclass(frozen=True)
class DrawnMasks:
    """What a mask source drew.

    masks:   bool (count, H, W).
    records: one mapping per mask that says how it came about. The key ``parent`` (int), where present, is the index
             of the training mask it was made from; the synthetic image then joins that sample's group.
    """

    masks: Masks
    records: tuple[Record, ...]

"""What flows between stages: images with their masks, and drawn masks.

Pixels at rest are NumPy arrays: images ``(N, H, W, C)`` of the data set's dtype, and masks ``(N, H, W)``, bool where
there is one class and label maps uint8 where there are more. The simple case, and what a component that says nothing
else is given, is uint8 RGB with bool masks. Pixels in flight (inside a training loop) are torch tensors on the run's
device: images ``float32 (N, C, H, W)`` in 0..1 and masks ``float32 (N, K, H, W)`` in {0, 1} (0..1 after mixup), one per
foreground class. What a data set has is its `Format`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit.data.formats import Format, as_labels
from augkit.data.joined import join, some_rows

Images = NDArray[Any]
"""(N, H, W, C) of the data set's dtype; uint8 (N, H, W, 3) in 0..255 for RGB."""

Masks = NDArray[Any]
"""(N, H, W): bool for one class, otherwise a label map uint8: 0 background, k class k, 255 ignored."""

Scores = NDArray[np.float32]

Record = Mapping[str, "str | int | float | bool | list[float]"]


@dataclass(frozen=True)
class ImageSet:
    """Images with their masks; index i of every field belongs to one sample.

    Pixels of a set that lies in shards are `augkit.data.joined.Joined` and not arrays: what is indexed along the first
    axis is read, and ``np.asarray`` reads all.

    ids:     unique names; random draws belong to them.
    images:  (N, H, W, C) of the format's dtype; uint8 (N, H, W, 3), 0..255, for RGB.
    masks:   bool (N, H, W), true inside the structure to segment, where there is one class and no pixel is ignored;
             otherwise a label map uint8 (N, H, W): 0 background, k is class k, 255 ignored.
    groups:  the patient or lesion a sample comes from; no group is in two splits.
    origins: ``real``, or which synthetic source made the sample (``mask2lesion/training``).
    format:  what the pixels are; 8-bit RGB with one class unless said otherwise.
    spacing: float32 (N, 2), height and width of a pixel in mm, NaN where that is not known; None where it never is.
    """

    ids: tuple[str, ...]
    images: Images
    masks: Masks
    groups: tuple[str, ...]
    origins: tuple[str, ...]
    format: Format = field(default_factory=Format)
    spacing: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        n, channels = len(self.ids), len(self.format.channels)
        if self.images.dtype != self.format.dtype or self.images.ndim != 4 or self.images.shape[3] != channels:
            allowed = f"{self.format.dtype} (N, H, W, {channels})"
            raise ValueError(f"images are {self.images.dtype} {self.images.shape}; allowed: {allowed}")
        dtype = "bool" if self.format.binary else "uint8"
        if self.masks.dtype != dtype or self.masks.shape != self.images.shape[:3]:
            allowed = f"{dtype} {self.images.shape[:3]}, as the images"
            raise ValueError(f"masks are {self.masks.dtype} {self.masks.shape}; allowed: {allowed}")
        if self.spacing is not None and (self.spacing.dtype != np.float32 or self.spacing.shape != (n, 2)):
            found = f"{self.spacing.dtype} {self.spacing.shape}"
            raise ValueError(f"spacing is {found}; allowed: float32 ({n}, 2), height and width of a pixel in mm")
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

    @property
    def labels(self) -> NDArray[np.uint8]:
        """The masks as label maps, uint8 (N, H, W), whatever the number of classes; not a copy."""
        return as_labels(self.masks)

    def take(self, index: Sequence[int] | NDArray[np.int64]) -> ImageSet:
        """Return the samples at `index`, in that order."""
        where = np.asarray(index, dtype=np.int64)
        return ImageSet(
            tuple(self.ids[i] for i in where),
            some_rows(self.images, where),
            some_rows(self.masks, where),
            tuple(self.groups[i] for i in where),
            tuple(self.origins[i] for i in where),
            self.format,
            None if self.spacing is None else self.spacing[where],
        )

    def part(self, where: slice) -> ImageSet:
        """Return a run of samples as views: a copy would double the memory of a large data set."""
        return ImageSet(
            self.ids[where],
            some_rows(self.images, where),
            some_rows(self.masks, where),
            self.groups[where],
            self.origins[where],
            self.format,
            None if self.spacing is None else self.spacing[where],
        )

    @staticmethod
    def concatenate(parts: Sequence[ImageSet], in_memory: bool = True) -> ImageSet:
        """Return all samples of `parts`, in order; their sizes and formats must agree.

        in_memory: whether pixels are copied together; otherwise, and where a part is in shards, they stay where they
                   are and are read by index.
        """
        if len(parts) == 1:
            return parts[0]
        formats = list(dict.fromkeys(part.format for part in parts))
        if len(formats) > 1:
            raise ValueError(f"found {formats[0]} beside {formats[1]}; allowed: one format")
        return ImageSet(
            tuple(name for part in parts for name in part.ids),
            join([part.images for part in parts], in_memory),
            join([part.masks for part in parts], in_memory),
            tuple(name for part in parts for name in part.groups),
            tuple(name for part in parts for name in part.origins),
            formats[0],
            _joined_spacing(parts),
        )

    @staticmethod
    def empty(size: tuple[int, int], format: Format | None = None) -> ImageSet:
        """Return a set without samples, for a split that a data set does not have; of 8-bit RGB unless told."""
        what = format or Format()
        images = np.zeros((0, *size, len(what.channels)), what.dtype)
        masks: Masks = np.zeros((0, *size), np.bool_ if what.binary else np.uint8)
        return ImageSet((), images, masks, (), (), what)


def _joined_spacing(parts: Sequence[ImageSet]) -> NDArray[np.float32] | None:
    if all(part.spacing is None for part in parts):
        return None
    unknown = [np.full((len(part), 2), np.nan, np.float32) for part in parts]
    known = [none if part.spacing is None else part.spacing for part, none in zip(parts, unknown, strict=True)]
    return np.concatenate(known)


@dataclass(frozen=True)
class Splits:
    """The three parts of a data set. `validation` may be empty; no group is in two parts."""

    train: ImageSet
    validation: ImageSet
    test: ImageSet


@dataclass(frozen=True)
class DrawnMasks:
    """What a mask source drew.

    masks:   bool (count, H, W), or label maps uint8 where the training masks are.
    records: one mapping per mask that says how it came about. The key ``parent`` (int), where present, is the index
             of the training mask it was made from; the synthetic image then joins that sample's group.
    """

    masks: Masks
    records: Sequence[Record]

"""The vocabulary: what flows between stages, and the five kinds of component a plugin may provide.

Pixels at rest are NumPy arrays: images ``uint8 (N, H, W, 3)`` in 0..255, masks ``bool (N, H, W)``. Pixels in flight
(inside a training loop) are torch tensors on the run's device: images ``float32 (N, 3, H, W)`` in 0..1 and masks
``float32 (N, K, H, W)`` in {0, 1} (0..1 after mixup), where K is the number of foreground classes (1 for bool masks).

A component is a frozen dataclass whose fields are its recipe options. Bounds are written in the type::

    @dataclass(frozen=True)
    class MyGenerator:
        width: Annotated[int, Within(4, 256)] = 16

and anything a type cannot say is a ``ValueError`` from ``__post_init__``; both are reported with file and line. A
component that reads files of the user's has a method ``sources()`` that lists them, as `Dataset` does, so that a
changed file is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from annotated_types import Ge, Interval
from numpy.typing import NDArray

from augkit.draws import Draws

if TYPE_CHECKING:
    import torch

Images = NDArray[np.uint8]
Masks = NDArray[np.bool_]
Scores = NDArray[np.float32]
ArrayDraws = Draws[NDArray[Any]]
TensorDraws = Draws["torch.Tensor"]
TRAINING_SIZE, NATIVE_SIZE = "training", "native"
"""At which size masks are scored: that of the images trained on, or that of each test image's mask file."""

Augment = Callable[["torch.Tensor", "torch.Tensor", TensorDraws], "tuple[torch.Tensor, torch.Tensor]"]
Record = Mapping[str, "str | int | float | bool | list[float]"]


def AtLeast(low: float) -> Ge:  # noqa: N802 - reads as a type in an annotation
    """Return the bound ``low <= option`` for ``Annotated[int, AtLeast(low)]``."""
    return Ge(low)


def Within(low: float, high: float) -> Interval:  # noqa: N802 - reads as a type in an annotation
    """Return the bound ``low <= option <= high`` for ``Annotated[int, Within(low, high)]``."""
    return Interval(ge=low, le=high)


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


class Log(Protocol):
    """Where a component tells what it is doing."""

    def progress(self, step: int, total: int, values: Mapping[str, float]) -> None:
        """Report that `step` of `total` steps are done, with current values such as losses."""

    def note(self, text: str) -> None:
        """Say one sentence that the user should read."""


class SilentLog:
    """A `Log` that nobody reads."""

    def progress(self, step: int, total: int, values: Mapping[str, float]) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Workspace:
    """What a component that trains is given.

    folder: an empty folder, or the same folder as an interrupted earlier call left it; write the result here.
    seed:   0 <= seed < 2**63; the only source of randomness.
    device: a torch device name such as ``cpu`` or ``cuda:0``.
    log:    progress and notes.
    """

    folder: Path
    seed: int
    device: str
    log: Log


class Dataset(Protocol):
    """Real images with masks, already split."""

    def sources(self) -> Sequence[Path]:
        """Return the files whose content decides what `load` returns; empty for drawn data.

        Called when a plan is made, so it lists and does not read. Raises `InputError` for a folder that is missing.
        """

    def load(self) -> Splits:
        """Return the splits. Raises `InputError` naming every bad file at once."""


@runtime_checkable
class HasNativeMasks(Protocol):
    """What a data set may have besides: its masks as they were before `load` resized them. Never required."""

    def native_masks(self, ids: Sequence[str]) -> Iterator[Masks]:
        """Yield the mask of each id of any split of `load`, in order: bool (h, w), each of its own size.

        It shows the frame of the mask of `load`, upright. One is asked for at a time, so read it then.
        """


class MaskSource(Protocol):
    """Where the masks of synthetic images come from."""

    def draw(self, masks: Masks, count: int, draws: ArrayDraws, space: Workspace) -> DrawnMasks:
        """Return `count` masks of the training masks' size.

        masks: bool (N, H, W), the training masks; not to be changed.
        draws: `count` samples; mask i depends only on `masks` and sample i of the draws. All masks are drawn in one
               call, so a source may also balance over them, as `training` does to use every mask equally often.
        space: for a source that learns: a folder to keep its model in, a seed for fitting it, a device, a log.
        """


class Synthesizer(Protocol):
    """A trained generator, ready to paint."""

    def __call__(self, masks: Masks, draws: ArrayDraws) -> Images:
        """Return uint8 (N, H, W, 3): image i depends only on mask i and sample i of the draws."""


class Generator(Protocol):
    """Turns masks into images.

    A generator that can take weights trained elsewhere also has a static method ``import_weights(file: Path, folder:
    Path) -> Sequence[str]``: it writes into `folder` what `open` reads, or raises `InputError` naming what does not
    fit, and returns sentences that say what the weights are. Its option ``weights`` takes such a folder.
    """

    def fit(self, train: ImageSet, space: Workspace) -> None:
        """Learn from the training split and leave everything `open` needs in ``space.folder``.

        A generator that judges its own training leaves ``health.json`` there: ``{"state": "ok" | "weak" | "collapsed",
        "sentences": [...]}``. The report shows the sentences and marks the arms that used it.
        """

    def open(self, folder: Path, device: str) -> Synthesizer:
        """Return the synthesizer that `fit` left in `folder`; works in a fresh process."""


class Augmentation(Protocol):
    """A classical transform of one batch, on the run's device."""

    def __call__(
        self, images: torch.Tensor, masks: torch.Tensor, draws: TensorDraws
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return changed images and masks of the same shapes; the inputs are left as they were.

        images: float32 (N, 3, H, W) in 0..1; masks: float32 (N, K, H, W) in {0, 1}; draws: N samples. Sample i of the
        result depends only on sample i of each. What blends samples (mixup) may depend on the whole batch, and may
        return soft masks in 0..1, the share of the foreground; every segmenter takes these.
        """


@runtime_checkable
class RecordsParameters(Protocol):
    """What an augmentation may have besides: it tells what it draws, so that previews show it. Never required."""

    def parameters(self, draws: TensorDraws) -> Mapping[str, torch.Tensor]:
        """Return what is drawn for each sample, by name: bool, int or float (N,), a function of the draws alone."""

    def __call__(
        self, images: torch.Tensor, masks: torch.Tensor, draws: TensorDraws
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `Augmentation`."""


@runtime_checkable
class TakesStoredPixels(Protocol):
    """What an augmentation may have besides: it also works before pixels become float32, on a quarter of the bytes.

    For those that move pixels. Never required.
    """

    def takes_stored_pixels(self) -> bool:
        """Return whether, with these options, a call may be given uint8 images in 0..255 and uint8 masks in {0, 1}.

        It then returns the pixels that it returns for float32, uint8 or float32.
        """

    def __call__(
        self, images: torch.Tensor, masks: torch.Tensor, draws: TensorDraws
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `Augmentation`."""


class Predictor(Protocol):
    """A trained segmenter, ready to predict."""

    def __call__(self, images: Images) -> Scores:
        """Return float32 (N, K, H, W) in 0..1; a pixel is foreground where its score exceeds 0.5."""


class Segmenter(Protocol):
    """Learns masks from images: the model that augmentation is meant to help."""

    def fit(self, train: ImageSet, validation: ImageSet, augment: Augment, space: Workspace) -> None:
        """Train and leave everything `open` needs in ``space.folder``.

        validation: may be empty; cut from the training data, never the evaluation images.
        augment:    the recipe's augmentations in one call, to be applied to every training batch.
        """

    def open(self, folder: Path, device: str) -> Predictor:
        """Return the predictor that `fit` left in `folder`; works in a fresh process."""

"""The five kinds of component a plugin may provide.

What images and masks a component can be given, it says by an attribute ``takes``, a `Takes`; one that says nothing is
given 8-bit RGB images with bool masks of one class. Where shapes and dtypes below speak of that simple case, images
(N, H, W, 3) uint8 stand for (N, H, W, C) of the data set's dtype, and masks bool (N, H, W) for label maps uint8; see
`ImageSet` and `Format`.

A component is a frozen dataclass whose fields are its recipe options. Bounds are written in the type::

    @dataclass(frozen=True)
    class MyGenerator:
        width: Annotated[int, Within(4, 256)] = 16

and anything a type cannot say is a ``ValueError`` from ``__post_init__``; both are reported with file and line. A
component that reads files of the user's has a method ``sources()`` that lists them, as `Dataset` does, so that a
changed file is noticed. An option that is a `Path` may be text where a component is made in Python, not from a recipe:
``Path(self.root)`` takes both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from annotated_types import Ge, Interval, MinLen

from augkit.data.arrays import DrawnMasks, Images, ImageSet, Masks, Scores, Splits
from augkit.data.draws import ArrayDraws, TensorDraws
from augkit.data.formats import Format

if TYPE_CHECKING:
    import torch


TRAINING_SIZE, NATIVE_SIZE = "training", "native"
"""At which size masks are scored: that of the images trained on, or that of each test image's mask file."""

PER_IMAGE, PER_GROUP = "image", "group"
"""What has one score: an image, or all images of a group together, such as the slices of a volume."""

Augment = Callable[["torch.Tensor", "torch.Tensor", TensorDraws], "tuple[torch.Tensor, torch.Tensor]"]


def AtLeast(low: float) -> Ge:  # noqa: N802 - reads as a type in an annotation
    """Return the bound ``low <= option`` for ``Annotated[int, AtLeast(low)]``."""
    return Ge(low)


def Within(low: float, high: float) -> Interval:  # noqa: N802 - reads as a type in an annotation
    """Return the bound ``low <= option <= high`` for ``Annotated[int, Within(low, high)]``."""
    return Interval(ge=low, le=high)


def NotEmpty() -> MinLen:  # noqa: N802 - reads as a type in an annotation
    """Return the bound of a list with one item or more, for ``Annotated[tuple[int, ...], NotEmpty()]``."""
    return MinLen(1)


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


@dataclass(frozen=True)
class Frame:
    """The size of all images of a data set, in pixels: what is known of them before any is read."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width} x {self.height} pixels"


@runtime_checkable
class ChecksFrame(Protocol):
    """What a component that is given images or masks may have besides: it refuses sizes it cannot take. Never required.

    Asked by ``validate`` and ``plan``, before anything is computed, so it imports nothing that is slow, as torch is. A
    data set that has no `HasFrame` is asked about when the component's stage begins.
    """

    def check_frame(self, frame: Frame) -> None:
        """Raise ValueError that says what was found and what is allowed; return where images of this size are taken."""


@runtime_checkable
class ChecksFormat(Protocol):
    """What a component may have besides: it refuses formats that ``takes`` lets through. Never required.

    For what `Takes` cannot say, such as an option that has a meaning for colours only. Asked as `ChecksFrame` is.
    """

    def check_format(self, format: Format) -> None:
        """Raise ValueError that says what was found and what is allowed; return where such images are taken."""


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


@runtime_checkable
class HasNativePairs(HasNativeMasks, Protocol):
    """What a data set of files may have besides: pairs as they were before `load` resized them. Never required."""

    def native_images(self, ids: Sequence[str]) -> Iterator[Images]:
        """Yield the image of each id of any split of `load`, in order: uint8 (h, w, 3), RGB, no pixel resampled.

        It is upright and of the very size of its native mask. One is asked for at a time, so read it then.
        """


@runtime_checkable
class HasFrame(Protocol):
    """What a data set may have besides: the size of its images before they are read. Never required."""

    def frame(self) -> Frame:
        """Return the size of all images that `load` returns, as far as options and headers of files tell.

        Called when a plan is made, after `sources`; components that cannot take the size are then refused at once.
        """


@runtime_checkable
class HasCounts(Protocol):
    """What a data set may have besides: how many samples its splits have before they are read. Never required."""

    def counts(self) -> Mapping[str, int]:
        """Return ``train``, ``validation`` and ``test`` -> number of samples; {} where only reading tells.

        Called by ``augkit plan``, after `sources`; it lists files and reads no pixels.
        """


@runtime_checkable
class HasRemarks(Protocol):
    """What a data set may have besides: what a person should know of its files before a run. Never required."""

    def remarks(self) -> Sequence[str]:
        """Return sentences such as which files are not read; told by ``validate``, when a run begins, and its report.

        Called after `sources`; it lists files and reads no more than their headers.
        """


@runtime_checkable
class HasFormat(Protocol):
    """What a data set has that is not 8-bit RGB with one class: what its pixels are, before they are read."""

    def format(self) -> Format:
        """Return what `load` returns in each split, as far as options and headers of files tell.

        Windows that are found in the training pixels are None here. Called when a plan is made, after `sources`;
        components that do not take it are then refused at once.
        """


class MaskSource(Protocol):
    """Where the masks of synthetic images come from."""

    def draw(self, masks: Masks, count: int, draws: ArrayDraws, space: Workspace) -> DrawnMasks:
        """Return `count` masks of the training masks' size.

        masks: bool (N, H, W), the training masks; not to be changed. Label maps, uint8, are answered with label maps.
        draws: `count` samples; mask i depends only on `masks` and sample i of the draws. All masks are drawn in one
               call, so a source may also balance over them, as `training` does to use every mask equally often.
        space: for a source that learns: a folder to keep its model in, a seed for fitting it, a device, a log.
        """


@runtime_checkable
class DrawsParts(Protocol):
    """What a mask source may have besides: it draws some of many masks without drawing all. Never required.

    The masks of a large synthetic set are then drawn in shards, by several processes and in little memory; those of
    another source are drawn in one call of `MaskSource.draw`.
    """

    def draw_part(
        self, masks: Masks, count: int, start: int, stop: int, draws: ArrayDraws, space: Workspace
    ) -> DrawnMasks:
        """Return masks `start` to `stop` - 1 of the `count` that `MaskSource.draw` returns, with their records.

        draws: of all `count` samples, as `MaskSource.draw` has them, so that a source may balance over them.
        space: as that of `MaskSource.draw`, with a folder of its own for every part.
        """


@runtime_checkable
class HasWeights(Protocol):
    """What a mask source may have besides: it shapes a mask by weights that somebody chooses. Never required.

    For whoever turns them by hand, as on the page of ``augkit paint``.
    """

    def weights(self, masks: Masks, space: Workspace) -> Sequence[str]:
        """Return what each weight changes, in a few words; arguments as those of `MaskSource.draw`."""

    def shaped(self, masks: Masks, weights: Sequence[float], space: Workspace) -> Masks:
        """Return the mask (H, W) of as many weights as `weights` names, in standard deviations of the training masks.

        It is a function of its arguments alone; a model that is kept in ``space.folder`` is found there again.
        """


class Synthesizer(Protocol):
    """A trained generator, ready to paint."""

    def __call__(self, masks: Masks, draws: ArrayDraws) -> Images:
        """Return uint8 (N, H, W, 3): image i depends only on mask i and sample i of the draws.

        A generator fitted on images of another format returns such images, rounded and kept within its numbers.
        """


class Generator(Protocol):
    """Turns masks into images.

    A generator that can take weights trained elsewhere also has a static method ``import_weights(file: Path, folder:
    Path) -> Sequence[str]``: it writes into `folder` what `open` reads, or raises `InputError` naming what does not
    fit, and returns sentences that say what the weights are. Its option ``weights`` takes such a folder, whose bytes
    are verified against their seal before the generator is asked for anything.

    One whose images are made of pixels of the training images says so by ``pixels: ClassVar[str] = "real"``: whoever
    may not have the photographs may not have these images either, and exports say that.
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

        images: float32 (N, C, H, W) in 0..1, of any height and width; the images returned are new memory. C is 3, red,
                green and blue, unless the augmentation takes more.
        masks:  float32 (N, K, H, W) in {0, 1}, K >= 1 classes that share no pixel.
        draws:  N samples. Sample i of the result depends only on sample i of each.

        What blends samples (mixup) may depend on the whole batch, though not on its order, and may return soft masks in
        0..1, the share of the foreground; every segmenter takes these.
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
        """Return whether, with these options, a call may be given stored pixels.

        These are images uint8 (N, 3, H, W) in 0..255 and masks uint8 (N, K, H, W) in {0, 1}. It then
        returns the pixels that it returns for float32, uint8 or float32.
        """

    def __call__(
        self, images: torch.Tensor, masks: torch.Tensor, draws: TensorDraws
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `Augmentation`."""


@runtime_checkable
class IgnoresPadding(Protocol):
    """What an augmentation may have besides: pixels that it makes up do not count in the loss. Never required."""

    def ignores_padding(self) -> bool:
        """Return whether, with these options, pixels of no class are not to count.

        The masks of a call then have the background as their last class, so that every pixel of theirs has a class; in
        the masks returned, what lay outside the image has none.
        """

    def __call__(
        self, images: torch.Tensor, masks: torch.Tensor, draws: TensorDraws
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As `Augmentation`."""


@runtime_checkable
class ChecksMasks(Protocol):
    """What an augmentation may have besides: it refuses training masks that leave it nothing to do. Never required.

    Asked before a segmenter is trained: an arm must not bear the name of what it does not do.
    """

    def check_masks(self, masks: Masks) -> None:
        """Raise ValueError that says what was found and what is allowed, where no sample could ever change.

        masks: all training masks, bool (N, H, W).
        """


class Predictor(Protocol):
    """A trained segmenter, ready to predict."""

    def __call__(self, images: Images) -> Scores:
        """Return float32 (N, K, H, W) in 0..1 for images (N, H, W, 3), uint8, or what the segmenter was fitted on.

        K is the number of classes. The scores of a pixel sum up to 1 at most: what is missing is the background's, and
        the pixel belongs to whatever has most. With one class, foreground is where the score exceeds 0.5.
        """


class Segmenter(Protocol):
    """Learns masks from images: the model that augmentation is meant to help.

    One that augments by itself says with what by ``augments_with: ClassVar[str] = "its own augmentation"``. It never
    calls `augment`, and a recipe that has ``augment`` is refused, because its arm would not be what it says.
    """

    def fit(self, train: ImageSet, validation: ImageSet, augment: Augment, space: Workspace) -> None:
        """Train and leave everything `open` needs in ``space.folder``.

        validation: may be empty; cut from the training data, never the evaluation images.
        augment:    the recipe's augmentations in one call, to be applied to every training batch. It takes what an
                    `Augmentation` takes and returns float32 (N, C, H, W) and (N, K, H, W), both in 0..1.
        """

    def open(self, folder: Path, device: str) -> Predictor:
        """Return the predictor that `fit` left in `folder`; works in a fresh process."""

"""A recipe's augmentations in somebody else's training loop, with the same keyed draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from augkit.contracts.components import Augment
from augkit.contracts.registry import load_registry
from augkit.contracts.rules import refusal_of
from augkit.data.arrays import Images, Masks
from augkit.data.draws import Draws, sample_keys
from augkit.data.formats import IGNORED, Format
from augkit.errors import InputError, Problem
from augkit.metrics import decided
from augkit.planning.alone import build_from_text

if TYPE_CHECKING:
    from torch import Tensor

Ids = Sequence[str] | Sequence[int] | NDArray[np.int64]


def augmentation(
    text: str | Mapping[str, object] | Sequence[Mapping[str, object]], format: Format | None = None
) -> Augmenter:
    """Return augmentations to call, as a recipe's `augment` names them.

    text:   ``"classical-strong: {}"``, several as a YAML list, or the same as mappings and lists.
    format: of the images and masks that they will be given; 8-bit RGB with one class if not told.

    Raises `InputError` for what a recipe could not name either, and where one does not take the format.
    """
    what = format or Format()
    named = build_from_text("augmentation", text, load_registry())
    if refused := [(name, said) for name, component in named if (said := refusal_of(component, None, what))]:
        raise InputError(*(Problem(f"augmentation {name}", said) for name, said in refused))
    return Augmenter(named, what)


@dataclass(frozen=True)
class Augmenter:
    """Augmentations in order. What a sample gets depends on seed, epoch and its id alone, whatever the batch.

    augment: (name, component) pairs; with the `seed` of a run's segmenter they give what that run trains on.
    format:  of the images and masks of a call.
    """

    augment: tuple[tuple[str, Augment], ...]
    format: Format = field(default_factory=Format)

    @overload
    def __call__(
        self, images: Images, masks: Masks, *, seed: int = 0, epoch: int = 0, ids: Ids | None = None
    ) -> tuple[Images, Masks]: ...

    @overload
    def __call__(
        self, images: Tensor, masks: Tensor, *, seed: int = 0, epoch: int = 0, ids: Ids | None = None
    ) -> tuple[Tensor, Tensor]: ...

    def __call__(self, images: Any, masks: Any, *, seed: int = 0, epoch: int = 0, ids: Ids | None = None) -> Any:
        """Return changed images and masks; those given are left as they were.

        images: NumPy uint8 (N, H, W, 3), or a torch tensor, float32 (N, 3, H, W) in 0..1 on any device; for another
                format (N, H, W, C) of its dtype, or float32 (N, C, H, W).
        masks:  NumPy bool (N, H, W), label maps uint8 for a format of several classes; or a torch tensor, float32
                (N, K, H, W) in {0, 1}.
        ids:    names or whole numbers of the samples, to which their draws belong; 0 .. N - 1 if not given.

        Arrays come back as arrays, each pixel in the class that has most of it, of one class above 0.5; tensors as
        float32 tensors, soft where samples were blended.
        """
        import torch

        from augkit.training.batches import Batch
        from augkit.training.pipeline import Pipeline
        from augkit.training.pixels import as_stored, as_tensor, pair_in_flight

        format = self.format
        _refuse_other_than_pairs(images, masks, format)
        count = len(images)
        keys = _keys(range(count) if ids is None else ids)
        if not len(masks) == len(keys) == count:
            what = f"found {count} images, {len(masks)} masks and {len(keys)} ids; allowed: one of each per sample"
            raise InputError(Problem("augmentation", what))
        if isinstance(images, np.ndarray):
            pixels, classes = pair_in_flight(as_tensor(images), as_tensor(masks), format)
        else:
            pixels, classes = images, masks
        ignore = format.ignore and isinstance(images, np.ndarray)
        draws = Draws.on_device(seed, "batch", torch.from_numpy(keys).to(pixels.device), epoch)
        changed, moved, counts = Batch(pixels, classes, draws).augmented(Pipeline(self.augment, ignore), ignore)
        if not isinstance(images, np.ndarray):
            return changed, moved
        found = np.stack([decided(scores, format) for scores in moved.numpy()]) if count else masks.copy()
        if ignore:
            assert counts is not None
            found[counts[:, 0].numpy() < 0.5] = IGNORED
        return as_stored(changed, format), found

    def over(self, samples: Any, seed: int = 0) -> AugmentedSamples:
        """Return a map-style data set for `torch.utils.data.DataLoader` whose samples are augmented when taken."""
        return AugmentedSamples(samples, self, seed)


@dataclass
class AugmentedSamples:
    """A map-style data set whose samples are augmented when they are taken, one by one.

    samples: ``samples[i]`` is a pair of torch tensors: image float32 (C, H, W) in 0..1, mask float32 (K, H, W).
    epoch:   set it before each pass; a sample gets other draws in another epoch, and the same in any order, with any
             number of workers.
    """

    samples: Any
    augmenter: Augmenter
    seed: int = 0
    epoch: int = 0

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, mask = self.samples[index]
        images, masks = self.augmenter(image[None], mask[None], seed=self.seed, epoch=self.epoch, ids=[index])
        return images[0], masks[0]


def _keys(ids: Any) -> NDArray[np.int64]:
    names = list(ids)
    if names and isinstance(names[0], str):
        return sample_keys(names)
    return np.array(names, dtype=np.int64)


def _refuse_other_than_pairs(images: Any, masks: Any, format: Format) -> None:
    """Refuse anything but the two forms that a call takes."""
    tensors, channels = not isinstance(images, np.ndarray), len(format.channels)
    labels = "bool" if format.binary else "uint8"
    image_form = f"float32 (N, {channels}, H, W) in 0..1" if tensors else f"{format.dtype} (N, H, W, {channels})"
    mask_form = f"{'float32 (N, K, H, W)' if tensors else f'{labels} (N, H, W)'}, as large as the images"
    kind = "a torch tensor" if tensors else "a NumPy array"
    size = tuple(images.shape[2:] if tensors else images.shape[1:3]) if hasattr(images, "shape") else ()
    problems = []
    if not _is_form(images, "float32" if tensors else format.dtype, 4, 1 if tensors else 3, channels):
        problems.append(Problem("images", f"found {_described(images)}; allowed: {image_form} as {kind}"))
    elif tensors and images.is_cpu and images.numel() and float(images.max()) > 1 + 1e-4:  # a GPU would be waited for
        what = f"found values up to {float(images.max()):.4g}; allowed: 0..1"
        problems.append(Problem("images", what, "Divide by 255"))
    same_kind = isinstance(masks, np.ndarray) != tensors
    good = same_kind and _is_form(masks, "float32" if tensors else labels, 4 if tensors else 3, None, None)
    if not good or tuple(masks.shape[-2:]) != size:
        problems.append(Problem("masks", f"found {_described(masks)}; allowed: {mask_form}, as {kind}"))
    if problems:
        raise InputError(*problems)


def _is_form(array: Any, dtype: str, axes: int, channel_axis: int | None, channels: int | None) -> bool:
    if not hasattr(array, "shape") or str(array.dtype).removeprefix("torch.") != dtype or len(array.shape) != axes:
        return False
    return channel_axis is None or array.shape[channel_axis] == channels


def _described(array: Any) -> str:
    if not hasattr(array, "shape"):
        return type(array).__name__
    return f"{str(array.dtype).removeprefix('torch.')} {tuple(array.shape)}"

"""A recipe's augmentations in somebody else's training loop, with the same keyed draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from augkit.contracts.components import Augment
from augkit.contracts.registry import load_registry
from augkit.contracts.rules import refusal_of
from augkit.data.arrays import Images, Masks
from augkit.data.draws import Draws, sample_keys
from augkit.data.formats import RGB, Channel, Format
from augkit.errors import InputError, Problem
from augkit.planning.alone import build_from_text

if TYPE_CHECKING:
    from torch import Tensor

Ids = Sequence[str] | Sequence[int] | NDArray[np.int64]


def augmentation(text: str | Mapping[str, object] | Sequence[Mapping[str, object]]) -> Augmenter:
    """Return augmentations to call, as a recipe's `augment` names them.

    text: ``"classical-strong: {}"``, several as a YAML list, or the same as mappings and lists.

    Raises `InputError` for what a recipe could not name either.
    """
    return Augmenter(build_from_text("augmentation", text, load_registry()))


@dataclass(frozen=True)
class Augmenter:
    """Augmentations in order. What a sample gets depends on seed, epoch and its id alone, whatever the batch.

    augment: (name, component) pairs; with the `seed` of a run's segmenter they give what that run trains on.
    """

    augment: tuple[tuple[str, Augment], ...]

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

        images: NumPy uint8 (N, H, W, 3), or a torch tensor, float32 (N, C, H, W) in 0..1 on any device; three channels
                are red, green and blue, others are refused by what works on colours.
        masks:  NumPy bool (N, H, W), or a torch tensor, float32 (N, K, H, W) in {0, 1}.
        ids:    names or whole numbers of the samples, to which their draws belong; 0 .. N - 1 if not given.

        Arrays come back as arrays, with masks cut at 0.5; tensors as float32 tensors, soft where samples were blended.
        """
        import torch

        from augkit.training.batches import Batch
        from augkit.training.pipeline import Pipeline

        _refuse_other_than_pairs(images, masks)
        self._refuse_other_than_colours(images)
        count = len(images)
        keys = _keys(range(count) if ids is None else ids)
        if not len(masks) == len(keys) == count:
            what = f"found {count} images, {len(masks)} masks and {len(keys)} ids; allowed: one of each per sample"
            raise InputError(Problem("augmentation", what))
        if isinstance(images, np.ndarray):
            pixels = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)
            labels = torch.from_numpy(np.array(masks)[:, None]).view(torch.uint8)
        else:
            pixels, labels = images, masks
        draws = Draws.on_device(seed, "batch", torch.from_numpy(keys).to(pixels.device), epoch)
        changed, moved, _ = Batch(pixels, labels, draws).augmented(Pipeline(self.augment))
        if not isinstance(images, np.ndarray):
            return changed, moved
        return (changed * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy(), (moved[:, 0] > 0.5).numpy()

    def _refuse_other_than_colours(self, images: Any) -> None:
        """Refuse tensors of other than three channels where an augmentation takes colours only."""
        if isinstance(images, np.ndarray) or images.shape[1] == len(RGB):
            return
        found = Format("float32", tuple(Channel(str(i), "other", 0, 1) for i in range(images.shape[1])))
        said = [(name, refusal_of(part, None, found)) for name, part in self.augment]
        problems = [Problem(f"augmentation '{name}'", what) for name, what in said if what]
        if problems:
            raise InputError(*problems)

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


def _refuse_other_than_pairs(images: Any, masks: Any) -> None:
    """Refuse anything but the two forms that a call takes."""
    tensors = not isinstance(images, np.ndarray)
    image_form = "float32 (N, C, H, W) in 0..1" if tensors else "uint8 (N, H, W, 3)"
    mask_form = "float32 (N, K, H, W), as large as the images" if tensors else "bool (N, H, W), as large as the images"
    kind = "a torch tensor" if tensors else "a NumPy array"
    size = tuple(images.shape[2:] if tensors else images.shape[1:3]) if hasattr(images, "shape") else ()
    problems = []
    good = _is_form(images, "float32" if tensors else "uint8", 4, None if tensors else 3)
    if not good or (tensors and images.shape[3] <= len(RGB) < images.shape[1]):  # channels last
        problems.append(Problem("images", f"found {_described(images)}; allowed: {image_form} as {kind}"))
    elif tensors and images.is_cpu and images.numel() and float(images.max()) > 1 + 1e-4:  # a GPU would be waited for
        what = f"found values up to {float(images.max()):.4g}; allowed: 0..1"
        problems.append(Problem("images", what, "Divide by 255"))
    same_kind = isinstance(masks, np.ndarray) != tensors
    good = same_kind and _is_form(masks, "float32" if tensors else "bool", 4 if tensors else 3, None)
    if not good or tuple(masks.shape[-2:]) != size:
        problems.append(Problem("masks", f"found {_described(masks)}; allowed: {mask_form}, as {kind}"))
    if problems:
        raise InputError(*problems)


def _is_form(array: Any, dtype: str, axes: int, channels: int | None) -> bool:
    if not hasattr(array, "shape") or str(array.dtype).removeprefix("torch.") != dtype or len(array.shape) != axes:
        return False
    return channels is None or array.shape[-1] == channels


def _described(array: Any) -> str:
    if not hasattr(array, "shape"):
        return type(array).__name__
    return f"{str(array.dtype).removeprefix('torch.')} {tuple(array.shape)}"

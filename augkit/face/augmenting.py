"""A recipe's augmentations in somebody else's training loop, with the same keyed draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from augkit.contracts.components import Augment
from augkit.contracts.registry import load_registry
from augkit.data.arrays import Images, Masks
from augkit.data.draws import Draws, sample_keys
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

        images: NumPy uint8 (N, H, W, 3), or a torch tensor, float32 (N, 3, H, W) in 0..1 on any device.
        masks:  NumPy bool (N, H, W), or a torch tensor, float32 (N, K, H, W) in {0, 1}.
        ids:    names or whole numbers of the samples, to which their draws belong; 0 .. N - 1 if not given.

        Arrays come back as arrays, with masks cut at 0.5; tensors as float32 tensors, soft where samples were blended.
        """
        import torch

        from augkit.training.batches import Batch
        from augkit.training.pipeline import Pipeline

        count = len(images)
        keys = _keys(range(count) if ids is None else ids)
        if not len(masks) == len(keys) == count:
            what = f"found {count} images, {len(masks)} masks and {len(keys)} ids; allowed: one of each per sample"
            raise InputError(Problem("augmentation", what))
        if isinstance(images, np.ndarray):
            pixels = torch.from_numpy(np.array(_checked(images, "images", np.uint8, 4))).permute(0, 3, 1, 2)
            labels = torch.from_numpy(np.array(_checked(masks, "masks", np.bool_, 3))[:, None]).view(torch.uint8)
        else:
            pixels, labels = images, masks
        draws = Draws.on_device(seed, "batch", torch.from_numpy(keys).to(pixels.device), epoch)
        changed, moved = Batch(pixels, labels, draws).augmented(Pipeline(self.augment))
        if not isinstance(images, np.ndarray):
            return changed, moved
        return (changed * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy(), (moved[:, 0] > 0.5).numpy()

    def over(self, samples: Any, seed: int = 0) -> AugmentedSamples:
        """Return a map-style data set for `torch.utils.data.DataLoader` whose samples are augmented when taken."""
        return AugmentedSamples(samples, self, seed)


@dataclass
class AugmentedSamples:
    """A map-style data set whose samples are augmented when they are taken, one by one.

    samples: ``samples[i]`` is a pair of torch tensors: image float32 (3, H, W) in 0..1, mask float32 (K, H, W).
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


def _checked(array: NDArray[Any], what: str, dtype: type[np.generic], axes: int) -> NDArray[Any]:
    shapes = {3: "(N, H, W)", 4: "(N, H, W, 3)"}
    if array.dtype != dtype or array.ndim != axes:
        wanted = f"{np.dtype(dtype).name} {shapes[axes]}"
        raise InputError(Problem(what, f"found {array.dtype} {array.shape}; allowed: {wanted}, or a torch tensor"))
    return array

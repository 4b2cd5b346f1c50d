"""Albumentations pipelines under the contract: seeded by the sample, masks in step."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from augkit import Draws, NotEmpty, Takes
from augkit_adapters.pipeline import Step, build_steps, import_library

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Albumentations:
    """Run an Albumentations 2.0.8 pipeline on each sample, seeded by it; needs ``augkit[albumentations]``.

    Images are handed over as uint8 and come back in 256 steps, so they have to be 8-bit; of their three channels the
    transforms think as red, green and blue. Each class mask is one uint8 mask.

    pipeline: a list of ``{TransformName: {options}}``, in order, as in ``- Affine: {rotate: [-30, 30], p: 1.0}``.
    """

    pipeline: Annotated[list[Step], NotEmpty()]
    takes = Takes(meanings=None, classes=None, ignore=True)
    _compose: Any = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or its import asks the network for its newest version
        library = import_library("albumentations", "albumentations")
        steps = build_steps(self.pipeline, _transforms(library))
        object.__setattr__(self, "_compose", library.Compose(steps))

    def __call__(self, images: Tensor, masks: Tensor, draws: Draws[Tensor]) -> tuple[Tensor, Tensor]:
        """Return transformed images and masks; masks stay exactly 0 or 1."""
        import torch

        pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        labels = (masks > 0.5).to(torch.uint8).cpu().numpy()
        changed, moved = np.empty_like(pixels, order="C"), np.empty_like(labels)
        pipeline = copy.deepcopy(self._compose)  # seeding changes it
        seeds = (draws.bits("pipeline") & 0x7FFFFFFF).tolist()
        for i, seed in enumerate(seeds):
            pipeline.set_random_seed(seed)
            done = pipeline(image=np.ascontiguousarray(pixels[i]), masks=list(labels[i]))
            changed[i], moved[i] = done["image"], np.stack(done["masks"])
        back = torch.from_numpy(changed).to(images.device).permute(0, 3, 1, 2).float().div_(255)
        return back.contiguous(), torch.from_numpy(moved).to(masks.device).float()


def _transforms(library: Any) -> Mapping[str, Any]:
    base = library.BasicTransform
    return {
        name: cls
        for name, cls in vars(library).items()
        if isinstance(cls, type) and issubclass(cls, base) and not name.startswith("_")
    }

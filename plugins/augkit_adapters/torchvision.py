"""torchvision v2 pipelines under the contract: seeded by the sample, masks in step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from augkit import Draws, NotEmpty, Takes
from augkit_adapters.pipeline import Step, build_steps, import_library

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Torchvision:
    """Run a torchvision v2 pipeline on each sample, seeded by it; needs ``augkit[torchvision]``.

    Images are handed over as float32 in 0..1, of one channel or of three, which torchvision takes for red, green and
    blue; masks as one mask with a plane per class, read at the nearest pixel.

    pipeline: a list of ``{TransformName: {options}}``, in order, as in ``- RandomRotation: {degrees: 30}``.
    """

    pipeline: Annotated[list[Step], NotEmpty()]
    takes = Takes((1, 3), None, None, None, True)
    _steps: Any = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        library = import_library("torchvision.transforms.v2", "torchvision")
        object.__setattr__(self, "_steps", build_steps(self.pipeline, _transforms(library)))

    def __call__(self, images: Tensor, masks: Tensor, draws: Draws[Tensor]) -> tuple[Tensor, Tensor]:
        """Return transformed images and masks; masks stay exactly 0 or 1."""
        import torch
        from torchvision import tv_tensors

        from augkit.training import seeded

        changed, moved = torch.empty_like(images), torch.empty_like(masks)
        for i, seed in enumerate((draws.bits("pipeline") & 0x7FFFFFFF).tolist()):
            pair = (tv_tensors.Image(images[i].clone()), tv_tensors.Mask(masks[i].clone()))
            with seeded(seed):
                for step in self._steps:
                    pair = step(*pair)
            changed[i], moved[i] = pair[0].as_subclass(torch.Tensor).clamp(0, 1), pair[1].as_subclass(torch.Tensor)
        return changed, (moved > 0.5).to(masks.dtype)


def _transforms(library: Any) -> Mapping[str, Any]:
    return {
        name: cls for name, cls in vars(library).items() if isinstance(cls, type) and issubclass(cls, library.Transform)
    }

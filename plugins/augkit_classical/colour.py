"""Colour changes as one affine map of the colours and one power per sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

from augkit import ANYTHING, Draws, Format, Within

if TYPE_CHECKING:
    from torch import Tensor

    from augkit_classical.host import Pixels

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma (ITU-R BT.601)."""


@dataclass(frozen=True)
class Colour:
    """Change brightness, contrast, saturation, hue and gamma of the image; the mask is left alone.

    Saturation and hue are of red, green and blue; where the channels are no colours, write 0 for both, and all channels
    get the same brightness, contrast and gamma.

    brightness: largest relative change, either way; 0.2 multiplies by 0.8 .. 1.2.
    contrast:   largest relative change of the distance from the image's mean luma; where there are not three channels,
                from each channel's own mean.
    saturation: largest relative change of the distance from grey.
    hue:        largest rotation of the colours around the grey axis in degrees, either way.
    gamma:      largest change of the exponent in octaves, either way; 0.5 means 0.71 .. 1.41.
    probability: how often a sample is changed.
    """

    brightness: Annotated[float, Within(0, 0.9)] = 0.2
    contrast: Annotated[float, Within(0, 0.9)] = 0.2
    saturation: Annotated[float, Within(0, 1)] = 0.2
    hue: Annotated[float, Within(0, 180)] = 5.0
    gamma: Annotated[float, Within(0, 2)] = 0.0
    probability: Annotated[float, Within(0, 1)] = 1.0
    takes = ANYTHING

    def check_format(self, format: Format) -> None:
        """Refuse channels that are no colours, unless saturation and hue are 0."""
        if (self.saturation or self.hue) and not are_colours(format):
            what = f"saturation {self.saturation:g} and hue {self.hue:g} change colours, and these are none: {format}"
            raise ValueError(f"{what}; allowed: red, green and blue, or 'saturation: 0' and 'hue: 0'")

    def __call__(self, images: Tensor, masks: Tensor, draws: Draws[Tensor]) -> tuple[Tensor, Tensor]:
        """Return recoloured images in 0..1 and the masks as they were."""
        drawn = self.parameters(draws)
        contrast, brightness = drawn["contrast"], drawn["brightness"]
        # (contrast (turned - mean) + mean) brightness, multiplied out: the mean luma comes back with this weight.
        grey = (1 - contrast) * brightness
        if images.shape[1] != len(_LUMA):
            return _scaled(images, contrast * brightness, grey, drawn.get("gamma")), masks
        matrices = _matrices(drawn) * (contrast * brightness)[:, None, None]
        mapped = _mapped_on_cpu if images.device.type == "cpu" else _mapped
        return mapped(images, matrices, grey, drawn.get("gamma")), masks

    def parameters(self, draws: Draws[Tensor]) -> Mapping[str, Tensor]:
        """Return what is drawn: factors of brightness, contrast and saturation, hue in degrees, the gamma exponent."""
        import torch

        names = ("brightness", "contrast", "saturation", "hue", "gamma")
        most = (self.brightness, self.contrast, self.saturation, self.hue, self.gamma)
        *units, chance = draws.uniforms((*names, "applied")).unbind(1)
        applied = (chance < self.probability).float()
        change = {name: (unit * 2 - 1) * limit * applied for name, unit, limit in zip(names, units, most, strict=True)}
        drawn = {name: 1 + change[name] for name in names[:3]} | {"hue": change["hue"]}
        return drawn if self.gamma == 0 else drawn | {"gamma": torch.exp2(change["gamma"])}


def are_colours(format: Format) -> bool:
    """Return whether the channels are red, green and blue, whatever their numbers."""
    return tuple(channel.meaning for channel in format.channels) == ("red", "green", "blue")


def _scaled(images: Tensor, gain: Tensor, grey: Tensor, gamma: Tensor | None) -> Tensor:
    """Return `gain` times each channel plus its mean times `grey`, in 0..1, to the power of gamma.

    images: float32 (N, C, H, W); gain, grey and gamma: (N,).
    """
    gain, grey = gain[:, None, None, None], grey[:, None, None, None]
    changed = (images * gain).add_(images.mean((2, 3), keepdim=True) * grey).clamp_(0, 1)
    return changed if gamma is None else changed.pow_(gamma[:, None, None, None])


def _matrices(drawn: Mapping[str, Tensor]) -> Tensor:
    """Return float32 (N, 3, 3): rotation around the grey axis (Rodrigues), then the change of saturation."""
    import torch

    device = drawn["hue"].device
    angle = torch.deg2rad(drawn["hue"])[:, None, None]
    saturation = drawn["saturation"][:, None, None]
    identity = torch.eye(3, device=device)
    third = torch.full((3, 3), 1 / 3, device=device)
    across, luma = _constants(str(device))
    turn = torch.cos(angle) * identity + torch.sin(angle) * across + (1 - torch.cos(angle)) * third
    return (saturation * identity + (1 - saturation) * luma.expand(3, 3)) @ turn


@lru_cache(maxsize=8)
def _constants(device: str) -> tuple[Tensor, Tensor]:
    """Return float32 (3, 3), the product with the grey axis, and (3,), the luma; they are sent to a device once."""
    import torch

    k = 1 / math.sqrt(3)
    across = torch.tensor([[0, -k, k], [k, 0, -k], [-k, k, 0]], device=device)
    return across, torch.tensor(_LUMA, device=device)


def _mapped(images: Tensor, matrices: Tensor, grey: Tensor, gamma: Tensor | None) -> Tensor:
    """Return matrix times colour plus mean luma times `grey`, in 0..1, to the power of gamma.

    images: float32 (N, 3, H, W); matrices: (N, 3, 3); grey and gamma: (N,).
    """
    import torch

    flat = images.flatten(2)
    mean = flat.mean(2) @ _constants(str(images.device))[1]
    offset = (mean * grey)[:, None, None].expand(-1, 3, 1)
    changed = torch.baddbmm(offset, matrices, flat).clamp_(0, 1)
    if gamma is not None:
        changed = changed.pow_(gamma[:, None, None])
    return changed.view_as(images)


def _mapped_on_cpu(images: Tensor, matrices: Tensor, grey: Tensor, gamma: Tensor | None) -> Tensor:
    """As `_mapped`, a sample at a time."""
    import cv2
    import numpy as np

    from augkit_classical.host import clip, each

    maps = np.concatenate([matrices.numpy(), np.zeros((len(grey), 3, 1), np.float32)], axis=2)
    weights: list[float] = grey.tolist()
    powers: list[float] | None = None if gamma is None else gamma.tolist()

    def change(i: int, image: Pixels, out: Pixels) -> None:
        mean = sum(weight * colour for weight, colour in zip(_LUMA, cv2.mean(image), strict=False))
        maps[i, :, 3] = mean * weights[i]
        cv2.transform(image, maps[i], dst=out)
        clip(out)
        if powers is not None:
            cv2.pow(out, powers[i], dst=out)

    return each(images, change)

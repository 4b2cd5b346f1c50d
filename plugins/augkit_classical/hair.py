"""Hair and rulers over the image: artefacts of dermoscopy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from augkit import Draws, Takes, Within
from augkit_classical.chance import change_some
from augkit_classical.strokes import Strokes, cover

if TYPE_CHECKING:
    from torch import Tensor

_TICKS = 24
"""Marks of a ruler; every fifth is long."""


@dataclass(frozen=True)
class Hair:
    """Draw dark curved hairs, and the marks of a ruler, over the image, RGB only; the mask keeps what is under them.

    count:       most hairs; how many there are is drawn per sample, 1 or more.
    width:       smallest and largest width of a hair as a share of the image's shorter side.
    probability: how often a sample gets hair.
    ruler:       how often a sample gets a ruler along one side.
    """

    count: Annotated[int, Within(1, 64)] = 12
    width: tuple[float, float] = (0.004, 0.012)
    probability: Annotated[float, Within(0, 1)] = 0.5
    ruler: Annotated[float, Within(0, 1)] = 0.1
    takes = Takes(dtypes=None, classes=None, ignore=True)

    def __post_init__(self) -> None:
        if not 0.001 <= self.width[0] <= self.width[1] <= 0.05:
            raise ValueError(f"width is {list(self.width)}; allowed: 0.001 <= smallest <= largest <= 0.05")

    def __call__(self, images: Tensor, masks: Tensor, draws: Draws[Tensor]) -> tuple[Tensor, Tensor]:
        """Return images with hair and rulers and the masks as they were."""

        drawn = self.parameters(draws)
        size = (images.shape[2], images.shape[3])
        widest = max(self.width[1], _MARK) * min(size)

        def covered(some: Tensor, where: Tensor) -> Tensor:
            mine = {name: values[where] for name, values in drawn.items()}
            for strokes in (self._hairs(mine, draws[where]), _marks(mine)):
                alpha = cover(strokes, size, widest) * mine["darkness"][:, None, None, None]
                some = some + alpha * (_colours(mine["shade"]) - some)
            return some.clamp(0, 1)

        applied = (drawn["hairs"] > 0) | drawn["ruler"]
        return change_some(images, applied, covered), masks

    def parameters(self, draws: Draws[Tensor]) -> Mapping[str, Tensor]:
        """Return how many hairs each sample has, their shade 0..1 and darkness, and the ruler's side and place."""
        names = ("hairs", "applied", "shade", "darkness", "ruler", "side", "place")
        hairs, chance, shade, darkness, ruler, side, place = draws.uniforms(names).unbind(1)
        hairy, ruled = chance < self.probability, ruler < self.ruler
        return {
            "hairs": (1 + hairs * self.count).floor() * hairy,
            "shade": shade * (hairy | ruled),
            "darkness": (0.7 + 0.25 * darkness) * (hairy | ruled),
            "ruler": ruled,
            "ruler side": (side * 4).floor() * ruled,
            "ruler place": place * ruled,
        }

    def _hairs(self, drawn: Mapping[str, Tensor], draws: Draws[Tensor]) -> Strokes:
        """Return quadratic curves from a point in or near the image, bent to one side."""
        import torch

        shape = (self.count,)
        x, y = (draws.uniform(name, -0.1, 1.1, shape) for name in ("x", "y"))
        grain = draws.uniform("grain", 0, 2 * math.pi)[:, None]
        heading = grain + draws.uniform("heading", -0.6, 0.6, shape)
        length = draws.uniform("length", 0.3, 0.9, shape)
        bend = draws.uniform("bend", -0.25, 0.25, shape)
        start = torch.stack([x, y], dim=-1)
        ahead = torch.stack([heading.cos(), heading.sin()], dim=-1) * length[..., None]
        aside = torch.stack([-ahead[..., 1], ahead[..., 0]], dim=-1)
        middle, end = start + ahead / 2 + aside * bend[..., None], start + ahead
        low, high = self.width
        width = draws.uniform("width", low, high, shape)
        present = torch.arange(self.count, device=x.device) < drawn["hairs"][:, None]
        return Strokes(start, middle, end, width * present)


_MARK = 0.008
"""Width of a ruler's marks as a share of the shorter side."""


def _marks(drawn: Mapping[str, Tensor]) -> Strokes:
    """Return straight marks at equal distances, square to one side of the image."""
    import torch

    place = drawn["ruler place"][:, None]
    tick = torch.arange(_TICKS, device=place.device)
    along = (tick + place) / _TICKS
    reach = torch.where(tick % 5 == 0, 0.09, 0.045).expand_as(along)
    side = drawn["ruler side"][:, None]
    upright, far = side % 2 == 0, side >= 2

    def point(depth: Tensor) -> Tensor:
        depth = torch.where(far, 1 - depth, depth)
        return torch.stack([torch.where(upright, along, depth), torch.where(upright, depth, along)], dim=-1)

    start, end = point(torch.zeros_like(reach)), point(reach)
    width = torch.full_like(along, _MARK) * drawn["ruler"][:, None]
    return Strokes(start, (start + end) / 2, end, width)


def _colours(shade: Tensor) -> Tensor:
    """Return float32 (N, 3, 1, 1): from black to brown."""
    import torch

    return torch.stack([shade * 0.35, shade * 0.22, shade * 0.15], dim=1)[:, :, None, None]

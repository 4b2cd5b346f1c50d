"""Flips and affine transforms, composed into one matrix per sample and one resampling of image and mask together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from augkit import ANYTHING, Draws, Within
from augkit_classical.warp import Padding, mirror, warp_affine

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Geometry:
    """Flip, rotate, scale, shear, shift and crop image and mask together.

    flip:      which mirror images may occur, each with probability one half.
    rotate:    largest rotation in degrees, either way.
    scale:     smallest and largest magnification.
    shear:     largest shear angle in degrees, either way, along each axis.
    translate: largest shift as a share of the side, either way, along each axis.
    crop:      smallest side of a random crop as a share of the image's; it is enlarged to the image's size.
    probability: how often rotation, scale, shear, shift and crop are applied; flips do not depend on it.
    padding:   what fills the corners: the nearest edge (``border``), the image's mirror image (``reflect``), which
               mirrors pieces of lesions into the frame, black (``constant``), or black that does not count in the
               segmenter's loss (``ignore``). Where the data set has ignored pixels, ``constant`` is ``ignore``.
    """

    flip: Literal["none", "horizontal", "vertical", "both"] = "both"
    rotate: Annotated[float, Within(0, 180)] = 180.0
    scale: tuple[float, float] = (1.0, 1.0)
    shear: Annotated[float, Within(0, 45)] = 0.0
    translate: Annotated[float, Within(0, 0.5)] = 0.0
    crop: Annotated[float, Within(0.1, 1)] = 1.0
    probability: Annotated[float, Within(0, 1)] = 1.0
    padding: Padding = "border"
    takes = ANYTHING

    def __post_init__(self) -> None:
        if not 0.2 <= self.scale[0] <= self.scale[1] <= 5:
            raise ValueError(f"scale is {list(self.scale)}; allowed: 0.2 <= smallest <= largest <= 5")

    def __call__(self, images: Tensor, masks: Tensor, draws: Draws[Tensor]) -> tuple[Tensor, Tensor]:
        """Return transformed images and masks; masks stay exactly 0 or 1."""
        import torch

        drawn = self.parameters(draws)
        mirrors = torch.stack([drawn["flip x"], drawn["flip y"]], dim=1)
        if not self._resamples():
            return mirror(images, masks, mirrors)
        height, width = images.shape[2:]
        matrices = self.compose(drawn, width / height)
        return warp_affine(images, masks, matrices, self.padding, drawn["applied"], mirrors)

    def takes_stored_pixels(self) -> bool:
        """Return true: mirrored they stay what they are, resampled they become float32."""
        return True

    def ignores_padding(self) -> bool:
        """Return whether what lies outside the image does not count."""
        return self.padding == "ignore"

    def parameters(self, draws: Draws[Tensor]) -> Mapping[str, Tensor]:
        """Return what is drawn, one value per sample.

        flip x, flip y: bool.
        applied: bool, whether anything beside the flips is at work.
        rotate, shear x, shear y: degrees.
        scale: magnification.
        translate x, translate y: share of the side.
        crop: share of the side that is kept; crop x, crop y: its place in the free room, -1..1.
        """
        import torch

        units = draws.uniforms(("flip x", "flip y", "applied", "rotate", "scale", "crop", "crop x", "crop y"))
        flip_x, flip_y, chance, angle, zoom, crop, *place = units.unbind(1)
        drawn = {
            "flip x": (flip_x < 0.5) & (self.flip in ("horizontal", "both")),
            "flip y": (flip_y < 0.5) & (self.flip in ("vertical", "both")),
        }
        if not self._resamples():
            return drawn
        drawn["applied"] = chance < self.probability
        applied = drawn["applied"].float()
        if self.rotate > 0:
            drawn["rotate"] = (angle * 2 - 1) * self.rotate * applied
        if self.scale != (1.0, 1.0):
            low, high = (math.log(value) for value in self.scale)
            drawn["scale"] = torch.exp((zoom * (high - low) + low) * applied)
        for name, most in (("shear", self.shear), ("translate", self.translate)):
            if most > 0:
                pair = draws.uniform(name, -1, 1, shape=(2,)) * (most * applied[:, None])
                drawn[f"{name} x"], drawn[f"{name} y"] = pair.unbind(1)
        if self.crop < 1:
            drawn["crop"] = 1 - crop * (1 - self.crop) * applied
            drawn["crop x"], drawn["crop y"] = (one * 2 - 1 for one in place)
        return drawn

    def compose(self, drawn: Mapping[str, Tensor], aspect: float = 1.0) -> Tensor:
        """Return float32 (N, 2, 3): from output to input coordinates, both -1..1 along each axis, y down.

        drawn:  what `parameters` returns.
        aspect: width over height; angles stay true on images that are not square.
        """
        import torch

        none = torch.zeros(len(drawn["flip x"]), device=drawn["flip x"].device)
        get = drawn.get
        angle = torch.deg2rad(get("rotate", none))
        zoom = 1 / get("scale", none + 1)
        shear_x, shear_y = (torch.tan(torch.deg2rad(get(f"shear {axis}", none))) for axis in "xy")
        c, s = torch.cos(angle) * zoom, torch.sin(angle) * zoom
        # Rotation and zoom, times shear, in units that are equal along both axes ...
        xx, xy = c - s * shear_y, (c * shear_x - s) / aspect
        yx, yy = (s + c * shear_y) * aspect, s * shear_x + c
        shift_x, shift_y = 2 * get("translate x", none), 2 * get("translate y", none)
        if "crop" in drawn:  # ... of the crop, read before anything else
            crop = drawn["crop"]
            at_x, at_y = (1 - crop) * drawn["crop x"], (1 - crop) * drawn["crop y"]
            shift_x, shift_y = shift_x + xx * at_x + xy * at_y, shift_y + yx * at_x + yy * at_y
            xx, xy, yx, yy = xx * crop, xy * crop, yx * crop, yy * crop
        # ... with the mirrors applied to the input's axes
        rows = torch.stack([xx, xy, shift_x, yx, yy, shift_y], dim=1).view(-1, 2, 3)
        mirrors = 1 - 2 * torch.stack([drawn["flip x"], drawn["flip y"]], dim=1).float()
        return rows * mirrors[:, :, None]

    def _resamples(self) -> bool:
        options = (self.rotate, self.shear, self.translate, self.scale != (1.0, 1.0), self.crop < 1)
        return self.probability > 0 and any(options)

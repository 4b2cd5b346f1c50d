"""Presets: whole sets of classical augmentations under names of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from augkit import ANYTHING, Draws, Format, Masks, Within
from augkit_classical.blur import Blur
from augkit_classical.colour import Colour
from augkit_classical.elastic import Elastic
from augkit_classical.geometry import Geometry
from augkit_classical.noise import Noise
from augkit_classical.paste import Paste

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ClassicalPaper(Geometry):
    """The paper's "rotation, flipping, etc.": both flips, each for half of the samples, and for half any rotation.

    The paper names no values; these change nothing but the pose. Options as for `geometry`.
    """

    probability: Annotated[float, Within(0, 1)] = 0.5


Part = Geometry | Elastic | Colour | Blur | Noise | Paste
"""What presets are made of."""

_STRONG_GEOMETRY = Geometry(scale=(0.7, 1.4), shear=5.0, translate=0.1)
_STRONG_ELASTIC = Elastic(probability=0.3)
_STRONG_COLOUR = Colour(brightness=0.25, contrast=0.25, saturation=0.25, hue=10.0, gamma=0.3, probability=0.8)
_STRONG_BLUR = Blur(probability=0.2)
_STRONG_NOISE = Noise(probability=0.2)


@dataclass(frozen=True)
class ClassicalStrong:
    """A strong set of today: any pose, elastic deformation, colour, blur and noise, in this order.

    Ranges follow the 2-D training of nnU-Net (Isensee et al. 2021, supplement: rotation by any angle, scale 0.7 to 1.4,
    noise, blur, brightness, contrast, gamma), with stronger colour because skin and cameras differ, and elastic
    deformation as in U-Net (Ronneberger et al. 2015). An option that is given replaces that part as a whole.

    Where there are not three channels, as in grey, CT and most MR images, `colour` changes brightness, contrast and
    gamma only. Three channels that are no colours need a colour part with ``saturation: 0`` and ``hue: 0``.
    """

    geometry: Geometry = _STRONG_GEOMETRY
    elastic: Elastic = _STRONG_ELASTIC
    colour: Colour = _STRONG_COLOUR
    blur: Blur = _STRONG_BLUR
    noise: Noise = _STRONG_NOISE
    takes = ANYTHING

    def check_format(self, format: Format) -> None:
        """Refuse three channels that are no colours, unless saturation and hue are 0; of others `colour` turns none."""
        if len(format.channels) == 3:
            self.colour.check_format(format)

    def __call__(self, images: Tensor, masks: Tensor, draws: Draws[Tensor]) -> tuple[Tensor, Tensor]:
        """Return transformed images in 0..1 and masks; masks stay exactly 0 or 1."""
        for name, part in self._parts().items():
            images, masks = part(images, masks, draws.fork(name))
        return images, masks

    def takes_stored_pixels(self) -> bool:
        """Return true: the parts that come first do, and one of them returns float32."""
        return True

    def ignores_padding(self) -> bool:
        """Return whether one of the first two parts does; what the other one makes up then counts."""
        return self.geometry.ignores_padding() or self.elastic.ignores_padding()

    def parameters(self, draws: Draws[Tensor]) -> Mapping[str, Tensor]:
        """Return what all parts draw; their names differ."""
        return {
            key: value
            for name, part in self._parts().items()
            for key, value in part.parameters(draws.fork(name)).items()
        }

    def _parts(self) -> Mapping[str, Part]:
        return {
            "geometry": self.geometry,
            "elastic": self.elastic,
            "colour": self.colour,
            "blur": self.blur,
            "noise": self.noise,
        }


_STRONG_PASTE = Paste()


@dataclass(frozen=True)
class ClassicalPaste(ClassicalStrong):
    """`classical-strong` after copy-paste: objects of other samples of the batch (`paste`), then the strong set.

    Pasting comes first: objects are cut out of pictures as they were taken, in which every object is there once and not
    mirrored at a border, and pose, deformation, colour, blur and noise then fall on the objects and their new ground
    alike. An option that is given replaces that part as a whole; `classical-strong` itself has no part that pastes.
    """

    paste: Paste = _STRONG_PASTE
    takes = Paste.takes

    def __post_init__(self) -> None:
        if self.ignores_padding():
            what = "padding is ignore, which makes the background a class, and classes are what paste pastes"
            raise ValueError(f"{what}; allowed: reflect, border or constant, or paste and classical-strong one by one")

    def check_masks(self, masks: Masks) -> None:
        """Refuse training masks of which nothing could ever be pasted, as `paste` does."""
        self.paste.check_masks(masks)

    def _parts(self) -> Mapping[str, Part]:
        return {"paste": self.paste, **super()._parts()}

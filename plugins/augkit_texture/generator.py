"""The `texture` component; what it needs is imported when it is fitted or opened, not when a recipe is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from augkit import ImageSet, Synthesizer, Takes, Workspace
from augkit_texture.options import TextureOptions


@dataclass(frozen=True)
class Texture(TextureOptions):  # noqa: D101 - what it is stands beside its options
    __doc__ = TextureOptions.__doc__
    takes = Takes((1, 3), frozenset({"red", "green", "blue", "grey"}), frozenset({"uint8", "uint16"}))
    pixels: ClassVar[str] = "real"

    def fit(self, train: ImageSet, space: Workspace) -> None:
        """Separate the training images into skin, hair and lesions, and keep them."""
        from augkit_texture.donors import fit

        fit(train, self.donors, space)

    def open(self, folder: Path, device: str) -> Synthesizer:
        """Return the painter; it works on the CPU whatever the device."""
        from augkit_texture.painter import open_painter

        return open_painter(folder, self.choices, self.hair)

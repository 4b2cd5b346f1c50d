"""Which network paints, and everything that makes two of them interchangeable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import torch

from augkit import Format
from augkit_mask2lesion.networks import UnetGenerator
from augkit_mask2lesion.options import (
    LONGEST_STYLE,
    SIZES,
    WIDEST,
    Dropout,
    Mask2LesionOptions,
    Network,
    Norm,
    StyleFrom,
    Upsample,
)
from augkit_mask2lesion.spade import SpadeDecoder, SpadeGenerator


@dataclass(frozen=True)
class Architecture:
    """What makes two generators interchangeable; kept beside the weights.

    size: side in pixels. width: filters of the first layer, or of the last one of `spade`. mask_channels: 1 or 3 equal
    ones. style: length of a style code, 0 for none. styles: codes of training images that are kept. channels: of an
    image. labels: masks of an image, one for each class, and the background's where pixels may be ignored.
    """

    size: int
    width: int
    norm: Norm
    mask_channels: int
    dropout: Dropout
    network: Network = "unet"
    upsample: Upsample = "transposed"
    style: int = 0
    styles: int = 0
    channels: int = 3
    labels: int = 1

    @staticmethod
    def of(options: Mask2LesionOptions, size: int, format: Format, styles: int = 0) -> Architecture:
        """Return what the options ask for at a size, for images of a format, with the codes of so many of them."""
        return Architecture(
            size,
            options.width,
            options.norm,
            options.mask_channels,
            options.dropout,
            options.network,
            options.upsample,
            options.style,
            styles if options.style else 0,
            len(format.channels),
            labels_of(format),
        )

    @property
    def conditions(self) -> int:
        """How many mask channels the networks are given: `mask_channels` equal ones, or one for each of several."""
        return self.mask_channels if self.labels == 1 else self.labels

    def facts(self) -> dict[str, Any]:
        """Return what is kept beside the weights; what the format beside them tells is not."""
        return {name: value for name, value in vars(self).items() if name not in ("channels", "labels")}

    def build(self, style_from: StyleFrom = "training") -> UnetGenerator | SpadeGenerator:
        """Return a generator with initial weights."""
        if self.network == "spade":
            decoder = SpadeDecoder(self.size, self.width, self.conditions, self.style, self.upsample, self.channels)
            return SpadeGenerator(decoder, torch.zeros(self.styles, 2, self.style), style_from)
        return UnetGenerator(
            self.size, self.width, self.norm, self.conditions, self.dropout, self.upsample, self.channels
        )


def labels_of(format: Format) -> int:
    """Return how many masks say what an image shows: one a class, and the background's where pixels may be ignored.

    An ignored pixel is then in none of them, and so is never taken for background.
    """
    return len(format.classes) + format.ignore


def read_architecture(facts: Mapping[str, Any], format: Format) -> Architecture:
    """Return what the files beside the weights tell; raises `ValueError`, `KeyError` or `TypeError` where they lie."""
    later = {name: facts[name] for name in ("network", "upsample", "style", "styles") if name in facts}
    named = {name: facts[name] for name in ("size", "width", "norm", "mask_channels", "dropout")}
    found = Architecture(**named, **later, channels=len(format.channels), labels=labels_of(format))
    for value, kind in ((found.norm, Norm), (found.dropout, Dropout), (found.network, Network)):
        if not isinstance(value, str) or value not in get_args(kind):
            raise ValueError(f"unknown architecture: {value}")
    numbers = (found.size, found.width, found.mask_channels, found.style, found.styles)
    if any(type(number) is not int or number < 0 for number in numbers):
        raise TypeError(f"unknown architecture: {numbers}")
    if found.size not in SIZES or found.upsample not in get_args(Upsample) or found.mask_channels not in (1, 3):
        raise ValueError("unknown architecture")
    if not 1 <= found.width <= WIDEST or found.style > LONGEST_STYLE:
        raise ValueError(f"width {found.width} and style {found.style}; allowed: {WIDEST} and {LONGEST_STYLE}")
    return found

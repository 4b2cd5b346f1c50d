"""Which network paints, and everything that makes two of them interchangeable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import torch

from augkit_mask2lesion.networks import UnetGenerator
from augkit_mask2lesion.options import SIZES, Dropout, Mask2LesionOptions, Network, Norm, StyleFrom, Upsample
from augkit_mask2lesion.spade import SpadeDecoder, SpadeGenerator


@dataclass(frozen=True)
class Architecture:
    """What makes two generators interchangeable; kept beside the weights.

    size: side in pixels. width: filters of the first layer, or of the last one of `spade`. mask_channels: 1 or 3 equal
    ones. style: length of a style code, 0 for none. styles: codes of training images that are kept.
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

    @staticmethod
    def of(options: Mask2LesionOptions, size: int, styles: int = 0) -> Architecture:
        """Return what the options ask for at a size, with the codes of so many training images."""
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
        )

    def build(self, style_from: StyleFrom = "training") -> UnetGenerator | SpadeGenerator:
        """Return a generator with initial weights."""
        if self.network == "spade":
            decoder = SpadeDecoder(self.size, self.width, self.mask_channels, self.style, self.upsample)
            return SpadeGenerator(decoder, torch.zeros(self.styles, 2, self.style), style_from)
        return UnetGenerator(self.size, self.width, self.norm, self.mask_channels, self.dropout, self.upsample)


def read_architecture(facts: Mapping[str, Any]) -> Architecture:
    """Return what the file beside the weights tells; raises `ValueError`, `KeyError` or `TypeError` where it lies."""
    later = {name: facts[name] for name in ("network", "upsample", "style", "styles") if name in facts}
    named = {name: facts[name] for name in ("size", "width", "norm", "mask_channels", "dropout")}
    found = Architecture(**named, **later)
    for value, kind in ((found.norm, Norm), (found.dropout, Dropout), (found.network, Network)):
        if value not in get_args(kind):
            raise ValueError(f"unknown architecture: {value}")
    if found.size not in SIZES or found.upsample not in get_args(Upsample) or min(found.style, found.styles) < 0:
        raise ValueError("unknown architecture")
    return found

"""A mixture of mask sources, held to limits: what a single list of sources with amounts cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from augkit import AtLeast, DrawnMasks, InputError, MaskSource, Within, Workspace
from augkit.contracts import ArrayDraws, Masks, Record
from augkit.draws import derive_seed
from augkit_masks.drawn import Drawn
from augkit_masks.drift import keep_drift
from augkit_masks.elastic import Elastic
from augkit_masks.pca import Pca
from augkit_masks.shapes import Shapes
from augkit_masks.training import Training
from augkit_masks.validity import count_parts

ATTEMPTS = 50
"""How often a mask is drawn before its limits are called too narrow."""


@dataclass(frozen=True)
class Weighted:
    """One source of a mixture, exactly one of the five, and how often it is used.

    weight: in proportion to the other sources' weights.
    """

    weight: Annotated[float, Within(0.001, 1000)] = 1.0
    training: Training | None = None
    shapes: Shapes | None = None
    elastic: Elastic | None = None
    pca: Pca | None = None
    folder: Drawn | None = None

    def __post_init__(self) -> None:
        given = list(self._given())
        if len(given) != 1:
            names = ", ".join(field.name for field in fields(self) if field.name != "weight")
            raise ValueError(f"{' and '.join(given) or 'no source'} given; allowed: exactly one of {names}")

    @property
    def name(self) -> str:
        """The source's name in recipes."""
        return next(self._given())

    @property
    def source(self) -> MaskSource:
        """The source itself."""
        source: MaskSource = getattr(self, self.name)
        return source

    def _given(self) -> Iterator[str]:
        return (field.name for field in fields(self) if field.name != "weight" and getattr(self, field.name) is not None)


@dataclass(frozen=True)
class Combine:
    """Masks from several sources, each drawn again until it keeps to the limits.

    sources: what to draw from, a list such as ``[{weight: 2, shapes: {}}, {elastic: {degree: [4]}}]``; every mask comes
             from one of them, at random by weight.
    area:    smallest and largest share of the frame that a mask may cover, 0..1.
    parts:   smallest and largest number of 4-connected parts; null for any.
    border:  whether a mask may touch the frame's edge.

    A record holds ``source``, ``redraws`` (0 where the first drawing was within the limits) and what its source says.
    ``drift.json`` and ``drift.png`` compare area, eccentricity and solidity with the training masks.
    """

    sources: tuple[Weighted, ...]
    area: tuple[float, float] = (0.0, 1.0)
    parts: tuple[Annotated[int, AtLeast(1)], Annotated[int, AtLeast(1)]] | None = None
    border: Literal["allowed", "forbidden"] = "allowed"

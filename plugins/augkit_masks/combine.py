"""A mixture of mask sources, held to limits: what a single list of sources with amounts cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from augkit import (
    ANYTHING,
    ArrayDraws,
    AtLeast,
    DrawnMasks,
    InputError,
    Masks,
    MaskSource,
    NotEmpty,
    Problem,
    Record,
    SilentLog,
    Takes,
    Within,
    Workspace,
    shows,
)
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

    @property
    def takes(self) -> Takes:
        """What the source takes."""
        takes: Takes = getattr(self, self.name).takes
        return takes

    def _given(self) -> Iterator[str]:
        return (
            field.name for field in fields(self) if field.name != "weight" and getattr(self, field.name) is not None
        )


@dataclass(frozen=True)
class Combine:
    """Masks from several sources, each drawn again until it keeps to the limits.

    mix:    the sources, a list such as ``[{weight: 2, shapes: {}}, {elastic: {degree: [4]}}]``; every mask comes from
            one of them, at random by weight.
    area:   smallest and largest share of the frame that a mask may cover, 0..1.
    parts:  smallest and largest number of 4-connected parts; null for any.
    border: whether a mask may touch the frame's edge.

    Limits are those of the foreground, all classes together. A mixture takes what all of its sources take. A record
    holds ``source``, ``redraws`` (0 where the first drawing was within the limits) and what its source says.
    ``drift.json`` and ``drift.png`` compare area, eccentricity and solidity with the training masks.
    """

    mix: Annotated[tuple[Weighted, ...], NotEmpty()]
    area: tuple[float, float] = (0.0, 1.0)
    parts: tuple[Annotated[int, AtLeast(1)], Annotated[int, AtLeast(1)]] | None = None
    border: Literal["allowed", "forbidden"] = "allowed"

    def __post_init__(self) -> None:
        faults = []
        if not self.mix:
            faults.append("mix is empty; allowed: one or more sources")
        if not 0 <= self.area[0] < self.area[1] <= 1:
            faults.append(f"area is {list(self.area)}; allowed: 0 <= smallest < largest <= 1")
        if self.parts is not None and not 1 <= self.parts[0] <= self.parts[1]:
            faults.append(f"parts is {list(self.parts)}; allowed: 1 <= smallest <= largest")
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def takes(self) -> Takes:
        """What all sources of the mixture take."""
        takes = ANYTHING
        for one in self.mix:
            takes = takes & one.takes
        return takes

    def sources(self) -> Sequence[Path]:
        """Return the drawings that the mixture uses; `InputError` naming every folder without any."""
        files: list[Path] = []
        problems: list[Problem] = []
        for one in self.mix:
            try:
                files += one.folder.sources() if one.folder else ()
            except InputError as error:
                problems += error.problems
        if problems:
            raise InputError(*problems)
        return files

    def draw(self, masks: Masks, count: int, draws: ArrayDraws, space: Workspace) -> DrawnMasks:
        """Return `count` masks; raises `ValueError` where a source hardly ever keeps to the limits."""
        chosen = self._chosen(draws)
        drawn = np.empty((count, *masks.shape[1:]), masks.dtype)
        records: list[Record] = [{}] * count
        for k, one in enumerate(self.mix):
            places = np.flatnonzero(chosen == k)
            if len(places):
                part = self._within_limits(one, masks, draws[places], _corner(space, k, one.name))
                drawn[places] = part.masks
                for place, record in zip(places, part.records, strict=True):
                    records[place] = record
        keep_drift(shows(drawn), shows(masks), space)
        return DrawnMasks(drawn, tuple(records))

    def _chosen(self, draws: ArrayDraws) -> NDArray[np.int64]:
        """Return which source each mask comes from, int64 (count,)."""
        ends = np.cumsum([one.weight for one in self.mix])
        return np.searchsorted(ends[:-1] / ends[-1], draws.uniform("source"), side="right")

    def _within_limits(self, one: Weighted, masks: Masks, draws: ArrayDraws, space: Workspace) -> DrawnMasks:
        """Return a mask within the limits for every sample of the draws."""
        drawn = np.empty((len(draws), *masks.shape[1:]), masks.dtype)
        records: list[Record] = [{}] * len(draws)
        pending = np.arange(len(draws))
        broken: list[str] = []
        for attempt in range(ATTEMPTS):
            # Only the first attempt is told to the log; the others would repeat it.
            where = space if attempt == 0 else replace(space, log=SilentLog())
            part = one.source.draw(masks, len(pending), draws[pending].fork(f"attempt {attempt}"), where)
            broken = [self._broken(mask) for mask in shows(part.masks)]
            for place, mask, record in zip(pending, part.masks, part.records, strict=True):
                drawn[place] = mask
                records[place] = {"source": one.name, "redraws": attempt, **record}
            pending = pending[[limit != "" for limit in broken]]
            if not len(pending):
                break
        else:
            raise ValueError(self._never(one.name, broken, len(draws)))
        redrawn = sum(int(record["redraws"] != 0) for record in records)
        space.log.note(f"{len(draws)} masks from {one.name}, {redrawn} of them drawn again to keep to the limits")
        return DrawnMasks(drawn, tuple(records))

    def _broken(self, mask: Masks) -> str:
        """Return the first limit that a mask, bool (H, W), breaks, or nothing."""
        if not self.area[0] <= mask.mean() <= self.area[1]:
            return "area"
        if self.border == "forbidden" and any(side.any() for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1])):
            return "border"
        if self.parts is not None and not self.parts[0] <= count_parts(mask) <= self.parts[1]:
            return "parts"
        return ""

    def _never(self, name: str, broken: Sequence[str], count: int) -> str:
        left = [limit for limit in broken if limit]
        limits = ", ".join(f"{limit} ({left.count(limit)})" for limit in dict.fromkeys(left))
        return (
            f"{len(left)} of {count} masks from {name} still break limits after {ATTEMPTS} drawings: {limits}; "
            f"widen the limits, or change the options of {name}"
        )


def _corner(space: Workspace, k: int, name: str) -> Workspace:
    """Return a folder of its own for one source of the mixture."""
    folder = space.folder / f"{k}-{name}"
    folder.mkdir(exist_ok=True)
    return replace(space, folder=folder)

"""Shapes drawn from a model of the training masks, the Mask2Lesion paper's Figure 3 (e) and (f)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from augkit import ArrayDraws, AtLeast, DrawnMasks, Masks, Takes, Within, Workspace
from augkit_masks.kept_model import fit_or_find, meaning
from augkit_masks.moments import moments
from augkit_masks.representations import Representation
from augkit_masks.shape_model import ShapeModel, refusal, shift
from augkit_masks.validity import Limits, make_one_object

Weights = NDArray[np.float32]

_FURTHEST = 2.0
"""Standard deviations at which a normally drawn weight is clipped."""

_GATE = 0.99
"""Share of a normal population within the ellipsoid that drawn weights are kept to."""

_HALVINGS = 10
_EVERY = 256


@dataclass(frozen=True)
class Pca:
    """Shapes drawn from the principal components of the training masks; needs masks that show one object each.

    By default all components are drawn at once as the training masks have them: independent normal weights, clipped at
    2 standard deviations and kept within the ellipsoid of 99 % of a normal population (Cootes et al., CVIU 1995).

    representation: how shapes are compared. ``sdm`` (signed distance) keeps shapes whole; ``pixel`` has the ragged
                    edges of the paper's figure; ``logodds`` is between the two; ``landmark`` follows the outline.
    centred:        compare shapes about their centroids; otherwise place is part of the shape and comes first.
    modes:          how many components the model keeps.
    vary:           ``all`` components, or the one that has most to do with ``size`` or with ``orientation`` (elongation
                    along the diagonals), whichever number it has in these masks.
    components:     the numbers of the components to vary instead, 1 for the strongest; the paper shows [1, 3].
    range:          smallest and largest weight in standard deviations, drawn uniformly, instead of normal weights; the
                    paper's is [-1, 1].
    levels:         that many evenly spaced weights over the range instead of drawn ones: all levels of one component,
                    the others 0, then of the next, and from the start again.
    place:          ``centre`` leaves centred shapes there; ``training`` moves each to the place of a training mask, as
                    far as it then does not leave the frame.
    area:           smallest and largest share of the frame that a shape may cover, 0..1.
    opening:        radius in pixels of the opening that removes thin spurs; 0 for none.

    It takes one class: shapes of several, drawn one by one, would lie over each other or apart; `elastic` deforms label
    maps as a whole.

    Every mask is one part without holes. A shape that is not becomes its largest part with holes filled; if it is then
    empty or beyond `area`, its weights are drawn towards the mean shape until it is not. A record holds ``weights`` as
    asked for, ``effective`` as used, and ``repaired``: whether any of this happened.

    The model is kept with the masks: ``pca.json`` says what each component has to do with, ``mean.npy`` and
    ``components.npy`` hold its numbers.
    """

    representation: Representation = "sdm"
    centred: bool = True
    modes: Annotated[int, Within(1, 50)] = 10
    vary: Literal["all", "size", "orientation"] = "all"
    components: tuple[Annotated[int, AtLeast(1)], ...] = ()
    range: tuple[float, float] | None = None
    levels: Annotated[int, Within(2, 101)] | None = None
    place: Literal["centre", "training"] = "centre"
    area: tuple[float, float] = (0.005, 0.9)
    opening: Annotated[int, Within(0, 5)] = 0
    takes = Takes(
        None,
        None,
        None,
        why="several shapes, drawn one by one, would lie over each other; elastic moves label maps",
    )

    def __post_init__(self) -> None:
        faults = [*self._faults_of_choice(), *self._faults_of_range()]
        if not 0 < self.area[0] < self.area[1] <= 1:
            faults.append(f"area is {list(self.area)}; allowed: 0 < smallest < largest <= 1")
        if self.place == "training" and not self.centred:
            faults.append("place is training; allowed with centred: true, as place is otherwise part of the shape")
        if faults:
            raise ValueError("; ".join(faults))

    def draw(self, masks: Masks, count: int, draws: ArrayDraws, space: Workspace) -> DrawnMasks:
        """Return `count` shapes of the training masks' size; raises `InputError` for masks without a shape model."""
        return self.draw_part(masks, count, 0, count, draws, space)

    def draw_part(
        self, masks: Masks, count: int, start: int, stop: int, draws: ArrayDraws, space: Workspace
    ) -> DrawnMasks:
        """Return some of them; the model is fitted again for each part."""
        model = fit_or_find(masks, self.representation, self.centred, self.modes, space.folder, space.log)
        limits = Limits(self.area, self.opening)
        _require_valid_mean(model, limits)
        varied = self._varied(model)
        if self.vary != "all":
            space.log.note(f"{self.vary} is component {varied[0] + 1}: {meaning(model, varied[0])}")
        weights = self._weights(varied, len(model.components), count, draws)[start:stop]
        count, draws = stop - start, draws[start:stop]
        drawn = np.empty((count, *model.size), np.bool_)
        records: list[dict[str, Any]] = []
        for i, asked in enumerate(weights):
            drawn[i], effective, repaired = draw_valid(model, asked, limits)
            records.append({"weights": _rounded(asked), "effective": _rounded(effective), "repaired": repaired})
            if (i + 1) % _EVERY == 0 or i + 1 == count:
                space.log.progress(i + 1, count, {})
        repairs = sum(record["repaired"] for record in records)
        space.log.note(f"{repairs} of {count} drawn shapes ({repairs / max(count, 1):.1%}) were repaired")
        return self._placed(drawn, records, masks, draws)

    def weights(self, masks: Masks, space: Workspace) -> Sequence[str]:
        """Return what each component of the model has to do with."""
        model = fit_or_find(masks, self.representation, self.centred, self.modes, space.folder, space.log)
        return [f"{k + 1}: {meaning(model, k)}" for k in range(len(model.components))]

    def shaped(self, masks: Masks, weights: Sequence[float], space: Workspace) -> Masks:
        """Return the valid mask nearest to these weights of the components, bool (H, W)."""
        model = fit_or_find(masks, self.representation, self.centred, self.modes, space.folder, space.log)
        limits = Limits(self.area, self.opening)
        _require_valid_mean(model, limits)
        return draw_valid(model, np.array(weights, np.float32), limits).mask

    def _faults_of_choice(self) -> list[str]:
        faults = []
        if self.components and self.vary != "all":
            faults.append(f"components and vary: {self.vary} are both given; allowed: one of them")
        if len(set(self.components)) < len(self.components):
            faults.append(f"components is {list(self.components)}; allowed: each number once")
        beyond = [number for number in self.components if number > self.modes]
        if beyond:
            faults.append(f"components is {list(self.components)}; allowed: 1 .. {self.modes}, the modes")
        return faults

    def _faults_of_range(self) -> list[str]:
        faults = []
        if self.range is not None and not -3 <= self.range[0] < self.range[1] <= 3:
            faults.append(f"range is {list(self.range)}; allowed: -3 <= smallest < largest <= 3 standard deviations")
        if self.levels is not None and self.range is None:
            faults.append("levels needs a range; write 'range: [-1, 1]'")
        return faults

    def _varied(self, model: ShapeModel) -> Sequence[int]:
        """Return the indices of the components to vary."""
        there = len(model.components)
        missing = [number for number in self.components if number > there]
        if missing:
            raise refusal(f"components is {list(self.components)}; these training masks have {there} components")
        if self.components:
            return [number - 1 for number in self.components]
        if self.vary == "all":
            return list(range(there))
        return [model.most_like("area" if self.vary == "size" else "diagonal elongation")]

    def _weights(self, varied: Sequence[int], there: int, count: int, draws: ArrayDraws) -> Weights:
        """Return float32 (count, there), 0 along components that are not varied."""
        weights = np.zeros((count, there), np.float32)
        if self.levels is not None and self.range is not None:
            levels = np.linspace(*self.range, self.levels)
            i = np.arange(count)
            weights[i, np.asarray(varied)[i // self.levels % len(varied)]] = levels[i % self.levels]
        elif self.range is not None:
            weights[:, varied] = draws.uniform("weights", *self.range, shape=(there,))[:, varied]
        else:
            weights[:, varied] = _within_gate(draws.normal("weights", shape=(there,))[:, varied])
        return weights

    def _placed(self, drawn: Masks, records: list[dict[str, Any]], masks: Masks, draws: ArrayDraws) -> DrawnMasks:
        if self.place == "training":
            objects = np.flatnonzero(np.asarray(masks).any(axis=(1, 2)))
            chosen = objects[draws.integers("place", 0, len(objects))]
            places = moments(np.asarray(masks)[chosen])
            for i, record in enumerate(records):
                way = _way_inside(drawn[i], round(float(places.y[i])), round(float(places.x[i])))
                drawn[i] = shift(drawn[i], *way)
                record["moved"] = [float(step) for step in way]
        return DrawnMasks(drawn, tuple(records))


class ValidMask(NamedTuple):
    """A valid mask, the weights it has, and whether it is anything but the plain shape of the weights asked for."""

    mask: Masks
    effective: Weights
    repaired: bool


def draw_valid(model: ShapeModel, weights: Weights, limits: Limits) -> ValidMask:
    """Return the valid mask nearest to float32 (K,) `weights`, on the line from them to the mean shape, which is valid.

    The opening, which was asked for, is no repair.
    """
    plain = model.mask(weights)
    closed = make_one_object(plain)
    mask = make_one_object(plain, limits.opening) if limits.opening else closed
    if limits.allow(mask):
        return ValidMask(mask, weights, closed is not plain)
    low, high = 0.0, 1.0
    best, part = make_one_object(model.mask(np.zeros_like(weights)), limits.opening), 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        mask = make_one_object(model.mask(weights * np.float32(middle)), limits.opening)
        if limits.allow(mask):
            low, best, part = middle, mask, middle
        else:
            high = middle
    return ValidMask(best, weights * np.float32(part), True)


def _require_valid_mean(model: ShapeModel, limits: Limits) -> None:
    mean = make_one_object(model.mask(np.zeros(len(model.components), np.float32)), limits.opening)
    if not limits.allow(mean):
        smallest, largest = limits.area
        raise refusal(
            f"the mean shape covers {mean.mean():.2%} of the frame; allowed by area: {smallest:.2%} .. {largest:.2%}. "
            "Change area or, where objects are in different places, write 'centred: true'"
        )


def _within_gate(weights: Weights) -> Weights:
    """Return normal weights float32 (N, K), clipped and then shortened to the ellipsoid that they left."""
    from scipy.special import gammaincinv

    clipped = np.clip(weights, -_FURTHEST, _FURTHEST)
    longest = np.sqrt(2 * gammaincinv(weights.shape[1] / 2, _GATE))  # the quantile of chi squared
    length = np.linalg.norm(clipped, axis=1, keepdims=True)
    within: Weights = (clipped * np.minimum(1, longest / np.maximum(length, 1e-9))).astype(np.float32)
    return within


def _way_inside(mask: Masks, down: int, right: int) -> tuple[int, int]:
    """Return (down, right), shortened where the object would otherwise leave the frame."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    y = min(max(down, -int(rows[0])), height - 1 - int(rows[-1]))
    x = min(max(right, -int(columns[0])), width - 1 - int(columns[-1]))
    return y, x


def _rounded(weights: Weights) -> list[float]:
    return [round(float(weight), 4) for weight in weights]

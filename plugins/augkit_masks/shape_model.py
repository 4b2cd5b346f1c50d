"""A linear shape model: the mean shape of a population of masks and the directions in which its shapes differ most.

Principal components of one of four representations of a mask, as in Leventon, Grimson & Faugeras (CVPR 2000) and
Cootes et al. (CVIU 1995).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from augkit import InputError, Masks, Problem
from augkit_masks.moments import Moments, moments
from augkit_masks.representations import Representation, Vectors, decode, encode, vector_length
from augkit_masks.validity import count_parts, fill_holes, largest_part

MOST_PARTED = 0.2
"""The largest share of masks with several parts; beyond it the masks show many objects, which have no mean shape."""

_MOST_VALUES = 2**26
"""Numbers that a fit looks at (268 MB): 4,096 masks of 128 x 128. More masks do not change a model of few modes."""

_NEGLIGIBLE = 1e-6
"""Variance, as a share of the first component's, below which a component is rounding."""


_ROUNDS = 8
"""Blocks of the Krylov iteration: with 8 the variances of ISIC 2017's masks agree with the exact ones to 5e-7."""

_SPARE = 10
"""Columns of a block beyond the wanted components."""


class Preparation(NamedTuple):
    """What was done to the training masks before the fit, as numbers of masks.

    used: in the fit; empty: left out; parted: reduced to the largest part; holed: filled.
    """

    used: int
    empty: int
    parted: int
    holed: int


@dataclass(frozen=True)
class ShapeModel:
    """A mean and K components; a weight of 1 along a component is one standard deviation of the population.

    size:         (H, W).
    mean:         float32 (D,).
    components:   float32 (K, D), strongest first, each scaled to one standard deviation. Along +1 the area grows or,
                  where a component has more to do with the diagonal elongation, that one does.
    shares:       float64 (K,), the share of the variance that a component has, 0..1.
    correlations: descriptor -> float64 (K,): Pearson's r over the population between a component's weights and area,
                  centroid x and y, axis-aligned and diagonal elongation (see `Moments`); 0 where one is constant.
    """

    representation: Representation
    size: tuple[int, int]
    mean: Vectors
    components: Vectors
    shares: NDArray[np.float64]
    correlations: Mapping[str, NDArray[np.float64]]

    def mask(self, weights: NDArray[np.float32]) -> Masks:
        """Return bool (H, W) for float32 (K,) weights; it may have holes, several parts or nothing inside."""
        return decode(self.mean + weights @ self.components, self.representation, *self.size)

    def most_like(self, descriptor: str) -> int:
        """Return the index of the component whose weights have most to do with a descriptor."""
        return int(np.abs(self.correlations[descriptor]).argmax())


def refusal(what: str) -> InputError:
    """Return the error for training masks that have no shape model, or not the one that was asked for."""
    return InputError(Problem("pca", what))


def fit_shape_model(
    masks: Masks, representation: Representation, centred: bool, modes: int
) -> tuple[ShapeModel, Preparation]:
    """Return the model of bool (N, H, W) with at most `modes` components, and what was done to the masks first.

    centred: move every mask's centroid to the frame's middle first; otherwise the strongest components are the place.
    Raises `InputError` for masks that have no shape model.
    """
    shapes, preparation = prepare(_some(masks, representation), centred)
    vectors = encode(shapes, representation)
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    if (vectors == vectors[0]).all():
        raise refusal(f"all {len(shapes)} training masks are equal; allowed: masks of different shape")
    vectors -= mean
    directions, variances, total = principal_components(vectors, modes)
    scores = vectors @ directions.T
    correlations, signs = _described(scores, moments(shapes))
    components = directions * (signs * np.sqrt(variances))[:, None].astype(np.float32)
    size = (masks.shape[1], masks.shape[2])
    return ShapeModel(representation, size, mean, components, variances / total, correlations), preparation


def prepare(masks: Masks, centred: bool) -> tuple[Masks, Preparation]:
    """Return bool (n, H, W), one part without holes each, centred if asked; empty masks are left out."""
    shapes = masks[masks.any(axis=(1, 2))]
    if len(shapes) < 2:
        raise refusal(f"{len(shapes)} of {len(masks)} training masks show an object; a shape model needs 2 or more")
    parted = np.array([count_parts(mask) > 1 for mask in shapes])
    if parted.mean() > MOST_PARTED:
        raise refusal(
            f"{parted.sum()} of {len(masks)} training masks ({parted.mean():.0%}) have more than one part; allowed: "
            f"{MOST_PARTED:.0%}, each then reduced to its largest part. A shape model of many objects has no meaning: "
            "use another mask source"
        )
    holed = 0
    for i, mask in enumerate(shapes):
        whole = fill_holes(mask)
        holed += whole is not mask
        shapes[i] = largest_part(whole) if parted[i] else whole
    done = Preparation(len(shapes), len(masks) - len(shapes), int(parted.sum()), holed)
    return (_centre(shapes) if centred else shapes), done


def shift(mask: Masks, down: int, right: int) -> Masks:
    """Return bool (H, W) moved by whole pixels; what leaves the frame is cut, what enters is background."""
    height, width = mask.shape
    moved = np.zeros_like(mask)
    y, x = max(down, 0), max(right, 0)
    part = mask[max(-down, 0) : height - y, max(-right, 0) : width - x]
    moved[y : y + part.shape[0], x : x + part.shape[1]] = part
    return moved


def principal_components(vectors: Vectors, modes: int) -> tuple[Vectors, NDArray[np.float64], float]:
    """Return float32 (K, D) orthonormal directions, their float64 (K,) variances (ddof 1), and the total variance.

    vectors: float32 (N, D) with mean 0. The thin singular value decomposition within a space that holds the leading
    directions (see `_leading_space`); K is at most `modes` and leaves out what is rounding.
    """
    count = len(vectors)
    space = _leading_space(vectors, modes)
    within = vectors if space is None else space.T @ vectors
    gram = (within @ within.T if len(within) <= vectors.shape[1] else within.T @ within).astype(np.float64)
    values, sides = np.linalg.eigh(gram)
    order = values.argsort()[::-1][: min(modes, count - 1)]
    values, leading = values[order], sides[:, order].T.astype(np.float32)
    kept = (values > _NEGLIGIBLE * max(values[0], 0)) & (values > 0)
    directions = leading[kept] @ within if len(within) <= vectors.shape[1] else leading[kept]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    total = float(np.einsum("nd,nd->", vectors, vectors, dtype=np.float64))
    return directions, values[kept] / (count - 1), total / (count - 1)


def _leading_space(vectors: Vectors, modes: int) -> NDArray[np.float32] | None:
    """Return float32 (N, B), an orthonormal basis that holds the leading left singular vectors; None for few vectors.

    Block Krylov iteration (Musco & Musco, NeurIPS 2015, arXiv:1504.05477): a few products with a narrow block instead
    of all N x N inner products. The first block is fixed, not random, so that equal masks give equal models.
    """
    width = modes + _SPARE
    if len(vectors) < 4 * _ROUNDS * width:
        return None
    block = np.cos(np.outer(np.arange(len(vectors)), np.arange(1, width + 1))).astype(np.float32)
    blocks = []
    for _ in range(_ROUNDS):
        block = np.linalg.qr(block)[0]
        blocks.append(block)
        block = vectors @ (block.T @ vectors).T
    space: NDArray[np.float32] = np.linalg.qr(np.hstack(blocks))[0]
    return space


def _some(masks: Masks, representation: Representation) -> Masks:
    """Return all masks or, where they are more than a fit looks at, evenly spaced ones."""
    count, height, width = masks.shape
    most = max(256, _MOST_VALUES // vector_length(representation, height, width))
    return np.asarray(masks if count <= most else masks[np.linspace(0, count - 1, most).round().astype(int)])


def _centre(masks: Masks) -> Masks:
    """Return bool (N, H, W) with every mask's centroid moved to the frame's middle."""
    place = moments(masks)
    moves = zip(masks, place.y.tolist(), place.x.tolist(), strict=True)
    return np.stack([shift(mask, -round(down), -round(right)) for mask, down, right in moves])


def _described(
    scores: NDArray[np.float32], found: Moments
) -> tuple[Mapping[str, NDArray[np.float64]], NDArray[np.float64]]:
    """Return the correlations of float32 (N, K) scores, and the float64 (K,) signs that make +1 mean more."""
    names = {"area": "area", "x": "centroid x", "y": "centroid y", "axis": "axis elongation"}
    fields = {**names, "diagonal": "diagonal elongation"}
    r = {name: _correlation(scores.astype(np.float64), getattr(found, field)) for field, name in fields.items()}
    area, diagonal = r["area"], r["diagonal elongation"]
    signs = np.where(np.where(np.abs(area) >= np.abs(diagonal), area, diagonal) < 0, -1.0, 1.0)
    return {name: signs * values for name, values in r.items()}, signs


def _correlation(scores: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = scores - scores.mean(axis=0), values - values.mean()
    scale = np.sqrt((x**2).sum(axis=0) * (y**2).sum())
    if y.std() < 1e-6:
        return np.zeros(scores.shape[1])
    r: NDArray[np.float64] = (x * y[:, None]).sum(axis=0) / scale
    return r

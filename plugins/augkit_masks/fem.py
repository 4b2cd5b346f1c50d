"""In-plane vibration modes of an elastic plate by the finite-element method.

The plate is the image frame: its longer side has length 1; plane stress, Young's modulus 1, Poisson's ratio 0.3,
density 1, thickness 1. It is cut into equal four-node bilinear rectangles (Q4) with consistent mass, integrated by
2 x 2 Gauss points (Zienkiewicz & Taylor, The Finite Element Method, vol. 1). The reference for its frequencies is
Bardell, Langley & Dunsdon, Journal of Sound and Vibration 191 (1996) 459-467.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csc_array

Boundary = Literal["clamped", "sliding", "free"]
"""`clamped`: the border does not move. `sliding`: it moves along itself only. `free`: it moves as it likes."""

Reals = NDArray[np.float64]

POISSON = 0.3
_TWINS = 1e-6
"""Modes whose frequencies differ by less than this share belong to one eigenvalue."""

_PAST_THE_LAST = 3
"""Modes computed beyond those asked for, to see whether the last one has a twin."""


@dataclass(frozen=True)
class Modes:
    """The slowest vibrations of a plate, slowest first; equal frequencies are never torn apart.

    omega:  float64 (K,), angular frequencies in 1/time units of the plate.
    shapes: float64 (K, 2, ny + 1, nx + 1), displacement (y, x) at the nodes; the mean square over the plate, x and y
            together, is 1 / area.
    """

    omega: Reals
    shapes: Reals


@lru_cache(maxsize=8)
def lowest_modes(nx: int, ny: int, width: float, height: float, boundary: Boundary, count: int) -> Modes:
    """Return at least `count` modes of a plate of nx x ny elements; one or two more where the last one has a twin.

    Rigid motions of a free plate are left out. Signs, and the choice within an eigenvalue that several modes share, are
    fixed by rule; the arrays are read-only.
    """
    stiffness, mass = matrices(nx, ny, width / nx, height / ny)
    moving = moving_dofs(nx, ny, boundary)
    k, m = stiffness[moving][:, moving], mass[moving][:, moving]
    rigid = 3 if boundary == "free" else 0
    squares, vectors = _solve(k, m, min(count + rigid + _PAST_THE_LAST, len(moving) - 2), rigid > 0)
    omega, vectors = np.sqrt(np.maximum(squares[rigid:], 0)), vectors[:, rigid:]
    groups = _groups(omega)
    kept = next((end for _, end in groups if end >= count), len(omega))
    shapes = np.zeros((kept, 2 * (nx + 1) * (ny + 1)))
    for begin, end in groups:
        if end <= kept:
            shapes[begin:end, moving] = _canonical(vectors[:, begin:end], m).T
    shapes = shapes.reshape(kept, ny + 1, nx + 1, 2)[..., ::-1].transpose(0, 3, 1, 2).copy()
    omega = omega[:kept].copy()
    omega.flags.writeable = shapes.flags.writeable = False
    return Modes(omega, shapes)


def matrices(nx: int, ny: int, hx: float, hy: float) -> tuple[csc_array, csc_array]:
    """Return stiffness and mass, sparse (2 N, 2 N), of nx x ny elements of size hx x hy.

    Node (row j, column i) has the number n = j (nx + 1) + i; its displacement in x has the index 2 n, in y 2 n + 1.
    """
    from scipy.sparse import coo_array

    corner = (np.arange(ny)[:, None] * (nx + 1) + np.arange(nx)).ravel()
    nodes = corner[:, None] + np.array([0, 1, nx + 2, nx + 1])
    dofs = (2 * nodes[:, :, None] + np.arange(2)).reshape(len(nodes), 8)
    rows, columns = np.repeat(dofs, 8, axis=1).ravel(), np.tile(dofs, (1, 8)).ravel()
    size = 2 * (nx + 1) * (ny + 1)
    stiffness, mass = (
        coo_array((np.tile(block.ravel(), len(nodes)), (rows, columns)), shape=(size, size)).tocsc()
        for block in element(hx, hy)
    )
    return stiffness, mass


def element(hx: float, hy: float) -> tuple[Reals, Reals]:
    """Return stiffness and consistent mass, (8, 8), of one element; corners anticlockwise from (0, 0)."""
    law = np.array([[1, POISSON, 0], [POISSON, 1, 0], [0, 0, (1 - POISSON) / 2]]) / (1 - POISSON**2)
    stiffness, mass = np.zeros((8, 8)), np.zeros((8, 8))
    gauss = np.array([-1, 1]) / np.sqrt(3)
    for xi in gauss:
        for eta in gauss:
            strain, value = _strain_and_value(float(xi), float(eta), hx, hy)
            stiffness += strain.T @ law @ strain * hx * hy / 4
            mass += value.T @ value * hx * hy / 4
    return stiffness, mass


def _strain_and_value(xi: float, eta: float, hx: float, hy: float) -> tuple[Reals, Reals]:
    """Return the matrices that turn corner displacements (8,) into strains (3,) and displacement (2,) at one point."""
    sx, sy = np.array([-1, 1, 1, -1]), np.array([-1, -1, 1, 1])
    weight = (1 + sx * xi) * (1 + sy * eta) / 4
    by_x, by_y = sx * (1 + sy * eta) / (2 * hx), sy * (1 + sx * xi) / (2 * hy)
    strain, value = np.zeros((3, 8)), np.zeros((2, 8))
    strain[0, 0::2] = strain[2, 1::2] = by_x
    strain[1, 1::2] = strain[2, 0::2] = by_y
    value[0, 0::2] = value[1, 1::2] = weight
    return strain, value


def moving_dofs(nx: int, ny: int, boundary: Boundary) -> NDArray[np.int64]:
    """Return the indices, ascending, of the displacements that the boundary leaves free."""
    moves = np.ones((ny + 1, nx + 1, 2), np.bool_)
    if boundary == "clamped":
        moves[[0, -1]] = moves[:, [0, -1]] = False
    elif boundary == "sliding":
        moves[:, [0, -1], 0] = moves[[0, -1], :, 1] = False
    return np.flatnonzero(moves)


def _solve(k: csc_array, m: csc_array, count: int, singular: bool) -> tuple[Reals, Reals]:
    """Return the lowest eigenvalues, ascending, and their vectors in columns, orthonormal in `m`."""
    from scipy.sparse.linalg import eigsh

    # A constant start vector would share the plate's symmetries and miss the modes that do not.
    start = 1 + np.sin(np.arange(1, k.shape[0] + 1))
    values, vectors = eigsh(k, count, m, sigma=-1e-2 if singular else 0.0, which="LM", v0=start)
    order = np.argsort(values, kind="stable")
    return values[order], vectors[:, order]


def _groups(omega: Reals) -> list[tuple[int, int]]:
    """Return (begin, end) of every run of equal frequencies."""
    breaks = np.flatnonzero(np.diff(omega) > _TWINS * omega[1:]) + 1
    edges = [0, *(int(i) for i in breaks), len(omega)]
    return list(pairwise(edges))


def _canonical(vectors: Reals, mass: csc_array) -> Reals:
    """Return the basis of one eigenvalue's space that a fixed rule singles out, orthonormal in the mass.

    A solver returns any rotation of twins, and any sign. Here the basis diagonalises a weight without symmetry, and the
    first of a vector's largest components is positive.
    """
    vectors = vectors @ np.linalg.inv(np.linalg.cholesky(vectors.T @ (mass @ vectors))).T
    if vectors.shape[1] > 1:
        weight = np.linspace(1, 2, len(vectors)) ** 2 * (1 + np.arange(len(vectors)) % 2)
        vectors = vectors @ np.linalg.eigh(vectors.T @ (weight[:, None] * vectors))[1]
    size = np.abs(vectors)
    # Components that symmetry makes equal differ in their last bits; the tolerance makes the first of them win.
    first = np.argmax(size > (1 - 1e-6) * size.max(axis=0), axis=0)
    signed: Reals = vectors * np.sign(vectors[first, np.arange(vectors.shape[1])])
    return signed

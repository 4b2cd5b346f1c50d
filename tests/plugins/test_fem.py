import math

import numpy as np
import pytest

from augkit_masks.fem import POISSON, _canonical, element, lowest_modes, matrices, moving_dofs

# Frequencies Omega = omega a sqrt(rho (1 - nu^2) / E) of a square plate.
TABLE = [
    ("sliding", 32, [2.630, 3.143, 3.143, 4.164, 4.164, 4.444]),
    ("free", 32, [2.323, 2.475, 2.475, 2.630, 2.991, 3.454]),
    ("free", 64, [2.321, 2.472, 2.472, 2.629, 2.988, 3.453]),
    ("clamped", 32, [3.558, 3.558, 4.243, 5.193, 5.875, 5.916]),
    ("clamped", 64, [3.556, 3.556, 4.237, 5.188, 5.863, 5.900]),
]
BARDELL = {
    "free": [2.321, 2.472, 2.472, 2.628, 2.987, 3.452],
    "clamped": [3.555, 3.555, 4.235, 5.186, 5.859, 5.895],
}


def frequencies(boundary, n, count=6):
    return lowest_modes(n, n, 1.0, 1.0, boundary, count).omega[:count] * math.sqrt(1 - POISSON**2)


def vectors(modes):
    """Modes as rows of node displacements in the order of the matrices."""
    return modes.shapes[:, ::-1].transpose(0, 2, 3, 1).reshape(len(modes.omega), -1)


def grid(nx, ny, width, height):
    y, x = np.mgrid[: ny + 1, : nx + 1]
    return x.ravel() * width / nx, y.ravel() * height / ny


def interleave(in_x, in_y):
    return np.stack([in_x, in_y], axis=1).ravel()


@pytest.mark.parametrize(("boundary", "n", "expected"), TABLE)
def test_a_square_plate_has_the_tabulated_frequencies(boundary, n, expected):
    assert np.abs(frequencies(boundary, n) - expected).max() < 5.1e-4


def test_a_sliding_plate_converges_to_the_analytic_frequencies_from_above_with_the_square_of_the_element_size():
    shear = math.sqrt((1 - POISSON) / 2)
    exact = np.array([math.pi * shear * math.sqrt(2), math.pi, math.pi, math.pi * math.sqrt(2)])
    errors = np.array([frequencies("sliding", n)[[0, 1, 2, 5]] - exact for n in (8, 16, 32)])
    assert (errors > 0).all()
    assert np.allclose(errors[:-1] / errors[1:], 4, rtol=0.05)


@pytest.mark.parametrize("boundary", ["free", "clamped"])
def test_free_and_clamped_plates_converge_to_the_published_frequencies_from_above(boundary):
    coarse, fine = (frequencies(boundary, n) - BARDELL[boundary] for n in (16, 32))
    assert (fine > -5e-4).all()
    assert (coarse > 2.5 * fine).all()


def test_a_free_plate_has_three_rigid_modes_which_are_left_out():
    stiffness, mass = matrices(6, 4, 0.2, 0.2)
    x, y = grid(6, 4, 1.2, 0.8)
    rigid = np.stack([interleave(x * 0 + 1, y * 0), interleave(x * 0, y * 0 + 1), interleave(-y, x)])
    assert np.abs(stiffness @ rigid.T).max() < 1e-12
    values = np.linalg.eigvalsh(stiffness.toarray())
    assert (np.abs(values[:3]) < 1e-12).all()
    assert values[3] > 1e-3
    modes = lowest_modes(6, 4, 1.2, 0.8, "free", 5)
    assert modes.omega[0] > 0.5
    assert np.abs(vectors(modes) @ mass @ rigid.T).max() < 1e-12


def test_the_stiffness_is_symmetric_and_positive_semidefinite():
    stiffness, mass = (matrix.toarray() for matrix in matrices(5, 7, 0.3, 0.1))
    assert np.abs(stiffness - stiffness.T).max() < 1e-15
    assert np.linalg.eigvalsh(stiffness).min() > -1e-12
    assert np.linalg.eigvalsh(mass).min() > 0


def test_a_linear_displacement_has_exactly_its_constant_strain():
    nx, ny, hx, hy = 5, 4, 0.2, 0.3
    stiffness, _ = matrices(nx, ny, hx, hy)
    x, y = grid(nx, ny, nx * hx, ny * hy)
    moved = interleave(0.1 + 0.5 * x - 0.2 * y, 0.3 * x + 0.4 * y)
    strain = np.array([0.5, 0.4, -0.2 + 0.3])
    law = np.array([[1, POISSON, 0], [POISSON, 1, 0], [0, 0, (1 - POISSON) / 2]]) / (1 - POISSON**2)
    energy = strain @ law @ strain * nx * hx * ny * hy / 2
    assert moved @ (stiffness @ moved) / 2 == pytest.approx(energy, rel=1e-12)
    assert np.abs((stiffness @ moved)[moving_dofs(nx, ny, "clamped")]).max() < 1e-13


def test_the_mass_of_an_element_is_its_area_in_each_direction():
    _, mass = element(0.2, 0.7)
    assert mass[0::2, 0::2].sum() == pytest.approx(0.14)
    assert mass[1::2, 1::2].sum() == pytest.approx(0.14)
    assert not mass[0::2, 1::2].any()


@pytest.mark.parametrize("boundary", ["clamped", "sliding", "free"])
def test_modes_are_orthonormal_in_the_mass_and_solve_the_eigenproblem(boundary):
    stiffness, mass = matrices(32, 20, 1 / 32, 0.625 / 20)
    modes = lowest_modes(32, 20, 1.0, 0.625, boundary, 12)
    flat = vectors(modes)
    assert np.abs(flat @ (mass @ flat.T) - np.eye(len(flat))).max() < 1e-12
    residual = (stiffness @ flat.T - mass @ flat.T * modes.omega**2)[moving_dofs(32, 20, boundary)]
    assert np.abs(residual).max() < 1e-10


def test_a_clamped_border_does_not_move_and_a_sliding_one_moves_along_itself_only():
    clamped = lowest_modes(12, 8, 1.5, 1.0, "clamped", 6).shapes
    assert not clamped[:, :, [0, -1]].any()
    assert not clamped[:, :, :, [0, -1]].any()
    sliding = lowest_modes(12, 8, 1.5, 1.0, "sliding", 6).shapes
    assert not sliding[:, 0, [0, -1]].any()
    assert not sliding[:, 1, :, [0, -1]].any()
    assert np.abs(sliding[:, 1, [0, -1]]).max() > 0.1


def test_the_slowest_mode_of_a_wide_sliding_plate_is_a_sine_in_x():
    modes = lowest_modes(32, 16, 1.0, 0.5, "sliding", 4)
    # A mean square of 1 / area makes the amplitude 2, but for the mass of linear elements.
    sine = np.sin(np.pi * np.linspace(0, 1, 33))
    assert np.abs(modes.shapes[0, 1] / modes.shapes[0, 1].max() - sine).max() < 1e-9
    assert modes.shapes[0, 1].max() == pytest.approx(2, rel=2e-3)
    assert np.abs(modes.shapes[0, 0]).max() < 1e-9


def test_modes_of_equal_frequency_are_not_torn_apart():
    assert len(lowest_modes(16, 16, 1.0, 1.0, "clamped", 1).omega) == 2
    assert len(lowest_modes(16, 16, 1.0, 1.0, "clamped", 2).omega) == 2
    assert len(lowest_modes(16, 16, 1.0, 1.0, "clamped", 3).omega) == 3


def test_signs_and_twins_are_the_same_whatever_the_solver_returns():
    _, mass = matrices(16, 16, 1 / 16, 1 / 16)
    moving = moving_dofs(16, 16, "clamped")
    twins = vectors(lowest_modes(16, 16, 1.0, 1.0, "clamped", 2))[:, moving].T
    turned = twins @ np.array([[math.cos(2), math.sin(2)], [math.sin(2), -math.cos(2)]])
    assert np.abs(turned - twins).max() > 0.1
    assert np.abs(_canonical(turned, mass[moving][:, moving]) - twins).max() < 1e-12


def test_a_second_solution_has_the_same_bits():
    first = lowest_modes(10, 9, 1.0, 0.9, "free", 7).shapes
    lowest_modes.cache_clear()
    assert np.array_equal(first, lowest_modes(10, 9, 1.0, 0.9, "free", 7).shapes)
    assert not first.flags.writeable

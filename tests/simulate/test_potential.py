"""Projected potentials and transmission functions."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import j0

from fastpty.optics import interaction_parameter
from fastpty.simulate.potential import (
    assign_slices,
    frozen_slices,
    projected_potential,
    smeared_slices,
    transmission_function,
)
from fastpty.simulate.scattering import POTENTIAL_PER_FACTOR, scattering_factor
from fastpty.simulate.structure import Structure, displacement_from_b, srtio3

PIXEL = 3.905 / 40  # Angstrom: a cell of SrTiO3 on 40 x 40 pixels
CELL = (40, 40)


def single(number, y, x, u=0.0, box=3.905):
    return Structure(np.array([number]), np.array([[y, x, 0.0]]), (box, box, box), np.array([u]))


def test_mean_inner_potential_of_srtio3():
    """h^2/(2 pi m0 e) sum f_e(0) / volume: 22.5 V, the well-known excess of independent atoms."""
    forward = sum(scattering_factor(z, np.zeros(1))[0] for z in (38, 22, 8, 8, 8))
    volts = projected_potential(srtio3(), CELL, PIXEL).mean() / 3.905
    assert volts == pytest.approx(POTENTIAL_PER_FACTOR * forward / 3.905**3)
    assert volts == pytest.approx(22.5, abs=0.1)


def test_slices_add_up_to_the_projection():
    slices = smeared_slices(srtio3(), 1.0, CELL, PIXEL)
    np.testing.assert_allclose(
        sum(slices), projected_potential(srtio3(), CELL, PIXEL), rtol=1e-12, atol=1e-9
    )


def test_the_value_at_a_distance_is_the_hankel_transform():
    """V(r) = 2 pi h^2/(2 pi m0 e) int f_e(k) DW(k) J0(2 pi k r) k dk, for a well-smeared atom."""
    u, box, pixels = 0.3, 24.0, 240
    image = projected_potential(single(22, 12.0, 12.0, u, box), (pixels, pixels), box / pixels)

    def integrand(k, r):
        smear = np.exp(-2 * np.pi**2 * u**2 * k**2)
        return scattering_factor(22, np.array([k**2]))[0] * smear * j0(2 * np.pi * k * r) * k

    for steps in (0, 5, 10, 20):
        r = steps * box / pixels
        exact = 2 * np.pi * POTENTIAL_PER_FACTOR * quad(integrand, 0, 4, args=(r,), limit=200)[0]
        # 0.03 V A: what the neighbours in the periodic box, 24 Angstrom away, leave.
        assert image[120, 120 + steps] == pytest.approx(exact, rel=1e-4, abs=0.03)


def test_atoms_sit_between_pixels_too():
    """Moving an atom by part of a pixel is a phase ramp on the spectrum, exactly."""
    at = projected_potential(single(38, 1.0, 2.0), CELL, PIXEL)
    dy, dx = 0.37 * PIXEL, -0.21 * PIXEL
    moved = projected_potential(single(38, 1.0 + dy, 2.0 + dx), CELL, PIXEL)
    ky, kx = np.fft.fftfreq(40, PIXEL)[:, None], np.fft.fftfreq(40, PIXEL)
    ramp = np.exp(-2j * np.pi * (ky * dy + kx * dx))
    shifted = np.fft.ifft2(np.fft.fft2(at) * ramp).real
    np.testing.assert_allclose(moved, shifted, atol=1e-9 * at.max())


def test_thermal_motion_multiplies_by_the_debye_waller_factor():
    b = 0.8
    still = np.fft.fft2(projected_potential(single(38, 1.0, 2.0), CELL, PIXEL))
    warm = np.fft.fft2(
        projected_potential(single(38, 1.0, 2.0, displacement_from_b(b)), CELL, PIXEL)
    )
    s2 = (np.fft.fftfreq(40, PIXEL)[:, None] ** 2 + np.fft.fftfreq(40, PIXEL) ** 2) / 4
    inside = np.abs(still) > 1e-6 * np.abs(still).max()
    np.testing.assert_allclose(warm[inside], (still * np.exp(-b * s2))[inside], rtol=1e-9)


def test_nothing_lies_beyond_two_thirds_of_nyquist():
    spectrum = np.abs(np.fft.fft2(projected_potential(srtio3(), CELL, PIXEL)))
    k = np.hypot(np.fft.fftfreq(40)[:, None], np.fft.fftfreq(40))
    assert spectrum[k > 1 / 3 + 1e-9].max() < 1e-12 * spectrum.max()
    assert spectrum[(k < 1 / 3) & (k > 0.3)].max() > 1e-6 * spectrum.max()


def test_layers_of_srtio3_go_to_slices_of_their_own():
    index, count, thickness = assign_slices(srtio3(), 2.0)
    assert (count, thickness) == (2, pytest.approx(3.905 / 2))
    assert index.tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("wanted, count", [(0.5, 8), (1.3, 3), (2.7, 1), (20.0, 1)])
def test_a_cell_holds_whole_slices(wanted, count):
    assert assign_slices(srtio3(), wanted)[1] == count


def test_frozen_phonons_average_to_the_smeared_potential():
    """Mean over 2000 displacements; the error of a mean falls as 1 / sqrt(2000) = 2 %."""
    u = 0.12
    atom = single(22, 1.9, 2.0, u)
    rng = np.random.default_rng(5)
    frozen = list(frozen_slices(atom, 10.0, 2000, CELL, PIXEL, rng))
    smeared = projected_potential(atom, CELL, PIXEL)
    assert len(frozen) == 2000
    assert np.abs(np.mean(frozen, axis=0) - smeared).max() < 0.04 * smeared.max()


def test_frozen_cells_differ_from_each_other():
    first, second = frozen_slices(srtio3(), 10.0, 2, CELL, PIXEL, np.random.default_rng(0))
    assert np.abs(first - second).max() > 0.05 * first.max()


def test_a_weak_potential_transmits_one_plus_i_sigma_v():
    sigma = interaction_parameter(300.0)
    weak = projected_potential(srtio3(), CELL, PIXEL) * 1e-5
    transmission = transmission_function(weak, sigma, PIXEL).numpy()
    # Second order: (sigma V)^2 / 2 is at most 1e-9; complex64 rounds 1 to 6e-8.
    np.testing.assert_allclose(transmission, 1 + 1j * sigma * weak, atol=2e-7)


def test_transmission_is_a_phase_in_the_forward_direction():
    """A positive potential advances the electrons: exp(+i sigma V)."""
    sigma = interaction_parameter(300.0)
    potential = projected_potential(single(38, 1.95, 1.95, 0.2), CELL, PIXEL)
    phase = np.angle(transmission_function(potential, sigma, PIXEL).numpy())
    np.testing.assert_allclose(phase, sigma * potential, atol=0.01 * phase.max())

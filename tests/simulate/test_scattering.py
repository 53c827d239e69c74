"""The table of scattering factors, against theory and an independent publication."""

import numpy as np
import pytest
from ase.data import chemical_symbols

from fastpty.simulate.scattering import (
    MAX_NUMBER,
    POTENTIAL_PER_FACTOR,
    SYMBOLS,
    scattering_factor,
)

BOHR = 0.529177210903  # Angstrom, CODATA 2018

# Peng, Ren, Dudarev & Whelan, Acta Cryst. A52 (1996) 257 (International Tables C, table 4.3.2.3):
# f_e = sum a exp(-b s^2), fitted for s = 0 to 2 / Angstrom.
# Z: (five a in Angstrom, five b in Angstrom^2).
PENG = {
    8: ((0.0365, 0.1729, 0.5805, 0.8814, 0.3121), (0.0652, 0.6184, 2.9449, 9.6298, 28.2194)),
    22: ((0.2123, 0.8960, 2.1765, 3.0436, 2.4439), (0.1399, 1.4568, 6.7534, 33.1168, 101.8238)),
    38: ((0.3723, 1.4598, 3.5124, 4.4612, 3.3031), (0.1480, 1.4643, 9.2320, 49.8807, 148.0937)),
    79: ((0.3055, 1.3945, 2.9617, 3.8990, 2.0026), (0.0596, 0.5827, 3.1035, 11.9693, 47.9106)),
}


def test_the_table_runs_from_hydrogen_to_lawrencium_in_order():
    assert list(SYMBOLS) == chemical_symbols[1:104]


@pytest.mark.parametrize("number", range(1, MAX_NUMBER + 1))
def test_large_angles_follow_rutherford(number):
    """Mott-Bethe with f_x -> 0: g^2 f_e -> Z / (2 pi^2 a0). A wrong digit or row breaks it."""
    g2 = np.array([1e12])
    # The published coefficients meet the condition to 3e-10, with the Bohr radius of their time.
    np.testing.assert_allclose(
        scattering_factor(number, g2) * g2, number / (2 * np.pi**2 * BOHR), rtol=1e-8
    )


@pytest.mark.parametrize("number", range(1, MAX_NUMBER + 1))
def test_factors_are_positive_and_fall_with_the_angle(number):
    factor = scattering_factor(number, np.linspace(0, 12, 500) ** 2)
    assert factor.min() > 0
    assert np.diff(factor).max() < 0


def test_hydrogen_is_the_1s_state():
    """f_x = 1 / (1 + (pi a0 g)^2)^2 and Mott-Bethe, both exact."""
    g2 = np.linspace(0.05, 6, 60) ** 2
    x_ray = 1 / (1 + np.pi**2 * BOHR**2 * g2) ** 2
    exact = (1 - x_ray) / (2 * np.pi**2 * BOHR * g2)
    np.testing.assert_allclose(scattering_factor(1, g2), exact, rtol=1e-4)  # quality of the fit


def test_hydrogen_forward_scattering_is_the_bohr_radius():
    np.testing.assert_allclose(scattering_factor(1, np.zeros(1)), BOHR, rtol=1e-4)


@pytest.mark.parametrize("number", sorted(PENG))
def test_agrees_with_an_independent_parametrisation(number):
    # Up to s = 1.2, 47 mrad at 300 kV; further out five Gaussians miss the Rutherford tail.
    s2 = np.linspace(0, 1.2, 25) ** 2
    peng = sum(a * np.exp(-b * s2) for a, b in zip(*PENG[number], strict=True))
    # Fits to two atomic calculations differ by up to 3 % (oxygen at s = 0).
    np.testing.assert_allclose(scattering_factor(number, 4 * s2), peng, rtol=0.03)


def test_potential_per_factor():
    """h^2 / (2 pi m0 e) is 2 pi a0 times e / (4 pi eps0) = 14.39964 V Angstrom."""
    assert pytest.approx(2 * np.pi * BOHR * 14.399645, rel=1e-7) == POTENTIAL_PER_FACTOR


@pytest.mark.parametrize("number", [0, -1, MAX_NUMBER + 1])
def test_refuses_elements_outside_the_table(number):
    with pytest.raises(ValueError, match="atomic number must be 1 to 103"):
        scattering_factor(number, np.zeros(1))

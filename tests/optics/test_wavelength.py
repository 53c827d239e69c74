"""Wavelength and interaction parameter against printed tables."""

from __future__ import annotations

import math

import pytest

from fastpty.optics import electron_wavelength, interaction_parameter
from fastpty.optics import wavelength as constants
from tests.tolerances import bound

# Reimer & Kohl, Transmission Electron Microscopy, and the usual textbook tables: kV, picometre.
TABLE = [
    (60, 4.8661),
    (80, 4.1757),
    (100, 3.7014),
    (120, 3.3492),
    (200, 2.5079),
    (300, 1.9687),
]


@pytest.mark.parametrize(("energy_kv", "picometre"), TABLE)
def test_wavelength_of_the_tables(energy_kv: float, picometre: float) -> None:
    assert electron_wavelength(energy_kv) * 100 == pytest.approx(picometre, rel=bound("printed"))


def test_slow_electrons_follow_de_broglie() -> None:
    """12.2643 / sqrt(V) Angstrom without relativity."""
    volts = 10.0
    expected = 12.2643 / math.sqrt(volts)
    assert electron_wavelength(volts / 1e3) == pytest.approx(expected, rel=bound("printed"))


def test_fast_electrons_follow_photons() -> None:
    """h c / E with the rest energy added: 12.3984 keV Angstrom."""
    energy_kv = 1e8
    expected = 12.3984198 / (energy_kv + 510.99895)
    assert electron_wavelength(energy_kv) == pytest.approx(expected, rel=bound("printed"))


def test_constants_are_consistent() -> None:
    """The electron's rest energy, printed as 510.99895 keV, and h c / e as 12.398420 keV A."""
    rest = constants.ELECTRON_MASS * constants.LIGHT_SPEED**2 / constants.ELEMENTARY_CHARGE
    assert round(rest / 1e3, 5) == 510.99895
    hc = constants.PLANCK * constants.LIGHT_SPEED / constants.ELEMENTARY_CHARGE
    assert round(hc * constants.METRE_TO_ANGSTROM / 1e3, 6) == 12.398420


# Kirkland, Advanced Computing in Electron Microscopy, gives sigma in rad / (kV Angstrom).
@pytest.mark.parametrize(("energy_kv", "sigma"), [(100, 0.9244), (200, 0.7288), (300, 0.6526)])
def test_interaction_parameter_of_the_tables(energy_kv: float, sigma: float) -> None:
    actual = interaction_parameter(energy_kv) * 1e3
    assert actual == pytest.approx(sigma, rel=bound("printed"))


@pytest.mark.parametrize("energy_kv", [30, 60, 200, 1000])
def test_interaction_parameter_in_its_other_form(energy_kv: float) -> None:
    """sigma = (2 pi / (lambda U)) (m c^2 + e U) / (2 m c^2 + e U), Kirkland eq. 5.6."""
    rest = 510.99895
    ratio = (rest + energy_kv) / (2 * rest + energy_kv)
    expected = 2 * math.pi / (electron_wavelength(energy_kv) * energy_kv * 1e3) * ratio
    assert interaction_parameter(energy_kv) == pytest.approx(expected, rel=bound("printed"))


@pytest.mark.parametrize("function", [electron_wavelength, interaction_parameter])
@pytest.mark.parametrize("energy_kv", [0.0, -300.0, math.nan, math.inf])
def test_refusals(function: object, energy_kv: float) -> None:
    with pytest.raises(ValueError, match=f"energy_kv must be a positive .*, got {energy_kv}"):
        function(energy_kv)

"""Relativistic electrons: wavelength and interaction parameter, from CODATA 2018 constants."""

from __future__ import annotations

import math

__all__ = ["check_wavelength", "electron_wavelength", "interaction_parameter"]

PLANCK = 6.62607015e-34  # J s, exact
ELEMENTARY_CHARGE = 1.602176634e-19  # C, exact
LIGHT_SPEED = 299792458.0  # m/s, exact
ELECTRON_MASS = 9.1093837015e-31  # kg
METRE_TO_ANGSTROM = 1e10


def _check_energy(energy_kv: float) -> None:
    if not (math.isfinite(energy_kv) and energy_kv > 0):
        raise ValueError(f"energy_kv must be a positive number of kilovolts, got {energy_kv!r}")


def check_wavelength(wavelength: float) -> None:
    """Refuse a wavelength that is not a positive number."""
    if not 0 < wavelength < math.inf:  # torch.compile cannot branch on math.isfinite
        raise ValueError(f"wavelength must be a positive number of Angstrom, got {wavelength!r}")


def electron_wavelength(energy_kv: float) -> float:
    """Relativistic de Broglie wavelength in Angstrom.

    ``lambda = h c / sqrt(E (E + 2 m c^2))`` with the kinetic energy ``E = e U``
    (Reimer & Kohl, *Transmission Electron Microscopy*, eq. 2.12).

    Parameters
    ----------
    energy_kv : accelerating voltage in kV, positive.

    Raises
    ------
    ValueError : the voltage is not positive and finite.
    """
    _check_energy(energy_kv)
    energy = energy_kv * 1e3 * ELEMENTARY_CHARGE
    rest = ELECTRON_MASS * LIGHT_SPEED**2
    return PLANCK * LIGHT_SPEED / math.sqrt(energy * (energy + 2 * rest)) * METRE_TO_ANGSTROM


def interaction_parameter(energy_kv: float) -> float:
    """Phase per projected potential, sigma in rad / (V Angstrom).

    ``sigma = 2 pi m e lambda / h^2`` with the relativistic mass ``m``
    (Kirkland, *Advanced Computing in Electron Microscopy*, eq. 5.6), so that a thin
    specimen of projected potential ``V`` transmits ``exp(i sigma V)``.

    Raises
    ------
    ValueError : the voltage is not positive and finite.
    """
    _check_energy(energy_kv)
    rest = ELECTRON_MASS * LIGHT_SPEED**2
    mass = ELECTRON_MASS * (1 + energy_kv * 1e3 * ELEMENTARY_CHARGE / rest)
    wavelength = electron_wavelength(energy_kv) / METRE_TO_ANGSTROM
    per_volt_metre = 2 * math.pi * mass * ELEMENTARY_CHARGE * wavelength / PLANCK**2
    return per_volt_metre / METRE_TO_ANGSTROM

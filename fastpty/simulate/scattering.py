"""Electron scattering factors of the neutral atoms H to Lr.

Parametrisation and coefficients: I. Lobato & D. Van Dyck, Acta Cryst. A70 (2014) 636. Its
functions have the right limits at both ends: a finite ``f_e(0)``, and Mott and Bethe's
``Z / (2 pi^2 a0 g^2)`` (Rutherford scattering from the nucleus) at large angles.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from fastpty.optics.wavelength import (
    ELECTRON_MASS,
    ELEMENTARY_CHARGE,
    METRE_TO_ANGSTROM,
    PLANCK,
)

__all__ = ["MAX_NUMBER", "POTENTIAL_PER_FACTOR", "SYMBOLS", "scattering_factor"]

# h^2 / (2 pi m0 e) = 47.878 V A^2: first Born approximation, the rest mass. The relativistic mass
# belongs to the interaction parameter sigma.
POTENTIAL_PER_FACTOR = (
    PLANCK**2 / (2 * np.pi * ELECTRON_MASS * ELEMENTARY_CHARGE) * METRE_TO_ANGSTROM**2
)


@cache
def _table() -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """(symbols in order of Z, coefficients [Z - 1, 2, 5] = (a, b))."""
    text = resources.files("fastpty.simulate").joinpath("lobato_van_dyck.csv").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    values = [[[float(row[f"{name}{i}"]) for i in range(1, 6)] for name in "ab"] for row in rows]
    return tuple(row["symbol"] for row in rows), np.array(values)


SYMBOLS: tuple[str, ...] = _table()[0]
MAX_NUMBER = len(SYMBOLS)


def scattering_factor(number: int, g2: NDArray[np.float64]) -> NDArray[np.float64]:
    """``f_e(g) = sum_i a_i (2 + b_i g^2) / (1 + b_i g^2)^2`` in Angstrom, rest mass.

    Parameters
    ----------
    number : atomic number, 1 to 103.
    g2 : squared spatial frequency ``g^2`` in 1/Angstrom^2, any shape; ``g = 2 s``.

    Raises
    ------
    ValueError : an atomic number outside the table.
    """
    if not 1 <= number <= MAX_NUMBER:
        raise ValueError(f"atomic number must be 1 to {MAX_NUMBER}, got {number}")
    factor = np.zeros_like(g2)
    for a, b in _table()[1][number - 1].T:
        factor += a * (2 + b * g2) / (1 + b * g2) ** 2
    return factor

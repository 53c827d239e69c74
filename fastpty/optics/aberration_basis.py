"""Aberrations as a linear basis: what a change of each coefficient adds to a probe's phase."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpty.optics.aberrations import Aberrations, movable_aberrations
from fastpty.optics.grid import spatial_frequencies
from fastpty.optics.wavelength import check_wavelength

__all__ = ["AberrationBasis", "aberration_basis"]


@dataclass(frozen=True)
class AberrationBasis:
    """K single coefficients, each in units of a radian at the aperture's edge.

    Parameters
    ----------
    names : of the coefficients, as :class:`~fastpty.optics.Aberrations` takes them.
    chi : [K, Ny, Nx] phase error in rad of one unit of each, corner order.
    angstrom : [K] what one unit is, Angstrom.
    """

    names: tuple[str, ...]
    chi: NDArray[np.float64]
    angstrom: NDArray[np.float64]


def aberration_basis(
    names: Sequence[str],
    shape: tuple[int, int],
    pixel_size: float | Sequence[float],
    *,
    semiangle_mrad: float,
    wavelength: float,
) -> AberrationBasis:
    """The basis of the coefficients that ``names`` stand for.

    With the aperture's semi-angle alpha, a coefficient of order n has the unit
    ``lambda (n + 1) / (2 pi alpha^(n+1))``: along its strongest azimuth its chi is then 1 rad at
    the aperture's edge. So a step of one size is of like effect for all orders, whose coefficients
    differ by powers of 1 / alpha.

    Parameters
    ----------
    names : as for :func:`~fastpty.optics.movable_aberrations`, with its errors.
    shape, pixel_size : of the probe's window, px and Angstrom.
    wavelength : Angstrom.
    """
    check_wavelength(wavelength)
    orders = movable_aberrations(names)
    ky, kx = spatial_frequencies(shape, pixel_size)
    alpha = semiangle_mrad * 1e-3
    units = {
        name: wavelength * (n + 1) / (2 * math.pi * alpha ** (n + 1)) for name, n in orders.items()
    }
    chi = [Aberrations({name: unit}).chi(ky, kx, wavelength) for name, unit in units.items()]
    return AberrationBasis(
        tuple(units), np.array(chi).reshape(-1, *shape), np.array(list(units.values()))
    )

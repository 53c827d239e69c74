"""Projected potentials of slices, and the transmission functions made from them.

The potential of independent atoms, built in Fourier space (Kirkland, *Advanced Computing in
Electron Microscopy*, ch. 5):

``V_z(k) = h^2/(2 pi m0 e) sum_atoms f_e(k) exp(-B k^2 / 4) exp(-2 pi i k.r) / area``

so that atoms sit at their exact places, between pixels too. ``B = 8 pi^2 u^2``, and ``k^2/4`` is
the ``s^2`` of crystallography. Potential, transmission function and propagator are limited to
2/3 of the highest frequency of the grid, which keeps the products of the multislice loop free of
aliasing (Kirkland, ch. 6).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.optics import pixel_pair, spatial_frequencies
from fastpty.simulate.scattering import POTENTIAL_PER_FACTOR, scattering_factor
from fastpty.simulate.structure import Structure

__all__ = [
    "BAND_LIMIT",
    "assign_slices",
    "frozen_slices",
    "projected_potential",
    "smeared_slices",
    "transmission_function",
]

BAND_LIMIT = 2 / 3

Pixel = float | tuple[float, float]


def band_limit(
    ky: NDArray[np.floating], kx: NDArray[np.floating], pixel: Pixel
) -> NDArray[np.bool_]:
    """True where ``|k|`` is within 2/3 of the grid's highest frequency, ``1 / (2 pixel)``, along
    the axis with the larger pixel."""
    highest = 1 / (2 * max(pixel_pair(pixel)))
    inside: NDArray[np.bool_] = ky**2 + kx**2 <= (BAND_LIMIT * highest) ** 2
    return inside


def projected_potential(
    atoms: Structure, shape: tuple[int, int], pixel: Pixel, *, smear: bool = True
) -> NDArray[np.float64]:
    """Projected potential [Y, X] in V Angstrom of atoms in a laterally periodic box.

    Parameters
    ----------
    atoms : positions in Angstrom from the centre of pixel (0, 0); z plays no part. The box is
        ``shape * pixel`` wide, whatever ``atoms.cell`` says.
    shape : (Y, X).
    pixel : Angstrom, one number or (y, x).
    smear : multiply by the Debye-Waller factor of each atom's thermal displacement.
    """
    rows, columns = shape
    # The half plane kx >= 0 is enough for a real potential.
    dy, dx = pixel_pair(pixel)
    ky, kx = np.fft.fftfreq(rows, dy), np.fft.rfftfreq(columns, dx)
    g2 = ky[:, None] ** 2 + kx**2
    spectrum = np.zeros(g2.shape, dtype=np.complex128)
    u2 = atoms.displacement**2 if smear else np.zeros(len(atoms.numbers))
    for number, smearing in sorted(set(zip(atoms.numbers.tolist(), u2.tolist(), strict=True))):
        y, x = atoms.positions[(atoms.numbers == number) & (u2 == smearing), :2].T
        # The structure factor sum_a exp(-2 pi i (ky y_a + kx x_a)) as a product of matrices.
        structure_factor = np.exp(-2j * np.pi * np.outer(ky, y)) @ np.exp(
            -2j * np.pi * np.outer(x, kx)
        )
        debye_waller = np.exp(-2 * np.pi**2 * smearing * g2)
        spectrum += structure_factor * (scattering_factor(number, g2) * debye_waller)
    spectrum *= band_limit(ky[:, None], kx, pixel) * (POTENTIAL_PER_FACTOR / (dy * dx))
    return np.fft.irfft2(spectrum, s=shape)


def assign_slices(atoms: Structure, wanted: float) -> tuple[NDArray[np.int64], int, float]:
    """Cut a cell along the beam.

    A slice runs from its entrance plane, at which its potential acts, to the next slice's. The
    cell holds a whole number of slices, so that every cell is cut alike.

    Returns
    -------
    index [N] of each atom's slice, number of slices in the cell, slice thickness in Angstrom.
    """
    count = max(1, round(atoms.cell[2] / wanted))
    thickness = atoms.cell[2] / count
    # An atom that rounding has put a hair above a boundary belongs below it.
    index = np.floor(atoms.positions[:, 2] / thickness + 1e-6).astype(np.int64)
    return np.clip(index, 0, count - 1), count, thickness


def smeared_slices(
    atoms: Structure, wanted: float, shape: tuple[int, int], pixel: Pixel
) -> Iterator[NDArray[np.float64]]:
    """Thermally smeared slices of one cell along the beam; each as in projected_potential."""
    index, count, _ = assign_slices(atoms, wanted)
    for i in range(count):
        yield projected_potential(atoms.select(index == i), shape, pixel)


def frozen_slices(
    atoms: Structure,
    wanted: float,
    cells: int,
    shape: tuple[int, int],
    pixel: Pixel,
    rng: np.random.Generator,
) -> Iterator[NDArray[np.float64]]:
    """One frozen-phonon configuration (Loane, Xu & Silcox, Acta Cryst. A47 (1991) 267).

    Every atom of every one of ``cells`` cells along the beam moves on its own (Einstein model)
    by a normal deviate of rms ``u`` along y and x. Motion along z would leave the projection of
    a slice unchanged, so there is none.

    Yields
    ------
    potential : ``cells`` times the slices of a cell, in the order in which the beam meets them.
    """
    index, count, _ = assign_slices(atoms, wanted)
    for _ in range(cells):
        moved = atoms.positions.copy()
        moved[:, :2] += rng.normal(size=moved[:, :2].shape) * atoms.displacement[:, None]
        cell = Structure(atoms.numbers, moved, atoms.cell, atoms.displacement)
        for i in range(count):
            yield projected_potential(cell.select(index == i), shape, pixel, smear=False)


def transmission_function(
    potential: NDArray[np.float64], sigma: float, pixel: Pixel
) -> torch.Tensor:
    """``exp(i sigma V)``, band-limited: complex64 [Y, X].

    Parameters
    ----------
    potential : [Y, X] in V Angstrom.
    sigma : interaction parameter in rad / (V Angstrom).
    pixel : Angstrom, one number or (y, x).
    """
    rows, columns = potential.shape
    ky, kx = spatial_frequencies((rows, columns), pixel)
    spectrum = np.fft.fft2(np.exp(1j * sigma * potential))
    limited = np.fft.ifft2(spectrum * band_limit(ky, kx, pixel))
    return torch.from_numpy(limited.astype(np.complex64))

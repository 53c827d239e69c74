"""Patterns of a perfect crystal by its reciprocal lattice: no window, and little work per position.

A crystal that repeats sideways scatters by the vectors g of its reciprocal lattice alone, so that
the wave at a frequency k of the detector comes from few frequencies of the probe:

``psi(k; r) = sum_g S_k(g) a(k + g) exp(-2 pi i (k + g).r)``

with the probe's spectrum ``a`` and its place ``r``. One multislice calculation in one cell gives
``S_k(g)`` for all g, if it runs backwards. As matrices on the coefficients of
``exp(2 pi i (k + g).r)`` the specimen is ``M = T_n P_k ... P_k T_1`` (transmission T, propagation
P), and ``S_k`` is its row g = 0, hence ``S_k = T_1' P_k ... P_k T_n' e_0``: P is diagonal, and the
transposed T' multiplies by the same t(r) if coefficients belong to ``exp(-2 pi i g.r)`` instead.
This is reciprocity (Pogany & Turner, Acta Cryst. A24 (1968) 103). That the same scattering then
serves all positions is the idea of PRISM (Ophus, Adv. Struct. Chem. Imaging 3 (2017) 13).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.optics import axial_phase, interaction_parameter
from fastpty.simulate.config import SimulateConfig
from fastpty.simulate.detector import binning_matrix
from fastpty.simulate.fourd import BATCH_BYTES, Patterns, workers
from fastpty.simulate.potential import (
    BAND_LIMIT,
    assign_slices,
    smeared_slices,
    transmission_function,
)
from fastpty.simulate.scan import source_points
from fastpty.simulate.structure import Structure

__all__ = ["Scattering", "add_crystal_patterns", "crystal_memory", "scatter"]

POSITIONS_PER_BATCH = 16
ROWS_PER_PRODUCT = 4096


@dataclass(frozen=True)
class Scattering:
    """What is the same at every position.

    Attributes
    ----------
    amplitude : [F F, H] complex64, ``S_k(g) a(k + g)`` for the F x F fine frequencies k that
        the detector integrates, and the vectors h = k + g - (k's place in its Brillouin zone).
    vectors : [H, 2] h in 1/Angstrom: ``psi = amplitude exp(-2 pi i h.r)``, but for a phase.
    binning : [N, F] float32.
    """

    amplitude: torch.Tensor
    vectors: NDArray[np.float64]
    binning: torch.Tensor


def scatter(
    config: SimulateConfig,
    cell: Structure,
    cells: int,
    progress: Callable[[int, int], None] | None = None,
) -> Scattering:
    """Amplitudes of ``cells`` cells along the beam.

    Parameters
    ----------
    progress : called with the number of frequencies done, and of all.
    """
    sides = np.array(cell.cell[:2])
    shape = _cell_pixels(config, cell)
    pixel = (float(sides[0] / shape[0]), float(sides[1] / shape[1]))
    wanted, sigma = (
        config.specimen.slice_thickness_A,
        interaction_parameter(config.optics.energy_kv),
    )
    layers = [
        transmission_function(layer, sigma, pixel)
        for layer in smeared_slices(cell, wanted, shape, pixel)
    ] * cells
    thickness = assign_slices(cell, wanted)[2]

    binning, fine = _fine_frequencies(config)
    k = np.stack(np.meshgrid(fine, fine, indexing="ij"), axis=-1).reshape(-1, 2)
    nearest = np.rint(k * sides).astype(np.int64)
    orders = _vectors(config, cell)
    g = [np.rint(np.fft.fftfreq(n, 1 / n)) / side for n, side in zip(shape, sides, strict=True)]
    lattice = np.stack(np.meshgrid(*g, indexing="ij"))
    amplitude = torch.zeros(len(k), len(orders), dtype=torch.complex64)
    batch = max(1, BATCH_BYTES // (8 * shape[0] * shape[1]))

    def work(start: int) -> int:
        part = slice(start, min(start + batch, len(k)))
        with torch.inference_mode():
            waves = k[part, :, None, None] + lattice
            transfer = _transfer(config, waves[:, 0], waves[:, 1], thickness, max(pixel))
            row = _backwards(layers, transfer).numpy()
            beam = orders - nearest[part, None]  # g = h - (k's nearest lattice vector)
            inside = (np.abs(beam) < np.array(shape) / 2).all(axis=-1)
            here = np.arange(len(beam))[:, None], beam[..., 0] % shape[0], beam[..., 1] % shape[1]
            source = _spectrum(config, k[part, None] + beam / sides)
            band = np.hypot(*k[part].T) <= BAND_LIMIT / (2 * max(pixel))
            chosen = row[here] * source * inside * band[:, None]
            amplitude[part] = torch.from_numpy(chosen.astype(np.complex64))
        return part.stop

    with workers() as pool:
        for done in pool.map(work, range(0, len(k), batch)):
            if progress is not None:
                progress(done, len(k))
    return Scattering(amplitude, orders / sides, torch.from_numpy(binning))


def add_crystal_patterns(
    patterns: Patterns,
    scattering: Scattering,
    config: SimulateConfig,
    positions: NDArray[np.float64],
    *,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Add the pattern of every position to ``patterns``, in place.

    Parameters
    ----------
    patterns : as in :func:`fastpty.simulate.fourd.add_patterns`.
    positions : [P, 2] in Angstrom, from the corner of a cell.
    progress : called with the number of positions done, after every batch.
    """
    source, weight = source_points(config.optics.source_fwhm_A, config.optics.source_order)
    weights = torch.from_numpy(weight.astype(np.float32))
    side = scattering.binning.shape[1]

    def work(start: int) -> int:
        part = slice(start, min(start + POSITIONS_PER_BATCH, len(positions)))
        with torch.inference_mode():
            place = positions[part, None] + source  # [B, K, 2]
            count = len(place)
            angle = torch.from_numpy(-2 * math.pi * (place.reshape(-1, 2) @ scattering.vectors.T))
            ramp = torch.polar(torch.ones_like(angle), angle).to(torch.complex64).T.contiguous()
            fine = torch.empty(side * side, count)
            for first in range(0, side * side, ROWS_PER_PRODUCT):
                rows = slice(first, first + ROWS_PER_PRODUCT)
                wave = scattering.amplitude[rows] @ ramp
                power = wave.real.square() + wave.imag.square()
                fine[rows] = power.reshape(-1, count, len(weights)) @ weights
            image = fine.T.reshape(count, side, side)
            patterns[part] += (scattering.binning @ image @ scattering.binning.T).numpy()
        return part.stop

    with workers() as pool:
        for done in pool.map(work, range(0, len(positions), POSITIONS_PER_BATCH)):
            if progress is not None:
                progress(done)


def crystal_memory(config: SimulateConfig, cell: Structure) -> int:
    """Bytes of the amplitudes, beside what the threads work on."""
    return 8 * len(_fine_frequencies(config)[1]) ** 2 * len(_vectors(config, cell))


def _backwards(layers: Sequence[torch.Tensor], transfer: torch.Tensor) -> torch.Tensor:
    """Coefficients S_k(g) [B, cy, cx] for the propagators [B, cy, cx] of some frequencies k."""
    row = torch.zeros_like(transfer)
    row[:, 0, 0] = 1
    for number, transmission in enumerate(reversed(layers)):
        if number:
            row.mul_(transfer)
        row = torch.fft.ifft2(torch.fft.fft2(row).mul_(transmission))
    return row


def _transfer(
    config: SimulateConfig,
    ky: NDArray[np.float64],
    kx: NDArray[np.float64],
    thickness: float,
    pixel: float,
) -> torch.Tensor:
    """Propagator over a slice, tilt included, within the band limit."""
    k2 = ky**2 + kx**2
    axial, propagating = axial_phase(k2, config.wavelength)
    slope = 2 * np.pi * np.tan(np.array(config.specimen.tilt_mrad) * 1e-3)
    phase = torch.from_numpy(thickness * (axial + ky * slope[0] + kx * slope[1]))
    inside = propagating & (k2 <= (BAND_LIMIT / (2 * pixel)) ** 2)
    return torch.polar(torch.from_numpy(inside.astype(np.float64)), phase).to(torch.complex64)


def _spectrum(config: SimulateConfig, k: NDArray[np.float64]) -> NDArray[np.complex128]:
    """The probe's spectrum at k [..., 2]; its power over the fine frequencies adds up to 1.

    The aperture's edge is one fine frequency wide, as in :func:`fastpty.optics.aperture`.
    """
    step = config.frequency_step / config.grid.oversample
    cut = config.optics.semiangle_mrad * 1e-3 / config.wavelength

    def disc(radius: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip((cut - radius) / step + 0.5, 0.0, 1.0)

    reach = step * np.arange(-math.ceil(cut / step) - 1, math.ceil(cut / step) + 2)
    power = float((disc(np.hypot(reach[:, None], reach)) ** 2).sum())
    lens = config.lens().chi(k[..., 0], k[..., 1], config.wavelength)
    spectrum: NDArray[np.complex128] = disc(np.hypot(k[..., 0], k[..., 1])) * np.exp(-1j * lens)
    return spectrum / math.sqrt(power)


def _fine_frequencies(config: SimulateConfig) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """(binning [N, F], the F fine frequencies in 1/Angstrom that it integrates)."""
    oversample = config.grid.oversample
    matrix = binning_matrix(config.detector.pixels, config.window_pixels, oversample)
    used = matrix.any(axis=0)
    order = np.fft.fftfreq(config.window_pixels, 1 / config.window_pixels)[used]
    return matrix[:, used], order * config.frequency_step / oversample


def _vectors(config: SimulateConfig, cell: Structure) -> NDArray[np.int64]:
    """Orders [H, 2] of the lattice vectors that can lie in the aperture beside any k."""
    sides = np.array(cell.cell[:2])
    step = config.frequency_step / config.grid.oversample
    cut = config.optics.semiangle_mrad * 1e-3 / config.wavelength + step
    reach = cut + np.hypot(*(0.5 / sides))  # k lies within half a cell of the reciprocal lattice
    limit = np.ceil(reach * sides).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in limit), indexing="ij"), axis=-1)
    orders = grid.reshape(-1, 2)
    return np.asarray(orders[np.hypot(*(orders / sides).T) <= reach], dtype=np.int64)


def _cell_pixels(config: SimulateConfig, cell: Structure) -> tuple[int, int]:
    """Pixels of a cell, no larger than the simulation's, whose number is 2^a 3^b 5^c."""

    def smooth(number: int) -> bool:
        for prime in (2, 3, 5):
            while number % prime == 0:
                number //= prime
        return number == 1

    rows, columns = (
        next(n for n in range(least, 2 * least + 1) if smooth(n))
        for least in (
            # A hair less: where cell and window are commensurate, both have the same pixels.
            math.ceil(side * config.grid.refine / config.pixel_size - 1e-6)
            for side in cell.cell[:2]
        )
    )
    return rows, columns

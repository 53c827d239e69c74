"""The multislice loop over all probe positions.

Per position, for each point of the source:
``psi = probe at the position``; over the slices ``psi <- F^-1{H F{t psi}}`` without a last
propagation (Cowley & Moodie, Acta Cryst. 10 (1957) 609); ``I = |F{psi}|^2`` summed into detector
pixels. Transforms are ``norm="ortho"``, so an incident probe of norm 1 is one electron.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.optics import focused_probe, propagator, spatial_frequencies
from fastpty.simulate.config import SimulateConfig
from fastpty.simulate.detector import binning_matrix
from fastpty.simulate.geometry import Geometry
from fastpty.simulate.potential import band_limit
from fastpty.simulate.scan import source_points

__all__ = ["Optics", "Patterns", "add_patterns", "batch_memory", "prepare_optics", "workers"]

# Waves are worked on a few at a time, so that they stay in a core's cache and memory is bounded.
BATCH_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True)
class Optics:
    """What is the same at every position.

    Attributes
    ----------
    spectrum : [n, n] complex64, transform of the probe centred on index n//2 of its window.
    propagator : [n, n] complex64, over one slice, band-limited.
    band : [n, n] float32, 1 inside the band limit.
    source_shift : [K, 2] in fine pixels; source_weight : [K], sum 1.
    binning : [N, n] float32.
    """

    spectrum: torch.Tensor
    propagator: torch.Tensor
    band: torch.Tensor
    source_shift: NDArray[np.float64]
    source_weight: torch.Tensor
    binning: torch.Tensor


class Patterns(Protocol):
    """An array of patterns [P, N, N], or what behaves like one."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> NDArray[np.float32]: ...
    def __setitem__(self, part: slice, values: NDArray[np.float32], /) -> None: ...


def prepare_optics(config: SimulateConfig, slice_thickness: float) -> Optics:
    """Probe, propagator, source and detector on the fine grid; thickness in Angstrom."""
    n = config.window_pixels
    fine = config.pixel_size / config.grid.refine
    wavelength = config.wavelength
    probe = focused_probe(
        (n, n),
        fine,
        semiangle_mrad=config.optics.semiangle_mrad,
        wavelength=wavelength,
        aberrations=config.lens(),
    )
    ky, kx = spatial_frequencies((n, n), fine)
    band = torch.from_numpy(band_limit(ky, kx, fine))
    transfer = propagator(
        (n, n),
        torch.tensor(slice_thickness, dtype=torch.float64),
        torch.tensor([config.specimen.tilt_mrad], dtype=torch.float64),
        wavelength=wavelength,
        pixel_size=fine,
    )[0]
    shift, weight = source_points(config.optics.source_fwhm_A, config.optics.source_order)
    return Optics(
        spectrum=torch.from_numpy(np.fft.fft2(probe, norm="ortho").astype(np.complex64)),
        propagator=(transfer * band).to(torch.complex64),
        band=band.to(torch.float32),
        source_shift=shift / fine,
        source_weight=torch.from_numpy(weight.astype(np.float32)),
        binning=torch.from_numpy(binning_matrix(config.detector.pixels, n, config.grid.oversample)),
    )


def add_patterns(
    patterns: Patterns,
    optics: Optics,
    slices: Sequence[torch.Tensor],
    geometry: Geometry,
    *,
    scale: float = 1.0,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Add ``scale`` times the pattern of every position to ``patterns``, in place.

    Parameters
    ----------
    patterns : [P, N, N] float32, zero frequency at N//2; fractions of the incident beam. Each
        batch is read and written once, by one thread.
    slices : transmission functions [Y, X] complex64 on the fine box, in the beam's order.
    progress : called with the number of positions done, after every batch.
    """
    n = geometry.window
    batch = max(1, BATCH_BYTES // (8 * n * n))

    def work(start: int) -> int:
        part = slice(start, min(start + batch, len(patterns)))
        with torch.inference_mode():
            fine = torch.zeros(part.stop - start, n, n)
            for shift, weight in zip(optics.source_shift, optics.source_weight, strict=True):
                wave = _probes(optics, geometry.shift[part] + shift)
                exit_spectrum = _propagate(wave, slices, geometry.corner[part], optics)
                power = exit_spectrum.real.square() + exit_spectrum.imag.square()
                fine.add_(power.mul_(weight))
            fine.mul_(optics.band)
            binned = optics.binning @ fine @ optics.binning.T
            patterns[part] += scale * binned.numpy()
        return part.stop

    with workers() as pool:
        for done in pool.map(work, range(0, len(patterns), batch)):
            if progress is not None:
                progress(done)


def batch_memory(window: int) -> int:
    """Bytes that one thread works on: a batch of waves, its transform, and sums of their size."""
    return 4 * max(BATCH_BYTES, 8 * window**2)


@contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """As many threads as torch may use, each of which runs torch's operations alone.

    One thread per batch beats many threads per operation: the operations are short, and nobody
    waits for a core that another program holds. It also makes a pattern's rounding independent
    of the number of threads.
    """
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C, do not finish the scan first
        torch.set_num_threads(threads)


def _probes(optics: Optics, shift: NDArray[np.float64]) -> torch.Tensor:
    """Incident waves [B, n, n] at the shifts [B, 2] from the windows' centres."""
    frequency = np.fft.fftfreq(optics.spectrum.shape[0])
    phase = torch.from_numpy(-2 * math.pi * shift[..., None] * frequency)  # [B, 2, n]
    ramp = torch.polar(torch.ones_like(phase), phase).to(torch.complex64)
    spectrum = optics.spectrum * ramp[:, 0, :, None] * ramp[:, 1, None, :]
    wave: torch.Tensor = torch.fft.ifft2(spectrum, norm="ortho")
    return wave


def _propagate(
    wave: torch.Tensor,
    slices: Sequence[torch.Tensor],
    corner: NDArray[np.int64],
    optics: Optics,
) -> torch.Tensor:
    """Transform of the exit wave, [B, n, n]; ``wave`` is used up."""
    n = wave.shape[-1]
    for number, transmission in enumerate(slices):
        if number:
            wave = torch.fft.ifft2(wave, norm="ortho")
        for one, (y, x) in zip(wave, corner.tolist(), strict=True):
            one.mul_(transmission[y : y + n, x : x + n])
        wave = torch.fft.fft2(wave, norm="ortho")
        if number < len(slices) - 1:
            wave.mul_(optics.propagator)
    return wave

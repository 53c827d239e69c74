"""Probe-forming optics: aperture, aberrated probe, further modes.

A probe is [Ny, Nx], complex128, in natural order with its centre at index N//2, and is
normalised so that ``sum |probe|^2 = 1``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastpty.optics.aberrations import Aberrations
from fastpty.optics.grid import frequency_step, spatial_frequencies
from fastpty.optics.wavelength import check_wavelength

__all__ = ["aperture", "aperture_probe", "focused_probe", "hermite_modes"]

# What is left of a candidate mode by rounding alone, relative to the candidate, once the modes
# that it is made of are taken out.
DEPENDENT = 1e-8


def aperture(
    shape: tuple[int, int],
    pixel_size: float | Sequence[float],
    semiangle_mrad: float,
    wavelength: float,
) -> NDArray[np.float64]:
    """Round aperture on the detector grid, corner order, values 0 to 1.

    The edge falls off linearly over one detector pixel, so that a disc's area does not jump
    with its radius and the probe has no ringing from a jagged edge.

    Parameters
    ----------
    shape : (Ny, Nx).
    pixel_size : real-space pixel in Angstrom, one number or (dy, dx).
    semiangle_mrad : convergence semi-angle, positive.
    wavelength : Angstrom.

    Raises
    ------
    ValueError : the semi-angle or the wavelength is not positive, or the disc does not fit on the
        detector.
    """
    if not semiangle_mrad > 0:
        raise ValueError(f"semiangle_mrad must be positive, got {semiangle_mrad!r}")
    check_wavelength(wavelength)
    ky, kx = spatial_frequencies(shape, pixel_size)
    dky, dkx = frequency_step(shape, pixel_size)
    cut = semiangle_mrad * 1e-3 / wavelength
    limit = min(dky * (shape[0] // 2), dkx * (shape[1] // 2))
    if cut > limit:
        raise ValueError(
            f"semiangle_mrad = {semiangle_mrad:g} is larger than the detector, whose edge is at "
            f"{limit * wavelength * 1e3:.4g} mrad (pixel {dky * wavelength * 1e3:.4g} mrad)"
        )
    k = np.hypot(ky, kx)
    # Pixel width along the radius, in case the pixels are not square.
    with np.errstate(invalid="ignore", divide="ignore"):
        width = np.where(k > 0, np.hypot(ky * dky, kx * dkx) / k, min(dky, dkx))
    return np.clip((cut - k) / width + 0.5, 0.0, 1.0)


def focused_probe(
    shape: tuple[int, int],
    pixel_size: float | Sequence[float],
    *,
    semiangle_mrad: float,
    wavelength: float,
    aberrations: Aberrations | None = None,
) -> NDArray[np.complex128]:
    """Probe ``F^-1{A(k) exp(-i chi(k))}`` at the specimen's entrance surface.

    Positive defocus is underfocus: ``C10 = -defocus``, and the probe converges to its
    crossover after travelling ``defocus`` with the beam.

    Parameters and errors as in :func:`aperture`; ``aberrations`` as in
    :class:`~fastpty.optics.Aberrations`.
    """
    disc = aperture(shape, pixel_size, semiangle_mrad, wavelength)
    return aperture_probe(disc, pixel_size, wavelength=wavelength, aberrations=aberrations)


def aperture_probe(
    modulus: NDArray[np.floating],
    pixel_size: float | Sequence[float],
    *,
    wavelength: float,
    aberrations: Aberrations | None = None,
) -> NDArray[np.complex128]:
    """The same of any aperture: ``modulus`` [Ny, Nx] of the wave in it, corner order, not zero."""
    shape = (modulus.shape[0], modulus.shape[1])
    ky, kx = spatial_frequencies(shape, pixel_size)
    lens = (aberrations or Aberrations()).chi(ky, kx, wavelength)
    probe = np.fft.fftshift(np.fft.ifft2(modulus * np.exp(-1j * lens)))
    return probe / np.linalg.norm(probe)


def hermite_modes(
    probe: NDArray[np.complexfloating], modes: int, power: float = 0.02
) -> NDArray[np.complex128]:
    """Orthogonal probe modes [M, Ny, Nx] grown from one probe.

    Mode i is the probe times a polynomial in (y, x) of rising degree, made orthogonal to the
    modes before it (Thibault & Menzel, Nature 494 (2013) 68 describe the mixed state; the
    polynomials are the Taylor modes of a probe that moves during the exposure). The first mode
    keeps ``1 - power (M - 1)`` of the probe's total intensity, each further one has ``power``.

    Raises
    ------
    ValueError : fewer than one mode, a probe that is zero, modes that would leave nothing for the
        first, or more modes than the probe can carry (a bright pixel carries one).
    """
    if modes < 1:
        raise ValueError(f"modes must be at least 1, got {modes}")
    first = 1.0 - power * (modes - 1)
    if not (power > 0 and first > 0):
        raise ValueError(
            f"power = {power:g} for each of {modes - 1} further modes leaves "
            f"{first:g} for the first"
        )
    total = np.linalg.norm(probe)
    if not total > 0:
        raise ValueError(f"probe must have some intensity, found a norm of {total:g}")
    ny, nx = probe.shape
    weight = np.abs(probe) ** 2 / total**2
    y, x = np.arange(ny)[:, None] - ny // 2, np.arange(nx)[None, :] - nx // 2
    y, x = y - (weight * y).sum(), x - (weight * x).sum()
    scale = np.sqrt((weight * (y**2 + x**2)).sum()) or 1.0
    basis: list[NDArray[np.complex128]] = []
    degree = 0
    while len(basis) < modes:
        if degree > ny + nx - 2:  # the degree of a polynomial that can tell all pixels apart
            raise ValueError(
                f"modes = {modes} is more than the {len(basis)} that this probe of "
                f"{ny} x {nx} pixels can carry"
            )
        for j in range(degree + 1):
            grown = probe * (y / scale) ** (degree - j) * (x / scale) ** j
            mode = grown
            for _ in range(2):  # twice is enough for orthogonality to rounding
                for other in basis:
                    mode = mode - np.vdot(other, mode) * other
            size = np.linalg.norm(mode)
            if size > DEPENDENT * np.linalg.norm(grown):
                basis.append(mode / size)
        degree += 1
    powers = np.array([first] + [power] * (modes - 1))
    scaled: NDArray[np.complex128] = (
        np.stack(basis[:modes]) * (np.sqrt(powers) * total)[:, None, None]
    )
    return scaled

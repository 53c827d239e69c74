"""The operations and their adjoints as explicit sums, numpy in double precision.

Written from the formulas of docs/conventions.md alone: transforms are matrices, positions and
modes are loops. ``g`` is the gradient of a real loss with respect to an op's output, in torch's
sense: dL/dRe + i dL/dIm.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]

__all__ = [
    "double",
    "fresnel_propagate",
    "fresnel_propagate_adjoint",
    "inverse_transform",
    "mixed_intensity",
    "mixed_intensity_adjoint",
    "multislice_intensity",
    "probe_shift",
    "probe_shift_adjoint",
    "slice_transmit",
    "transfer",
    "transform",
]


def double(tensor: torch.Tensor) -> NDArray[np.generic]:
    """A tensor as numpy array, complex128 or float64."""
    wide = torch.complex128 if tensor.is_complex() else torch.float64
    return tensor.detach().to(wide).resolve_conj().numpy()


def frequencies(n: int) -> Real:
    """Cycles per pixel, index 0 first, -1/2 at even n."""
    return np.array([(k if k < (n + 1) // 2 else k - n) / n for k in range(n)])


def _matrix(n: int) -> Complex:
    return np.exp(-2j * np.pi * np.outer(frequencies(n), np.arange(n))) / math.sqrt(n)


def transform(wave: Complex) -> Complex:
    """Unitary forward transform of the last two axes."""
    return _matrix(wave.shape[-2]) @ wave @ _matrix(wave.shape[-1]).T


def inverse_transform(spectrum: Complex) -> Complex:
    """Its inverse, which is its adjoint."""
    return _matrix(spectrum.shape[-2]).conj().T @ spectrum @ _matrix(spectrum.shape[-1]).conj()


def _ramp(shape: tuple[int, int], shift: Real) -> Complex:
    fy, fx = frequencies(shape[0])[:, None], frequencies(shape[1])[None, :]
    return np.exp(-2j * np.pi * (fy * shift[0] + fx * shift[1]))


def probe_shift(probe: Complex, shift: Real) -> Complex:
    window = probe.shape[-2:]
    out = np.zeros((len(shift), *probe.shape), complex)
    for j, m in np.ndindex(*out.shape[:2]):
        out[j, m] = inverse_transform(transform(probe[m]) * _ramp(window, shift[j]))
    return out


def probe_shift_adjoint(g: Complex, probe: Complex, shift: Real) -> tuple[Complex, Real]:
    """(grad_probe, grad_shift)."""
    window = probe.shape[-2:]
    grad_probe, grad_shift = np.zeros_like(probe), np.zeros_like(shift)
    fy, fx = frequencies(window[0])[:, None], frequencies(window[1])[None, :]
    psi = probe_shift(probe, shift)
    for j, m in np.ndindex(*g.shape[:2]):
        spectrum = transform(g[j, m])
        grad_probe[m] += inverse_transform(_ramp(window, shift[j]).conj() * spectrum)
        overlap = spectrum.conj() * transform(psi[j, m])
        grad_shift[j, 0] += (overlap * -2j * np.pi * fy).real.sum()
        grad_shift[j, 1] += (overlap * -2j * np.pi * fx).real.sum()
    return grad_probe, grad_shift


def slice_transmit(wave: Complex, obj_slice: Complex, corner: NDArray[np.int64]) -> Complex:
    ny, nx = wave.shape[-2:]
    out = np.zeros((*wave.shape[:2], len(obj_slice), ny, nx), complex)
    for j, m, n in np.ndindex(*out.shape[:3]):
        y, x = corner[j]
        psi = wave[j, m] if wave.ndim == 4 else wave[j, m, n]
        out[j, m, n] = psi * obj_slice[n, y : y + ny, x : x + nx]
    return out


def slice_transmit_adjoint(
    g: Complex, wave: Complex, obj_slice: Complex, corner: NDArray[np.int64]
) -> tuple[Complex, Complex]:
    """(grad_wave, grad_obj_slice)."""
    ny, nx = wave.shape[-2:]
    grad_wave, grad_obj = np.zeros_like(wave), np.zeros_like(obj_slice)
    for j, m, n in np.ndindex(*g.shape[:3]):
        y, x = corner[j]
        at = (j, m) if wave.ndim == 4 else (j, m, n)
        grad_wave[at] += g[j, m, n] * obj_slice[n, y : y + ny, x : x + nx].conj()
        grad_obj[n, y : y + ny, x : x + nx] += g[j, m, n] * wave[at].conj()
    return grad_wave, grad_obj


def transfer(
    shape: tuple[int, int],
    thickness: float,
    tilt: Real,
    *,
    wavelength: float,
    pixel_size: tuple[float, float],
    model: str,
) -> tuple[Complex, Real]:
    """(H, chi = d arg H / d thickness) at one tilt, frequency by frequency.

    The axial wave number is written with the angle theta of the plane wave against the beam:
    ``k cos(theta) - k = -2 k sin^2(theta / 2)``.
    """
    transfer, chi = np.zeros(shape, complex), np.zeros(shape)
    fy, fx = frequencies(shape[0]) / pixel_size[0], frequencies(shape[1]) / pixel_size[1]
    for y, x in np.ndindex(*shape):
        sine = wavelength * math.hypot(fy[y], fx[x])
        if model == "fresnel":
            axial = -math.pi * sine**2 / wavelength
        elif sine < 1:
            axial = -4 * math.pi / wavelength * math.sin(math.asin(sine) / 2) ** 2
        else:
            continue  # evanescent: H = 0
        slope = fy[y] * math.tan(1e-3 * tilt[0]) + fx[x] * math.tan(1e-3 * tilt[1])
        chi[y, x] = axial + 2 * math.pi * slope
        transfer[y, x] = np.exp(1j * thickness * chi[y, x])
    return transfer, chi


def _tilts(tilt: Real | None, positions: int) -> Real:
    return np.broadcast_to(np.zeros((1, 2)) if tilt is None else tilt, (positions, 2))


def fresnel_propagate(
    wave: Complex, thickness: float, tilt: Real | None, **optics: object
) -> Complex:
    tilts = _tilts(tilt, len(wave))
    out = np.zeros_like(wave)
    for j in range(len(wave)):
        h, _ = transfer(wave.shape[-2:], thickness, tilts[j], **optics)
        out[j] = inverse_transform(h * transform(wave[j]))
    return out


def fresnel_propagate_adjoint(
    g: Complex, wave: Complex, thickness: float, tilt: Real | None, **optics: object
) -> tuple[Complex, float, Real]:
    """(grad_wave, grad_thickness, grad_tilt [B, 2] or, for a shared tilt, [1, 2])."""
    tilts, window = _tilts(tilt, len(wave)), wave.shape[-2:]
    pixel = optics["pixel_size"]
    grad_wave, grad_thickness, grad_tilt = np.zeros_like(wave), 0.0, np.zeros((len(wave), 2))
    lateral = (
        2 * np.pi * frequencies(window[0])[:, None] / pixel[0],
        2 * np.pi * frequencies(window[1])[None, :] / pixel[1],
    )
    for j in range(len(wave)):
        h, chi = transfer(window, thickness, tilts[j], **optics)
        spectrum = transform(g[j])
        grad_wave[j] = inverse_transform(h.conj() * spectrum)
        overlap = spectrum.conj() * h * transform(wave[j])
        grad_thickness += (overlap * 1j * chi).real.sum()
        for axis in range(2):
            secant2 = 1 / math.cos(1e-3 * tilts[j, axis]) ** 2
            slope = 1j * thickness * lateral[axis] * secant2 * 1e-3
            grad_tilt[j, axis] = (overlap * slope).real.sum()
    if tilt is not None and len(tilt) == 1:
        grad_tilt = grad_tilt.sum(axis=0, keepdims=True)
    return grad_wave, grad_thickness, grad_tilt


def mixed_intensity(wave: Complex, occupancy: Real | None) -> Real:
    out = np.zeros((len(wave), *wave.shape[-2:]))
    for j, m, n in np.ndindex(*wave.shape[:3]):
        weight = 1.0 if occupancy is None else occupancy[n]
        out[j] += weight * np.abs(transform(wave[j, m, n])) ** 2
    return out


def mixed_intensity_adjoint(g: Real, wave: Complex, occupancy: Real | None) -> tuple[Complex, Real]:
    """(grad_wave, grad_occupancy)."""
    grad_wave, grad_occupancy = np.zeros_like(wave), np.zeros(wave.shape[2])
    for j, m, n in np.ndindex(*wave.shape[:3]):
        spectrum = transform(wave[j, m, n])
        weight = 1.0 if occupancy is None else occupancy[n]
        grad_wave[j, m, n] = inverse_transform(2 * weight * g[j] * spectrum)
        grad_occupancy[n] += (g[j] * np.abs(spectrum) ** 2).sum()
    return grad_wave, grad_occupancy


def multislice_intensity(
    probe: Complex,
    obj: Complex,
    corner: NDArray[np.int64],
    shift: Real,
    thickness: Real,
    tilt: Real | None,
    occupancy: Real | None,
    **optics: object,
) -> Real:
    """The chain, with one thickness per gap."""
    wave = slice_transmit(probe_shift(probe, shift), obj[:, 0], corner)
    for z in range(1, obj.shape[1]):
        wave = fresnel_propagate(wave, float(thickness[z - 1]), tilt, **optics)
        wave = slice_transmit(wave, obj[:, z], corner)
    return mixed_intensity(wave, occupancy)


def multislice_intensity_adjoint(
    g: Real,
    probe: Complex,
    obj: Complex,
    corner: NDArray[np.int64],
    shift: Real,
    thickness: Real,
    tilt: Real | None,
    occupancy: Real | None,
    **optics: object,
) -> dict[str, NDArray[np.generic]]:
    """Gradient by argument: the adjoints of the steps, from the last to the first."""
    slices = obj.shape[1]
    before = [probe_shift(probe, shift)]  # the wave that enters each slice
    after = [slice_transmit(before[0], obj[:, 0], corner)]
    for z in range(1, slices):
        before.append(fresnel_propagate(after[-1], float(thickness[z - 1]), tilt, **optics))
        after.append(slice_transmit(before[-1], obj[:, z], corner))
    grad_obj, grad_thickness = np.zeros_like(obj), np.zeros(slices - 1)
    grad_tilt: Real | float = 0.0
    wave, grad_occupancy = mixed_intensity_adjoint(g, after[-1], occupancy)
    for z in reversed(range(slices)):
        wave, grad_obj[:, z] = slice_transmit_adjoint(wave, before[z], obj[:, z], corner)
        if z:
            wave, grad_thickness[z - 1], one = fresnel_propagate_adjoint(
                wave, after[z - 1], float(thickness[z - 1]), tilt, **optics
            )
            grad_tilt = grad_tilt + one
    grad_probe, grad_shift = probe_shift_adjoint(wave, probe, shift)
    return {
        "probe": grad_probe,
        "obj": grad_obj,
        "shift": grad_shift,
        "thickness": grad_thickness,
        "tilt": np.asarray(grad_tilt),
        "occupancy": grad_occupancy,
    }

"""What several constraints share."""

from __future__ import annotations

import math

import torch

from fastpty.model import Model
from fastpty.optics import propagator

__all__ = ["gaussian_blur", "norm", "propagated", "round_edge", "volumes"]


def volumes(model: Model, of: str) -> list[torch.Tensor]:
    """The object's tensors [No, Nz, Y, X] that ``of`` (both, amplitude, phase) names."""
    named = {"amplitude": [model.amplitude], "phase": [model.phase]}
    return named.get(of, [model.amplitude, model.phase])


def norm(tensor: torch.Tensor) -> torch.Tensor:
    """2-norm in double precision; axis by axis, which is the same for any number of threads."""
    squares = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    squares = squares.square()
    while squares.ndim:
        squares = squares.sum(dim=-1, dtype=torch.float64)
    return squares.sqrt()


def gaussian_blur(
    volume: torch.Tensor, axes: tuple[int, ...], std: float, taps: int | None
) -> torch.Tensor:
    """Gaussian blur along each of the axes, edges replicated.

    Without ``taps``: all that lie within 3 std, at least 5; what is cut off is below 1.2 % of the
    middle. As a sum of displaced copies, which takes a tenth of the time of a convolution with one
    channel.
    """
    radius = max(2, math.ceil(3 * std) - 1) if taps is None else taps // 2
    weights = [math.exp(-0.5 * (offset / std) ** 2) for offset in range(-radius, radius + 1)]
    total = sum(weights)
    for axis in axes:
        length = volume.shape[axis]
        index = torch.arange(-radius, length + radius, device=volume.device)
        padded = volume.index_select(axis, index.clamp(0, length - 1))
        volume = torch.zeros_like(volume)
        for start, weight in enumerate(weights):
            volume.add_(padded.narrow(axis, start, length), alpha=weight / total)
    return volume


def round_edge(frequency: torch.Tensor, radius: float, width: float) -> torch.Tensor:
    """1 inside, 0 outside, 1/2 at ``radius / 2``: 1 / (1 + exp(10 (f - radius / 2) / width)).

    Parameters
    ----------
    frequency : f, cycles per pixel; the highest along an axis is 1/2.
    radius : in units of the highest frequency.
    width : in cycles per pixel, over which the edge falls from 0.993 to 0.007.
    """
    return torch.sigmoid(-10 * (frequency - radius / 2) / width)


def propagated(
    model: Model, wave: torch.Tensor, distance: torch.Tensor, tilt: torch.Tensor | None = None
) -> torch.Tensor:
    """Waves [M, Ny, Nx] after a distance, in double precision, in the dtype of the input.

    The model must have lengths. In single precision a distance of 500 Angstrom would cost three
    of the seven digits.

    Parameters
    ----------
    distance : scalar, Angstrom, on the device of the waves.
    tilt : None or [1, 2], mrad.
    """
    transfer = propagator(
        (wave.shape[-2], wave.shape[-1]),
        distance.to(torch.float64),
        None if tilt is None else tilt.to(torch.float64),
        wavelength=model.wavelength or 1.0,
        pixel_size=model.pixel_size or 1.0,
        model=model.propagator,
    )
    spectrum = torch.fft.fft2(wave.to(torch.complex128))
    after: torch.Tensor = torch.fft.ifft2(spectrum * transfer)
    return after.to(wave.dtype)

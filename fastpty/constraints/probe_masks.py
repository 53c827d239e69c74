"""Constraints that mask the strong probe modes, in reciprocal or in real space.

Both change the intensity of the probe: ``probe_power``, which acts after them, restores it.
"""

from __future__ import annotations

import torch

from fastpty.config.constraints import ProbeApertureConfig, ProbeSupportConfig
from fastpty.constraints.common import propagated, round_edge
from fastpty.model import Model
from fastpty.optics import axial_wavenumber

__all__ = ["probe_aperture", "probe_support"]


def probe_aperture(model: Model, config: ProbeApertureConfig) -> None:
    """Mask the strong modes in reciprocal space with a soft round edge.

    P'(f) = P(f) / (1 + exp(10 (f - radius / 2) / width)), f in cycles per pixel (where pixels are
    not square: of the longer side, so that the mask is round in 1/Angstrom). The modes are sorted
    before and after. PtyRAD: ``probe_mask_k``.
    """
    modes = _sorted(model.probe)
    y, x = modes.shape[-2:]
    dy, dx = _aspect(model)
    real = modes.real
    fy = torch.fft.fftfreq(y, dtype=real.dtype, device=real.device)[:, None] / dy
    fx = torch.fft.fftfreq(x, dtype=real.dtype, device=real.device) / dx
    mask = round_edge(torch.hypot(fy, fx), config.radius, config.width)
    masked = torch.fft.ifft2(torch.fft.fft2(modes) * mask)
    model.probe.copy_(_sorted(torch.where(_strong(modes, config.power), masked, modes)))


def probe_support(model: Model, config: ProbeSupportConfig) -> None:
    """Mask the strong modes in real space, in the plane where the first of them is sharpest.

    That plane is sought among ``z_steps`` in ``z_range``: sum |psi|^4 is highest there. All modes
    are propagated to it, the strong ones multiplied by exp(-(R / radius)^(2 order) / 2), with R = 1
    at half the window's shorter side from its centre N//2, and all propagated back. The modes are
    sorted before and after. PtyRAD: ``probe_mask_r``, whose mask is centred at (N - 1) / 2. Without
    ``z_range`` or lengths the mask acts where the probe stands.
    """
    modes = _sorted(model.probe)
    focused, distance = modes, None
    if config.z_range is not None and model.wavelength is not None:
        distance = _focus(model, modes[0], config.z_range, config.z_steps)
        focused = propagated(model, modes.to(torch.complex128), distance)
    mask = _support(model, config)
    masked = torch.where(_strong(modes, config.power), focused * mask, focused)
    if distance is not None:
        masked = propagated(model, masked, -distance)
    model.probe.copy_(_sorted(masked.to(modes.dtype)))


def _support(model: Model, config: ProbeSupportConfig) -> torch.Tensor:
    y, x = model.probe.shape[-2:]
    dy, dx = _aspect(model)
    real = model.probe.real
    half = min(y * dy, x * dx) / 2
    ry = (torch.arange(y, dtype=real.dtype, device=real.device) - y // 2)[:, None] * dy / half
    rx = (torch.arange(x, dtype=real.dtype, device=real.device) - x // 2) * dx / half
    radius2 = (ry**2 + rx**2) / config.radius**2
    return torch.exp(-0.5 * radius2**config.order)


def _aspect(model: Model) -> tuple[float, float]:
    """The sides of a pixel in units of the longer one."""
    dy, dx = model.pixel_size or (1.0, 1.0)
    return dy / max(dy, dx), dx / max(dy, dx)


def _focus(
    model: Model, mode: torch.Tensor, z_range: tuple[float, float], steps: int
) -> torch.Tensor:
    """The distance in Angstrom, a scalar, after which sum |psi|^4 is highest."""
    chi0, propagating = axial_wavenumber(
        (mode.shape[-2], mode.shape[-1]),
        wavelength=model.wavelength or 1.0,
        pixel_size=model.pixel_size or 1.0,
        model=model.propagator,
    )
    chi = torch.tensor(chi0, device=mode.device)
    spectrum = torch.fft.fft2(mode.to(torch.complex128))
    spectrum = spectrum * torch.tensor(propagating, device=mode.device)
    planes = torch.linspace(*z_range, steps, dtype=torch.float64, device=mode.device)
    sharpness = [
        torch.fft.ifft2(spectrum * torch.polar(torch.ones_like(chi), z * chi)).abs().pow(4).sum()
        for z in planes
    ]
    return planes.take(torch.stack(sharpness).argmax())


def _sorted(modes: torch.Tensor) -> torch.Tensor:
    """The strongest first; equal ones keep their order."""
    return modes[_powers(modes).argsort(descending=True, stable=True)]


def _strong(modes: torch.Tensor, share: float) -> torch.Tensor:
    """[M, 1, 1], true for the modes up to the one with which their sum exceeds the share."""
    powers = _powers(modes)
    before = powers.cumsum(0) - powers
    return (before <= share * powers.sum())[:, None, None]


def _powers(modes: torch.Tensor) -> torch.Tensor:
    return modes.abs().square().sum(dim=(-2, -1), dtype=torch.float64)

"""The unknowns: object, probe, positions, tilt, thickness, occupancy, aberrations; and the numbers
that stay fixed beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Lens", "Model"]


@dataclass
class Lens:
    """How the aberrations that are unknowns act on a probe.

    Parameters
    ----------
    names : of the K coefficients.
    chi : [K, Ny, Nx] float32, phase in rad at one unit of each, corner order.
    angstrom : [K] what one unit is.
    start : [K] Angstrom, of the start probe; 0 where its aberrations are not known.
    folded : [K] float32 units, what the probe has in it already.
    """

    names: tuple[str, ...]
    chi: torch.Tensor
    angstrom: NDArray[np.float64]
    start: NDArray[np.float64]
    folded: torch.Tensor

    def applied(self, probe: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
        """``F^-1{F{P} exp(-i sum_k change_k chi_k)}`` of modes [M, Ny, Nx], for a change [K].

        Of modulus 1 at every frequency, so that powers and products of modes stay.
        """
        # Spread along one axis after the other: gradients are then summed by rows, then by
        # columns, which is the same for any number of threads.
        spread = change[:, None].expand(self.chi.shape[:2])[:, :, None]
        phase = (spread * self.chi).sum(dim=0)
        ramp = torch.polar(torch.ones_like(phase), -phase)
        after: torch.Tensor = torch.fft.ifft2(torch.fft.fft2(probe) * ramp)
        return after


@dataclass
class Model:
    """Everything that the forward model needs, on one device.

    Parameters
    ----------
    amplitude, phase : [No, Nz, Y, X] float32; phase in rad.
    probe : [M, Ny, Nx] complex64, centre at N//2, in scaled intensity.
    corner : [N, 2] int64, the window's top-left pixel.
    shift : [N, 2] float32 px; position = corner + shift.
    positions_start : [N, 2] float64 px, where the positions began.
    power_start : total probe intensity at the start.
    thickness : float32 Angstrom from slice to slice, one value [] or one for each gap [Nz - 1];
        None for one slice.
    tilt : [1, 2] or, with one for each position, [N, 2] float32 mrad; None: zero, and fixed.
    wavelength, pixel_size : Angstrom; None in pixel units.
    propagator : "angular_spectrum" or "fresnel".
    occupancy : [No] float32 weight of each object mode, of sum 1; None for one mode.
    aberrations : [K] float32, how far each coefficient of ``lens`` has moved from its start, in
        units of a radian at the aperture's edge; None: none is an unknown.
    lens : what the aberrations mean; there if they are.
    source : (shift [K, 2] px, weight [K]) of the points of a finite source; None: a point.
    detector_blur : symmetric matrices ([Ny, Ny], [Nx, Nx]) of the detector's point spread in
        corner order; None: none.
    scan_shape : (slow, fast) of a raster whose positions stand row by row; None for another scan.
    """

    amplitude: torch.Tensor
    phase: torch.Tensor
    probe: torch.Tensor
    corner: torch.Tensor
    shift: torch.Tensor
    positions_start: NDArray[np.float64]
    power_start: float
    thickness: torch.Tensor | None = None
    tilt: torch.Tensor | None = None
    wavelength: float | None = None
    pixel_size: tuple[float, float] | None = None
    propagator: str = "angular_spectrum"
    occupancy: torch.Tensor | None = None
    aberrations: torch.Tensor | None = None
    lens: Lens | None = None
    source: tuple[torch.Tensor, torch.Tensor] | None = None
    detector_blur: tuple[torch.Tensor, torch.Tensor] | None = None
    scan_shape: tuple[int, int] | None = None

    @property
    def unknowns(self) -> dict[str, torch.Tensor]:
        """The tensors that a fit can move, by their names in the config's ``optimise`` section;
        those alone that this model has."""
        tensors = {
            "amplitude": self.amplitude,
            "phase": self.phase,
            "probe": self.probe,
            "positions": self.shift,
            "tilt": self.tilt,
            "thickness": self.thickness,
            "occupancy": self.occupancy,
            "aberrations": self.aberrations,
        }
        return {name: tensor for name, tensor in tensors.items() if tensor is not None}

    @property
    def positions(self) -> NDArray[np.float64]:
        """[N, 2] px. The sum is taken in float64: float32 would lose 6e-5 px at 1000 px."""
        corner = self.corner.cpu().numpy().astype(np.float64)
        return corner + self.shift.detach().cpu().numpy().astype(np.float64)

    @property
    def displacement(self) -> NDArray[np.float64]:
        """[N, 2] px, how far each position has moved from its start."""
        return self.positions - self.positions_start

    @property
    def aberrated_probe(self) -> torch.Tensor:
        """[M, Ny, Nx] the probe with those aberrations that are not yet folded into it."""
        # Between iterations nothing is left to fold in, so that a probe whose aberrations are
        # fixed needs no transform.
        if self.aberrations is None or self.lens is None or not self.aberrations.requires_grad:
            return self.probe
        return self.lens.applied(self.probe, self.aberrations - self.lens.folded)

    @torch.no_grad()
    def fold_aberrations(self) -> None:
        """Put the aberrations that a fit has moved into the probe: at the end of an iteration, so
        that between iterations ``probe`` is the illumination itself."""
        if self.aberrations is None or self.lens is None or not self.aberrations.requires_grad:
            return
        change = (self.aberrations - self.lens.folded).double()
        self.probe.copy_(self.lens.applied(self.probe.to(torch.complex128), change))
        self.lens.folded.copy_(self.aberrations)

    @torch.no_grad()
    def normalise_occupancy(self) -> None:
        """Weights at least zero and of sum 1: after every step that has moved them."""
        if self.occupancy is not None:
            self.occupancy.clamp_(min=0)
            self.occupancy.div_(self.occupancy.sum())

    @torch.no_grad()
    def rechoose_corners(self, beyond: float = 0.5) -> int:
        """Move windows whose position has left their middle, so that no probe wraps round.

        A position that reaches the edge of the object is held there.

        Parameters
        ----------
        beyond : px; windows with a larger shift along an axis are moved along it.

        Returns
        -------
        held : how many positions are held at the edge.
        """
        windows = torch.tensor(self.probe.shape[-2:], device=self.corner.device)
        canvas = torch.tensor(self.phase.shape[-2:], device=self.corner.device)
        steps = self.shift.round() * (self.shift.abs() > beyond)
        wanted = self.corner + steps.to(torch.int64)
        corner = torch.minimum(wanted.clamp(min=0), canvas - windows)
        self.shift += (self.corner - corner).to(self.shift.dtype)
        self.corner.copy_(corner)
        held = (corner != wanted).any(dim=1)
        if held.any():
            self.shift.clamp_(-0.5, 0.5)
        return int(held.sum())

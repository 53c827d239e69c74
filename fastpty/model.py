"""The unknowns: object, probe, positions; and the numbers that stay fixed beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Model"]


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
    thickness : distance between slices, Angstrom; None for one slice.
    tilt : [1, 2] mrad, None for none.
    wavelength, pixel_size : Angstrom; None in pixel units.
    propagator : "angular_spectrum" or "fresnel".
    occupancy : [No] weight of each object mode; None: 1 for each.
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
    thickness: float | None = None
    tilt: torch.Tensor | None = None
    wavelength: float | None = None
    pixel_size: tuple[float, float] | None = None
    propagator: str = "angular_spectrum"
    occupancy: torch.Tensor | None = None
    source: tuple[torch.Tensor, torch.Tensor] | None = None
    detector_blur: tuple[torch.Tensor, torch.Tensor] | None = None
    scan_shape: tuple[int, int] | None = None

    @property
    def unknowns(self) -> dict[str, torch.Tensor]:
        """The tensors that a fit moves, by their names in the config's ``optimise`` section."""
        return {
            "amplitude": self.amplitude,
            "phase": self.phase,
            "probe": self.probe,
            "positions": self.shift,
        }

    @property
    def positions(self) -> NDArray[np.float64]:
        """[N, 2] px. The sum is taken in float64: float32 would lose 6e-5 px at 1000 px."""
        corner = self.corner.cpu().numpy().astype(np.float64)
        return corner + self.shift.detach().cpu().numpy().astype(np.float64)

    @property
    def displacement(self) -> NDArray[np.float64]:
        """[N, 2] px, how far each position has moved from its start."""
        return self.positions - self.positions_start

    @torch.no_grad()
    def rechoose_corners(self) -> int:
        """Move windows whose shift has passed half a pixel, so that no probe wraps round.

        A position that reaches the edge of the object is held there.

        Returns
        -------
        held : how many positions are held at the edge.
        """
        windows = torch.tensor(self.probe.shape[-2:], device=self.corner.device)
        canvas = torch.tensor(self.phase.shape[-2:], device=self.corner.device)
        wanted = self.corner + self.shift.round().to(torch.int64)
        corner = torch.minimum(wanted.clamp(min=0), canvas - windows)
        self.shift += (self.corner - corner).to(self.shift.dtype)
        self.corner.copy_(corner)
        held = (corner != wanted).any(dim=1)
        if held.any():
            self.shift.clamp_(-0.5, 0.5)
        return int(held.sum())

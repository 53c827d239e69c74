"""PtyRAD's model with given unknowns, made without its initializer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ptyrad.core import PtychoModel
from ptyrad.optics.propagator import near_field_evolution

__all__ = ["UNKNOWNS", "ptyrad_model"]

# fastpty's names, and PtyRAD's.
UNKNOWNS = {
    "amplitude": "obja",
    "phase": "objp",
    "probe": "probe",
    "shift": "probe_pos_shifts",
    "tilt": "obj_tilts",
    "thickness": "slice_thickness",
}


def ptyrad_model(
    unknowns: Mapping[str, NDArray[Any]],
    rates: Mapping[str, float],
    measured: NDArray[np.float32],
    *,
    thickness: float,
    wavelength: float,
    pixel_size: float,
    scan_shape: tuple[int, int],
    occupancy: NDArray[Any] | None = None,
    blur: float | None = None,
) -> PtychoModel:
    """On the CPU, for ``ptyrad.solver.reconstruction.recon_step`` and the constraints.

    Parameters
    ----------
    unknowns : amplitude, phase [No, Nz, Y, X]; probe [M, Ny, Nx]; corner, shift [N, 2] px; tilt
        [1, 2] or [N, 2] mrad, which may be missing.
    rates : learning rate of each of ``UNKNOWNS``; one that is missing stays fixed.
    measured : [N, Ny, Nx], zero frequency at N//2.
    thickness, wavelength, pixel_size : Angstrom.
    occupancy : [No]; None: the same for each, with sum 1.
    blur : standard deviation of the detector's point spread, px.
    """
    window = unknowns["probe"].shape[-2:]
    modes = len(unknowns["phase"])
    variables = {
        "measurements": measured,
        "obj": unknowns["amplitude"] * np.exp(1j * unknowns["phase"]),
        "obj_tilts": unknowns.get("tilt", np.zeros((1, 2))),
        "slice_thickness": thickness,
        "probe": unknowns["probe"],
        "probe_pos_shifts": unknowns["shift"],
        "crop_pos": unknowns["corner"],
        "omode_occu": np.full(modes, 1 / modes) if occupancy is None else occupancy,
        "H": near_field_evolution(window, pixel_size, thickness, wavelength),
        "N_scan_slow": scan_shape[0],
        "N_scan_fast": scan_shape[1],
        "dx": pixel_size,
        "dk": 1 / (pixel_size * window[0]),
        "lambd": wavelength,
        "random_seed": 0,
        "length_unit": "Ang",
        "scan_affine": None,
        "meas_Npix": window[0],
        "simu_Npix": window[0],
        "simu_match_mode": None,
        "recon_provenance": None,
    }
    moving = {theirs: rates.get(ours, 0.0) for ours, theirs in UNKNOWNS.items()}
    params = {
        "detector_blur_std": blur,
        "optimizer_params": {"name": "Adam"},
        "update_params": {
            name: {"start_iter": 1 if rate else None, "lr": rate} for name, rate in moving.items()
        },
    }
    return PtychoModel(variables, params, device="cpu")

"""Optics: wavelength, grids, aberrated probes, propagators. Knows no files and no config."""

from fastpty.optics.aberration_basis import AberrationBasis, aberration_basis
from fastpty.optics.aberrations import Aberrations, movable_aberrations
from fastpty.optics.detector import detector_blur
from fastpty.optics.grid import frequency_step, pixel_pair, spatial_frequencies
from fastpty.optics.probe import aperture, aperture_probe, focused_probe, hermite_modes
from fastpty.optics.propagator import axial_phase, axial_wavenumber, propagator
from fastpty.optics.source import source_points
from fastpty.optics.wavelength import electron_wavelength, interaction_parameter

__all__ = [
    "AberrationBasis",
    "Aberrations",
    "aberration_basis",
    "aperture",
    "aperture_probe",
    "axial_phase",
    "axial_wavenumber",
    "detector_blur",
    "electron_wavelength",
    "focused_probe",
    "frequency_step",
    "hermite_modes",
    "interaction_parameter",
    "movable_aberrations",
    "pixel_pair",
    "propagator",
    "source_points",
    "spatial_frequencies",
]

"""An earlier object with slices cut off or added, and its probe moved along the beam."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fastpty.config.model import StartConfig
from fastpty.errors import ConfigError
from fastpty.optics import axial_wavenumber
from fastpty.results import Results

__all__ = ["changed_in_depth"]

# What a way along the beam adds to coefficients that a file may hold, by their names.
_FOCUS = {"C10": 1.0, "C1": 1.0, "defocus": -1.0}


def changed_in_depth(results: Results, section: StartConfig) -> Results:
    """The results after ``crop_z``, ``pad_z`` and ``move_probe``.

    Raises
    ------
    ConfigError : slices that are not there, thicknesses of slices that are no more the same, or a
        probe without lengths.
    """
    first, end = section.crop_z or (0, results.phase.shape[1])
    if end > results.phase.shape[1]:
        raise ConfigError(
            "start.crop_z",
            f"is {[first, end]}, but the object in start.file has {results.phase.shape[1]} slices.",
        )
    amplitude = _padded(results.amplitude[:, first:end], section, vacuum=1.0)
    phase = _padded(results.phase[:, first:end], section, vacuum=0.0)
    thickness = results.thickness
    each = thickness is not None and thickness.ndim > 0
    if each and "thickness" in section.take and phase.shape != results.phase.shape:
        raise ConfigError(
            "start.take",
            "includes thickness, of which the file has one for each gap between slices that "
            "crop_z and pad_z change.",
            "Leave thickness out and set object.thickness.",
        )
    probe = _moved(results, section.move_probe) if section.move_probe else results.probe
    aberrations = {
        name: value + _FOCUS.get(name, 0.0) * section.move_probe
        for name, value in results.aberrations.items()
    }
    if thickness is not None and thickness.ndim:
        kept = thickness[first : end - 1]
        mean = [(kept if kept.size else thickness).mean()]
        before, behind = (np.repeat(mean, count) for count in section.pad_z)
        thickness = np.concatenate([before, kept, behind])
    return replace(
        results,
        amplitude=amplitude,
        phase=phase,
        probe=probe,
        thickness=thickness,
        aberrations=aberrations,
    )


def _padded(
    volume: NDArray[np.float32], section: StartConfig, vacuum: float
) -> NDArray[np.float32]:
    """Slices before and behind ``volume`` [No, Nz, Y, X]."""
    parts = [volume]
    for end, (count, kind) in enumerate(zip(section.pad_z, section.pad_with, strict=True)):
        edge = volume[:, -1:] if end else volume[:, :1]
        slices = {
            "vacuum": np.full_like(edge, vacuum),
            "mean": volume.mean(axis=1, keepdims=True),
            "edge": edge,
        }
        added = np.repeat(slices[kind], count, axis=1)
        parts = [*parts, added] if end else [added, *parts]
    return np.concatenate(parts, axis=1)


def _moved(results: Results, distance: float) -> NDArray[np.complex64]:
    """The probe after so many Angstrom of vacuum."""
    shape, pixel, wavelength = results.probe.shape[-2:], results.pixel_size, results.wavelength
    if pixel is None or wavelength is None:
        raise ConfigError(
            "start.move_probe",
            f"is {distance:g}, but start.file has no lengths.",
            "Leave it out.",
        )
    chi, passes = axial_wavenumber(
        (shape[0], shape[1]), wavelength=wavelength, pixel_size=pixel, model="angular_spectrum"
    )
    wave = np.fft.ifft2(np.fft.fft2(results.probe) * passes * np.exp(1j * distance * chi))
    return wave.astype(np.complex64)

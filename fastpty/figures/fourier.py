"""Fourier amplitude of the phase, and how far it goes."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from fastpty.figures.common import (
    PAGE,
    Scale,
    add_scale_bar,
    aperture_frequency,
    hide_ticks,
    new_figure,
    style,
)
from fastpty.figures.crop import scanned_area
from fastpty.metrics import LEAST, AmplitudeSpectrum, amplitude_spectrum
from fastpty.results import Results

__all__ = ["SMALLEST", "draw_fourier", "fourier_limits"]

SMALLEST = 17
"""Pixels along each side below which a spectrum has no ring with a noise of its own."""
_DECADES = 4.0
"""The scale ends so many decades below the highest amplitude, or where the noise does."""


@style()
def draw_fourier(results: Results) -> Figure:
    """Fourier amplitude of the z-summed phase over the scanned area, and its rings' highest.

    Circles and lines: twice the aperture, the detector's edge, and the information limit of
    :func:`fastpty.metrics.information_limit`, which is an estimate.

    Raises
    ------
    ValueError : the scanned area is too small, or the phase not finite.
    """
    area = scanned_area(results)
    phase = results.mean_over_modes(results.phase).sum(axis=0)[area]
    if min(phase.shape) < SMALLEST:
        raise ValueError(f"the scanned area is {phase.shape}; a spectrum needs {SMALLEST} px")
    pixel = results.pixel_size or (1.0, 1.0)
    length = "px" if results.pixel_size is None else "Å"
    found = amplitude_spectrum(phase, pixel)
    limits = fourier_limits(results, found)
    scale = Scale((1 / (phase.shape[0] * pixel[0]), 1 / (phase.shape[1] * pixel[1])), f"{length}⁻¹")
    # The spectrum of a rectangular area of square pixels is as high as it is wide.
    figure = new_figure(PAGE, 0.5 * PAGE)
    picture, profile = figure.subplots(1, 2, width_ratios=(1, 1.15))
    _draw_picture(picture, found, limits, scale)
    _draw_profile(profile, found, limits, scale.unit, length)
    handles, labels = profile.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def fourier_limits(results: Results, found: AmplitudeSpectrum) -> dict[str, tuple[float, str, str]]:
    """name -> (frequency in 1/Angstrom or 1/px, colour, dashes) of what bounds the spectrum.

    The detector's edge is at half a cycle per object pixel, by the choice of that pixel. The
    aperture is that of the run's config; a result without one has no such circle.
    """
    limits = {}
    aperture = aperture_frequency(results)
    if aperture is not None:
        limits["2 α"] = (2 * aperture, "#D55E00", "--")
    limits["detector"] = (0.5 / max(results.pixel_size or (1.0, 1.0)), "#009E73", ":")
    limit = found.limit()
    if limit is not None:
        limits["information limit (estimate)"] = (limit, "#0072B2", "-")
    return limits


def _draw_picture(
    axes: Axes,
    found: AmplitudeSpectrum,
    limits: dict[str, tuple[float, str, str]],
    scale: Scale,
) -> None:
    amplitude = np.fft.fftshift(found.amplitude)
    image = axes.imshow(
        np.maximum(amplitude, _range(found)[0]),
        cmap="gray_r",
        norm=LogNorm(*_range(found)),
        aspect=scale.aspect,
    )
    hide_ticks(axes)
    middle = [n // 2 for n in amplitude.shape]
    for frequency, colour, dashes in limits.values():
        axes.add_patch(
            Ellipse(
                (middle[1], middle[0]),
                2 * frequency / scale.step[1],
                2 * frequency / scale.step[0],
                fill=False,
                edgecolor=colour,
                linestyle=dashes,
                linewidth=1.0,
            )
        )
    add_scale_bar(axes, amplitude.shape, scale, share=0.25, colour="black")
    axes.set_title("Fourier amplitude of the phase")
    axes.figure.colorbar(image, ax=axes, label="amplitude (rad)", pad=0.02)


def _draw_profile(
    axes: Axes,
    found: AmplitudeSpectrum,
    limits: dict[str, tuple[float, str, str]],
    unit: str,
    length: str,
) -> None:
    low, high = _range(found)
    frequency = found.frequency
    axes.plot(frequency, np.maximum(found.highest, low), color="black", label="highest of a ring")
    axes.plot(frequency, found.noise, color="0.55", label="noise")
    axes.plot(
        frequency,
        LEAST * found.noise,
        color="0.55",
        linestyle=(0, (1, 1)),
        label=f"{LEAST:g} × noise",
    )
    for name, (value, colour, dashes) in limits.items():
        axes.axvline(
            value,
            color=colour,
            linestyle=dashes,
            linewidth=1.0,
            label=f"{name}: {value:.3g} {unit} ({1 / value:.3g} {length})",
        )
    axes.set_yscale("log")
    axes.set_ylim(low, 1.5 * high)
    axes.set_xlim(0, 1.03 * max(float(frequency[-1]), *(value for value, _, _ in limits.values())))
    axes.set_xlabel(f"spatial frequency ({unit})")
    axes.set_ylabel("amplitude (rad)")
    axes.grid(True, linewidth=0.3, color="0.85")


def _range(found: AmplitudeSpectrum) -> tuple[float, float]:
    """What the logarithmic scale shows; of a flat image any, but not empty."""
    high = float(found.amplitude.max())
    noise: NDArray[np.float64] = found.noise[np.isfinite(found.noise) & (found.noise > 0)]
    low = 0.3 * float(noise.min()) if noise.size else 0.0
    high = high if high > found.floor else 1.0
    return min(max(low, high * 10**-_DECADES), 0.1 * high), high

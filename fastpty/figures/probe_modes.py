"""The probe's modes in real and reciprocal space."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from fastpty.figures.common import (
    PAGE,
    add_colour_wheel,
    add_scale_bar,
    aperture_frequency,
    complex_to_rgb,
    detector_scale,
    hide_ticks,
    new_figure,
    object_scale,
    style,
)
from fastpty.results import Results

__all__ = ["draw_probe_modes"]

_COLUMNS = 6
"""Most modes side by side; further ones start a new pair of rows."""
_WHEEL = 0.9
"""Width in inches that the colour wheel takes."""


@style()
def draw_probe_modes(results: Results) -> Figure:
    """Every mode: phase as hue, amplitude as brightness, its share of the power, and leakage.

    Each panel is as bright as its own largest amplitude, so that weak modes can be seen; their
    power is in the title. Patterns are drawn with zero frequency at N//2, their phase referring
    to the probe's centre. Where the aperture is known, it is drawn as a circle; how much of a
    mode's power lies outside of it is below the mode. The title has what the history says last of
    the leakage between probe and object.
    """
    probe = results.probe
    modes, *shape = probe.shape
    blocks = math.ceil(modes / _COLUMNS)
    columns = math.ceil(modes / blocks)
    scales = object_scale(results), detector_scale(results)
    tallest = max(scale.height_over_width(tuple(shape)) for scale in scales)

    panel = min(1.7, (PAGE - _WHEEL) / columns)
    aperture = aperture_frequency(results)
    below = 0.0 if aperture is None else 0.2
    figure = new_figure(columns * panel + _WHEEL, blocks * (2 * panel * tallest + 0.4 + below))
    grid = figure.subplots(2 * blocks, columns, squeeze=False)
    # Hung on the last panel of the first row, and so no column of its own in the grid.
    add_colour_wheel(grid[0, -1].inset_axes((1.2, 0.2, 0.6 / panel, 0.6)))

    shares = _power_shares(probe)
    waves = probe, _centred_transform(probe)
    radii = None if aperture is None else _aperture_radii(results, aperture)
    for mode in range(blocks * columns):
        block, column = divmod(mode, columns)
        for space, (wave, scale, name) in enumerate(
            zip(waves, scales, ("real space", "reciprocal space"), strict=True)
        ):
            axes = grid[2 * block + space, column]
            if mode >= modes:
                axes.set_axis_off()
                continue
            axes.imshow(complex_to_rgb(wave[mode]), aspect=scale.aspect)
            hide_ticks(axes)
            if column == 0:
                axes.set_ylabel(name)
                add_scale_bar(axes, tuple(shape), scale)
            if space == 0:
                axes.set_title(f"mode {mode + 1}: {shares[mode]:.3g} %")
            elif radii is not None:
                _add_aperture(axes, wave[mode], radii)
    if leaked := _leakage(results):
        figure.suptitle(leaked)
    return figure


def _aperture_radii(results: Results, aperture: float) -> tuple[float, float]:
    """(y, x) of the aperture in detector pixels, which are 1 / (N d) wide."""
    ny, nx = results.probe.shape[-2:]
    dy, dx = results.pixel_size or (1.0, 1.0)
    return aperture * ny * dy, aperture * nx * dx


def _add_aperture(
    axes: Axes, wave: NDArray[np.complexfloating], radii: tuple[float, float]
) -> None:
    """The aperture's circle, and the share of a wave's power [Ny, Nx] outside of it.

    What is within a pixel of the edge counts as inside: there the aperture itself falls off.
    """
    middle = [n // 2 for n in wave.shape]
    axes.add_patch(
        Ellipse(
            (middle[1], middle[0]),
            2 * radii[1],
            2 * radii[0],
            fill=False,
            edgecolor="white",
            linewidth=0.6,
            linestyle=(0, (4, 3)),
        )
    )
    y, x = np.indices(wave.shape) - np.reshape(middle, (2, 1, 1))
    outside = np.hypot(y / (radii[0] + 1), x / (radii[1] + 1)) > 1
    power = np.abs(wave.astype(np.complex128)) ** 2
    total = power.sum()
    share = 100 * float(power[outside].sum() / total) if total > 0 else math.nan
    axes.set_xlabel(f"{float(f'{share:.2g}'):g} % outside", labelpad=2)


def _leakage(results: Results) -> str:
    """What the history says last, in words; empty if nothing."""
    last = {name: values[-1] for name, values in results.history.leakage.items() if values}
    known = {name: value for name, value in last.items() if math.isfinite(value)}
    parts = []
    if "amplitude" in known:
        parts.append(f"amplitude {100 * known['amplitude']:+.2g} %".replace("-", "−"))
    if "ramp" in known:
        parts.append(f"ramp {known['ramp']:.2g} px of the detector")
    if "raster" in known:
        parts.append(f"scan raster {100 * known['raster']:.2g} %")
    return f"Leakage into the object: {', '.join(parts)}" if parts else ""


def _power_shares(probe: NDArray[np.complexfloating]) -> NDArray[np.float64]:
    """Power of each mode in per cent of the sum [M]; NaN for a probe that is zero."""
    power = np.sum(np.abs(probe.astype(np.complex128)) ** 2, axis=(1, 2))
    total = power.sum()
    return np.asarray(100 * power / (total if total > 0 else math.nan))


def _centred_transform(probe: NDArray[np.complexfloating]) -> NDArray[np.complexfloating]:
    """Fourier transform of waves whose centre is at N//2, zero frequency at N//2."""
    natural = np.fft.ifftshift(probe, axes=(-2, -1))
    return np.fft.fftshift(np.fft.fft2(natural, norm="ortho"), axes=(-2, -1))

"""The probe's modes in real and reciprocal space."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fastpty.figures.common import (
    PAGE,
    add_colour_wheel,
    add_scale_bar,
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
    """Every mode: phase as hue, amplitude as brightness, and its share of the power.

    Each panel is as bright as its own largest amplitude, so that weak modes can be seen; their
    power is in the title. Patterns are drawn with zero frequency at N//2, their phase referring
    to the probe's centre.
    """
    probe = results.probe
    modes, *shape = probe.shape
    blocks = math.ceil(modes / _COLUMNS)
    columns = math.ceil(modes / blocks)
    scales = object_scale(results), detector_scale(results)
    tallest = max(scale.height_over_width(tuple(shape)) for scale in scales)

    panel = min(1.7, (PAGE - _WHEEL) / columns)
    figure = new_figure(columns * panel + _WHEEL, blocks * (2 * panel * tallest + 0.4))
    grid = figure.subplots(2 * blocks, columns, squeeze=False)
    # Hung on the last panel of the first row, and so no column of its own in the grid.
    add_colour_wheel(grid[0, -1].inset_axes((1.2, 0.2, 0.6 / panel, 0.6)))

    shares = _power_shares(probe)
    waves = probe, _centred_transform(probe)
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
    return figure


def _power_shares(probe: NDArray[np.complexfloating]) -> NDArray[np.float64]:
    """Power of each mode in per cent of the sum [M]; NaN for a probe that is zero."""
    power = np.sum(np.abs(probe.astype(np.complex128)) ** 2, axis=(1, 2))
    total = power.sum()
    return np.asarray(100 * power / (total if total > 0 else math.nan))


def _centred_transform(probe: NDArray[np.complexfloating]) -> NDArray[np.complexfloating]:
    """Fourier transform of waves whose centre is at N//2, zero frequency at N//2."""
    natural = np.fft.ifftshift(probe, axes=(-2, -1))
    return np.fft.fftshift(np.fft.fft2(natural, norm="ortho"), axes=(-2, -1))

"""The figure of a Fourier ring correlation."""

from __future__ import annotations

import numpy as np
import pytest

from fastpty.figures.ring_correlation import draw_ring_correlation
from fastpty.metrics import RingCorrelation

FREQUENCY = 0.1 * np.arange(1, 21)


def curve(correlation: np.ndarray) -> RingCorrelation:
    return RingCorrelation(FREQUENCY, correlation, 40.0 * np.arange(1, 21))


def test_curves_thresholds_and_crossings() -> None:
    falling = curve(1 - FREQUENCY / 2)
    figure = draw_ring_correlation({"mean": falling, "mode 1": curve(0 * FREQUENCY)}, "Å")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    lines = {line.get_label(): line.get_data() for line in axes.lines}
    assert set(lines) >= {"mean", "mode 1", "half-bit", "1/7"}
    np.testing.assert_array_equal(lines["mean"], (FREQUENCY, falling.correlation))
    np.testing.assert_array_equal(lines["half-bit"][1], falling.half_bit)
    crossing = falling.crossing(falling.one_seventh)
    assert crossing is not None
    assert f"1/7: {crossing.resolution:.3g} Å" in axes.get_title(loc="left")
    assert axes.get_xlabel() == "spatial frequency (Å⁻¹)"


@pytest.mark.parametrize(
    ("level", "title"),
    [(1.0, "half-bit: < 0.5 px, 1/7: < 0.5 px"), (-0.5, "no ring above the half-bit threshold")],
)
def test_what_never_crosses(level: float, title: str) -> None:
    figure = draw_ring_correlation({"mean": curve(np.full(20, level))}, "px")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == title
    assert axes.get_ylim()[0] < level
    assert axes.get_xlabel() == "spatial frequency (1/px)"

from __future__ import annotations

import numpy as np
import pytest

from fastpty.figures.common import complex_to_rgb, detector_scale, object_scale
from fastpty.figures.probe_modes import draw_probe_modes


def titled(figure):
    """Real-space panels in the order of the modes."""
    return [axes for axes in figure.axes if axes.get_title().startswith("mode")]


def test_every_mode_with_its_power(any_results):
    figure = draw_probe_modes(any_results)
    figure.draw_without_rendering()
    probe = any_results.probe
    power = np.sum(np.abs(probe) ** 2, axis=(1, 2))
    shown = titled(figure)
    assert len(shown) == len(probe)
    for mode, axes in enumerate(shown):
        share = float(axes.get_title().split(": ")[1].removesuffix(" %"))
        assert share == pytest.approx(100 * power[mode] / power.sum(), rel=6e-3)
        np.testing.assert_array_equal(axes.images[0].get_array(), complex_to_rgb(probe[mode]))
        assert axes.get_aspect() == object_scale(any_results).aspect


def test_reciprocal_space_is_centred_with_the_phase_of_the_probes_centre(make_results):
    results = make_results(probe_modes=1, window=(12, 20))
    results.probe = np.zeros((1, 12, 20), np.complex64)
    results.probe[0, 6, 10] = 1j
    panels = [axes for axes in draw_probe_modes(results).axes if axes.images]
    _, reciprocal = panels
    assert reciprocal.get_ylabel() == "reciprocal space"
    assert reciprocal.get_aspect() == detector_scale(results).aspect
    flat = complex_to_rgb(np.full((12, 20), 1j))
    np.testing.assert_allclose(reciprocal.images[0].get_array(), flat, atol=1e-6)

    ky, kx = 2, -3
    y, x = np.arange(12)[:, None] - 6, np.arange(20) - 10
    results.probe = np.exp(2j * np.pi * (ky * y / 12 + kx * x / 20))[None].astype(np.complex64)
    panels = [axes for axes in draw_probe_modes(results).axes if axes.images]
    bright = panels[1].images[0].get_array().sum(axis=-1)
    assert np.unravel_index(bright.argmax(), bright.shape) == (6 + ky, 10 + kx)


def test_a_colour_wheel_explains_the_phase(make_results):
    figure = draw_probe_modes(make_results())
    (wheel,) = [
        child
        for axes in figure.axes
        for child in axes.child_axes
        if any(text.get_text() == "π/2" for text in child.texts)
    ]
    rgba = wheel.images[0].get_array()
    size = len(rgba)
    assert rgba[0, 0, 3] == 0  # nothing outside the disc
    # Phase 0 points right, pi/2 up: row 0 is the bottom of the wheel.
    np.testing.assert_allclose(
        rgba[size // 2, -2, :3], complex_to_rgb(np.array(1 + 0j), largest=1.0), atol=0.03
    )
    np.testing.assert_allclose(
        rgba[-2, size // 2, :3], complex_to_rgb(np.array(1j), largest=1.0), atol=0.03
    )


def test_probes_that_are_zero_or_not_finite_are_drawn(make_results):
    results = make_results()
    for value in (0, np.nan):
        results.probe = np.full_like(results.probe, value)
        figure = draw_probe_modes(results)
        figure.draw_without_rendering()
        assert titled(figure)[0].get_title() == "mode 1: nan %"


def test_power_outside_of_the_aperture(make_results):
    """Of two waves, one is inside of the aperture's circle and one is not."""
    results = make_results(probe_modes=1, window=(16, 24), pixel_size=(0.25, 0.5))
    dk = np.array([1 / (16 * 0.25), 1 / (24 * 0.5)])  # 1/Angstrom
    results.config = {"beam": {"semiangle_mrad": 1e3 * results.wavelength * 5 * dk[0]}}
    y, x = np.arange(16)[:, None] - 8, np.arange(24) - 12
    inside, outside = (np.exp(2j * np.pi * (k * y / 16)) * np.ones_like(x) for k in (5, 7))
    results.probe = np.stack([inside, 3 * inside + outside, outside]).astype(np.complex64)
    panels = [axes for axes in draw_probe_modes(results).axes if axes.get_xlabel()]
    assert [axes.get_xlabel() for axes in panels][1:] == ["10 % outside", "100 % outside"]
    assert float(panels[0].get_xlabel().split()[0]) < 1e-6
    (circle,) = panels[0].patches
    assert (circle.height / 2, circle.width / 2) == pytest.approx((5, 5 * dk[0] / dk[1]))
    assert tuple(circle.center) == (12, 8)


def test_leakage_is_what_the_history_says_last(make_results):
    results = make_results()
    assert draw_probe_modes(results).get_suptitle() == ""
    results.history.leakage = {
        "amplitude": [0.2, -0.015],
        "phase": [0.1, 0.2],
        "ramp": [0.5, 0.25],
        "raster": [0.1, np.nan],
    }
    title = draw_probe_modes(results).get_suptitle()
    assert title == "Leakage into the object: amplitude −1.5 %, ramp 0.25 px of the detector"

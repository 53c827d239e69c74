"""Where reflections are in the spectrum, and what bounds it."""

from __future__ import annotations

import numpy as np
import pytest

from fastpty.figures.crop import scanned_area
from fastpty.figures.fourier import draw_fourier, fourier_limits
from fastpty.metrics import amplitude_spectrum
from fastpty.results import Results
from tests.tolerances import bound

PIXEL = (0.2, 0.25)
Q = (1.2, -0.8)  # 1/Angstrom
LIMIT = "information limit (estimate)"


@pytest.fixture
def lattice(make_results) -> Results:
    """Noise, and one reflection at ``Q``."""
    results = make_results(slices=1, scan=(14, 16), pixel_size=PIXEL, wavelength=0.02, moved=0.0)
    y, x = np.indices(results.phase.shape[-2:])
    wave = np.cos(2 * np.pi * (Q[0] * PIXEL[0] * y + Q[1] * PIXEL[1] * x))
    results.phase = (wave + 0.3 * results.phase).astype(np.float32)
    results.config = {"beam": {"semiangle_mrad": 15.0}}
    return results


def test_a_reflection_is_where_its_frequency_says(lattice: Results) -> None:
    picture = draw_fourier(lattice).axes[0]
    amplitude = np.asarray(picture.images[0].get_array())
    ny, nx = amplitude.shape
    y, x = np.unravel_index(amplitude.argmax(), amplitude.shape)
    # The spectrum of a real image is the same at -Q.
    found = np.array([(y - ny // 2) / (ny * PIXEL[0]), (x - nx // 2) / (nx * PIXEL[1])])
    found *= np.sign(found[0])
    assert found[0] == pytest.approx(Q[0], abs=0.5 / (ny * PIXEL[0]))
    assert found[1] == pytest.approx(Q[1], abs=0.5 / (nx * PIXEL[1]))
    assert picture.get_aspect() == pytest.approx((nx * PIXEL[1]) / (ny * PIXEL[0]))


def test_limits_are_circles_lines_and_numbers(lattice: Results) -> None:
    figure = draw_fourier(lattice)
    picture, profile = figure.axes[:2]
    area = scanned_area(lattice)
    ny, nx = (part.stop - part.start for part in area)
    phase = lattice.phase.sum(axis=(0, 1))[area]
    limit = amplitude_spectrum(phase, PIXEL).limit()
    # A Hann window widens a reflection by two steps of the frequency grid.
    assert limit == pytest.approx(np.hypot(*Q), abs=2 / min(ny * PIXEL[0], nx * PIXEL[1]))
    expected = [2 * 15e-3 / 0.02, 0.5 / max(PIXEL), limit]
    heights = [patch.height for patch in picture.patches]
    np.testing.assert_allclose(heights, [2 * q * ny * PIXEL[0] for q in expected])
    np.testing.assert_allclose(
        [patch.width for patch in picture.patches], [2 * q * nx * PIXEL[1] for q in expected]
    )
    lines = {line.get_label(): line.get_xdata()[0] for line in profile.lines[-3:]}
    np.testing.assert_allclose(list(lines.values()), expected)
    assert next(iter(lines)) == "2 α: 1.5 Å⁻¹ (0.667 Å)"
    assert list(lines)[2] == f"{LIMIT}: {limit:.3g} Å⁻¹ ({1 / limit:.3g} Å)"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert set(lines) <= set(labels)


def test_what_is_not_known_bounds_nothing(make_results) -> None:
    """Pixel units and no lattice: only the detector's edge is left."""
    results = make_results(slices=1, scan=(8, 8), pixel_size=None, wavelength=None)
    figure = draw_fourier(results)
    figure.draw_without_rendering()
    phase = results.phase.sum(axis=(0, 1))[scanned_area(results)]
    limits = fourier_limits(results, amplitude_spectrum(phase))
    assert {name: value for name, (value, _, _) in limits.items()} == {"detector": 0.5}
    assert figure.axes[1].get_xlabel() == "spatial frequency (px⁻¹)"


def test_a_flat_phase_is_drawn(make_results) -> None:
    results = make_results(slices=1, scan=(8, 8))
    results.phase[:] = 0.5
    draw_fourier(results).draw_without_rendering()


def test_a_wave_has_half_its_amplitude() -> None:
    """In the middle of a ring, and a whole number of periods long."""
    x = np.arange(80)
    image = np.broadcast_to(0.3 * np.cos(2 * np.pi * 20 * x / 80), (80, 80))
    found = amplitude_spectrum(image)
    highest = int(found.highest.argmax())
    assert found.highest[highest] == pytest.approx(0.15, rel=bound("sampled"))
    assert found.frequency[highest] == pytest.approx(0.25, abs=0.5 / 80)


def test_an_area_without_rings_is_refused(make_results) -> None:
    with pytest.raises(ValueError, match="needs 17 px"):
        draw_fourier(make_results(scan=(4, 9)))

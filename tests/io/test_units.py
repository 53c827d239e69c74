"""Scales of other programs' axes in this one's units."""

from __future__ import annotations

from typing import Any

import pytest

from fastpty.io.units import calibration_of, number

SHAPE = (6, 4, 8)


@pytest.mark.parametrize(
    ("scale", "unit", "expected"),
    [
        (0.02, "1/A", {"dk_invA": 0.02}),
        (0.02, "Å^-1", {"dk_invA": 0.02}),
        (0.02, "A-1", {"dk_invA": 0.02}),
        (-0.2, "1 / nm", {"dk_invA": 0.02}),
        (0.2, b"[1/n_m]", {"dk_invA": 0.02}),
        (2e8, "1/m", {"dk_invA": 0.02}),
        (0.5, "mrad", {"mrad_per_pixel": 0.5}),
        (5e-4, "rad", {"mrad_per_pixel": 0.5}),
        (1.0, "pixels", {}),
        (1.0, "", {}),
        (1.0, None, {}),
        (0.0, "1/nm", {}),
        (float("nan"), "1/nm", {}),
        ("text", "1/nm", {}),
        (0.1, "nm", {}),
    ],
)
def test_patterns(scale: Any, unit: Any, expected: dict[str, float]) -> None:
    assert calibration_of([(1, ""), (scale, unit), (scale, unit)], SHAPE) == {
        name: pytest.approx(value) for name, value in expected.items()
    }


def test_pixels_that_are_not_square() -> None:
    """There is one dk; two pixel sizes say the same."""
    known = calibration_of([(0.2, "1/nm"), (0.1, "1/nm")], SHAPE)
    assert known == {"pixel_size_A": [pytest.approx(1 / (4 * 0.02)), pytest.approx(1 / (8 * 0.01))]}
    assert calibration_of([(1, "mrad"), (2, "mrad")], SHAPE) == {}


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        (("nm", "nm"), 5.0),
        (("Å", "Å"), 0.5),
        (("µm", "um"), 5000.0),
        (("nm", "A"), [5.0, 0.5]),
        (("nm", ""), None),
    ],
)
def test_scans(units: tuple[str, str], expected: float | list[float] | None) -> None:
    axes = [(0.5, units[0]), (0.5, units[1]), (1, ""), (1, "")]
    known = calibration_of(axes, SHAPE)
    assert known.get("scan_step_A") == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("value", "expected"),
    [("300000", 3e5), (b"1.5", 1.5), (2, 2.0), ("x", None), (None, None), (float("inf"), None)],
)
def test_numbers(value: Any, expected: float | None) -> None:
    assert number(value) == expected

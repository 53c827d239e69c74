"""Calibration of measured data from the counts, the voltage and the scan step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fastpty.calibrate import Calibration, gather, read_input, solve
from fastpty.calibrate.orientation import turned_by

pytestmark = pytest.mark.slow

FILE = "rotavirus_crop_64x64x128x128_u8.h5"
# What the README of the data says, fitted by others to the whole scan.
ROTATION, DEFOCUS, RADIUS = -120.6, 137_400.0, 60.7
PIXEL = 9.3  # Angstrom: the scale of these numbers
NOMINAL_SEMIANGLE = 1.03  # mrad


def calibrate(path: Path, *overrides: str) -> Calibration:
    known = ["data.dataset=data", "beam.energy_kv=300", "scan.step=31.25"]
    config, _ = read_input(path, [*known, *overrides])
    return solve(gather(config, Path()), config)


@pytest.fixture(scope="module")
def virus(measured_file: Callable[[str], Path]) -> Calibration:
    return calibrate(measured_file(FILE), f"calibration.pixel_size={PIXEL}")


def test_the_rotation_is_found(virus: Calibration) -> None:
    """Gold and protein are positive, so the turn by 180 degrees is excluded too."""
    assert abs(turned_by(virus.lens.rotation_deg, ROTATION)) < 3
    assert not virus.lens.mirrored
    assert virus.tails > 1.5


def test_the_defocus_is_found(virus: Calibration) -> None:
    assert virus.lens.c10 == pytest.approx(-DEFOCUS, rel=0.05)


def test_the_disc_is_found(virus: Calibration) -> None:
    assert virus.gathered.disc.radius == pytest.approx(RADIUS, abs=1.5)


def test_both_methods_agree(virus: Calibration) -> None:
    assert abs(virus.curl_differs_deg) < 3
    assert abs(virus.parallax_differs_deg) < 3
    assert virus.doubts == []


def test_the_nominal_semiangle_contradicts_the_pixel_size(
    virus: Calibration, measured_file: Callable[[str], Path]
) -> None:
    """By 2.4 %, and the defocus with it: one scale has to be known."""
    found = calibrate(measured_file(FILE), f"beam.semiangle_mrad={NOMINAL_SEMIANGLE}")
    ratio = virus.semiangle_mrad / NOMINAL_SEMIANGLE
    assert ratio == pytest.approx(0.976, abs=0.003)
    assert found.lens.c10 == pytest.approx(virus.lens.c10 * ratio, rel=0.01)
    assert abs(turned_by(found.lens.rotation_deg, ROTATION)) < 3

"""Data made worse in known ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from fastpty.errors import ConfigError, DataError
from fastpty.io import RawScan
from tests.config.complete import IN_PIXELS
from tests.measurements.preprocess.steps import run, scan_of
from tests.tolerances import bound, tolerance

SUM = tolerance("sum", torch.float32, 1000)


def raster(kind: str = "u2") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1000, (7, 6, 5, 4)).astype(kind)


def test_the_source_blurs_over_the_scan() -> None:
    """Against scipy, whose mirror is the same: position next to position."""
    done = run(raster(), {"step": "source_size", "std": 0.6}, scan={"step": [0.5, 0.8]})
    # scipy cuts its kernel at a whole number of pixels: 3 std, rounded up, as here.
    expected = raster().astype(float)
    for axis, std in enumerate((1.2, 0.75)):
        expected = gaussian_filter(expected, std, axes=axis, radius=int(np.ceil(3 * std)))
    np.testing.assert_allclose(done.counts, expected.reshape(-1, 5, 4), **SUM)
    assert "Gaussian of 1.2 x 0.75 scan steps" in done.said


def test_the_detector_blurs_patterns() -> None:
    done = run(raster(), {"step": "detector_blur", "std": 0.8})
    expected = gaussian_filter(raster().astype(float), 0.8, axes=(2, 3), radius=3)
    np.testing.assert_allclose(done.counts, expected.reshape(-1, 5, 4), **SUM)


def test_blurs_in_pieces_are_blurs(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [{"step": "source_size", "std": 0.7}, {"step": "detector_blur", "std": 1}]
    whole = run(raster(), *steps).counts
    read = RawScan.pieces
    monkeypatch.setattr(RawScan, "pieces", lambda self, *_: read(self, 5 * 80 / 2**20))
    np.testing.assert_allclose(run(raster(), *steps).counts, whole, **SUM)


def test_noise_has_the_dose_and_the_statistics_of_counts() -> None:
    data = np.full((200, 8, 8), 0.25)
    done = run(data, {"step": "poisson_noise", "electrons_per_pattern": 640})
    assert done.patterns.dtype == np.uint16
    assert done.counts.mean() == pytest.approx(10, rel=bound("raster"))
    assert done.counts.var() == pytest.approx(10, rel=bound("raster"))
    assert "640 electrons in the mean pattern" in done.said


def test_patterns_of_more_counts_stay_so() -> None:
    data = np.ones((2, 50, 50))
    data[1] = 3
    first, second = run(data, {"step": "poisson_noise", "electrons_per_pattern": 1e5}).counts
    assert second.sum() / first.sum() == pytest.approx(3, rel=bound("sampled"))


def test_a_dose_per_area_counts_the_steps() -> None:
    step = {"step": "poisson_noise", "electrons_per_A2": 1000}
    said = run(raster(), step, scan={"step": [0.5, 0.4]}).said
    assert "200 electrons in the mean pattern" in said


def test_the_noise_is_that_of_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever pieces the patterns are read."""
    step = {"step": "poisson_noise", "electrons_per_pattern": 500}
    first = run(raster(), step).counts
    assert not np.array_equal(first, run(raster(), {**step, "seed": 1}).counts)
    read = RawScan.pieces
    monkeypatch.setattr(RawScan, "pieces", lambda self, *_: read(self, 5 * 80 / 2**20))
    np.testing.assert_array_equal(run(raster(), step).counts, first)


def test_negative_expectations_are_counted() -> None:
    data = np.full((4, 2, 2), 10.0)
    data[2, 0, 0] = -1
    done = run(data, {"step": "poisson_noise", "electrons_per_pattern": 5})
    assert "1 values (6.2 %) set to 0" in done.said


@pytest.mark.parametrize(
    ("step", "changes", "message"),
    [
        (
            {"step": "source_size", "std": 1},
            {"scan": {"positions": {"path": "p.npy", "unit": "angstrom"}}},
            r"source_size\.std: needs a raster with scan\.step",
        ),
        (
            {"step": "poisson_noise", "electrons_per_A2": 1},
            {"scan": {"positions": {"path": "p.npy", "unit": "angstrom"}}},
            r"electrons_per_A2: needs a raster with scan\.step",
        ),
        (
            {"step": "poisson_noise", "electrons_per_A2": 1},
            {**IN_PIXELS, "beam": None, "calibration": None},
            r"electrons_per_A2: needs lengths, which units: pixel",
        ),
    ],
)
def test_what_needs_a_step_of_the_scan(
    step: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^preprocess\.0\..*{message.rsplit('.', 1)[-1]}"):
        run(scan_of(raster()), step, **{k: v for k, v in changes.items() if k != "data"})


def test_what_needs_a_raster_or_counts() -> None:
    stack = raster().reshape(-1, 5, 4)
    with pytest.raises(ConfigError, match=r"^preprocess\.0\.source_size: needs a raster"):
        run(stack, {"step": "source_size", "std": 1})
    with pytest.raises(DataError, match="hold no counts to draw from"):
        run(0 * stack, {"step": "poisson_noise", "electrons_per_pattern": 1})
